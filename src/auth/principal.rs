//! The proof that a caller was authenticated: a value with private fields that only this stage can make. Later stages
//! ask it for the facts that decisions, quotas and audit lines are made of.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

use super::certificate::ClientCertificate;

/// The canonical id of a user: one form everywhere (C19). Users of our own tokens carry the id without its `user_`
/// prefix; users of a foreign issuer are qualified by the issuer's configured name, so that two issuers can never
/// produce the same user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The user of a token that we issued; `user_12345` and `12345` are the same person (C19).
    pub fn own(subject: &str) -> Self {
        Self(subject.strip_prefix("user_").unwrap_or(subject).into())
    }

    /// The user of a foreign issuer. `|` cannot occur in an issuer's configured name.
    pub fn foreign(issuer_name: &str, subject: &str) -> Self {
        Self(format!("{issuer_name}|{subject}").into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a verified token said about its bearer, before it becomes a [`Principal`].
#[derive(Clone, Debug)]
pub(in crate::auth) struct Identity {
    pub(in crate::auth) user: UserId,
    pub(in crate::auth) issuer: Arc<str>,
    pub(in crate::auth) email: Option<Arc<str>>,
    pub(in crate::auth) team: Option<Arc<str>>,
    pub(in crate::auth) tier: Arc<str>,
    pub(in crate::auth) scopes: BTreeSet<String>,
    pub(in crate::auth) roles: BTreeSet<String>,
    pub(in crate::auth) token_id: Option<Arc<str>>,
    pub(in crate::auth) client_id: Option<Arc<str>>,
    pub(in crate::auth) session: Option<Arc<str>>,
    pub(in crate::auth) generation: Option<u64>,
    pub(in crate::auth) issued_at: Option<Timestamp>,
    pub(in crate::auth) expires_at: Timestamp,
    pub(in crate::auth) fingerprint: Arc<str>,
}

/// A caller whose token was verified for this resource. Made only by the auth stage.
#[derive(Debug)]
pub struct Principal {
    identity: Identity,
    class: Class,
    certificate: Option<Arc<ClientCertificate>>,
}

impl Principal {
    pub(in crate::auth) fn establish(identity: Identity) -> Self {
        let class = Class::of(&identity);
        Self {
            identity,
            class,
            certificate: None,
        }
    }

    /// The same, calling over a connection on which it showed this certificate.
    pub(in crate::auth) fn over(self, certificate: Option<Arc<ClientCertificate>>) -> Self {
        Self {
            certificate,
            ..self
        }
    }

    /// The certificate that the caller showed, where it showed one. It is no part of the [`class`](Self::class).
    pub fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_deref()
    }

    /// The canonical user id, the key of quotas, sessions and audit.
    pub const fn user(&self) -> &UserId {
        &self.identity.user
    }

    /// The issuer of the token, as its `iss` claim names it.
    pub fn issuer(&self) -> &str {
        &self.identity.issuer
    }

    /// The e-mail address, where the token carries one.
    pub fn email(&self) -> Option<&str> {
        self.identity.email.as_deref()
    }

    /// The default workspace of the user (C28).
    pub fn team(&self) -> Option<&str> {
        self.identity.team.as_deref()
    }

    /// The tier that sets the user's limits, such as `free`.
    pub fn tier(&self) -> &str {
        &self.identity.tier
    }

    /// The scopes that were granted.
    pub const fn scopes(&self) -> &BTreeSet<String> {
        &self.identity.scopes
    }

    /// The roles that a foreign issuer's claims were mapped to.
    pub const fn roles(&self) -> &BTreeSet<String> {
        &self.identity.roles
    }

    /// The token's `jti` (C36).
    pub fn token_id(&self) -> Option<&str> {
        self.identity.token_id.as_deref()
    }

    /// The OAuth client that the token was issued to, where the token names it.
    pub fn client_id(&self) -> Option<&str> {
        self.identity.client_id.as_deref()
    }

    /// The session that one of our own tokens belongs to.
    pub fn session(&self) -> Option<&str> {
        self.identity.session.as_deref()
    }

    /// The generation of the user's tokens that one of our own belongs to.
    pub const fn generation(&self) -> Option<u64> {
        self.identity.generation
    }

    /// When the token was issued, where it says so.
    pub const fn issued_at(&self) -> Option<Timestamp> {
        self.identity.issued_at
    }

    /// The moment from which the token is no longer valid.
    pub const fn expires_at(&self) -> Timestamp {
        self.identity.expires_at
    }

    /// `tok_` and 8 hex digits of a keyed hash, by which operators can correlate lines without seeing a token (C32).
    pub fn fingerprint(&self) -> &str {
        &self.identity.fingerprint
    }

    /// The class of principals that get the same answers from every policy that names no user.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The same with what revocations are about: `jti`, and what this sets.
    #[cfg(test)]
    pub(crate) fn holding(self, facts: Held<'_>) -> Self {
        Self::establish(Identity {
            token_id: facts.token.map(Into::into),
            session: facts.session.map(Into::into),
            client_id: facts.client.map(Into::into),
            team: facts.team.map(Into::into),
            generation: facts.generation,
            issued_at: facts.issued_at,
            ..self.identity
        })
    }

    /// A principal for tests of later stages, which cannot make one otherwise.
    #[cfg(test)]
    pub(crate) fn for_tests(user: &str, tier: &str, scopes: &[&str]) -> Self {
        Self::establish(Identity {
            user: UserId::own(user),
            issuer: "https://gateway.test".into(),
            email: None,
            team: None,
            tier: tier.into(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            roles: BTreeSet::new(),
            token_id: Some("jti_0123456789abcdef".into()),
            client_id: None,
            session: None,
            generation: None,
            issued_at: None,
            expires_at: Timestamp::from_seconds(4_102_444_800),
            fingerprint: "tok_00000000".into(),
        })
    }
}

/// What the token of a principal in a test says.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Held<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) client: Option<&'a str>,
    pub(crate) team: Option<&'a str>,
    pub(crate) generation: Option<u64>,
    pub(crate) issued_at: Option<Timestamp>,
}

/// A digest of everything but the user that policies can see: tier, team, scopes and roles. Collision-resistant, because
/// remembered decisions are found again by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class([u8; 32]);

impl Class {
    fn of(identity: &Identity) -> Self {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        part(&identity.tier);
        part(identity.team.as_deref().map_or("-", |_| "+"));
        part(identity.team.as_deref().unwrap_or_default());
        for set in [&identity.scopes, &identity.roles] {
            part(&set.len().to_string());
            set.iter().for_each(|item| part(item));
        }
        Self(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r381_c19_the_prefixed_and_the_bare_form_are_one_user() {
        assert_eq!(UserId::own("user_12345"), UserId::own("12345"));
        assert_ne!(UserId::own("12345"), UserId::foreign("okta", "12345"));
    }

    #[test]
    fn principals_of_one_class_differ_in_the_user_only() {
        let (a, b) = (
            Principal::for_tests("a", "free", &["mcp:read"]),
            Principal::for_tests("b", "free", &["mcp:read"]),
        );
        assert_eq!(a.class(), b.class());
        assert_ne!(
            a.class(),
            Principal::for_tests("a", "premium", &["mcp:read"]).class()
        );
        assert_ne!(
            a.class(),
            Principal::for_tests("a", "free", &["mcp:read", "mcp:write"]).class()
        );
    }
}
