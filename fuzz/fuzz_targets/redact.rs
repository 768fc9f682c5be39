//! A planted secret does not survive, whatever stands around it, and what was redacted once stays as it is. An entry is
//! what stands before, a rule, what stands after.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::redact;
use sallygate_fuzz::parts;

const SECRETS: [&str; 4] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnktbm90LWEtcmVhbC10b2tlbiJ9.Y2FuYXJ5LW5vdC1hLXJlYWwtc2lnbmF0dXJl",
    "mcp_rt_canaryNotARealRefreshToken0123456789abcdef",
    "ghp_canaryNotARealToken0123456789abcdefgh",
    "Bearer canary-not-a-real-token-0123456789",
];

fuzz_target!(|data: &[u8]| {
    let (before, after) = parts(data);
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    for secret in SECRETS {
        let text = format!("{before} {secret} {after}");
        let clean = redact::text(&text);
        let hidden = secret.strip_prefix("Bearer ").unwrap_or(secret);
        // Chance learns the words; what it plants itself, without the scheme, nobody can know for a secret.
        if before.contains(hidden) || after.contains(hidden) {
            continue;
        }
        assert!(!clean.contains(hidden), "{clean:?}");
    }
    let once = redact::text(&before).into_owned();
    assert_eq!(redact::text(&once), once, "a second pass finds more");
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(after.as_bytes()) {
        let clean = redact::json(&value);
        assert_eq!(redact::json(&clean), clean, "a second pass finds more");
        let wrapped = serde_json::json!({ "password": value, "x": [after] });
        let shown = redact::json(&wrapped);
        assert_eq!(shown["password"], redact::REDACTED);
    }
});
