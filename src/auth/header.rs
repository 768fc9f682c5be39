//! The JOSE header of a token: which key, which algorithm, what type. Read strictly, because everything in it is chosen
//! by whoever made the token and is used before any signature was checked. `jku`, `x5u`, `jwk` and `x5c` are never looked
//! at: a token cannot say where its key is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::bearer::Bearer;
use super::error::AuthError;
use super::strict;

/// A signature algorithm that this gateway verifies. `none` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256; for our own tokens only.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithms that a foreign issuer may use.
    pub const ASYMMETRIC: [Self; 5] = [
        Self::Rs256,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Reads the name that RFC 7518 gives, case-sensitively.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    /// The name that RFC 7518 gives.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Which `typ` values an issuer's access tokens may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TypeRule {
    /// Absent, `JWT` or `at+jwt`.
    #[default]
    Any,
    /// `at+jwt` only (RFC 9068 section 4): an issuer's id tokens can then never pass for access tokens.
    AccessToken,
}

/// The header members that verification uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Header {
    pub(in crate::auth) algorithm: Algorithm,
    pub(in crate::auth) key_id: Option<String>,
    access_token_type: bool,
}

impl Header {
    /// Decodes and reads the header of a token.
    pub(in crate::auth) fn read(token: &Bearer<'_>) -> Result<Self, AuthError> {
        let json = decode(token.header())?;
        let members = strict::object(&json).ok_or(AuthError::Malformed("header"))?;
        if let Some(name) = CHANGES_THE_READING
            .iter()
            .find(|name| members.contains_key(**name))
        {
            return Err(AuthError::InvalidHeader(name));
        }
        Ok(Self {
            algorithm: algorithm(members.get("alg"))?,
            key_id: key_id(members.get("kid"))?,
            access_token_type: access_token_type(members.get("typ"))?,
        })
    }

    /// Whether the token says that it is an access token.
    pub(in crate::auth) const fn is_access_token(&self) -> bool {
        self.access_token_type
    }

    /// Applies an issuer's rule about `typ`.
    pub(in crate::auth) const fn check_type(&self, rule: TypeRule) -> Result<(), AuthError> {
        match rule {
            TypeRule::Any => Ok(()),
            TypeRule::AccessToken if self.access_token_type => Ok(()),
            TypeRule::AccessToken => Err(AuthError::InvalidHeader("typ")),
        }
    }
}

/// Decodes one part whose form [`Bearer`] has checked.
pub(in crate::auth) fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::Malformed("base64url"))
}

fn algorithm(value: Option<&Value>) -> Result<Algorithm, AuthError> {
    match value {
        Some(Value::String(name)) => Algorithm::parse(name).ok_or(AuthError::WrongAlgorithm),
        _ => Err(AuthError::InvalidHeader("alg")),
    }
}

fn key_id(value: Option<&Value>) -> Result<Option<String>, AuthError> {
    match value {
        None => Ok(None),
        Some(Value::String(id))
            if !id.is_empty() && id.len() <= KEY_ID_MAX_BYTES && !id.contains(char::is_control) =>
        {
            Ok(Some(id.clone()))
        }
        Some(_) => Err(AuthError::InvalidHeader("kid")),
    }
}

/// RFC 7515 section 4.1.9: media types compare without regard to case and may omit `application/`.
fn access_token_type(value: Option<&Value>) -> Result<bool, AuthError> {
    let Some(value) = value else {
        return Ok(false);
    };
    let name = value.as_str().ok_or(AuthError::InvalidHeader("typ"))?;
    match name.to_ascii_lowercase().as_str() {
        "jwt" | "application/jwt" => Ok(false),
        "at+jwt" | "application/at+jwt" => Ok(true),
        _ => Err(AuthError::InvalidHeader("typ")),
    }
}

/// Members that change how the rest is to be read. We understand no extension, so `crit` cannot be satisfied even when
/// it is empty (RFC 7515 section 4.1.11); `b64` unencodes the payload (RFC 7797), `enc` and `zip` belong to encryption.
const CHANGES_THE_READING: [&str; 4] = ["crit", "b64", "enc", "zip"];

/// Longest key id that is compared with the known ones.
pub(in crate::auth) const KEY_ID_MAX_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Header, AuthError> {
        let text = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(json));
        Header::read(&Bearer::parse(&text, 65_536).unwrap())
    }

    #[test]
    fn odd_headers_are_refused_by_name() {
        let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
        for (json, refusal) in [
            ("{}", AuthError::InvalidHeader("alg")),
            (r#"{"alg":null}"#, AuthError::InvalidHeader("alg")),
            (r#"{"alg":["HS256"]}"#, AuthError::InvalidHeader("alg")),
            (r#"{"alg":"none"}"#, AuthError::WrongAlgorithm),
            (r#"{"alg":"hs256"}"#, AuthError::WrongAlgorithm),
            (r#"{"alg":"HS256 "}"#, AuthError::WrongAlgorithm),
            (
                r#"{"alg":"HS256","alg":"HS256"}"#,
                AuthError::Malformed("header"),
            ),
            (
                r#"{"alg":"HS256","kid":1}"#,
                AuthError::InvalidHeader("kid"),
            ),
            (
                r#"{"alg":"HS256","kid":null}"#,
                AuthError::InvalidHeader("kid"),
            ),
            (
                r#"{"alg":"HS256","kid":["a"]}"#,
                AuthError::InvalidHeader("kid"),
            ),
            (
                r#"{"alg":"HS256","kid":""}"#,
                AuthError::InvalidHeader("kid"),
            ),
            (
                r#"{"alg":"HS256","kid":"a\u0000b"}"#,
                AuthError::InvalidHeader("kid"),
            ),
            (&long, AuthError::InvalidHeader("kid")),
            (
                r#"{"alg":"HS256","crit":[]}"#,
                AuthError::InvalidHeader("crit"),
            ),
            (
                r#"{"alg":"HS256","crit":null}"#,
                AuthError::InvalidHeader("crit"),
            ),
            (
                r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
                AuthError::InvalidHeader("crit"),
            ),
            (
                r#"{"alg":"HS256","b64":false}"#,
                AuthError::InvalidHeader("b64"),
            ),
            (
                r#"{"alg":"dir","enc":"A128GCM"}"#,
                AuthError::InvalidHeader("enc"),
            ),
            (
                r#"{"alg":"HS256","typ":"JWE"}"#,
                AuthError::InvalidHeader("typ"),
            ),
            (
                r#"{"alg":"HS256","typ":7}"#,
                AuthError::InvalidHeader("typ"),
            ),
            (
                r#"{"alg":"HS256","typ":"oauth-id-jag+jwt"}"#,
                AuthError::InvalidHeader("typ"),
            ),
            (r#"["alg"]"#, AuthError::Malformed("header")),
            ("not json", AuthError::Malformed("header")),
        ] {
            assert_eq!(read(json).unwrap_err(), refusal, "{json}");
        }
    }

    #[test]
    fn rfc9068_s4_the_type_rule_keeps_id_tokens_out() {
        for (typ, any, strict) in [
            ("", true, false),
            (r#","typ":"JWT""#, true, false),
            (r#","typ":"jwt""#, true, false),
            (r#","typ":"AT+JWT""#, true, true),
            (r#","typ":"application/at+jwt""#, true, true),
        ] {
            let header = read(&format!(r#"{{"alg":"RS256"{typ}}}"#)).unwrap();
            assert_eq!(header.check_type(TypeRule::Any).is_ok(), any, "{typ}");
            assert_eq!(
                header.check_type(TypeRule::AccessToken).is_ok(),
                strict,
                "{typ}"
            );
        }
    }

    #[test]
    fn a_token_cannot_say_where_its_key_is() {
        let header =
            read(r#"{"alg":"RS256","kid":"a","jku":"https://evil.test","x5u":1}"#).unwrap();
        assert_eq!(header.key_id.as_deref(), Some("a"));
    }
}
