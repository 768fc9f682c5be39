//! Making our own tokens (R108-R115): HS256 under the first key of the ring, for named audiences, for at most a day.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::clock::{Clock, Timestamp};
use crate::random;
use crate::secret::Secret;

use super::challenge::ResourceId;
use super::claims::{TEXT_MAX_BYTES, is_printable, is_scope_token};
use super::identity::{USER_PREFIX, own_user};
use super::keys::{KeyError, KeyRing};
use super::settings::OwnSettings;

/// Who gets a token, and for what. The tier comes from our own records, never from the caller (R113).
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The user, with or without the `user_` prefix (C19).
    pub user: String,
    /// The default workspace.
    pub team: String,
    /// The tier, such as `free`.
    pub tier: String,
    /// The e-mail address, where it is known.
    pub email: Option<String>,
    /// The scopes granted.
    pub scopes: Vec<String>,
    /// The resources that the token is for; at least one.
    pub audiences: Vec<ResourceId>,
    /// A lifetime other than the configured one.
    pub lifetime: Option<Duration>,
    /// The OAuth client that asked for it.
    pub client: Option<String>,
    /// The session that it belongs to, and with which it ends.
    pub session: Option<String>,
    /// The generation of the user's tokens; all of an older one are revoked at once.
    pub generation: Option<u64>,
}

/// A new token and what its issuer keeps a record of.
#[derive(Debug)]
pub struct Minted {
    /// The token.
    pub token: Secret<String>,
    /// Its `jti` (C36).
    pub token_id: String,
    /// The moment from which it is no longer valid.
    pub expires_at: Timestamp,
    /// Its lifetime, the `expires_in` of an OAuth answer.
    pub expires_in: Duration,
}

/// A token that must not or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The keys cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The issuer has no name.
    #[error("own tokens need an issuer")]
    NoIssuer,
    /// A lifetime of nothing, or of more than a day (C04).
    #[error("a lifetime of {} s is not within 1 s and {} s", .0.as_secs(), OwnSettings::LIFETIME_MAX.as_secs())]
    Lifetime(Duration),
    /// A grant for no resource.
    #[error("a token needs at least one audience")]
    NoAudience,
    /// A part of the grant that a token cannot carry.
    #[error("the {0} of the grant is not valid")]
    Invalid(&'static str),
    /// No randomness for the token's id.
    #[error(transparent)]
    Random(#[from] random::NoRandomness),
    /// The library could not sign.
    #[error("the token could not be signed")]
    Signing,
}

/// The maker of our own tokens.
#[derive(Clone, Debug)]
pub struct Mint {
    ring: Arc<KeyRing>,
    issuer: String,
    lifetime: Duration,
    clock: Clock,
}

impl Mint {
    /// A maker of tokens that a verifier with the same settings accepts.
    ///
    /// # Errors
    /// [`MintError`] when the keys, the issuer or the lifetime cannot be used.
    pub fn new(settings: &OwnSettings, clock: Clock) -> Result<Self, MintError> {
        if settings.issuer.is_empty() {
            return Err(MintError::NoIssuer);
        }
        Ok(Self {
            ring: Arc::new(KeyRing::parse(&settings.keys)?),
            issuer: settings.issuer.clone(),
            lifetime: checked(settings.lifetime)?,
            clock,
        })
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`MintError`] when the grant cannot be expressed or the token not be signed.
    pub fn mint(&self, grant: &Grant) -> Result<Minted, MintError> {
        let lifetime = checked(grant.lifetime.unwrap_or(self.lifetime))?;
        let issued_at = self.clock.now().seconds();
        let expires_at = issued_at.saturating_add_unsigned(lifetime.as_secs());
        let token_id = format!("jti_{}", random::hex::<16>()?);
        let claims = Claims {
            iss: &self.issuer,
            sub: &subject(&grant.user)?,
            aud: audience(&grant.audiences)?,
            email: optional(grant.email.as_deref(), "email")?,
            team_id: text(&grant.team, "team")?,
            tier: text(&grant.tier, "tier")?,
            scope: scope(&grant.scopes)?,
            iat: issued_at,
            nbf: issued_at,
            exp: expires_at,
            jti: &token_id,
            client_id: optional(grant.client.as_deref(), "client")?,
            sid: optional(grant.session.as_deref(), "session")?,
            r#gen: grant.generation,
        };
        let header = Header {
            alg: "HS256",
            typ: "JWT",
            kid: self.ring.signing_id(),
        };
        let mut token = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let signature = self.ring.sign(&token).ok_or(MintError::Signing)?;
        token.push('.');
        token.push_str(&signature);
        Ok(Minted {
            token: Secret::new(token),
            token_id,
            expires_at: Timestamp::from_seconds(expires_at),
            expires_in: lifetime,
        })
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    team_id: &'a str,
    tier: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#gen: Option<u64>,
}

/// Whole seconds, at least one, at most a day.
fn checked(lifetime: Duration) -> Result<Duration, MintError> {
    if lifetime.as_secs() == 0 || lifetime > OwnSettings::LIFETIME_MAX {
        return Err(MintError::Lifetime(lifetime));
    }
    Ok(Duration::from_secs(lifetime.as_secs()))
}

fn subject(user: &str) -> Result<String, MintError> {
    let bare = user.strip_prefix(USER_PREFIX).unwrap_or(user);
    let subject = format!("{USER_PREFIX}{bare}");
    match own_user(&subject) {
        Some(_) if is_printable(&subject, TEXT_MAX_BYTES) => Ok(subject),
        _ => Err(MintError::Invalid("user")),
    }
}

fn audience(resources: &[ResourceId]) -> Result<Vec<&str>, MintError> {
    if resources.is_empty() {
        return Err(MintError::NoAudience);
    }
    Ok(resources.iter().map(ResourceId::as_str).collect())
}

fn text<'a>(text: &'a str, name: &'static str) -> Result<&'a str, MintError> {
    if is_printable(text, TEXT_MAX_BYTES) {
        Ok(text)
    } else {
        Err(MintError::Invalid(name))
    }
}

fn optional<'a>(value: Option<&'a str>, name: &'static str) -> Result<Option<&'a str>, MintError> {
    value.map(|value| text(value, name)).transpose()
}

fn scope(scopes: &[String]) -> Result<String, MintError> {
    if scopes.iter().all(|scope| is_scope_token(scope)) {
        Ok(scopes.join(" "))
    } else {
        Err(MintError::Invalid("scopes"))
    }
}

fn encode(part: &impl Serialize) -> Result<String, MintError> {
    serde_json::to_vec(part)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(|_| MintError::Signing)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::auth::settings::OwnKey;
    use crate::auth::support::{Signer, secret};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn settings() -> OwnSettings {
        OwnSettings {
            issuer: "https://gw.test".into(),
            keys: vec![OwnKey {
                kid: "k1".into(),
                secret: Secret::new(secret(1)),
            }],
            ..OwnSettings::default()
        }
    }

    fn grant() -> Grant {
        Grant {
            user: "12345".into(),
            team: "67890".into(),
            tier: "free".into(),
            email: Some("user@example.com".into()),
            scopes: vec!["mcp:read".into(), "mcp:write".into()],
            audiences: vec![ResourceId::parse("https://gw.test/mcp/").unwrap()],
            lifetime: None,
            client: None,
            session: None,
            generation: None,
        }
    }

    fn mint() -> Mint {
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        Mint::new(&settings(), clock).unwrap()
    }

    fn parts(token: &Secret<String>) -> (Value, Value, String) {
        let mut parts = token.expose().split('.');
        let mut json = || {
            let part = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
            serde_json::from_slice(&part).unwrap()
        };
        let (header, claims) = (json(), json());
        (header, claims, parts.next().unwrap().to_owned())
    }

    #[test]
    fn r121_c04_no_token_lives_longer_than_a_day() {
        for seconds in [0, 86_401, u64::MAX] {
            let lifetime = Duration::from_secs(seconds);
            let asked = Grant {
                lifetime: Some(lifetime),
                ..grant()
            };
            assert!(matches!(mint().mint(&asked), Err(MintError::Lifetime(_))));
            let configured = OwnSettings {
                lifetime,
                ..settings()
            };
            assert!(matches!(
                Mint::new(&configured, Clock::system()),
                Err(MintError::Lifetime(_))
            ));
        }
    }

    #[test]
    fn r121_the_configured_lifetime_is_honoured() {
        let hour = Duration::from_secs(3600);
        let settings = OwnSettings {
            lifetime: hour,
            ..settings()
        };
        let mint = Mint::new(&settings, Clock::manual(Timestamp::from_seconds(NOW))).unwrap();
        let minted = mint.mint(&grant()).unwrap();
        assert_eq!(minted.expires_in, hour);
        assert_eq!(parts(&minted.token).1["exp"], NOW + 3600);
    }

    #[test]
    fn grants_that_a_token_cannot_carry_are_refused() {
        let long = "x".repeat(TEXT_MAX_BYTES);
        type Row<'a> = (&'a str, fn(&mut Grant, &str), &'a [&'a str]);
        let changes: [Row<'_>; 7] = [
            (
                "user",
                |g, v| g.user = v.into(),
                &["", "user_", "user_user_1", "okta|a", "a b", "a\n", &long],
            ),
            ("team", |g, v| g.team = v.into(), &["", " ", "a\u{0}"]),
            ("tier", |g, v| g.tier = v.into(), &["", "a\u{7}"]),
            ("email", |g, v| g.email = Some(v.into()), &["", "a\r\nb"]),
            ("client", |g, v| g.client = Some(v.into()), &["", "a\u{0}"]),
            ("session", |g, v| g.session = Some(v.into()), &["", "a\nb"]),
            (
                "scopes",
                |g, v| g.scopes = vec![v.into()],
                &["", "a b", "a\"", "é"],
            ),
        ];
        for (name, change, values) in changes {
            for value in values {
                let mut grant = grant();
                change(&mut grant, value);
                let refused = mint().mint(&grant).unwrap_err();
                assert!(
                    matches!(refused, MintError::Invalid(found) if found == name),
                    "{name} {value:?}: {refused}"
                );
            }
        }
        let nowhere = Grant {
            audiences: vec![],
            ..grant()
        };
        assert!(matches!(mint().mint(&nowhere), Err(MintError::NoAudience)));
        let unnamed = OwnSettings {
            issuer: String::new(),
            ..settings()
        };
        assert!(matches!(
            Mint::new(&unnamed, Clock::system()),
            Err(MintError::NoIssuer)
        ));
    }

    #[test]
    fn r108_r109_r110_r111_r112_r113_r114_r115_r372_r373_r374_a_token_says_all_of_it() {
        let minted = mint().mint(&grant()).unwrap();
        let (header, claims, _) = parts(&minted.token);
        assert_eq!(
            header,
            serde_json::json!({"alg": "HS256", "typ": "JWT", "kid": "k1"})
        );
        assert_eq!(
            claims,
            serde_json::json!({
                "iss": "https://gw.test", "sub": "user_12345", "aud": ["https://gw.test/mcp"],
                "email": "user@example.com", "team_id": "67890", "tier": "free",
                "scope": "mcp:read mcp:write", "iat": NOW, "nbf": NOW, "exp": NOW + 86_400,
                "jti": minted.token_id,
            })
        );
        assert_eq!(minted.expires_at, Timestamp::from_seconds(NOW + 86_400));
        assert_eq!(minted.expires_in, Duration::from_secs(86_400));
    }

    #[test]
    fn a_token_names_its_client_its_session_and_the_generation() {
        let minted = mint()
            .mint(&Grant {
                client: Some("https://client.test/metadata.json".into()),
                session: Some("g1".into()),
                generation: Some(3),
                ..grant()
            })
            .unwrap();
        let claims = parts(&minted.token).1;
        assert_eq!(claims["client_id"], "https://client.test/metadata.json");
        assert_eq!((&claims["sid"], &claims["gen"]), (&"g1".into(), &3.into()));
    }

    #[test]
    fn c36_every_token_has_its_own_id() {
        let (one, two) = (
            mint().mint(&grant()).unwrap(),
            mint().mint(&grant()).unwrap(),
        );
        assert_ne!(one.token_id, two.token_id);
        assert!(one.token_id.starts_with("jti_") && one.token_id.len() == 36);
    }

    #[test]
    fn r382_r383_three_base64url_parts_of_which_the_last_is_the_hmac_of_the_others() {
        let minted = mint().mint(&grant()).unwrap();
        let (input, signature) = minted.token.expose().rsplit_once('.').unwrap();
        assert_eq!(minted.token.expose().split('.').count(), 3);
        assert!(!minted.token.expose().contains(['=', '+', '/']));
        let expected = Signer::hs256("k1", &secret(1)).signature(input.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap(), expected);
    }

    #[test]
    fn c19_both_forms_of_a_user_get_one_subject() {
        for user in ["12345", "user_12345"] {
            let minted = mint()
                .mint(&Grant {
                    user: user.into(),
                    ..grant()
                })
                .unwrap();
            assert_eq!(parts(&minted.token).1["sub"], "user_12345");
        }
    }
}
