//! Secrets of every kind, planted in everything that carries text, never come through; what is harmless does.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::*;

/// A secret and the part of it that must never be seen.
type Planted = (String, String);

/// Text of this pattern with at least one digit, one capital and one small letter, as random text of its length has.
fn mixed(pattern: &str) -> impl Strategy<Value = String> + use<> {
    proptest::string::string_regex(pattern)
        .unwrap()
        .prop_map(|text| format!("{text}q7Z"))
}

fn around(before: &'static str, core: String, after: &'static str) -> Planted {
    (format!("{before}{core}{after}"), core)
}

fn prefixed() -> impl Strategy<Value = Planted> {
    let prefixes = [
        "pk_1234_",
        "sk_live_",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "sk-",
        "npm_",
        "AIza",
        "mcp_rt_",
        "mcp_ac_",
        "mcp_cs_",
    ];
    (
        proptest::sample::select(prefixes.to_vec()),
        mixed("[A-Za-z0-9]{30,40}"),
    )
        .prop_map(|(prefix, core)| around(prefix, core, ""))
}

fn secret() -> impl Strategy<Value = Planted> {
    let jwt = (
        mixed("[A-Za-z0-9_-]{8,40}"),
        mixed("[A-Za-z0-9_-]{12,60}"),
        mixed("[A-Za-z0-9_-]{12,60}"),
    )
        .prop_map(|(head, body, seal)| (format!("eyJ{head}.{body}.{seal}"), body));
    let bearer = (
        proptest::sample::select(&["Bearer ", "bearer ", "BEARER ", "Basic ", "DPoP "]),
        mixed("[A-Za-z0-9._~/-]{20,60}"),
    )
        .prop_map(|(scheme, core)| around(scheme, core, ""));
    let url = mixed("[A-Za-z0-9._~-]{8,30}")
        .prop_map(|core| around("https://user:", core, "@host.test/path"));
    let aws = "[A-Z0-9]{16}".prop_map(|core| around("AKIA", core, ""));
    let email = "[a-z0-9]{8,20}".prop_map(|core| around("", core, "@example.com"));
    let pem = mixed("[A-Za-z0-9]{64}\n[A-Za-z0-9]{40}").prop_map(|core| {
        let text = format!("-----BEGIN PRIVATE KEY-----\n{core}\n-----END PRIVATE KEY-----");
        let seen = core.split('\n').next().unwrap().to_owned();
        (text, seen)
    });
    let hex = "[0-9a-f]{32,64}".prop_map(|core| around("", core, ""));
    let blob = mixed("[A-Za-z0-9]{64,120}").prop_map(|core| around("", core, ""));
    prop_oneof![jwt, bearer, url, aws, prefixed(), email, pem, hex, blob]
}

fn named() -> impl Strategy<Value = Planted> {
    let names = [
        "password",
        "api_key",
        "X-Api-Key",
        "access_token",
        "refreshToken",
        "client_secret",
        "Authorization",
        "jwt",
        "Set-Cookie",
        "code_verifier",
        "privateKey",
        "passphrase",
        "credentials",
        "id_token",
    ];
    (
        proptest::sample::select(names.to_vec()),
        mixed("[a-z0-9]{8,20}"),
    )
        .prop_map(|(name, core)| (name.to_owned(), core))
}

/// Everything that a text can stand in. Each keeps the secret in one piece, as a reader would find it.
fn carriers(secret: &str) -> Vec<(&'static str, String)> {
    let escaped = json!({"note": secret}).to_string();
    let twice = json!({"body": escaped}).to_string();
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![
        ("bare", secret.to_owned()),
        ("prose", format!("it failed with {secret}, so we stopped")),
        ("quoted", format!("cannot read '{secret}'")),
        ("debug", format!("{:?}", Some(secret))),
        ("json in a text", format!("answer: {escaped}")),
        ("json in json in a text", format!("answer: {twice}")),
        (
            "query",
            format!("GET /path?a=1&note={percent}&b=2 HTTP/1.1"),
        ),
        ("brackets", format!("[{secret}] ({secret}) <{secret}>")),
        ("lines", format!("first\r\n{secret}\r\nlast")),
    ]
}

fn seen(text: &str, core: &str) -> bool {
    let plain: String =
        form_urlencoded::parse(format!("t={}", text.replace('+', "%2B")).as_bytes())
            .map(|(_, value)| value.into_owned())
            .collect();
    text.contains(core) || plain.contains(core)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn r503_r504_r505_r508_a_planted_secret_does_not_come_through_whatever_carries_it((secret, core) in secret()) {
        for (carrier, carried) in carriers(&secret) {
            let out = text(&carried);
            prop_assert!(!seen(&out, &core), "{carrier}: {out}");
            let value = json!({"a": [{"b": carried.clone()}, [carried.clone()]], carried: 1});
            let out = json(&value).to_string();
            prop_assert!(!seen(&out, &core), "{carrier} in JSON: {out}");
        }
    }

    #[test]
    fn r222_r224_the_value_of_a_secret_name_does_not_come_through_in_any_form((name, core) in named()) {
        let value = json!({&name: core});
        for text in [
            format!("{name}={core}"),
            format!("a=1&{name}={core}&b=2"),
            format!("sent {value}"),
            format!("sent {}", Value::from(value.to_string())),
            format!("{name}: \"{core}\""),
        ] {
            let out = self::text(&text);
            prop_assert!(!out.contains(&core), "{text}: {out}");
        }
        let parts: Vec<_> = core.as_bytes().chunks(4).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        for value in [
            json!({&name: core}),
            json!([{"deep": {&name: {"parts": parts}}}]),
            json!({&name: [core.clone(), {"more": core}]}),
        ] {
            let out = json(&value).to_string();
            prop_assert!(!out.contains(&core), "{out}");
            prop_assert!(parts.iter().filter(|part| part.len() == 4).all(|part| !out.contains(part.as_str())), "{out}");
        }
        prop_assert_eq!(field(&name, &core), REDACTED);
    }

    #[test]
    fn r510_what_is_long_and_coded_in_base64_does_not_come_through(bytes in proptest::collection::vec(any::<u8>(), 60..200)) {
        for coded in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let core = coded.get(8..40).unwrap();
            let is_mixed = coded.bytes().any(|b| b.is_ascii_digit())
                && coded.bytes().any(|b| b.is_ascii_uppercase())
                && coded.bytes().any(|b| b.is_ascii_lowercase());
            let slashes = coded.bytes().filter(|b| *b == b'/').count();
            prop_assume!(is_mixed && slashes * 16 <= coded.len());
            let out = text(&coded);
            prop_assert!(!out.contains(core), "{out}");
        }
    }
}

/// What logs and trails are full of.
const HARMLESS: [&str; 30] = [
    "the connection was closed by the peer",
    "listening on 127.0.0.1:8443",
    "GET /mcp HTTP/1.1 200 in 12 ms",
    "POST /oauth/token 400 invalid_grant",
    "tools/call create_task list_id=90144360426",
    "status_code: 404",
    "state: running",
    "code: -32602",
    "error[E0308]: mismatched types",
    "2026-11-21T10:00:00.123Z INFO serving",
    "user alice of team-1 in tier premium",
    "issuer https://login.example.com/realms/main",
    "invalid token: expired",
    "a bearer token is needed",
    "the authorization server does not answer",
    "max_tokens=4096 temperature=0.7",
    "request req_0123456789abcdef took 3.5 ms",
    "content-type: application/json; charset=utf-8",
    "upstream answered 502 after 30000 ms",
    "policy rule house/tools/disabled[2]",
    "retry in 5 seconds, attempt 3 of 10",
    "file /var/lib/gateway/audit-logs/2026/11/21/10-tool-invocations.jsonl",
    "sha256 of the document differs",
    "version 1.2.3-rc.4+build.5",
    "created task #1234 \"Review the plan\" in list Backlog",
    "mcp_server_operation_duration_seconds_bucket",
    "clickup://workspace/9014/list/12",
    "token_type=Bearer expires_in=3600",
    "password must have at least twelve characters",
    "phone support is open from 9 to 17",
];

#[test]
fn harmless_texts_stay_as_they_are() {
    let mut changed = Vec::new();
    let mut all = 0;
    for first in HARMLESS {
        for second in HARMLESS {
            for line in [
                format!("{first}; {second}"),
                json!({"message": first, "note": second}).to_string(),
            ] {
                all += 1;
                let out = text(&line).into_owned();
                if out != line {
                    changed.push((line, out));
                }
            }
        }
    }
    let share = changed.len() * 1_000 / all;
    assert!(
        share < 5,
        "{share} in 1000: {:#?}",
        changed.iter().take(12).collect::<Vec<_>>()
    );
}
