//! Planted secrets never survive, twice is the same as once, and what is harmless stays readable.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const JWT: &str =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5LW5vdC1hLXJlYWwtc2lnbmF0dXJl";

#[test]
fn r222_one_case_for_each_word_and_its_look_alikes() {
    for name in [
        "password",
        "api_key",
        "token",
        "secret",
        "authorization",
        "jwt",
        "refresh_token",
        "code",
        "state",
        "cookie",
        "set-cookie",
        "client_secret",
        "code_verifier",
        "private_key",
    ] {
        assert!(is_sensitive(name), "{name}");
    }
    for name in [
        "max_tokens",
        "token_type",
        "token_count",
        "status_code",
        "statement",
        "passport",
        "author",
        "keyboard",
        "decode",
        "estate",
        "jwt_token_id",
    ] {
        assert!(!is_sensitive(name), "{name}");
    }
}

#[test]
fn r223_words_match_in_any_case_and_inside_names() {
    for name in [
        "X-Api_Key",
        "accessTOKEN",
        "x-api-key",
        "apiKey",
        "MY_SECRET_2",
        "Proxy-Authorization",
        "idToken",
    ] {
        assert!(is_sensitive(name), "{name}");
    }
}

#[test]
fn r224_r225_nested_values_are_replaced_by_one_exact_text_and_arrays_stay_arrays() {
    let value = json!({"a": [{"password": "canary"}, {"b": {"token": {"deep": 1}, "secret": 7}}], "jwt": null});
    assert_eq!(
        json(&value),
        json!({"a": [{"password": "[REDACTED]"}, {"b": {"token": "[REDACTED]", "secret": "[REDACTED]"}}], "jwt": "[REDACTED]"})
    );
}

#[test]
fn r226_values_that_are_no_objects_pass_and_strings_are_scanned() {
    for value in [
        json!(null),
        json!(5),
        json!(-1.5),
        json!(true),
        json!("plain words"),
        json!([1, 2, 3]),
    ] {
        assert_eq!(json(&value), value);
    }
    assert_eq!(json(&json!(format!("got {JWT}"))), json!("got [REDACTED]"));
    assert_eq!(
        json(&json!({"error": {"code": -32601}})),
        json!({"error": {"code": -32601}})
    );
}

#[test]
fn r227_c40_the_sample_line_hides_code_key_and_state_and_keeps_the_team() {
    let line = json!({
        "timestamp": "2025-01-28T10:30:00Z", "action": "oauth_callback",
        "details": {"code": "canary-code", "state": "state_abc123", "api_key": "canary", "team_id": "67890"}
    });
    assert_eq!(
        json(&line),
        json!({
            "timestamp": "2025-01-28T10:30:00Z", "action": "oauth_callback",
            "details": {"code": "[REDACTED]", "state": "[REDACTED]", "api_key": "[REDACTED]", "team_id": "67890"}
        })
    );
}

#[test]
fn c40_depth_and_size_are_capped() {
    let mut deep = json!("leaf");
    for _ in 0..MAX_DEPTH + 5 {
        deep = json!([deep]);
    }
    assert!(json(&deep).to_string().contains(REDACTED));
    let long = "word ".repeat(MAX_TEXT);
    assert!(text(&long).len() < MAX_TEXT + 64);
    assert!(text(&long).contains("bytes cut"));
    let wide = json!(vec![1; MAX_ENTRIES + 1]);
    assert_eq!(json(&wide).as_array().map(Vec::len), Some(MAX_ENTRIES));
}

fn assert_texts(table: &[(&str, &str)]) {
    for (before, after) in table {
        assert_eq!(text(before), *after, "{before}");
    }
}

#[test]
fn r503_e_mail_addresses_are_redacted() {
    assert_texts(&[
        ("mail ada@example.com now", "mail [REDACTED] now"),
        ("<first.last+tag@sub.example.co.uk>", "<[REDACTED]>"),
        ("to=jörg@münchen.example", "to=[REDACTED]"),
        (
            "next=/login?user=ada%40example.com",
            "next=/login?user=[REDACTED]",
        ),
    ]);
}

#[test]
fn r504_phone_numbers_are_redacted_and_timestamps_are_not() {
    for phone in [
        "+49 151 23456789",
        "+1 (415) 555-2671",
        "+442079460958",
        "0049 30 1234567",
        "(415) 555-2671",
        "415-555-2671",
        "+1.415.555.2671",
        "+86 138 0013 8000",
    ] {
        assert_eq!(
            text(&format!("call {phone}, please")),
            "call [REDACTED], please",
            "{phone}"
        );
    }
    for time in [
        "2025-01-28T10:30:00.123Z",
        "2025-01-28 10:30:00+02:00",
        "1732190400123",
        "1732190400",
        "28/01/2025 10:30",
        "Tue, 28 Jan 2025 10:30:00 GMT",
        "1732190400 +0200",
        "12:34:56.789012345",
        "192.168.100.200:8443",
    ] {
        assert_eq!(text(time), time);
    }
}

#[test]
fn r505_c55_keys_and_tokens_are_redacted_by_their_form() {
    for secret in [
        JWT,
        "pk_12345_CANARYNOTAREALKEY0123456789AB",
        "sk_live_canaryNotAReal1",
        "sk_test_canaryNotAReal1",
        "mcp_canaryNotARealToken0123456789",
        "AKIACANARYNOTAREAL00",
        "ghp_canaryNotARealToken01234567890123456",
        "0123456789abcdef0123456789abcdef",
        "glpat-canaryNotAReal01234",
        "xoxb-canary-not-a-real-01",
        "canaryNOTaREAL0_randomLookingValue-0123456789",
    ] {
        assert_eq!(
            text(&format!("got {secret}.")).replace("[REDACTED].", "[REDACTED]"),
            "got [REDACTED]",
            "{secret}"
        );
    }
    assert_texts(&[
        (
            "Authorization: Bearer a1b2c3d4",
            "Authorization: Bearer [REDACTED]",
        ),
        (
            "sent bearer canary-not-a-real-token there",
            "sent bearer [REDACTED] there",
        ),
        (
            "https://ada:canary@db.internal/x",
            "https://[REDACTED]@db.internal/x",
        ),
        (
            "-----BEGIN EC PRIVATE KEY-----\nY2FuYXJ5\n-----END EC PRIVATE KEY----- end",
            "[REDACTED] end",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5 cut short",
            "[REDACTED]",
        ),
    ]);
}

#[test]
fn r505_names_give_away_their_values_inside_text() {
    assert_texts(&[
        ("password=hunter2 next", "password=[REDACTED] next"),
        (
            "GET /callback?code=canary1&state=canary2&x=1",
            "GET /callback?code=[REDACTED]&state=[REDACTED]&x=1",
        ),
        (
            r#"{"api_key": "has spaces in it", "n": 1}"#,
            r#"{"api_key": "[REDACTED]", "n": 1}"#,
        ),
        (
            r#"{\"token\":\"canary\",\"n\":1}"#,
            r#"{\"token\":\"[REDACTED]\",\"n\":1}"#,
        ),
        (
            r#"{"password":"ab\"cd","n":1}"#,
            r#"{"password":"[REDACTED]","n":1}"#,
        ),
        ("X-Api-Key: canary", "X-Api-Key: [REDACTED]"),
        (
            "Cookie: a=canary1; b=canary2\nnext",
            "Cookie: [REDACTED]\nnext",
        ),
        (
            "url=https://x.test/?access_token=canary",
            "url=https://x.test/?access_token=[REDACTED]",
        ),
        ("password=[REDACTED]hunter2", "password=[REDACTED]"),
    ]);
}

#[test]
fn r506_card_numbers_are_redacted_after_a_luhn_check() {
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "340000000000009",
    ] {
        assert_eq!(
            text(&format!("paid with {card}.")),
            "paid with [REDACTED].",
            "{card}"
        );
        assert!(!text(&format!("item 42 {card}")).contains(card), "{card}");
    }
    for number in [
        "4111111111111112",
        "90144360426",
        "1732190400123",
        "411111111111111",
    ] {
        assert_eq!(text(number), number);
    }
}

#[test]
fn r507_c57_uuids_are_masked_in_logs_and_kept_in_the_audit_trail_and_in_id_fields() {
    let id = "550e8400-e29b-41d4-a716-446655440000";
    assert_eq!(text(id), "550e…0000");
    assert_eq!(text_by(Rules::Audit, id, &mut Tally::default()), id);
    assert_eq!(field("request_id", id), id);
    assert_eq!(field("session", id), "550e…0000");
}

#[test]
fn r510_binary_data_is_replaced_by_its_size() {
    let blob = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    assert_eq!(
        text(&format!("data:image/png;base64,{blob}")),
        "data:image/png;base64,[BINARY 70 bytes]"
    );
    assert_eq!(bytes(&[0xff, 0xfe, 0x00]), "[BINARY 3 bytes]");
    assert_eq!(bytes(b"plain"), "plain");
}

#[test]
fn harmless_text_is_kept() {
    for kept in [
        "request finished in 12 ms with status 200",
        "a bearer token is required; exactly one bearer credential",
        "invalid token: expired",
        "state: running, code: 404, status_code=200, max_tokens=4096, token_type=Bearer",
        "let total = items.iter().map(|x| x.len()).sum::<usize>(); // 3.14159",
        "clickup_task_create v1.29.3-rc.1+build.5 at src/pipeline/mod.rs:120:5",
        "GET /mcp HTTP/1.1 from 203.0.113.42 by Claude Desktop/1.0",
        "list 90144360426, task 86a1b2c3d, req_0123456789abcdef",
        "mcp_server_operation_duration_seconds pk_users_by_name",
        "/usr/share/doc/some-package/very/long/path/to/a/File2/that/is/kept/readable.txt",
        "upgrade from 10.2.0 to 10.3.1 (released 2026-11-20)",
        "Straße, naïve, 東京, emoji 🦀",
    ] {
        assert_eq!(text(kept), kept);
    }
}

#[test]
fn a_tally_says_what_was_found() {
    let mut tally = Tally::default();
    text_by(
        Rules::Logs,
        "a@example.com b@example.com password=x",
        &mut tally,
    );
    assert_eq!(
        tally.iter().collect::<Vec<_>>(),
        [(Kind::Named, 1), (Kind::Email, 2)]
    );
}

fn planted() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{3,8}\\.[a-z]{3,8}@[a-z]{3,8}\\.(com|org|io)",
        "eyJ[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{20}\\.[A-Za-z0-9_-]{43}",
        "pk_[0-9]{6}_[A-Z0-9]{32}",
        "sk_live_[A-Za-z0-9]{24}",
        "AKIA[A-Z0-9]{16}",
        "mcp_[0-9][A-Za-z0-9]{31}",
        "[0-9a-f]{32,64}",
        "\\+[1-9][0-9]{9,13}",
        Just("4111111111111111".to_owned()),
    ]
}

proptest! {
    #[test]
    fn r508_a_planted_secret_never_survives(secret in planted(), before in "[ -~]{0,40}", after in "[ -~]{0,40}") {
        let line = format!("{before} {secret} {after}");
        prop_assert!(!text(&line).contains(&secret), "{}", text(&line));
        let inside = json(&json!({"note": [line]})).to_string();
        prop_assert!(!inside.contains(&secret), "{}", inside);
    }

    #[test]
    fn r222_a_value_under_a_secret_name_never_survives(
        name in "[a-z]{0,5}[-_]?(password|api_key|token|secret|jwt)(_[a-z]{1,3})?", value in "[a-z]{12,30}"
    ) {
        prop_assume!(is_sensitive(&name));
        let inside = json(&json!({"x": [{name.clone(): value.clone()}]})).to_string();
        prop_assert!(!inside.contains(&value));
        let pair = format!("{name}={value}");
        prop_assert!(!text(&pair).contains(&value));
    }

    #[test]
    fn redaction_is_idempotent(line in "\\PC{0,80}", dense in "[a-f0-9@.:=+ \"\\\\(){}-]{0,80}") {
        for line in [line, dense] {
            let once = text(&line).into_owned();
            let twice = text(&once).into_owned();
            prop_assert_eq!(twice, once);
        }
    }
}

#[test]
fn r222_a_scheme_behind_a_secret_name_does_not_leave_its_credentials_behind() {
    for (written, kept) in [
        (
            "authorization=Bearer canary-not-a-real-token-0123 end",
            "authorization=[REDACTED] end",
        ),
        (
            "password= Bearer canary-not-a-real-token-0123",
            "password= [REDACTED]",
        ),
        ("token=BASIC\tY2FuYXJ5 &a=b", "token=[REDACTED] &a=b"),
        ("api_key: dpop  canary", "api_key: [REDACTED]"),
        (
            "password=Bearer Basic canary-not-a-real-token",
            "password=[REDACTED]",
        ),
        (
            ":Basic  Bearer canary-not-a-real-token-0123456789 ",
            ":Basic  Bearer [REDACTED] ",
        ),
        ("password=bearer", "password=[REDACTED]"),
        ("password=bearer ", "password=[REDACTED] "),
        ("password=bearer, hunter", "password=[REDACTED], hunter"),
    ] {
        assert_eq!(text(written), kept, "{written}");
    }
}

#[test]
fn r222_what_is_left_of_a_name_judges_its_value_too() {
    // Too long to be judged as it is written, and short without the address.
    let name = format!("{}@{}.test password", "x".repeat(60), "y".repeat(60));
    let json = serde_json::json!({name: "hunter2", "a": "b"});
    let shown = super::json(&json);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");
    assert_eq!(super::json(&shown), shown);
    assert_eq!(shown["a"], "b");
}
