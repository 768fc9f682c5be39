//! Addresses that strangers name.

use serde_json::json;

use super::*;
use crate::oauth::tests::host::Host;

fn guarded(host: &Host, allow: &[&str]) -> Guarded {
    Guarded::new(
        allow.iter().map(ToString::to_string).collect(),
        Some(host.ca.path()),
        Duration::from_secs(20),
        1024,
    )
    .unwrap()
}

/// A resolver that leads every name to these addresses.
fn leading_to(mut guarded: Guarded, addresses: &[&str], port: u16) -> Guarded {
    let found: Vec<_> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), port))
        .collect();
    guarded.resolve = Arc::new(move |_, _| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    });
    guarded
}

#[tokio::test]
async fn addresses_that_are_not_asked() {
    let host = Host::start(&["localhost"]).await;
    let guarded = guarded(&host, &[]);
    let long = format!("https://client.test/{}", "x".repeat(1024));
    for text in [
        "",
        "client.test/x",
        "http://client.test/x",
        "ftp://client.test/x",
        "file:///etc/passwd",
        "https://user@client.test/x",
        "https://user:pw@client.test/x",
        "https://@client.test/x",
        "https://client.test/x#y",
        "https://client.test/x#",
        "https://client.test:8443/x",
        "https://client.test:22/x",
        "https://client.test:443/x",
        "https://Client.test/x",
        "https://client.test/a/../b",
        "https://client.test/a/./b",
        "https://client.test",
        "https://client.test./x",
        "https://client.test/a b",
        "https://client.test\\x",
        "https://client.test/\u{e9}",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0177.0.0.1/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://8.8.8.8/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://localhost/x",
        "https://a.localhost/x",
        "https://intranet/x",
        "https://metadata.google.internal/x",
        "https://printer.local/x",
        &long,
    ] {
        assert!(guarded.target(text).is_err(), "{text:?}");
    }
    for text in [
        "https://client.test/x",
        "https://client.test/x?y=1",
        "https://client.test/",
    ] {
        assert!(guarded.target(text).is_ok(), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_followed() {
    let host = Host::start(&["client.test"]).await;
    for addresses in [
        &["127.0.0.1"][..],
        &["10.1.2.3"],
        &["169.254.169.254"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["fd00::1"],
        &["0.0.0.0"],
        // One inside among others is enough: whoever mixes them has a reason.
        &["8.8.8.8", "127.0.0.1"],
    ] {
        let guarded = leading_to(guarded(&host, &[]), addresses, host.port);
        let target = guarded.target("https://client.test/x").unwrap();
        let refused = guarded.get(&target).await.unwrap_err();
        assert!(
            matches!(refused, GuardedError::NotPublic(_)),
            "{addresses:?}"
        );
    }
    let nowhere = leading_to(guarded(&host, &[]), &[], host.port);
    let target = nowhere.target("https://client.test/x").unwrap();
    let refused = nowhere.get(&target).await.unwrap_err();
    assert!(matches!(refused, GuardedError::Unresolved));
    assert!(host.asked().is_empty());
}

#[tokio::test]
async fn a_name_is_resolved_once_so_that_it_cannot_change_its_mind() {
    let host = Host::start(&["client.test"]).await;
    host.serve("/x", &json!({}));
    let authority = format!("client.test:{}", host.port);
    let mut guarded = guarded(&host, &[&authority]);
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (count, port) = (Arc::clone(&asked), host.port);
    guarded.resolve = Arc::new(move |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    });
    let target = guarded.target(&format!("https://{authority}/x")).unwrap();
    guarded.get(&target).await.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    // The connection went to the address, the name to the host.
    let head = &host.asked()[0];
    assert!(
        head.to_ascii_lowercase()
            .contains(&format!("host: {authority}\r\n")),
        "{head}"
    );
}

#[tokio::test]
async fn answers_that_are_no_small_json_document_soon() {
    let host = Host::start(&["localhost"]).await;
    let authority = format!("localhost:{}", host.port);
    let patient = guarded(&host, &[&authority]);
    let hasty = Guarded {
        timeout: Duration::from_millis(100),
        ..patient.clone()
    };
    let inside = host.url("/inside");
    host.serve("/inside", &json!({}));
    host.say("/moved", &format!("302 Found\r\nlocation: {inside}"), "");
    host.say("/gone", "410 Gone\r\ncontent-type: application/json", "{}");
    host.say("/page", "200 OK\r\ncontent-type: text/html", "{}");
    host.say("/untyped", "200 OK", "{}");
    host.say("/text", "200 OK\r\ncontent-type: text/json", "{}");
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(2000));
    host.say("/large", "200 OK\r\ncontent-type: application/json", &large);
    host.hang("/slow");
    type Fits = fn(&GuardedError) -> bool;
    let cases: [(&str, Fits); 7] = [
        ("/moved", |error| matches!(error, GuardedError::Status(_))),
        ("/gone", |error| matches!(error, GuardedError::Status(_))),
        ("/page", |error| matches!(error, GuardedError::MediaType)),
        ("/untyped", |error| matches!(error, GuardedError::MediaType)),
        ("/text", |error| matches!(error, GuardedError::MediaType)),
        ("/large", |error| matches!(error, GuardedError::TooLarge)),
        ("/slow", |error| matches!(error, GuardedError::TimedOut)),
    ];
    for (path, fits) in cases {
        let target = patient.target(&host.url(path)).unwrap();
        let guarded = if path == "/slow" { &hasty } else { &patient };
        let refused = guarded.get(&target).await.unwrap_err();
        assert!(fits(&refused), "{path}: {refused}");
    }
    assert!(!host.asked().iter().any(|head| head.contains("/inside")));
}

#[tokio::test]
async fn a_certificate_of_nobody_we_trust_or_of_another_name_is_refused() {
    let (host, other) = (
        Host::start(&["localhost"]).await,
        Host::start(&["localhost"]).await,
    );
    host.serve("/x", &json!({}));
    let authority = format!("localhost:{}", host.port);
    let strange = guarded(&other, &[&authority]);
    let target = strange.target(&host.url("/x")).unwrap();
    assert!(matches!(
        strange.get(&target).await,
        Err(GuardedError::Transport(_))
    ));

    let named = format!("client.test:{}", host.port);
    let guarded = leading_to(guarded(&host, &[&named]), &["127.0.0.1"], host.port);
    let target = guarded.target(&format!("https://{named}/x")).unwrap();
    assert!(matches!(
        guarded.get(&target).await,
        Err(GuardedError::Transport(_))
    ));
}

#[test]
fn how_long_an_answer_may_be_kept() {
    let of = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        max_age(&headers)
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(of(&[]), None);
    assert_eq!(of(&["public, max-age=60"]), seconds(60));
    assert_eq!(of(&["max-age=60", "no-store"]), seconds(0));
    assert_eq!(of(&["Max-Age=\"5\""]), seconds(5));
    assert_eq!(of(&["max-age=-1"]), None);
    assert_eq!(of(&["max-age=99999999999999999999"]), None);
}
