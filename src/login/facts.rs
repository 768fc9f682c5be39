//! What a provider says about a person, in one form for all providers, and what becomes of it by the operator's mapping:
//! tier, roles, workspaces, and whether the person may come in at all.

use serde_json::{Map, Value};

use super::error::LoginError;
use super::settings::{Allow, Kind, ProviderSettings};
use crate::users::{self, Profile, Team};

/// What a provider says about a person.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The provider's id of the person; never empty.
    pub(super) subject: String,
    /// The name to show.
    pub(super) name: Option<String>,
    /// The e-mail address.
    pub(super) email: Option<String>,
    /// Whether the provider has verified it.
    pub(super) email_verified: bool,
    /// Workspaces that the provider itself knows.
    pub(super) teams: Vec<Team>,
    /// All claims, for the mapping.
    pub(super) claims: Map<String, Value>,
}

/// The profile of a person who may come in.
pub(super) fn profile(facts: &Facts, settings: &ProviderSettings) -> Result<Profile, LoginError> {
    let bare = matches!(settings.kind, Kind::Clickup(_));
    let id = users::id_of(&settings.name, &facts.subject, bare);
    let teams = teams(facts, settings);
    if !admits(&settings.allow, &id, facts, &teams) {
        return Err(LoginError::NotAllowed);
    }
    let mapping = &settings.claims;
    Ok(Profile {
        id,
        provider: settings.name.clone(),
        name: facts.name.clone().filter(|name| is_text(name)),
        email: facts.email.clone().filter(|email| is_text(email)),
        tier: tier(facts, settings),
        roles: texts(&facts.claims, mapping.roles_claim.as_deref()),
        teams,
    })
}

fn tier(facts: &Facts, settings: &ProviderSettings) -> String {
    let mapping = &settings.claims;
    let values = texts(&facts.claims, mapping.tier_claim.as_deref());
    let found = if mapping.tiers.is_empty() {
        values.first()
    } else {
        mapping
            .tiers
            .iter()
            .find(|(value, _)| values.contains(value))
            .map(|(_, tier)| tier)
    };
    found.unwrap_or(&mapping.default_tier).clone()
}

/// The workspaces that the mapping names, else those that the provider knows, else the operator's default.
fn teams(facts: &Facts, settings: &ProviderSettings) -> Vec<Team> {
    let named: Vec<Team> = texts(&facts.claims, settings.claims.team_claim.as_deref())
        .into_iter()
        .map(|id| Team {
            id,
            name: String::new(),
        })
        .collect();
    let known = || {
        let fits = |team: &&Team| is_text(&team.id);
        facts.teams.iter().filter(fits).take(ITEMS_MAX).cloned()
    };
    let mut teams = if named.is_empty() {
        known().collect()
    } else {
        named
    };
    if teams.is_empty() && !settings.default_team.is_empty() {
        teams.push(Team {
            id: settings.default_team.clone(),
            name: String::new(),
        });
    }
    teams
}

/// Whoever is on one of the lists; everybody if there is none. An address counts only where the provider verified it.
fn admits(allow: &Allow, id: &str, facts: &Facts, teams: &[Team]) -> bool {
    if allow.users.is_empty() && allow.email_domains.is_empty() && allow.teams.is_empty() {
        return true;
    }
    let email = facts.email.as_deref().filter(|_| facts.email_verified);
    let domain = email
        .and_then(|email| email.rsplit_once('@'))
        .map(|(_, d)| d);
    allow.users.iter().any(|user| {
        user == id
            || email.is_some_and(|email| user.contains('@') && user.eq_ignore_ascii_case(email))
    }) || allow
        .email_domains
        .iter()
        .any(|allowed| domain.is_some_and(|domain| allowed.eq_ignore_ascii_case(domain)))
        || allow
            .teams
            .iter()
            .any(|allowed| teams.iter().any(|team| team.id == *allowed))
}

/// The texts of a claim that the operator named, by name or JSON pointer; odd ones are left out.
fn texts(claims: &Map<String, Value>, named: Option<&str>) -> Vec<String> {
    let found = match named.map(|named| (named, named.strip_prefix('/'))) {
        None => None,
        Some((named, None)) => claims.get(named),
        Some((_, Some(path))) => {
            let (first, rest) = path.split_once('/').unwrap_or((path, ""));
            let member = claims.get(&first.replace("~1", "/").replace("~0", "~"));
            match rest {
                "" => member,
                rest => member.and_then(|member| member.pointer(&format!("/{rest}"))),
            }
        }
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| is_text(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match found {
        Some(Value::Array(items)) => items.iter().take(ITEMS_MAX).filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Text that can stand in a token and an audit line.
pub(super) fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_MAX_BYTES && !text.contains(char::is_control)
}

const TEXT_MAX_BYTES: usize = 256;
/// The most workspaces, roles or groups that are looked at.
const ITEMS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::settings::ClaimMapping;
    use serde_json::json;

    fn settings() -> ProviderSettings {
        ProviderSettings {
            name: "okta".into(),
            kind: Kind::Oidc {
                issuer: "https://idp.test".into(),
            },
            ..ProviderSettings::default()
        }
    }

    fn facts() -> Facts {
        Facts {
            subject: "a".into(),
            email: Some("Ann@Example.com".into()),
            email_verified: true,
            claims: json!({"groups": ["staff", "gold"], "org": {"id": 7}})
                .as_object()
                .unwrap()
                .clone(),
            ..Facts::default()
        }
    }

    fn admitted(allow: Allow, facts: &Facts) -> bool {
        let settings = ProviderSettings {
            allow,
            ..settings()
        };
        match profile(facts, &settings) {
            Ok(_) => true,
            Err(LoginError::NotAllowed) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn whoever_is_on_no_list_is_refused() {
        let unverified = Facts {
            email_verified: false,
            ..facts()
        };
        let by_domain = || Allow {
            email_domains: vec!["example.com".into()],
            ..Allow::default()
        };
        let by_user = |user: &str| Allow {
            users: vec![user.into()],
            ..Allow::default()
        };
        let sly = Facts {
            email: Some("a@evil.test@xexample.com".into()),
            ..facts()
        };
        assert!(!admitted(by_domain(), &unverified));
        assert!(!admitted(by_domain(), &sly));
        assert!(!admitted(by_user("ann@example.com"), &unverified));
        assert!(!admitted(by_user("a"), &facts()));
        assert!(!admitted(by_user("other.a"), &facts()));
        let team = Allow {
            teams: vec!["t1".into()],
            ..Allow::default()
        };
        assert!(!admitted(team, &facts()));
        assert!(admitted(by_domain(), &facts()));
        assert!(admitted(by_user("okta.a"), &facts()));
        assert!(admitted(by_user("ann@example.com"), &facts()));
        assert!(admitted(Allow::default(), &facts()));
    }

    #[test]
    fn claims_become_tier_roles_and_teams_by_mapping_alone() {
        let plain = profile(&facts(), &settings()).unwrap();
        assert_eq!((plain.tier.as_str(), plain.roles.len()), ("free", 0));
        assert_eq!(plain.teams[0].id, "default");
        let mapped = ProviderSettings {
            claims: ClaimMapping {
                tier_claim: Some("groups".into()),
                tiers: vec![("gold".into(), "premium".into())],
                team_claim: Some("/org/id".into()),
                roles_claim: Some("groups".into()),
                ..ClaimMapping::default()
            },
            ..settings()
        };
        let profile = profile(&facts(), &mapped).unwrap();
        assert_eq!(profile.tier, "premium");
        assert_eq!(profile.roles, ["staff", "gold"]);
        assert_eq!(profile.teams[0].id, "7");
    }
}
