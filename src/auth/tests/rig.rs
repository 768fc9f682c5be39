//! A verifier that trusts one signer, at a time that stands still.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::auth::principal::Principal;
use crate::auth::settings::{IssuerSettings, KeySource, OwnKey, OwnSettings, Settings};
use crate::auth::support::{Signer, secret};
use crate::auth::{AuthError, Bearer, ResourceId, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const OWN: &str = "https://gw.test";
pub(super) const FOREIGN: &str = "https://idp.test/tenant";

/// A verifier that trusts one signer, at a time that stands still.
pub(super) struct Rig {
    pub(super) verifier: Verifier,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    pub(super) issuer: &'static str,
    pub(super) keys: tempfile::NamedTempFile,
}

impl Rig {
    pub(super) async fn own() -> Self {
        Self::with(Signer::hs256("k1", &secret(1)), OWN, |_| {}).await
    }

    pub(super) async fn foreign(signer: Signer) -> Self {
        Self::with(signer, FOREIGN, |_| {}).await
    }

    /// Own tokens are trusted beside the foreign issuer's in every rig.
    pub(super) async fn with(
        signer: Signer,
        issuer: &'static str,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let keys = tempfile::NamedTempFile::new().unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let mut settings = settings();
        if issuer == FOREIGN {
            publish(&keys, &[signer.jwk()]);
            settings.issuers.push(IssuerSettings {
                name: "idp".into(),
                issuer: FOREIGN.into(),
                jwks: KeySource::File(keys.path().into()),
                ..IssuerSettings::default()
            });
        }
        change(&mut settings);
        let verifier = Verifier::new(&settings, clock.clone()).unwrap();
        assert!(verifier.load_keys().await.is_empty());
        Self {
            verifier,
            clock,
            signer,
            issuer,
            keys,
        }
    }

    pub(super) fn claims(&self) -> Value {
        json!({"iss": self.issuer, "sub": "user_12345", "aud": "https://gw.test/mcp", "exp": NOW + 3600,
            "iat": NOW, "nbf": NOW, "jti": "jti_1", "team_id": "67890", "tier": "free"})
    }

    pub(super) fn good(&self) -> String {
        self.signer.token(&self.claims())
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        let bearer = Bearer::parse(token, 8192)?;
        self.verifier.verify(&bearer, &mcp()).await
    }

    pub(super) async fn reason(&self, token: &str) -> &'static str {
        self.verify(token)
            .await
            .map_or_else(|refusal| refusal.reason(), |_| "accepted")
    }

    pub(super) fn cached(&self, token: &str) -> Option<Arc<Principal>> {
        self.verifier
            .cached(&Bearer::parse(token, 8192).unwrap(), &mcp())
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        own: Some(OwnSettings {
            issuer: OWN.into(),
            keys: vec![OwnKey {
                kid: "k1".into(),
                secret: Secret::new(secret(1)),
            }],
            ..OwnSettings::default()
        }),
        ..Settings::default()
    }
}

pub(super) fn publish(file: &tempfile::NamedTempFile, keys: &[Value]) {
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
}

pub(super) fn mcp() -> ResourceId {
    ResourceId::parse("https://gw.test/mcp").unwrap()
}

pub(super) fn foreign_signers() -> Vec<Signer> {
    vec![
        Signer::rs256("k1"),
        Signer::ps256("k1"),
        Signer::es256("k1"),
        Signer::es384("k1"),
        Signer::eddsa("k1"),
    ]
}

pub(super) async fn rigs() -> Vec<Rig> {
    let mut rigs = vec![Rig::own().await];
    for signer in foreign_signers() {
        rigs.push(Rig::foreign(signer).await);
    }
    rigs
}
