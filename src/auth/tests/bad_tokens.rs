//! Tokens that must be refused, generated for any signer, each with the reason.

use serde_json::{Value, json};

use crate::auth::support::{Signer, b64};

use super::rig::{NOW, OWN, Rig};

/// What is wrong, the token, and the reason for which it must be refused.
pub(super) type Bad = (String, String, &'static str);

/// The good token's JSON object with one member replaced, as text; `None` removes it.
pub(super) fn with(object: &Value, name: &str, value: Option<&str>) -> String {
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
pub(super) fn bad_claims(rig: &Rig) -> Vec<Bad> {
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
pub(super) fn bad_headers(rig: &Rig) -> Vec<Bad> {
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
pub(super) fn bad_signatures(rig: &Rig) -> Vec<Bad> {
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
    } else {
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
pub(super) fn bad_forms(rig: &Rig) -> Vec<Bad> {
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
