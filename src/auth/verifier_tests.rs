//! The verifier against tokens that must be refused, several hundred of them, each with the reason; then against good
//! tokens that differ from those by little.

use serde_json::{Value, json};

use crate::auth::settings::{ClaimMapping, KeySource, OwnKey};
use crate::auth::support::{Signer, b64, hex_secret};
use crate::secret::Secret;

use super::*;

const NOW: i64 = 1_800_000_000;
const OWN: &str = "https://gw.test";
const FOREIGN: &str = "https://idp.test/tenant";

/// A verifier that trusts one signer, at a time that stands still.
struct Rig {
    verifier: Verifier,
    clock: Clock,
    signer: Signer,
    issuer: &'static str,
    keys: tempfile::NamedTempFile,
}

impl Rig {
    async fn own() -> Self {
        let secret: Vec<u8> = hex_secret(1)
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        Self::with(Signer::hs256("k1", &secret), OWN, |_| {}).await
    }

    async fn foreign(signer: Signer) -> Self {
        Self::with(signer, FOREIGN, |_| {}).await
    }

    /// Own tokens are trusted beside the foreign issuer's in every rig.
    async fn with(
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

    fn claims(&self) -> Value {
        json!({"iss": self.issuer, "sub": "user_12345", "aud": "https://gw.test/mcp", "exp": NOW + 3600,
            "iat": NOW, "nbf": NOW, "jti": "jti_1", "team_id": "67890", "tier": "free"})
    }

    fn good(&self) -> String {
        self.signer.token(&self.claims())
    }

    async fn verify(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        let bearer = Bearer::parse(token, self.verifier.token_max_bytes)?;
        self.verifier.verify(&bearer, &mcp()).await
    }

    async fn reason(&self, token: &str) -> &'static str {
        self.verify(token)
            .await
            .map_or_else(|refusal| refusal.reason(), |_| "accepted")
    }

    fn cached(&self, token: &str) -> Option<Arc<Principal>> {
        self.verifier
            .cached(&Bearer::parse(token, 8192).unwrap(), &mcp())
    }
}

fn settings() -> Settings {
    Settings {
        own: Some(OwnSettings {
            issuer: OWN.into(),
            keys: vec![OwnKey {
                kid: "k1".into(),
                secret: Secret::new(hex_secret(1)),
            }],
            ..OwnSettings::default()
        }),
        ..Settings::default()
    }
}

fn publish(file: &tempfile::NamedTempFile, keys: &[Value]) {
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
}

fn mcp() -> ResourceId {
    ResourceId::parse("https://gw.test/mcp").unwrap()
}

fn foreign_signers() -> Vec<Signer> {
    vec![
        Signer::rs256("k1"),
        Signer::ps256("k1"),
        Signer::es256("k1"),
        Signer::es384("k1"),
        Signer::eddsa("k1"),
    ]
}

async fn rigs() -> Vec<Rig> {
    let mut rigs = vec![Rig::own().await];
    for signer in foreign_signers() {
        rigs.push(Rig::foreign(signer).await);
    }
    rigs
}

type Bad = (String, String, &'static str);

/// The good token's JSON object with one member replaced, as text; `None` removes it.
fn with(object: &Value, name: &str, value: Option<&str>) -> String {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    members.remove(name);
    let mut text = object.to_string();
    if let Some(value) = value {
        text.truncate(text.len() - 1);
        text.push_str(&format!(",\"{name}\":{value}}}"));
    }
    text
}

/// Correctly signed tokens whose claims are wrong.
fn bad_claims(rig: &Rig) -> Vec<Bad> {
    let long = format!("\"{}\"", "s".repeat(600));
    let past = (NOW - 60).to_string();
    let past_more = (NOW - 90).to_string();
    let future = (NOW + 61).to_string();
    let future_more = (NOW + 90).to_string();
    let not_text = ["null", "1", "true", "[]", "{}", "[\"a\"]"];
    let not_date = [
        "null",
        "true",
        "\"1\"",
        "[1]",
        "{}",
        "-1",
        "1e300",
        "1800003600000",
        "-1e-9",
    ];
    let mut rows: Vec<(&str, Option<&str>, &'static str)> = vec![
        ("exp", None, "missing_claim"),
        ("exp", Some("0"), "token_expired"),
        ("exp", Some(&past), "token_expired"),
        ("exp", Some(&past_more), "token_expired"),
        ("nbf", Some(&future), "not_yet_valid"),
        ("nbf", Some(&future_more), "not_yet_valid"),
        ("iat", Some(&future), "not_yet_valid"),
        ("iat", Some(&future_more), "not_yet_valid"),
        ("iss", None, "missing_claim"),
        ("iss", Some("\"\""), "invalid_claim"),
        ("iss", Some("\"https://evil.test\""), "wrong_issuer"),
        ("iss", Some("\"https://gw.test/\""), "wrong_issuer"),
        ("iss", Some("\"https://GW.test\""), "wrong_issuer"),
        ("iss", Some("\"https://idp.test/tenant/\""), "wrong_issuer"),
        ("iss", Some("\"https://idp.test\""), "wrong_issuer"),
        ("aud", None, "missing_claim"),
        ("aud", Some("null"), "invalid_claim"),
        ("aud", Some("1"), "invalid_claim"),
        ("aud", Some("true"), "invalid_claim"),
        ("aud", Some("{}"), "invalid_claim"),
        ("aud", Some("[1]"), "invalid_claim"),
        ("aud", Some("[\"https://gw.test/mcp\",1]"), "invalid_claim"),
        ("aud", Some("[]"), "wrong_audience"),
        ("aud", Some("\"\""), "wrong_audience"),
        ("aud", Some("\"https://gw.test\""), "wrong_audience"),
        ("aud", Some("\"https://gw.test/mcp/x\""), "wrong_audience"),
        ("aud", Some("\"https://evil.test/mcp\""), "wrong_audience"),
        ("aud", Some("[\"a\",\"b\"]"), "wrong_audience"),
        ("sub", None, "missing_claim"),
        ("sub", Some("\"\""), "invalid_claim"),
        ("sub", Some("\" \""), "invalid_claim"),
        ("sub", Some("\"user_1\\u0000\""), "invalid_claim"),
        ("sub", Some("\"user_1\\n\""), "invalid_claim"),
        ("sub", Some(&long), "invalid_claim"),
        ("jti", Some(&long), "invalid_claim"),
        ("scope", Some("[\"mcp:read\"]"), "invalid_claim"),
        ("scope", Some("7"), "invalid_claim"),
        ("scp", Some("{}"), "invalid_claim"),
        ("scp", Some("[1]"), "invalid_claim"),
    ];
    for name in ["iss", "sub", "jti", "email", "client_id"] {
        rows.extend(not_text.map(|value| (name, Some(value), "invalid_claim")));
    }
    for name in ["exp", "nbf", "iat"] {
        rows.extend(not_date.map(|value| (name, Some(value), "invalid_claim")));
    }
    if rig.issuer == OWN {
        rows.extend(not_text.map(|value| ("team_id", Some(value), "invalid_claim")));
        rows.extend([
            ("team_id", None, "missing_claim"),
            ("jti", None, "missing_claim"),
            ("iat", None, "missing_claim"),
            ("sub", Some("\"12345\""), "invalid_claim"),
            ("sub", Some("\"user_\""), "invalid_claim"),
            ("sub", Some("\"user_user_1\""), "invalid_claim"),
            ("sub", Some("\"user_idp|1\""), "invalid_claim"),
        ]);
    }
    let (claims, header) = (rig.claims(), rig.signer.header().to_string());
    let mut bad: Vec<Bad> = rows
        .into_iter()
        .map(|(name, value, reason)| {
            let token = rig.signer.sign(&header, &with(&claims, name, value));
            (format!("{name} = {value:?}"), token, reason)
        })
        .collect();
    let text = claims.to_string();
    for (payload, reason) in [
        (
            text.replacen('{', "{\"sub\":\"user_1\",", 1),
            "token_malformed",
        ),
        (
            text.replacen('{', "{\"s\\u0075b\":\"user_1\",", 1),
            "token_malformed",
        ),
        (
            text.replacen('{', "{\"x\":{\"a\":1,\"a\":1},", 1),
            "token_malformed",
        ),
        (text.replacen("\"sub\"", "\"Sub\"", 1), "missing_claim"),
        (text.replacen("\"exp\"", "\"EXP\"", 1), "missing_claim"),
        (format!("\u{feff}{text}"), "token_malformed"),
        (format!("{text}{text}"), "token_malformed"),
        (format!("[{text}]"), "token_malformed"),
        (json!(text).to_string(), "token_malformed"),
        ("null".into(), "token_malformed"),
        ("not json".into(), "token_malformed"),
        ("{}".into(), "missing_claim"),
        (
            "{\"x\":".repeat(200) + "1" + &"}".repeat(200),
            "token_malformed",
        ),
    ] {
        let label = payload.chars().take(40).collect();
        bad.push((label, rig.signer.sign(&header, &payload), reason));
    }
    bad
}

/// Correctly signed tokens whose header is wrong.
fn bad_headers(rig: &Rig) -> Vec<Bad> {
    let long = format!("\"{}\"", "k".repeat(300));
    let mut rows: Vec<(&str, Option<&str>, &'static str)> = vec![
        ("alg", None, "invalid_header"),
        ("kid", Some(&long), "invalid_header"),
        ("kid", Some("\"\""), "invalid_header"),
        ("kid", Some("\"k1\\u0000\""), "invalid_header"),
        ("crit", Some("[]"), "invalid_header"),
        ("crit", Some("null"), "invalid_header"),
        ("crit", Some("[\"exp\"]"), "invalid_header"),
        ("crit", Some("[\"b64\"]"), "invalid_header"),
        ("crit", Some("[\"alg\"]"), "invalid_header"),
        ("b64", Some("false"), "invalid_header"),
        ("zip", Some("\"DEF\""), "invalid_header"),
        ("enc", Some("\"A256GCM\""), "invalid_header"),
        ("typ", Some("null"), "invalid_header"),
        ("typ", Some("[\"JWT\"]"), "invalid_header"),
        ("typ", Some("\"\""), "invalid_header"),
        ("typ", Some("\"id_token\""), "invalid_header"),
        ("typ", Some("\"dpop+jwt\""), "invalid_header"),
        ("typ", Some("\"logout+jwt\""), "invalid_header"),
        ("typ", Some("\"oauth-id-jag+jwt\""), "invalid_header"),
    ];
    for value in ["null", "1", "true", "[]", "{}", "[\"k1\"]"] {
        rows.push(("alg", Some(value), "invalid_header"));
        rows.push(("kid", Some(value), "invalid_header"));
    }
    for value in [
        "\"none\"",
        "\"None\"",
        "\"NONE\"",
        "\"nOnE\"",
        "\"\"",
        "\"HS384\"",
        "\"HS512\"",
        "\"RS384\"",
        "\"RS512\"",
        "\"ES512\"",
        "\"ES256K\"",
        "\"hs256\"",
        "\"rs256\"",
        "\"RS256 \"",
        "\"dir\"",
        "\"EdDSA\\u0000\"",
    ] {
        rows.push(("alg", Some(value), "wrong_algorithm"));
    }
    for value in [
        "\"unknown\"",
        "\"K1\"",
        "\"k1 \"",
        "\"../../../../dev/null\"",
        "\"/dev/null\"",
        "\"' OR '1'='1\"",
        "\"k1' UNION SELECT 'x\"",
        "\"k1;id\"",
        "\"https://evil.test/k1\"",
        "\"\u{43a}1\"",
    ] {
        rows.push(("kid", Some(value), "unknown_key"));
    }
    let (header, claims) = (rig.signer.header(), rig.claims().to_string());
    let mut bad: Vec<Bad> = rows
        .into_iter()
        .map(|(name, value, reason)| {
            let token = rig.signer.sign(&with(&header, name, value), &claims);
            (format!("{name} = {value:?}"), token, reason)
        })
        .collect();
    for other in ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        if other != rig.signer.algorithm() {
            let header = json!({"alg": other, "kid": "k1"}).to_string();
            let token = rig.signer.sign(&header, &claims);
            bad.push((format!("alg {other}"), token, "wrong_algorithm"));
        }
    }
    let text = header.to_string();
    for (header, reason) in [
        (
            text.replacen('{', "{\"alg\":\"none\",", 1),
            "token_malformed",
        ),
        (text.replacen('{', "{\"kid\":\"k2\",", 1), "token_malformed"),
        (format!("{text} x"), "token_malformed"),
        (format!("[{text}]"), "token_malformed"),
        ("null".into(), "token_malformed"),
        ("{}".into(), "invalid_header"),
    ] {
        bad.push((header.clone(), rig.signer.sign(&header, &claims), reason));
    }
    bad
}

/// Tokens whose signature is another's, altered, or absent.
fn bad_signatures(rig: &Rig) -> Vec<Bad> {
    let good = rig.good();
    let (input, _) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let raw = rig.signer.signature(input.as_bytes());
    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut raw = raw.clone();
        change(&mut raw);
        format!("{input}.{}", b64(&raw))
    };
    let mut tampered = rig.claims();
    tampered["tier"] = "premium".into();
    let tampered = b64(tampered.to_string().as_bytes());
    let spaced = b64(rig
        .signer
        .header()
        .to_string()
        .replacen('{', "{ ", 1)
        .as_bytes());
    let signature = b64(&raw);
    let evil = Signer::es256("evil");
    let embedded = json!({"alg": "ES256", "kid": "evil", "jwk": evil.jwk(),
        "jku": "https://evil.test/jwks", "x5u": "https://evil.test/x5u"});
    let embedded_reason = if rig.issuer == OWN {
        "wrong_algorithm"
    } else if rig.signer.algorithm() == "ES256" {
        "unknown_key"
    } else {
        // The issuer may use ES256 in general, but no key is called so.
        "unknown_key"
    };
    let rows: Vec<(&str, String, &'static str)> = vec![
        ("first byte", altered(&|s| s[0] ^= 1), "invalid_signature"),
        (
            "middle byte",
            altered(&|s| s[16] ^= 0x80),
            "invalid_signature",
        ),
        (
            "last byte",
            altered(&|s| *s.last_mut().unwrap() ^= 1),
            "invalid_signature",
        ),
        (
            "cut",
            altered(&|s| s.truncate(s.len() - 1)),
            "invalid_signature",
        ),
        ("one byte", altered(&|s| s.truncate(1)), "invalid_signature"),
        ("longer", altered(&|s| s.push(0)), "invalid_signature"),
        (
            "zero in front",
            altered(&|s| s.insert(0, 0)),
            "invalid_signature",
        ),
        ("all zero", altered(&|s| s.fill(0)), "invalid_signature"),
        ("all ones", altered(&|s| s.fill(255)), "invalid_signature"),
        (
            "twice",
            altered(&|s| s.extend(raw.clone())),
            "invalid_signature",
        ),
        ("no signature", format!("{input}."), "token_malformed"),
        ("no third part", input.to_owned(), "token_malformed"),
        (
            "payload changed",
            format!("{header}.{tampered}.{signature}"),
            "invalid_signature",
        ),
        (
            "header respelt",
            format!("{spaced}.{payload}.{signature}"),
            "invalid_signature",
        ),
        (
            "of payload alone",
            format!("{input}.{}", b64(&rig.signer.signature(payload.as_bytes()))),
            "invalid_signature",
        ),
        (
            "key in the token",
            evil.sign(&embedded.to_string(), &rig.claims().to_string()),
            embedded_reason,
        ),
    ];
    rows.into_iter()
        .map(|(label, token, reason)| (label.to_owned(), token, reason))
        .collect()
}

/// Spellings of a good token that are not the token.
fn bad_forms(rig: &Rig) -> Vec<Bad> {
    let good = rig.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    [
        format!("{good}="),
        format!("{header}=.{payload}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{input}..{signature}"),
        format!("{header}.{payload} .{signature}"),
        format!("{header}.\n{payload}.{signature}"),
        format!("{good}\n"),
        format!(" {good}"),
        format!("\"{good}\""),
        format!("{good}\0"),
        format!("{header}.{payload}.{signature}%3D"),
        format!("{input}.+{signature}"),
        format!("{input}./{signature}"),
        good.replace('.', "\u{2024}"),
        format!("\u{200b}{good}"),
        format!("{header}.{signature}"),
        header.to_owned(),
        "..".to_owned(),
        String::new(),
    ]
    .into_iter()
    .map(|token| (token.clone(), token, "token_malformed"))
    .collect()
}

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
            assert_eq!(rig.reason(&token).await, reason, "{algorithm}: {label}");
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
        secret: Secret::new(hex_secret(2)),
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
