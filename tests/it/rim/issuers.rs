//! Tokens of another authorization server, found by discovery over TLS with an authority of its own: which are accepted,
//! what a change or an outage of its keys does, and that no token makes the gateway fetch anything.

use std::time::Duration;

use sallygate::clock::{Clock, Timestamp};
use sallygate::devcert::{self, DevCert};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig};
use crate::harness::signer::Signer;
use crate::harness::upstream::FakeUpstream;
use crate::harness::{audit, wait};

const NOW: i64 = 1_800_000_000;

/// An authorization server on loopback with TLS.
struct Issuer {
    server: FakeUpstream,
    cert: DevCert,
    _dir: TempDir,
}

impl Issuer {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cert = devcert::ensure(&dir.path().join("ca"), &[]).unwrap();
        let server = FakeUpstream::start_tls(&cert.cert_file, &cert.key_file).await;
        Self {
            server,
            cert,
            _dir: dir,
        }
    }

    fn url(&self) -> String {
        let address = self.server.address();
        format!("https://localhost:{}", address.port())
    }

    /// One document serves for its metadata and its keys.
    fn publishes(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.server.always(&json!({"issuer": self.url(),
            "jwks_uri": format!("{}/keys", self.url()), "keys": keys}));
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url(), "sub": "bob", "aud": format!("{PUBLIC}/mcp"), "exp": NOW + 3600,
            "iat": NOW, "plan": "gold", "scope": "mcp:read"})
    }

    /// A gateway that trusts it, by a clock that stands still.
    async fn trusted(&self, clock: &Clock) -> Rig {
        let rig = Plan::new()
            .clock(clock)
            .env("SALLYGATE_AUTH__ISSUERS__0__NAME", "idp")
            .env("SALLYGATE_AUTH__ISSUERS__0__ISSUER", &self.url())
            .env(
                "SALLYGATE_AUTH__ISSUERS__0__CA_FILE",
                self.cert.ca_file.to_str().unwrap(),
            )
            .env("SALLYGATE_AUTH__ISSUERS__0__CLAIMS__TIER", "plan")
            .env("SALLYGATE_AUTH__ISSUERS__0__TIER_MAP__GOLD", "premium")
            .start()
            .await;
        rig.upstream
            .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
        rig
    }
}

fn standing_still() -> Clock {
    Clock::manual(Timestamp::from_seconds(NOW))
}

async fn call(rig: &Rig, token: &str) -> Reply {
    let caller = rig.stranger(Http::Two).with_token(token);
    caller.call("echo", json!({})).await
}

/// Waits until the token is accepted. A clock that is moved while the trail is being written makes the disk look dead for
/// that moment, so the first answer may be that nothing can be recorded.
async fn accepted(rig: &Rig, token: &str) {
    wait::until("an accepted token", async || {
        let reply = call(rig, token).await;
        if reply.status == 503 {
            assert_eq!(reply.json()["error"]["code"], "audit_unavailable");
            return None;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        Some(())
    })
    .await;
}

async fn ready(rig: &Rig) -> Reply {
    let url = format!("http://{}/readyz", rig.ops_address);
    Client::plain().get(&url).await
}

#[tokio::test]
async fn an_issuer_that_is_down_is_a_503_and_never_a_500() {
    let issuer = Issuer::start().await;
    let signer = Signer::es256("k1");
    let clock = standing_still();
    // Its script is empty: it answers 500 to everything.
    let rig = issuer.trusted(&clock).await;
    let refused = call(&rig, &signer.token(&issuer.claims())).await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.json()["error"],
        json!({"code": "service_unavailable", "message": "Tokens cannot be verified at the moment"})
    );
    rig.upstream.saw_nothing();
    let not_ready = ready(&rig).await;
    assert_eq!(not_ready.status, 503);
    assert_eq!(not_ready.text(), "not ready: keys\n");

    issuer.publishes(&[&signer]);
    clock.advance(Duration::from_secs(31));
    accepted(&rig, &signer.token(&issuer.claims())).await;
    assert_eq!(ready(&rig).await.status, 200);
}

#[tokio::test]
async fn tokens_of_the_issuer_are_checked_like_our_own() {
    let issuer = Issuer::start().await;
    let (signer, other) = (Signer::es256("k1"), Signer::es256("k1"));
    issuer.publishes(&[&signer]);
    let rig = issuer.trusted(&standing_still()).await;
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        signer.token(&claims)
    };
    let as_hmac = |secret: Vec<u8>| {
        let forger = Signer::hs256("k1", &secret);
        forger.token(&issuer.claims())
    };
    let mut refused: Vec<_> = signer
        .public_forms()
        .into_iter()
        .map(|form| (as_hmac(form), "wrong_algorithm"))
        .collect();
    refused.extend([
        (other.token(&issuer.claims()), "invalid_signature"),
        (
            Signer::rs256("k1").token(&issuer.claims()),
            "wrong_algorithm",
        ),
        (with("iss", PUBLIC.into()), "wrong_algorithm"),
        (
            with("aud", "https://elsewhere.test".into()),
            "wrong_audience",
        ),
        (with("nbf", (NOW + 120).into()), "not_yet_valid"),
    ]);
    for (token, reason) in refused {
        let reply = call(&rig, &token).await;
        assert_eq!(reply.status, 401, "{reason}");
        let found = &reply.json()["error"]["details"]["reason"];
        // A key id of ours and one of theirs are two things: each issuer has its own.
        let other = reason == "wrong_algorithm" && found == "unknown_key";
        assert!(found == reason || other, "{found} instead of {reason}");
    }
    rig.upstream.saw_nothing();
    assert_eq!(
        call(&rig, &signer.token(&issuer.claims())).await.status,
        200
    );
    let line = audit::line_of(rig.audit_dir(), |line| line["tool_name"] == "echo").await;
    assert_eq!(line["details"]["tier"], "premium");
    assert_eq!(line["user_id"], "idp|bob");
}

#[tokio::test]
async fn a_rotated_key_is_picked_up_and_a_withdrawn_one_no_longer_counts() {
    let issuer = Issuer::start().await;
    let (old, new) = (Signer::es256("old"), Signer::eddsa("new"));
    issuer.publishes(&[&old]);
    let clock = standing_still();
    let rig = issuer.trusted(&clock).await;
    let (before, after) = (old.token(&issuer.claims()), new.token(&issuer.claims()));
    assert_eq!(call(&rig, &before).await.status, 200);

    issuer.publishes(&[&new]);
    let refused = call(&rig, &after).await;
    assert_eq!(refused.json()["error"]["details"]["reason"], "unknown_key");
    clock.advance(Duration::from_secs(31));
    accepted(&rig, &after).await;
    let withdrawn = call(&rig, &before).await;
    assert_eq!(
        withdrawn.json()["error"]["details"]["reason"],
        "unknown_key"
    );
}

#[tokio::test]
async fn no_number_of_tokens_makes_the_gateway_fetch() {
    let issuer = Issuer::start().await;
    let signer = Signer::es256("k1");
    issuer.publishes(&[&signer]);
    let rig = issuer.trusted(&standing_still()).await;
    let fetched = issuer.server.seen().len();
    assert_eq!(fetched, 2, "metadata and keys, at the start");
    for n in 0..20 {
        let stranger = Signer::eddsa(&format!("unknown-{n}"));
        let mut header = stranger.header();
        header["jku"] = issuer.url().into();
        let token = stranger.sign(&header.to_string(), &issuer.claims().to_string());
        assert_eq!(call(&rig, &token).await.status, 401);
        let mut claims = issuer.claims();
        claims["iss"] = format!("{}/{n}", issuer.url()).into();
        assert_eq!(call(&rig, &signer.token(&claims)).await.status, 401);
    }
    assert_eq!(issuer.server.seen().len(), fetched);
}
