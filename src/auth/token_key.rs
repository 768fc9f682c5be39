//! What a verified token is found again by: all of it, the resource that it was verified for, and the certificate that was
//! shown with it. Compared in full,
//! because a hash that two tokens share would make one caller the other.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use super::bearer::Bearer;
use super::certificate::Thumbprint;
use super::challenge::ResourceId;

/// The owned form, which the cache keeps.
#[derive(PartialEq, Eq)]
pub(in crate::auth) struct TokenKey {
    token: Box<str>,
    resource: ResourceId,
    certificate: Option<Thumbprint>,
}

impl TokenKey {
    pub(in crate::auth) fn new(query: &TokenQuery<'_>) -> Self {
        Self {
            token: query.token.into(),
            resource: query.resource.clone(),
            certificate: query.certificate,
        }
    }

    fn query(&self) -> TokenQuery<'_> {
        TokenQuery {
            token: &self.token,
            resource: &self.resource,
            certificate: self.certificate,
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
    pub(in crate::auth) certificate: Option<Thumbprint>,
}

impl<'a> TokenQuery<'a> {
    pub(in crate::auth) fn of(token: &Bearer<'a>, resource: &'a ResourceId) -> Self {
        Self {
            token: token.text(),
            resource,
            certificate: token.certificate().map(|shown| shown.thumbprint()),
        }
    }
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
    fn only_the_same_token_for_the_same_resource_with_the_same_certificate_is_found() {
        let [mcp, other] = ["https://gw.test/mcp", "https://gw.test/other"]
            .map(|uri| ResourceId::parse(uri).unwrap());
        let [one, two] = [b"one", b"two"].map(|der| Some(Thumbprint::of(der)));
        let query = |token, resource, certificate| TokenQuery {
            token,
            resource,
            certificate,
        };
        let key = TokenKey::new(&query("a.b.c", &mcp, one));
        for (token, resource, certificate, same) in [
            ("a.b.c", &mcp, one, true),
            ("a.b.d", &mcp, one, false),
            ("a.b.c", &other, one, false),
            ("a.b.c", &mcp, two, false),
            ("a.b.c", &mcp, None, false),
        ] {
            assert_eq!(query(token, resource, certificate).equivalent(&key), same);
        }
        let state = RandomState::new();
        assert_eq!(state.hash_one(&key), state.hash_one(key.query()));
    }
}
