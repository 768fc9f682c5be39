//! What a verified token is found again by: all of it, and the resource that it was verified for. Compared in full,
//! because a hash that two tokens share would make one caller the other.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use super::challenge::ResourceId;

/// The owned form, which the cache keeps.
#[derive(PartialEq, Eq)]
pub(in crate::auth) struct TokenKey {
    token: Box<str>,
    resource: ResourceId,
}

impl TokenKey {
    pub(in crate::auth) fn new(token: &str, resource: &ResourceId) -> Self {
        Self {
            token: token.into(),
            resource: resource.clone(),
        }
    }

    fn query(&self) -> TokenQuery<'_> {
        TokenQuery {
            token: &self.token,
            resource: &self.resource,
        }
    }
}

impl Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query().hash(state);
    }
}

/// The borrowed form, which a request asks with.
#[derive(PartialEq, Eq, Hash)]
pub(in crate::auth) struct TokenQuery<'a> {
    pub(in crate::auth) token: &'a str,
    pub(in crate::auth) resource: &'a ResourceId,
}

impl Equivalent<TokenKey> for TokenQuery<'_> {
    fn equivalent(&self, key: &TokenKey) -> bool {
        *self == key.query()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn only_the_same_token_for_the_same_resource_is_found() {
        let [mcp, other] = ["https://gw.test/mcp", "https://gw.test/other"]
            .map(|uri| ResourceId::parse(uri).unwrap());
        let key = TokenKey::new("a.b.c", &mcp);
        for (token, resource, same) in [
            ("a.b.c", &mcp, true),
            ("a.b.d", &mcp, false),
            ("a.b.c", &other, false),
        ] {
            assert_eq!(TokenQuery { token, resource }.equivalent(&key), same);
        }
        let state = RandomState::new();
        assert_eq!(state.hash_one(&key), state.hash_one(key.query()));
    }
}
