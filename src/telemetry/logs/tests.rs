//! Each line is one line, parses, and holds no planted secret.

use std::sync::Arc;

use tracing::{info, info_span, subscriber, warn};

use super::*;
use crate::clock::Timestamp;

#[derive(Clone, Default)]
struct Pad(Arc<Mutex<Vec<u8>>>);

impl Write for Pad {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: Format, act: impl FnOnce()) -> String {
    let pad = Pad::default();
    let clock = Clock::manual(Timestamp::from_millis(1_738_060_200_123));
    let layer = Lines::new(format, clock, pad.clone());
    subscriber::with_default(Registry::default().with(layer), act);
    let bytes = pad.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn r522_each_line_parses_and_carries_the_fields_of_its_spans() {
    let text = logged(Format::Json, || {
        let _request = info_span!(
            "request",
            request_id = "req_1",
            user = tracing::field::Empty
        )
        .entered();
        tracing::Span::current().record("user", "12345");
        info!(
            status = 200,
            slow = false,
            level = "field",
            "request finished"
        );
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        line,
        serde_json::json!({
            "timestamp": "2025-01-28T10:30:00.123Z", "level": "INFO",
            "target": "sallygate::telemetry::logs::tests", "message": "request finished",
            "request_id": "req_1", "user": "12345", "status": 200, "slow": false, "field_level": "field"
        })
    );
}

#[test]
fn r508_r503_r505_planted_secrets_never_reach_a_line() {
    for format in [Format::Json, Format::Text] {
        let text = logged(format, || {
            let _span = info_span!("login", client_secret = "canary-1").entered();
            warn!(
                api_key = "canary-2",
                token = 12_345_678,
                header = "Bearer canary-not-a-real-token-3",
                debugged = ?vec!["canary@example.com"],
                error = &io::Error::other("password=canary-4") as &(dyn std::error::Error + 'static),
                "callback ?code=canary-5&state=canary-6"
            );
        });
        assert!(
            !text.contains("canary") && !text.contains("12345678"),
            "{text}"
        );
        assert!(text.contains("[REDACTED]"));
    }
}

#[test]
fn control_characters_cannot_begin_a_line_of_their_own() {
    for format in [Format::Json, Format::Text] {
        let text = logged(format, || {
            info!(
                agent = "a\r\n{\"level\":\"INFO\"}\u{9b}31m",
                "first\nsecond\u{1b}[2J"
            );
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(text.trim_end().chars().all(|c| !c.is_control()), "{text:?}");
    }
}

#[test]
fn lines_are_bounded_and_still_parse() {
    let text = logged(Format::Json, || {
        info!(blob = "word ".repeat(50_000), "long")
    });
    assert!(text.len() < MAX_LINE, "{}", text.len());
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn an_unreadable_filter_and_an_unknown_format_are_refused() {
    let settings = Settings {
        filter: "sallygate=loudest".into(),
        ..Settings::default()
    };
    assert!(matches!(
        start(&settings, Clock::system()),
        Err(LogError::Filter { .. })
    ));
    assert!(matches!(
        "xml".parse::<Format>(),
        Err(LogError::UnknownFormat(_))
    ));
}
