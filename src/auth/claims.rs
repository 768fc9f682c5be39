//! The payload of a token: read strictly, then checked against one issuer's rules, then turned into an identity. Types
//! are judged before values, so that an odd claim is a refusal and never an absent one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::bearer::Bearer;
use super::certificate::Thumbprint;
use super::challenge::ResourceId;
use super::error::AuthError;
use super::header::decode;
use super::strict;

/// The members of a payload before its signature was verified; all that may be asked is who claims to have signed it.
pub(in crate::auth) struct Payload(Map<String, Value>);

impl Payload {
    /// Decodes and reads the payload of a token.
    pub(in crate::auth) fn read(token: &Bearer<'_>) -> Result<Self, AuthError> {
        let json = decode(token.payload())?;
        strict::object(&json)
            .map(Self)
            .ok_or(AuthError::Malformed("payload"))
    }

    /// The `iss` claim, by which the key is chosen among those that we know.
    pub(in crate::auth) fn issuer(&self) -> Result<&str, AuthError> {
        text(&self.0, "iss", TEXT_MAX_BYTES)?.ok_or(AuthError::MissingClaim("iss"))
    }
}

/// The claims of a token, of the types that they must have.
#[derive(Clone, Debug)]
pub(in crate::auth) struct Claims {
    pub(in crate::auth) issuer: String,
    pub(in crate::auth) expires_at: Timestamp,
    pub(in crate::auth) issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    subject: String,
    audience: Vec<String>,
    members: Map<String, Value>,
}

impl Claims {
    /// Reads the claims of a payload whose signature was verified.
    pub(in crate::auth) fn read(payload: Payload) -> Result<Self, AuthError> {
        let issuer = payload.issuer()?.to_owned();
        let Payload(members) = payload;
        Ok(Self {
            issuer,
            expires_at: date(&members, "exp")?.ok_or(AuthError::MissingClaim("exp"))?,
            not_before: date(&members, "nbf")?,
            issued_at: date(&members, "iat")?,
            subject: text(&members, "sub", TEXT_MAX_BYTES)?
                .ok_or(AuthError::MissingClaim("sub"))?
                .to_owned(),
            audience: audience(members.get("aud"))?,
            members,
        })
    }

    /// Is the token valid now? `exp` is the first moment at which it is not (RFC 7519 section 4.1.4).
    pub(in crate::auth) fn check_time(
        &self,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<(), AuthError> {
        if now >= self.expires_at.plus(leeway) {
            return Err(AuthError::Expired {
                expired_at: self.expires_at,
            });
        }
        match self.usable_from() {
            Some(start) if start > now.plus(leeway) => Err(AuthError::NotYetValid),
            _ => Ok(()),
        }
    }

    /// The later of `nbf` and `iat`.
    pub(in crate::auth) fn usable_from(&self) -> Option<Timestamp> {
        self.not_before.max(self.issued_at)
    }

    /// Is the token meant for this resource? An audience that is a URI is compared in its canonical form (RFC 8707
    /// section 2), the issuer's further audiences as plain text.
    pub(in crate::auth) fn check_audience(
        &self,
        resource: &ResourceId,
        also: &[String],
    ) -> Result<(), AuthError> {
        let meant = self.audience.iter().any(|audience| {
            also.contains(audience)
                || audience == resource.as_str()
                || ResourceId::parse(audience).is_ok_and(|id| id == *resource)
        });
        if meant {
            Ok(())
        } else {
            Err(AuthError::WrongAudience)
        }
    }

    /// The certificate that whoever uses the token must show, where it is bound to one (RFC 8705 section 3.1). Other ways
    /// to bind a token are not understood here and passed over (RFC 7800 section 3.1).
    pub(in crate::auth) fn certificate(&self) -> Result<Option<Thumbprint>, AuthError> {
        let member = match self.members.get("cnf") {
            None => return Ok(None),
            Some(Value::Object(cnf)) => cnf.get("x5t#S256"),
            Some(_) => return Err(AuthError::InvalidClaim("cnf")),
        };
        let thumbprint = |value: &Value| {
            let found = value.as_str().and_then(Thumbprint::parse);
            found.ok_or(AuthError::InvalidClaim("cnf"))
        };
        member.map(thumbprint).transpose()
    }

    /// The `aud` claim, as a list.
    pub(in crate::auth) fn audience(&self) -> &[String] {
        &self.audience
    }

    /// All claims.
    pub(in crate::auth) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// The `sub` claim.
    pub(in crate::auth) fn subject(&self) -> &str {
        &self.subject
    }

    /// A claim that is text where it is present.
    pub(in crate::auth) fn text(&self, name: &'static str) -> Result<Option<&str>, AuthError> {
        text(&self.members, name, TEXT_MAX_BYTES)
    }

    /// A claim that must be text.
    pub(in crate::auth) fn required(&self, name: &'static str) -> Result<&str, AuthError> {
        self.text(name)?.ok_or(AuthError::MissingClaim(name))
    }

    /// A whole number that need not be there.
    pub(in crate::auth) fn whole(&self, name: &'static str) -> Result<Option<u64>, AuthError> {
        match self.members.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or(AuthError::InvalidClaim(name)),
        }
    }

    /// The granted scopes: of the claim that the operator named, else `scope` (RFC 8693 section 4.2), else `scp`.
    pub(in crate::auth) fn scopes(
        &self,
        named: Option<&str>,
    ) -> Result<BTreeSet<String>, AuthError> {
        let value = match named {
            Some(name) => self.find(name),
            None => match self.members.get("scope") {
                Some(scope @ Value::String(_)) => Some(scope),
                Some(_) => return Err(AuthError::InvalidClaim("scope")),
                None => self.members.get("scp"),
            },
        };
        let scopes = words(value, "scope")?;
        if scopes.iter().all(|scope| is_scope_token(scope)) {
            Ok(scopes)
        } else {
            Err(AuthError::InvalidClaim("scope"))
        }
    }

    /// The texts of a claim that the operator named; none where it is absent.
    pub(in crate::auth) fn list(
        &self,
        named: &str,
        role: &'static str,
    ) -> Result<Vec<&str>, AuthError> {
        match self.find(named) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= ITEMS_MAX => items
                .iter()
                .map(|item| printable(item, TEXT_MAX_BYTES).ok_or(AuthError::InvalidClaim(role)))
                .collect(),
            Some(item) => printable(item, TEXT_MAX_BYTES)
                .map(|text| vec![text])
                .ok_or(AuthError::InvalidClaim(role)),
        }
    }

    fn find(&self, named: &str) -> Option<&Value> {
        let Some(path) = named.strip_prefix('/') else {
            return self.members.get(named);
        };
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| {
            (first, Some(format!("/{rest}")))
        });
        let member = self
            .members
            .get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(member), |rest| member.pointer(&rest))
    }
}

/// `scope-token` of RFC 6749 section 3.3.
pub(in crate::auth) fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty()
        && scope
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Text that can stand in an audit line: not empty, bounded, no control characters.
pub(in crate::auth) fn is_printable(text: &str, max_bytes: usize) -> bool {
    !text.trim().is_empty() && text.len() <= max_bytes && !text.contains(char::is_control)
}

fn printable(value: &Value, max_bytes: usize) -> Option<&str> {
    value.as_str().filter(|text| is_printable(text, max_bytes))
}

fn text<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
    max_bytes: usize,
) -> Result<Option<&'a str>, AuthError> {
    match members.get(name) {
        None => Ok(None),
        Some(value) => printable(value, max_bytes)
            .map(Some)
            .ok_or(AuthError::InvalidClaim(name)),
    }
}

/// A NumericDate (RFC 7519 section 2): seconds, possibly with a fraction, within the calendar.
fn date(members: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, AuthError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..=LAST_SECOND).contains(seconds))
        .ok_or(AuthError::InvalidClaim(name))?;
    // Within the calendar the product is far below 2^53, so the conversion is exact to the millisecond.
    Ok(Some(Timestamp::from_millis((seconds * 1000.0) as i64)))
}

fn audience(value: Option<&Value>) -> Result<Vec<String>, AuthError> {
    let refused = || AuthError::InvalidClaim("aud");
    match value {
        None => Err(AuthError::MissingClaim("aud")),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) if many.len() <= ITEMS_MAX => many
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(refused))
            .collect(),
        Some(_) => Err(refused()),
    }
}

fn words(value: Option<&Value>, name: &'static str) -> Result<BTreeSet<String>, AuthError> {
    let refused = || AuthError::InvalidClaim(name);
    let words: BTreeSet<String> = match value {
        None => BTreeSet::new(),
        Some(Value::String(list)) => list
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(refused))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(refused()),
    };
    if words.len() > ITEMS_MAX {
        return Err(refused());
    }
    Ok(words)
}

/// Longest text of a claim that becomes part of an identity.
pub(in crate::auth) const TEXT_MAX_BYTES: usize = 512;

/// Most audiences, scopes or roles.
const ITEMS_MAX: usize = 256;

/// The end of the year 9999. Milliseconds taken for seconds lie beyond it.
const LAST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const GOOD: &str =
        r#""iss":"https://i.test","sub":"a","aud":"https://gw.test/mcp","exp":2000000000"#;

    fn read(json: &str) -> Result<Claims, AuthError> {
        let text = format!("e30.{}.AAAA", URL_SAFE_NO_PAD.encode(json));
        Claims::read(Payload::read(&Bearer::parse(&text, 1 << 20).unwrap())?)
    }

    fn with(more: &str) -> Claims {
        read(&format!("{{{GOOD},{more}}}")).unwrap()
    }

    #[test]
    fn r117_the_leeway_is_honoured_both_ways_and_no_further() {
        let claims = with(r#""nbf":1999990000,"iat":1999990000"#);
        let at = |seconds| {
            claims
                .check_time(Timestamp::from_seconds(seconds), Duration::from_secs(60))
                .map_err(|e| e.reason())
        };
        assert_eq!(at(1_999_989_910), Err("not_yet_valid"));
        assert_eq!(at(1_999_989_939), Err("not_yet_valid"));
        assert_eq!(at(1_999_989_940), Ok(()));
        assert_eq!(at(2_000_000_059), Ok(()));
        assert_eq!(at(2_000_000_060), Err("token_expired"));
        assert_eq!(at(2_000_000_090), Err("token_expired"));
    }

    #[test]
    fn dates_outside_the_calendar_are_refused_and_fractions_kept() {
        for bad in [
            "-1",
            "-1e300",
            "1e300",
            "18446744073709551615",
            "1700000000000",
            "253402300800",
            "null",
            "true",
            "\"2000000000\"",
            "[2000000000]",
            "{}",
        ] {
            for name in ["nbf", "iat"] {
                let refused = read(&format!("{{{GOOD},\"{name}\":{bad}}}")).unwrap_err();
                assert_eq!(refused, AuthError::InvalidClaim(name), "{name} {bad}");
            }
        }
        let claims = with(r#""nbf":1999990000.5"#);
        assert_eq!(
            claims.not_before,
            Some(Timestamp::from_millis(1_999_990_000_500))
        );
    }

    #[test]
    fn scopes_are_read_from_the_first_claim_that_is_there() {
        for (more, named, expected) in [
            (r#""scope":"b a  b""#, None, vec!["a", "b"]),
            (r#""scope":"""#, None, vec![]),
            (r#""scope":"a","scp":["b"]"#, None, vec!["a"]),
            (r#""scp":"a b""#, None, vec!["a", "b"]),
            (r#""scp":["a","b"]"#, None, vec!["a", "b"]),
            (r#""permissions":["p:1"]"#, Some("permissions"), vec!["p:1"]),
            (r#""x":{"y":{"z":"p q"}}"#, Some("/x/y/z"), vec!["p", "q"]),
            (r#""x":1"#, None, vec![]),
        ] {
            let found = with(more).scopes(named).unwrap();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{more}");
        }
        for more in [
            r#""scope":["a"]"#,
            r#""scope":1"#,
            r#""scp":{"a":1}"#,
            r#""scp":["a",1]"#,
            r#""scp":["a b"]"#,
            r#""scope":"a\u0009b""#,
            r#""scope":"a\"b""#,
        ] {
            let refused = with(more).scopes(None).unwrap_err();
            assert_eq!(refused, AuthError::InvalidClaim("scope"), "{more}");
        }
        let many = (0..300)
            .map(|n| format!("s{n}"))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(with(&format!(r#""scope":"{many}""#)).scopes(None).is_err());
    }

    #[test]
    fn rfc8705_s3_1_a_bound_token_names_a_certificate_or_is_no_token() {
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        for cnf in [
            "1".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            format!("\"{hash}\""),
            r#"{"x5t#S256":null}"#.to_owned(),
            r#"{"x5t#S256":""}"#.to_owned(),
            format!(r#"{{"x5t#S256":"{hash}="}}"#),
            format!(r#"{{"x5t#S256":["{hash}"]}}"#),
        ] {
            let found = with(&format!(r#""cnf":{cnf}"#)).certificate();
            assert_eq!(found, Err(AuthError::InvalidClaim("cnf")), "{cnf}");
        }
        let bound = with(&format!(r#""cnf":{{"x5t#S256":"{hash}"}}"#));
        assert_eq!(bound.certificate(), Ok(Some(Thumbprint::of(b""))));
        for free in [r#""a":1"#, r#""cnf":{}"#, r#""cnf":{"jkt":"x"}"#] {
            assert_eq!(with(free).certificate(), Ok(None), "{free}");
        }
    }

    #[test]
    fn rfc8707_s2_the_audience_is_this_resource_in_any_spelling_of_it() {
        let resource = ResourceId::parse("https://gw.test/mcp").unwrap();
        let check = |aud: &str, also: &[String]| {
            let json = format!(r#"{{"iss":"i","sub":"a","exp":2000000000,"aud":{aud}}}"#);
            read(&json).and_then(|claims| claims.check_audience(&resource, also))
        };
        for aud in [
            r#""https://gw.test/mcp""#,
            r#""https://gw.test/mcp/""#,
            r#""HTTPS://GW.test:443/mcp""#,
            r#"["x","https://gw.test/mcp"]"#,
        ] {
            assert_eq!(check(aud, &[]), Ok(()), "{aud}");
        }
        for aud in [
            r#""https://gw.test""#,
            r#""https://gw.test/mcp2""#,
            r#""https://gw.test/MCP""#,
            r#""https://gw.test/mcp#x""#,
            r#""http://gw.test/mcp""#,
            r#""https://gw.test/mcp https://x""#,
            r#""*""#,
            "[]",
            r#""""#,
        ] {
            assert_eq!(check(aud, &[]), Err(AuthError::WrongAudience), "{aud}");
        }
        assert_eq!(check(r#""client-1""#, &["client-1".into()]), Ok(()));
    }
}
