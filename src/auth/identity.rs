//! From checked claims to an identity: what our own tokens must say, and how a foreign issuer's claims are mapped to the
//! words that policies and quotas use.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::claims::Claims;
use super::error::AuthError;
use super::principal::{Identity, UserId};
use super::settings::{ClaimMapping, OwnSettings};

/// The prefix of the `sub` of our own tokens (C19).
pub(in crate::auth) const USER_PREFIX: &str = "user_";

/// The user id inside an own `sub`. It must be the prefix and a plain id: `|` would look like a foreign user, a second
/// prefix would make two users of one.
pub(in crate::auth) fn own_user(subject: &str) -> Option<&str> {
    subject.strip_prefix(USER_PREFIX).filter(|id| {
        let odd = |c: char| c == '|' || c.is_whitespace() || c.is_control();
        !id.is_empty() && !id.starts_with(USER_PREFIX) && !id.contains(odd)
    })
}

/// The bearer of one of our own tokens, which must name user, team and token (R110, R112, R118, C36).
pub(in crate::auth) fn of_own(
    claims: &Claims,
    settings: &OwnSettings,
    fingerprint: Arc<str>,
) -> Result<Identity, AuthError> {
    own_user(claims.subject()).ok_or(AuthError::InvalidClaim("sub"))?;
    if claims.issued_at.is_none() {
        return Err(AuthError::MissingClaim("iat"));
    }
    let team = claims.text("team_id")?;
    if team.is_none() && settings.team_required {
        return Err(AuthError::MissingClaim("team_id"));
    }
    Ok(Identity {
        user: UserId::own(claims.subject()),
        team: team.map(Into::into),
        tier: claims
            .text("tier")?
            .unwrap_or(&settings.default_tier)
            .into(),
        scopes: claims.scopes(None)?,
        roles: BTreeSet::new(),
        token_id: Some(claims.required("jti")?.into()),
        session: claims.text("sid")?.map(Into::into),
        generation: claims.whole("gen")?,
        ..shared(claims, fingerprint)?
    })
}

/// The bearer of a foreign issuer's token. A claim that the operator did not name gives nothing, however it is called.
pub(in crate::auth) fn of_foreign(
    claims: &Claims,
    issuer_name: &str,
    mapping: &ClaimMapping,
    fingerprint: Arc<str>,
) -> Result<Identity, AuthError> {
    let list = |named: &Option<String>, role| {
        named
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), |named| claims.list(named, role))
    };
    Ok(Identity {
        user: UserId::foreign(issuer_name, claims.subject()),
        team: list(&mapping.team_claim, "team")?
            .first()
            .map(|team| Arc::from(*team)),
        tier: tier(&list(&mapping.tier_claim, "tier")?, mapping).into(),
        scopes: claims.scopes(mapping.scopes_claim.as_deref())?,
        roles: list(&mapping.roles_claim, "roles")?
            .into_iter()
            .map(str::to_owned)
            .collect(),
        ..shared(claims, fingerprint)?
    })
}

/// What every issuer's tokens say alike.
fn shared(claims: &Claims, fingerprint: Arc<str>) -> Result<Identity, AuthError> {
    let client = match claims.text("client_id")? {
        Some(client) => Some(client),
        None => claims.text("azp")?,
    };
    Ok(Identity {
        user: UserId::own(claims.subject()),
        issuer: claims.issuer.as_str().into(),
        email: claims.text("email")?.map(Into::into),
        team: None,
        tier: "".into(),
        scopes: BTreeSet::new(),
        roles: BTreeSet::new(),
        token_id: claims.text("jti")?.map(Into::into),
        client_id: client.map(Into::into),
        session: None,
        generation: None,
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        fingerprint,
    })
}

fn tier<'a>(values: &[&'a str], mapping: &'a ClaimMapping) -> &'a str {
    let found = if mapping.tiers.is_empty() {
        values.first().copied()
    } else {
        mapping
            .tiers
            .iter()
            .find(|(value, _)| values.contains(&value.as_str()))
            .map(|(_, tier)| tier.as_str())
    };
    found.unwrap_or(&mapping.default_tier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_only_the_prefix_and_a_plain_id_are_an_own_subject() {
        for subject in [
            "",
            "12345",
            "user_",
            "user_user_1",
            "user_okta|alice",
            "user_ 1",
            "user_a b",
            "USER_1",
            "xuser_1",
        ] {
            assert_eq!(own_user(subject), None, "{subject}");
        }
        assert_eq!(own_user("user_12345"), Some("12345"));
    }

    #[test]
    fn the_first_row_of_the_tier_map_that_matches_wins() {
        let mapping = ClaimMapping {
            tiers: vec![
                ("gold".into(), "premium".into()),
                ("staff".into(), "free".into()),
            ],
            default_tier: "trial".into(),
            ..ClaimMapping::default()
        };
        assert_eq!(tier(&["staff", "gold"], &mapping), "premium");
        assert_eq!(tier(&["other"], &mapping), "trial");
        assert_eq!(tier(&[], &mapping), "trial");
        let plain = ClaimMapping::default();
        assert_eq!(tier(&["premium"], &plain), "premium");
    }
}
