//! The scopes that there are (C25): those of the settings and those of the resources. What is asked for is one of them, or
//! refused; what is granted holds what its bundles include.

use super::error::OauthError;
use super::settings::{Resource, Scope};

/// The most scopes that one request may name.
const ASKED_MAX: usize = 64;
/// What a client says that wants to stay signed in. Everybody may, so it is neither listed nor granted.
const OFFLINE: &str = "offline_access";

/// Every scope that there is.
#[derive(Clone, Debug)]
pub(in crate::oauth) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(in crate::oauth) fn new(settings: &[Scope], resources: &[Resource]) -> Self {
        let mut known = settings.to_vec();
        for name in resources.iter().flat_map(|resource| &resource.scopes) {
            if name != OFFLINE && !known.iter().any(|scope| scope.name == *name) {
                known.push(Scope {
                    name: name.clone(),
                    meaning: format!("Use what needs \u{201c}{name}\u{201d}"),
                    includes: Vec::new(),
                });
            }
        }
        Self(known)
    }

    /// Their names, for metadata.
    pub(in crate::oauth) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|scope| scope.name.as_str()).collect()
    }

    /// The scopes that a parameter names, each once; `None` where there is no parameter.
    pub(in crate::oauth) fn read(
        &self,
        asked: Option<&str>,
    ) -> Result<Option<Vec<String>>, OauthError> {
        let Some(text) = asked else {
            return Ok(None);
        };
        let mut scopes: Vec<String> = Vec::new();
        for name in text.split(' ').filter(|name| !name.is_empty()) {
            if name == OFFLINE || scopes.iter().any(|known| known == name) {
                continue;
            }
            if self.find(name).is_none() {
                return Err(OauthError::Scope("a scope is not known here"));
            }
            if scopes.len() == ASKED_MAX {
                return Err(OauthError::Scope("there are too many scopes"));
            }
            scopes.push(name.to_owned());
        }
        Ok(Some(scopes))
    }

    /// The scopes with all that they include, in the order of the list.
    pub(in crate::oauth) fn with_included(&self, granted: &[String]) -> Vec<String> {
        let mut wanted = granted.to_vec();
        let mut at = 0;
        while let Some(name) = wanted.get(at) {
            let includes = self.find(name).map(|scope| scope.includes.clone());
            for included in includes.unwrap_or_default() {
                if !wanted.contains(&included) {
                    wanted.push(included);
                }
            }
            at += 1;
        }
        wanted
    }

    /// The names with their meanings, for people.
    pub(in crate::oauth) fn explained<'a>(
        &'a self,
        names: &'a [String],
    ) -> Vec<(&'a str, &'a str)> {
        names
            .iter()
            .map(|name| {
                let meaning = self.find(name).map(|scope| scope.meaning.as_str());
                (name.as_str(), meaning.unwrap_or_default())
            })
            .collect()
    }

    fn find(&self, name: &str) -> Option<&Scope> {
        self.0.iter().find(|scope| scope.name == name)
    }
}

/// Whether all of `asked` are among `granted`.
pub(in crate::oauth) fn within(asked: &[String], granted: &[String]) -> bool {
    asked.iter().all(|name| granted.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ResourceId;

    fn scopes() -> Scopes {
        let resource = Resource {
            id: ResourceId::parse("https://gw.test/mcp").unwrap(),
            name: "Demo".into(),
            scopes: vec!["mcp:read".into(), "demo:add".into(), OFFLINE.into()],
        };
        Scopes::new(&Scope::defaults(), &[resource])
    }

    #[test]
    fn c25_a_scope_that_there_is_not_is_refused() {
        let many: Vec<_> = (0..70).map(|n| format!("mcp:{n}")).collect();
        for asked in [
            "admin",
            "mcp:read admin",
            "MCP:READ",
            "mcp:*",
            "mcp:read\tx",
            &many.join(" "),
        ] {
            let refused = scopes().read(Some(asked)).unwrap_err();
            assert_eq!(refused.code(), "invalid_scope", "{asked}");
        }
    }

    #[test]
    fn c25_the_names_of_the_seeds_and_of_the_resources_are_known() {
        let read = scopes().read(Some(
            "user:read team:read task:write demo:add user:read offline_access",
        ));
        assert_eq!(
            read.unwrap().unwrap(),
            ["user:read", "team:read", "task:write", "demo:add"]
        );
        assert_eq!(scopes().read(None).unwrap(), None);
        assert!(!scopes().names().contains(&OFFLINE));
    }

    #[test]
    fn c25_a_bundle_is_granted_with_what_it_includes() {
        let granted = scopes().with_included(&["mcp:read".into(), "user:read".into()]);
        assert_eq!(granted, ["mcp:read", "user:read", "team:read"]);
        assert_eq!(scopes().with_included(&["user:read".into()]), ["user:read"]);
    }

    #[test]
    fn bundles_that_include_each_other_end() {
        let scope = |name: &str, includes: &str| Scope {
            name: name.into(),
            meaning: String::new(),
            includes: vec![includes.into()],
        };
        let scopes = Scopes::new(&[scope("a", "b"), scope("b", "a")], &[]);
        assert_eq!(scopes.with_included(&["a".into()]), ["a", "b"]);
    }
}
