//! A well signed token is believed only if every claim is what the rules want, judged by a second reader. An entry is the
//! header, a rule, the payload.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sallygate::auth::{Bearer, Verifier};
use sallygate_fuzz::readers::{Members, elements, string};
use sallygate_fuzz::{callers, parts};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(callers::verifier);

fuzz_target!(|data: &[u8]| {
    let (header, payload) = parts(data);
    let token = callers::signed(header, payload);
    let Ok(bearer) = Bearer::parse(&token, 8192) else {
        return;
    };
    let Ok(principal) = callers::verify(&VERIFIER, &bearer) else {
        return;
    };
    let header = Members::of(std::str::from_utf8(header).expect("UTF-8")).expect("an object");
    let once = |members: &Members<'_>| {
        let mut names: Vec<_> = members.0.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    };
    assert!(once(&header));
    assert_eq!(
        header.last("alg").and_then(string).as_deref(),
        Some("HS256")
    );
    for name in ["crit", "b64", "enc", "zip"] {
        assert_eq!(header.last(name), None, "{name}");
    }
    if let Some(kid) = header.last("kid") {
        assert_eq!(string(kid).as_deref(), Some("proof"));
    }
    let claims = Members::of(std::str::from_utf8(payload).expect("UTF-8")).expect("an object");
    assert!(once(&claims));
    let text = |name: &str| claims.last(name).and_then(string);
    assert_eq!(text("iss").as_deref(), Some(callers::ISSUER));
    let subject = text("sub").expect("a subject");
    assert_eq!(
        subject.strip_prefix("user_"),
        Some(principal.user().as_str())
    );
    assert!(!principal.user().as_str().contains('|'), "a foreign user");
    let audience = claims.last("aud").expect("an audience");
    let audiences = match string(audience) {
        Some(one) => vec![one],
        None => elements(audience)
            .expect("a list")
            .into_iter()
            .filter_map(string)
            .collect(),
    };
    let meant = |audience: &String| {
        sallygate::auth::ResourceId::parse(audience).is_ok_and(|id| id == callers::resource())
    };
    assert!(audiences.iter().any(meant), "{audiences:?}");
    let seconds = |name: &str| {
        claims
            .last(name)
            .map(|v| v.parse::<f64>().expect("a number"))
    };
    let now = 2_000_000_000.0;
    assert!(seconds("exp").expect("an end") + 60.0 > now);
    for name in ["nbf", "iat"] {
        assert!(
            seconds(name).is_none_or(|start| start <= now + 60.0),
            "{name}"
        );
    }
    assert_eq!(principal.tier(), text("tier").as_deref().unwrap_or("free"));
    assert_eq!(principal.team(), text("team_id").as_deref());
    for scope in principal.scopes() {
        let all = claims.last("scope").or(claims.last("scp")).expect("scopes");
        let words = string(all).map_or_else(
            || {
                elements(all)
                    .expect("a list")
                    .into_iter()
                    .filter_map(string)
                    .collect()
            },
            |words| words.split(' ').map(str::to_owned).collect::<Vec<_>>(),
        );
        assert!(words.contains(scope));
    }
});
