//! Stage 3: the token, before and after it was seen for the first time, and what is sealed for its bearer.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use sallygate::auth::bearer::Bearer;
use sallygate::auth::settings::{IssuerSettings, KeySource, OwnKey, OwnSettings, Settings};
use sallygate::auth::{Principal, ResourceId, Verifier};
use sallygate::clock::Clock;
use sallygate::secret::Secret;
use sallygate::session::SessionSeal;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::samples::head;
use crate::signer::{Signer, secret};

/// The resource that the tokens are for.
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
const OWN: &str = "https://mcp.example.com";
const FOREIGN: &str = "https://issuer.example";
/// Longest token, as configured by default.
const MAX: usize = 8 * 1024;

/// Finding the token in a head.
pub(crate) fn bearer(criterion: &mut Criterion) {
    let desk = Desk::new(&Signer::rs256("bench"));
    let head = head(&desk.token);
    criterion.bench_function("auth/bearer from the head", |bench| {
        bench.iter(|| Bearer::from_request(black_box(&head.headers), None, MAX).unwrap());
    });
}

/// Verifying it, for the first time and again.
pub(crate) fn verify(criterion: &mut Criterion) {
    let runtime = runtime();
    let signers = [
        Signer::hs256("bench", &secret(1)),
        Signer::rs256("bench"),
        Signer::es256("bench"),
        Signer::eddsa("bench"),
    ];
    for signer in signers {
        let desk = Desk::new(&signer);
        let name = format!("auth/verify {} for the first time", signer.algorithm());
        criterion.bench_function(&name, |bench| {
            bench.iter(|| {
                let token = Bearer::parse(&desk.token, MAX).unwrap();
                // The one verification that remembers nothing.
                let verified = desk
                    .verifier
                    .verify_lapsed(&token, &desk.resource, Duration::ZERO);
                runtime.block_on(verified).unwrap()
            });
        });
        if signer.algorithm() == "RS256" {
            desk.principal();
            criterion.bench_function("auth/verify RS256, seen before", |bench| {
                let token = Bearer::parse(&desk.token, MAX).unwrap();
                bench.iter(|| {
                    desk.verifier
                        .cached(black_box(&token), &desk.resource)
                        .unwrap()
                });
            });
        }
    }
}

/// Sealing and opening a session id of the legacy era.
pub(crate) fn session(criterion: &mut Criterion) {
    let principal = Desk::new(&Signer::hs256("bench", &secret(1))).principal();
    let seal = SessionSeal::new(&Secret::new(secret(2)), Duration::from_secs(3600)).unwrap();
    let now = Clock::system().now();
    let upstream = b"0b1d6c0e-7d0a-4b8e-9a53-2b1e0c1f5a77";
    criterion.bench_function("session/seal", |bench| {
        bench.iter(|| {
            seal.seal(black_box(upstream), &principal, "default", now)
                .unwrap()
        });
    });
    let sealed = seal.seal(upstream, &principal, "default", now).unwrap();
    criterion.bench_function("session/open", |bench| {
        let sealed = sealed.as_bytes();
        bench.iter(|| {
            seal.open(black_box(sealed), &principal, "default", now)
                .unwrap()
        });
    });
}

/// Somebody of the tier `free`, established the only way there is.
pub(crate) fn anybody() -> Arc<Principal> {
    Desk::new(&Signer::hs256("bench", &secret(1))).principal()
}

/// A verifier and a token that it accepts.
struct Desk {
    verifier: Verifier,
    resource: ResourceId,
    token: String,
    _keys: TempDir,
}

impl Desk {
    fn new(signer: &Signer) -> Self {
        let clock = Clock::system();
        let keys = tempfile::tempdir().unwrap();
        let own = signer.algorithm() == "HS256";
        let now = clock.now().seconds();
        let claims = json!({
            "iss": if own { OWN } else { FOREIGN },
            "aud": RESOURCE,
            "sub": "user_12345",
            "team_id": "9001",
            "tier": "free",
            "scope": "mcp:read mcp:write",
            "iat": now, "nbf": now, "exp": now + 3600,
            "jti": "jti_canary-not-a-real-token",
        });
        let settings = if own {
            own_settings()
        } else {
            let file = keys.path().join("jwks.json");
            std::fs::write(&file, json!({"keys": [signer.jwk()]}).to_string()).unwrap();
            foreign_settings(KeySource::File(file))
        };
        let verifier = Verifier::new(&settings, clock).unwrap();
        assert!(runtime().block_on(verifier.load_keys()).is_empty());
        Self {
            verifier,
            resource: ResourceId::parse(RESOURCE).unwrap(),
            token: signer.token(&claims),
            _keys: keys,
        }
    }

    fn principal(&self) -> Arc<Principal> {
        let token = Bearer::parse(&self.token, MAX).unwrap();
        let verified = self.verifier.verify(&token, &self.resource);
        runtime().block_on(verified).unwrap()
    }
}

fn own_settings() -> Settings {
    let key = OwnKey {
        kid: "bench".into(),
        secret: Secret::new(secret(1)),
    };
    Settings {
        own: Some(OwnSettings {
            issuer: OWN.into(),
            keys: vec![key],
            ..OwnSettings::default()
        }),
        ..Settings::default()
    }
}

fn foreign_settings(jwks: KeySource) -> Settings {
    Settings {
        issuers: vec![IssuerSettings {
            name: "bench".into(),
            issuer: FOREIGN.into(),
            jwks,
            ..IssuerSettings::default()
        }],
        ..Settings::default()
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
