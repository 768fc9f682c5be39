//! The verifier against bad tokens of every algorithm, then against good ones that differ from those by little.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::auth::header::{Algorithm, TypeRule};
use crate::auth::settings::{ClaimMapping, IssuerSettings, OwnKey};
use crate::auth::support::{Signer, b64, secret};
use crate::auth::verifier::SetupError;
use crate::auth::{AuthError, Bearer, Mark, ResourceId, Revoked, Settings, Verifier};
use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

use super::bad_tokens::{bad_claims, bad_forms, bad_headers, bad_signatures, with};
use super::rig::{FOREIGN, NOW, OWN, Rig, foreign_signers, mcp, publish, rigs, settings};

#[tokio::test]
async fn r116_r117_r118_bad_tokens_of_every_algorithm_are_refused_with_their_reason() {
    let mut count = 0;
    for rig in rigs().await {
        let algorithm = rig.signer.algorithm();
        let tables = [
            bad_claims(&rig),
            bad_headers(&rig),
            bad_signatures(&rig),
            bad_forms(&rig),
        ];
        for (label, token, reason) in tables.into_iter().flatten() {
            let refused = rig.verify(&token).await.map(drop).unwrap_err();
            assert_eq!(refused.reason(), reason, "{algorithm}: {label}");
            assert_eq!(refused.status(), 401, "{algorithm}: {label}");
            count += 1;
        }
        assert_eq!(rig.verifier.remembered(), 0, "{algorithm}");
        assert_eq!(rig.reason(&rig.good()).await, "accepted", "{algorithm}");
    }
    assert!(count >= 1000, "the table has shrunk to {count}");
}

#[tokio::test]
async fn rfc8725_s3_1_a_public_key_is_never_an_hmac_secret() {
    for signer in foreign_signers() {
        let rig = Rig::foreign(signer).await;
        let mut as_own = rig.claims();
        as_own["iss"] = OWN.into();
        for secret in rig.signer.public_forms() {
            let forger = Signer::hs256("k1", &secret);
            assert_eq!(
                rig.reason(&forger.token(&rig.claims())).await,
                "wrong_algorithm"
            );
            assert_eq!(
                rig.reason(&forger.token(&as_own)).await,
                "invalid_signature"
            );
        }
        let signed = rig.signer.token(&as_own);
        assert_eq!(rig.reason(&signed).await, "wrong_algorithm");
    }
}

#[tokio::test]
async fn one_rsa_key_does_not_serve_two_algorithms() {
    let rig = Rig::foreign(Signer::rs256("k1")).await;
    let input = format!(
        "{}.{}",
        b64(json!({"alg": "PS256", "kid": "k1"}).to_string().as_bytes()),
        b64(rig.claims().to_string().as_bytes())
    );
    let token = format!("{input}.{}", b64(&rig.signer.signature(input.as_bytes())));
    assert_eq!(rig.reason(&token).await, "wrong_algorithm");
}

#[tokio::test]
async fn rfc9068_s4_an_issuer_narrowed_to_access_tokens_has_no_others() {
    let rig = Rig::with(Signer::es256("k1"), FOREIGN, |settings| {
        settings.issuers[0].typ = TypeRule::AccessToken;
    })
    .await;
    for (typ, expected) in [
        (None, "invalid_header"),
        (Some("\"JWT\""), "invalid_header"),
        (Some("\"at+jwt\""), "accepted"),
    ] {
        let header = with(&rig.signer.header(), "typ", typ);
        let token = rig.signer.sign(&header, &rig.claims().to_string());
        assert_eq!(rig.reason(&token).await, expected, "{typ:?}");
    }
}

#[tokio::test]
async fn good_tokens_next_to_the_bad_ones_are_accepted() {
    for rig in rigs().await {
        let (claims, header) = (rig.claims(), rig.signer.header());
        let rows = [
            (with(&header, "kid", None), claims.to_string()),
            (with(&header, "typ", None), claims.to_string()),
            (with(&header, "typ", Some("\"at+jwt\"")), claims.to_string()),
            (
                with(&header, "jku", Some("\"https://evil.test\"")),
                claims.to_string(),
            ),
            (
                header.to_string(),
                with(&claims, "aud", Some("[\"x\",\"https://gw.test/mcp/\"]")),
            ),
            (
                header.to_string(),
                with(&claims, "exp", Some("1800003600.25")),
            ),
            (
                header.to_string(),
                with(&claims, "exp", Some("1.8000036e9")),
            ),
            (header.to_string(), with(&claims, "nbf", Some("1800000060"))),
            (header.to_string(), with(&claims, "nbf", None)),
            (header.to_string(), with(&claims, "scope", Some("\"a b\""))),
            (
                header.to_string(),
                with(&claims, "extra", Some("{\"a\":[null,{}]}")),
            ),
            (
                header.to_string(),
                with(&claims, "sub", Some("\"user_\u{e9}\u{4e2d}\"")),
            ),
        ];
        for (header, payload) in rows {
            let token = rig.signer.sign(&header, &payload);
            assert_eq!(rig.reason(&token).await, "accepted", "{header} {payload}");
        }
    }
}

#[tokio::test]
async fn r120_r387_r439_the_leeway_holds_for_remembered_tokens_too() {
    for rig in rigs().await {
        let token = rig.good();
        rig.verify(&token).await.unwrap();
        rig.clock.advance(Duration::from_secs(3600 + 59));
        assert!(rig.cached(&token).is_some());
        rig.clock.advance(Duration::from_secs(1));
        assert!(rig.cached(&token).is_none());
        let expired_at = Timestamp::from_seconds(NOW + 3600);
        assert_eq!(
            rig.verify(&token).await.unwrap_err(),
            AuthError::Expired { expired_at }
        );
        assert_eq!(rig.verifier.remembered(), 0);
    }
}

#[tokio::test]
async fn a_clock_that_is_90_seconds_behind_or_ahead_is_beyond_the_leeway() {
    let rig = Rig::own().await;
    for (offset, name, expected) in [
        (90, "nbf", "not_yet_valid"),
        (60, "nbf", "accepted"),
        (-90, "exp", "token_expired"),
        (-59, "exp", "accepted"),
    ] {
        let mut claims = rig.claims();
        claims[name] = (NOW + offset).into();
        claims["jti"] = format!("jti_{offset}").into();
        let token = rig.signer.token(&claims);
        assert_eq!(rig.reason(&token).await, expected, "{name} {offset}");
    }
}

#[tokio::test]
async fn a_remembered_token_is_good_for_its_resource_and_its_keys_only() {
    let rig = Rig::foreign(Signer::es256("k1")).await;
    let token = rig.good();
    let bearer = Bearer::parse(&token, 8192).unwrap();
    let first = rig.verify(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &rig.cached(&token).unwrap()));
    let other = ResourceId::parse("https://gw.test/other").unwrap();
    assert!(rig.verifier.cached(&bearer, &other).is_none());
    assert_eq!(
        rig.verifier.verify(&bearer, &other).await.unwrap_err(),
        AuthError::WrongAudience
    );

    let jwks = Arc::clone(rig.verifier.key_sources().next().unwrap());
    jwks.refresh().await.unwrap();
    assert!(rig.cached(&token).is_some(), "the keys are still the same");
    publish(&rig.keys, &[Signer::es256("k2").jwk()]);
    jwks.refresh().await.unwrap();
    assert!(rig.cached(&token).is_none());
    assert_eq!(rig.reason(&token).await, "unknown_key");
}

#[tokio::test]
async fn the_number_of_remembered_tokens_is_bounded() {
    let signer = Rig::own().await.signer;
    let rig = Rig::with(signer, OWN, |settings| settings.cache_capacity = 16).await;
    for n in 0..200 {
        let mut claims = rig.claims();
        claims["jti"] = format!("jti_{n}").into();
        rig.verify(&rig.signer.token(&claims)).await.unwrap();
    }
    assert!((1..=16).contains(&rig.verifier.remembered()));
}

#[tokio::test]
async fn c03_tokens_of_an_older_key_of_the_ring_still_verify() {
    let rig = Rig::own().await;
    let mut settings = settings();
    let new = OwnKey {
        kid: "k2".into(),
        secret: Secret::new(secret(2)),
    };
    settings.own.as_mut().unwrap().keys.insert(0, new);
    let verifier = Verifier::new(&settings, rig.clock.clone()).unwrap();
    let token = rig.good();
    let bearer = Bearer::parse(&token, 8192).unwrap();
    assert!(verifier.verify(&bearer, &mcp()).await.is_ok());
    let nameless = rig
        .signer
        .sign(r#"{"alg":"HS256"}"#, &rig.claims().to_string());
    let bearer = Bearer::parse(&nameless, 8192).unwrap();
    let refused = verifier.verify(&bearer, &mcp()).await.unwrap_err();
    assert_eq!(refused, AuthError::UnknownKey);
}

#[tokio::test]
async fn r386_the_principal_says_what_the_token_said() {
    let rig = Rig::own().await;
    let mut claims = rig.claims();
    claims["scope"] = "mcp:read mcp:write".into();
    claims["email"] = "user@example.com".into();
    claims["roles"] = json!(["admin"]);
    let principal = rig.verify(&rig.signer.token(&claims)).await.unwrap();
    assert_eq!(principal.user().as_str(), "12345");
    assert_eq!(principal.team(), Some("67890"));
    assert_eq!(principal.tier(), "free");
    assert_eq!(principal.email(), Some("user@example.com"));
    assert_eq!(principal.token_id(), Some("jti_1"));
    assert_eq!(principal.issuer(), OWN);
    assert_eq!(principal.expires_at(), Timestamp::from_seconds(NOW + 3600));
    assert!(principal.scopes().iter().eq(["mcp:read", "mcp:write"]));
    assert!(principal.roles().is_empty());
}

#[tokio::test]
async fn foreign_claims_mean_what_the_operator_says_and_nothing_else() {
    let mut signer = Some(Signer::es256("k1"));
    for (mapping, tier, team, roles) in [
        (ClaimMapping::default(), "free", None, vec![]),
        (
            ClaimMapping {
                tier_claim: Some("/realm_access/roles".into()),
                tiers: vec![("gold".into(), "premium".into())],
                team_claim: Some("org".into()),
                roles_claim: Some("/realm_access/roles".into()),
                ..ClaimMapping::default()
            },
            "premium",
            Some("acme"),
            vec!["gold", "staff"],
        ),
    ] {
        let rig = Rig::with(signer.take().unwrap(), FOREIGN, |settings| {
            settings.issuers[0].claims = mapping;
        })
        .await;
        let mut claims = rig.claims();
        claims["tier"] = "enterprise".into();
        claims["org"] = "acme".into();
        claims["azp"] = "client-1".into();
        claims["realm_access"] = json!({"roles": ["staff", "gold"]});
        let principal = rig.verify(&rig.signer.token(&claims)).await.unwrap();
        assert_eq!(principal.user().as_str(), "idp|user_12345");
        assert_eq!(principal.tier(), tier);
        assert_eq!(principal.team(), team);
        assert!(principal.roles().iter().eq(roles));
        assert_eq!(principal.client_id(), Some("client-1"));
        signer = Some(rig.signer);
    }
}

#[tokio::test]
async fn c32_the_fingerprint_is_keyed_by_process_and_short() {
    let (one, two) = (Rig::own().await, Rig::own().await);
    let token = one.good();
    let bearer = Bearer::parse(&token, 8192).unwrap();
    let print = one.verifier.fingerprint(&bearer);
    assert_eq!(one.verify(&token).await.unwrap().fingerprint(), print);
    assert!(
        print
            .strip_prefix("tok_")
            .is_some_and(|hex| hex.len() == 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    );
    assert_ne!(two.verifier.fingerprint(&bearer), print);
}

#[test]
fn settings_that_weaken_the_stage_are_refused() {
    let issuer = || IssuerSettings {
        name: "idp".into(),
        issuer: FOREIGN.into(),
        ..IssuerSettings::default()
    };
    let refusal = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        settings.issuers.push(issuer());
        change(&mut settings);
        Verifier::new(&settings, Clock::system()).unwrap_err()
    };
    for name in ["", "a b", "a|b", "a/b", "é"] {
        let refused = refusal(&|s| s.issuers[0].name = name.into());
        assert!(matches!(refused, SetupError::IssuerName(_)), "{name}");
    }
    for iss in ["", OWN] {
        let refused = refusal(&|s| s.issuers[0].issuer = iss.into());
        assert!(matches!(refused, SetupError::Issuer(_)), "{iss}");
    }
    assert!(matches!(
        refusal(&|s| s.issuers.push(issuer())),
        SetupError::Issuer(_)
    ));
    for algorithms in [
        vec![],
        vec![Algorithm::Hs256],
        vec![Algorithm::Es256, Algorithm::Hs256],
    ] {
        let refused = refusal(&|s| s.issuers[0].algorithms.clone_from(&algorithms));
        assert!(matches!(refused, SetupError::Algorithms(_)));
    }
    assert!(matches!(
        refusal(&|s| s.leeway = Duration::from_secs(61)),
        SetupError::Leeway(_)
    ));
    assert!(matches!(
        refusal(&|s| s.issuers[0].issuer = "http://idp.test".into()),
        SetupError::Jwks { .. }
    ));
    assert!(matches!(
        Verifier::new(&Settings::default(), Clock::system()).unwrap_err(),
        SetupError::NobodyTrusted
    ));
}

#[tokio::test]
async fn r116_r119_c39_revocation_is_asked_about_tokens_that_were_seen_and_ones_that_were_not() {
    for mut rig in rigs().await {
        let view = Arc::new(Revoked::new(Duration::from_secs(5), rig.clock.clone()));
        rig.verifier = rig.verifier.watched_by(Arc::clone(&view));
        let (seen, fresh) = (rig.good(), {
            let mut claims = rig.claims();
            claims["nonce"] = "another".into();
            rig.signer.token(&claims)
        });
        assert_eq!(rig.reason(&seen).await, "revocation_unknown");
        view.was_current(rig.clock.monotonic());
        assert_eq!(rig.reason(&seen).await, "accepted");
        assert!(rig.cached(&seen).is_some());

        view.end(
            &Mark::Token("jti_1".into()),
            Timestamp::from_seconds(NOW + 60),
        );
        assert!(rig.cached(&seen).is_none());
        for token in [&seen, &fresh] {
            assert_eq!(rig.reason(token).await, "token_revoked");
        }
        rig.clock.advance(Duration::from_secs(61));
        view.sweep(rig.clock.now(), rig.clock.now());
        view.was_current(rig.clock.monotonic());
        assert_eq!(rig.reason(&seen).await, "accepted", "the mark is over");

        rig.clock.advance(Duration::from_secs(6));
        assert!(rig.cached(&seen).is_none());
        let refused = rig.verify(&seen).await.map(drop).unwrap_err();
        assert_eq!(refused, AuthError::RevocationUnknown);
        assert_eq!(
            (refused.status().as_u16(), refused.challenge_error()),
            (503, None)
        );
    }
}
