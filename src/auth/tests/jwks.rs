//! Keys of an issuer on the network: rotation, outage, liars, and tokens that try to make the gateway ask somebody.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::auth::discovery::JwksError;
use crate::auth::jwks::Jwks;
use crate::auth::keys::KeyError;
use crate::auth::settings::{FetchSettings, IssuerSettings, KeySource};
use crate::auth::support::Signer;
use crate::auth::{Bearer, Settings, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::fetch::FetchError;
use crate::units::ByteSize;

use super::issuer::LoopbackIssuer;
use super::rig::{NOW, mcp};

struct Net {
    idp: LoopbackIssuer,
    clock: Clock,
    verifier: Arc<Verifier>,
}

impl Net {
    /// A verifier that trusts an issuer on the loopback. Nothing was fetched yet.
    async fn start(change: impl FnOnce(&mut IssuerSettings)) -> Self {
        let idp = LoopbackIssuer::start().await;
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let mut issuer = issuer(&idp);
        change(&mut issuer);
        let settings = Settings {
            issuers: vec![issuer],
            ..Settings::default()
        };
        let verifier = Arc::new(Verifier::new(&settings, clock.clone()).unwrap());
        Self {
            idp,
            clock,
            verifier,
        }
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.idp.serve("/keys", &json!({ "keys": keys }));
    }

    fn jwks(&self) -> Arc<Jwks> {
        Arc::clone(self.verifier.key_sources().next().unwrap())
    }

    fn token(&self, signer: &Signer) -> String {
        signer.token(&self.claims())
    }

    fn claims(&self) -> Value {
        json!({"iss": self.idp.url, "sub": "alice", "aud": "https://gw.test/mcp", "exp": NOW + 864_000})
    }

    async fn reason(&self, token: &str) -> &'static str {
        reason(&self.verifier, token).await
    }
}

/// What is configured about an issuer on the loopback.
pub(super) fn issuer(idp: &LoopbackIssuer) -> IssuerSettings {
    IssuerSettings {
        name: "idp".into(),
        issuer: idp.url.clone(),
        jwks: KeySource::Url(format!("{}/keys", idp.url)),
        ..IssuerSettings::default()
    }
}

async fn reason(verifier: &Verifier, token: &str) -> &'static str {
    let bearer = Bearer::parse(token, 8192).unwrap();
    verifier
        .verify(&bearer, &mcp())
        .await
        .map_or_else(|refusal| refusal.reason(), |_| "accepted")
}

fn past_the_floor() -> Duration {
    FetchSettings::default().floor + Duration::from_secs(1)
}

#[tokio::test]
async fn a_token_never_causes_a_request_to_where_it_points() {
    let net = Net::start(|_| {}).await;
    let signer = Signer::es256("k1");
    net.publish(&[&signer]);
    assert!(net.verifier.load_keys().await.is_empty());
    let evil = Signer::es256("evil");
    let there = format!("{}/evil", net.idp.url);
    for header in [
        json!({"alg": "ES256", "kid": "evil", "jku": there}),
        json!({"alg": "ES256", "kid": "evil", "x5u": there}),
        json!({"alg": "ES256", "kid": there}),
        json!({"alg": "ES256", "kid": "k1", "jku": there, "jwk": evil.jwk()}),
    ] {
        net.clock.advance(past_the_floor());
        let token = evil.sign(&header.to_string(), &net.claims().to_string());
        assert_ne!(net.reason(&token).await, "accepted", "{header}");
    }
    let mut claims = net.claims();
    claims["iss"] = there.into();
    let before = net.idp.asked().len();
    assert_eq!(net.reason(&evil.token(&claims)).await, "wrong_issuer");
    assert_eq!(net.idp.asked().len(), before);
    assert!(net.idp.asked().iter().all(|path| path == "/keys"));
}

#[tokio::test]
async fn unknown_key_ids_cause_one_fetch_per_floor() {
    let net = Net::start(|_| {}).await;
    net.publish(&[&Signer::es256("k1")]);
    assert!(net.verifier.load_keys().await.is_empty());
    let stranger = Signer::es256("stranger");
    for n in 0..50 {
        let header = json!({"alg": "ES256", "kid": format!("k-{n}")}).to_string();
        let token = stranger.sign(&header, &net.claims().to_string());
        assert_eq!(net.reason(&token).await, "unknown_key");
    }
    assert_eq!(net.idp.asked().len(), 1, "the first load began the floor");
    for expected in [2, 3] {
        net.clock.advance(past_the_floor());
        for _ in 0..5 {
            net.reason(&net.token(&stranger)).await;
        }
        assert_eq!(net.idp.asked().len(), expected);
    }
}

#[tokio::test]
async fn a_token_of_a_forbidden_algorithm_causes_no_fetch() {
    let net =
        Net::start(|issuer| issuer.algorithms = vec![crate::auth::header::Algorithm::Es256]).await;
    let token = net.token(&Signer::eddsa("k1"));
    assert_eq!(net.reason(&token).await, "wrong_algorithm");
    assert!(net.idp.asked().is_empty());
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let net = Net::start(|_| {}).await;
    let (old, new) = (Signer::es256("old"), Signer::eddsa("new"));
    net.publish(&[&old]);
    assert_eq!(net.reason(&net.token(&old)).await, "accepted");
    net.publish(&[&new]);
    assert_eq!(net.reason(&net.token(&new)).await, "unknown_key");
    net.clock.advance(past_the_floor());
    assert_eq!(net.reason(&net.token(&new)).await, "accepted");
    assert_eq!(net.reason(&net.token(&old)).await, "unknown_key");
}

#[tokio::test]
async fn many_callers_wait_for_one_fetch() {
    let net = Net::start(|_| {}).await;
    let signer = Signer::es256("k1");
    net.publish(&[&signer]);
    net.idp.hold().await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&net.verifier), net.token(&signer));
            tokio::spawn(async move { reason(&verifier, &token).await })
        })
        .collect();
    net.idp.wait_for_requests(1).await;
    // The floor counts from the end of the fetch too, so that a slow one is not followed by another at once.
    net.clock.advance(past_the_floor());
    net.idp.release();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "accepted");
    }
    assert_eq!(net.idp.asked().len(), 1);
}

#[tokio::test]
async fn keys_are_fetched_again_and_again_in_the_background() {
    let failures = Arc::new(std::sync::Mutex::new(Vec::new()));
    let net = Net::start(|issuer| {
        issuer.fetch.refresh = Duration::from_millis(1);
        issuer.fetch.floor = Duration::from_millis(1);
    })
    .await;
    let background = tokio::spawn({
        let (verifier, told) = (Arc::clone(&net.verifier), Arc::clone(&failures));
        async move {
            verifier
                .keep_keys_fresh(|name, _| told.lock().unwrap().push(name.to_owned()))
                .await;
        }
    });
    net.idp.wait_for_requests(2).await;
    net.publish(&[&Signer::es256("k1")]);
    let asked = net.idp.asked().len();
    net.idp.wait_for_requests(asked + 2).await;
    background.abort();
    assert_eq!(net.jwks().keys_loaded(), 1);
    assert!(failures.lock().unwrap().iter().all(|name| name == "idp"));
    assert!(!failures.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_stop_the_fetch() {
    let net = Net::start(|_| {}).await;
    let signer = Signer::es256("k1");
    net.publish(&[&signer]);
    net.idp.hold().await;
    let (verifier, token) = (Arc::clone(&net.verifier), net.token(&signer));
    let caller = tokio::spawn(async move { reason(&verifier, &token).await });
    net.idp.wait_for_requests(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    net.idp.release();
    // Within the floor: only the fetch that the caller began can have brought the key.
    assert_eq!(net.reason(&net.token(&signer)).await, "accepted");
    assert_eq!(net.idp.asked().len(), 1);
}

#[tokio::test]
async fn the_last_good_keys_outlive_an_outage_but_not_for_ever() {
    let net = Net::start(|_| {}).await;
    let signer = Signer::es256("k1");
    net.publish(&[&signer]);
    assert_eq!(net.reason(&net.token(&signer)).await, "accepted");
    for broken in [
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":",
        "",
    ] {
        net.idp.answer_raw("/keys", broken);
        assert!(net.jwks().refresh().await.is_err(), "{broken:?}");
        assert_eq!(net.reason(&net.token(&signer)).await, "accepted");
    }
    assert_eq!(
        (net.jwks().refresh_errors(), net.jwks().keys_loaded()),
        (4, 1)
    );
    net.clock
        .advance(FetchSettings::default().keep + Duration::from_secs(1));
    assert_eq!(net.reason(&net.token(&signer)).await, "keys_unavailable");
    net.publish(&[&signer]);
    net.clock.advance(past_the_floor());
    assert_eq!(net.reason(&net.token(&signer)).await, "accepted");
}

#[tokio::test]
async fn without_any_keys_nothing_is_decided() {
    let net = Net::start(|_| {}).await;
    let failures = net.verifier.load_keys().await;
    assert!(
        matches!(&failures[..], [(name, JwksError::Status { .. })] if name == "idp"),
        "{failures:?}"
    );
    let token = net.token(&Signer::es256("k1"));
    assert_eq!(net.reason(&token).await, "keys_unavailable");
    assert_eq!(net.jwks().age(), None);
}

#[tokio::test]
async fn answers_that_are_no_bounded_document_are_refused() {
    let moved =
        |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let net = Net::start(|issuer| {
        issuer.fetch.document_max_bytes = ByteSize::kib(1);
    })
    .await;
    net.idp
        .serve("/elsewhere", &json!({"keys": [Signer::es256("k1").jwk()]}));
    net.idp.answer_raw("/keys", &moved("/elsewhere"));
    assert!(
        matches!(net.jwks().refresh().await, Err(JwksError::Status { status, .. }) if status == 302)
    );
    net.idp
        .serve("/keys", &json!({"keys": [], "x": "x".repeat(1024)}));
    assert!(matches!(
        net.jwks().refresh().await,
        Err(JwksError::Fetch(FetchError::TooLarge(_)))
    ));
    net.idp.serve("/keys", &json!({"keys": []}));
    assert!(matches!(
        net.jwks().refresh().await,
        Err(JwksError::Keys(KeyError::NoneUsable(0)))
    ));
    assert_eq!(
        net.idp
            .asked()
            .iter()
            .filter(|path| *path == "/elsewhere")
            .count(),
        0
    );
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let net = Net::start(|issuer| issuer.fetch.timeout = Duration::from_millis(20)).await;
    net.idp.hold().await;
    let refused = net.jwks().refresh().await;
    assert!(matches!(
        refused,
        Err(JwksError::Fetch(FetchError::TimedOut(_)))
    ));
}

#[tokio::test]
async fn rfc8414_s3_3_the_metadata_of_another_issuer_is_refused() {
    let net = Net::start(|issuer| issuer.jwks = KeySource::Discover).await;
    net.publish(&[&Signer::es256("k1")]);
    let keys = format!("{}/keys", net.idp.url);
    for (document, expected) in [
        (
            json!({"issuer": "https://evil.test", "jwks_uri": keys}),
            "other",
        ),
        (
            json!({"issuer": format!("{}/", net.idp.url), "jwks_uri": keys}),
            "other",
        ),
        (json!({"issuer": net.idp.url}), "metadata"),
        (json!({"jwks_uri": keys}), "metadata"),
        (
            json!({"issuer": net.idp.url, "jwks_uri": "http://10.0.0.1/keys"}),
            "address",
        ),
        (
            json!({"issuer": net.idp.url, "jwks_uri": "file:///etc/passwd"}),
            "address",
        ),
    ] {
        for path in ["oauth-authorization-server", "openid-configuration"] {
            net.idp.serve(&format!("/.well-known/{path}"), &document);
        }
        let found = match net.jwks().refresh().await.unwrap_err() {
            JwksError::OtherIssuer { .. } => "other",
            JwksError::Metadata(_) => "metadata",
            JwksError::Fetch(FetchError::Address(_)) => "address",
            _ => "something else",
        };
        assert_eq!(found, expected, "{document}");
    }
    assert_eq!(net.jwks().keys_loaded(), 0);
}

#[tokio::test]
async fn rfc8414_s5_keys_are_found_through_each_form_of_the_metadata() {
    let signer = Signer::es256("k1");
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    ] {
        let net = Net::start(|issuer| {
            issuer.issuer.push_str("/tenant");
            issuer.jwks = KeySource::Discover;
        })
        .await;
        net.publish(&[&signer]);
        let iss = format!("{}/tenant", net.idp.url);
        let keys = format!("{}/keys", net.idp.url);
        net.idp
            .serve(path, &json!({"issuer": iss, "jwks_uri": keys, "x": 1}));
        let mut claims = net.claims();
        claims["iss"] = iss.into();
        assert_eq!(
            net.reason(&signer.token(&claims)).await,
            "accepted",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_key_file_is_bounded_and_read_anew() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = IssuerSettings {
        jwks: KeySource::File(file.path().to_owned()),
        fetch: FetchSettings {
            document_max_bytes: ByteSize::kib(4),
            ..FetchSettings::default()
        },
        ..IssuerSettings::default()
    };
    let jwks = Jwks::new(&settings, Clock::system()).unwrap();
    std::fs::write(file.path(), " ".repeat(4097)).unwrap();
    assert!(matches!(jwks.refresh().await, Err(JwksError::TooLarge(_))));
    let keys = json!({"keys": [Signer::es256("a").jwk(), Signer::eddsa("b").jwk()]});
    std::fs::write(file.path(), keys.to_string()).unwrap();
    jwks.refresh().await.unwrap();
    assert_eq!(jwks.keys_loaded(), 2);
    std::fs::remove_file(file.path()).unwrap();
    assert!(matches!(jwks.refresh().await, Err(JwksError::File { .. })));
    assert_eq!((jwks.keys_loaded(), jwks.refresh_errors()), (2, 2));
}
