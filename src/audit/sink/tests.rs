//! The sink refuses when it cannot write, recovers by itself, and rotates by the clock.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::super::event::{Event, Kind, Outcome, Severity};
use super::super::files::{Hour, compressed};
use super::super::verify::verify;
use super::super::{KeyRing, query};
use super::*;
use crate::clock::Timestamp;
use crate::secret::Secret;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn key() -> ChainKey {
    ChainKey::new(Secret::new(b"canary-not-a-real-audit-key-0123".to_vec())).unwrap()
}

/// 2025-01-28T10:30:00Z.
pub(super) fn morning() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_738_060_200))
}

pub(super) fn settings(root: &Path) -> Settings {
    Settings {
        directory: root.to_owned(),
        ..Settings::default()
    }
}

pub(super) fn put(sink: &Sink, clock: &Clock, event: Event, user: &str) {
    let mut record = Record::new(event, clock.now(), "req_test");
    record.user(user);
    sink.reserve().unwrap().write(record);
}

fn exists(root: &Path, file: &str) -> bool {
    root.join(file).exists()
}

pub(super) fn find(root: &Path, filter: &query::Filter, view: query::View) -> String {
    let mut out = Vec::new();
    query::query(root, filter, view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a-file");
    fs::write(&file, "").unwrap();
    for directory in [file.clone(), file.join("below")] {
        let opened = Sink::open(&settings(&directory), key(), morning());
        assert!(matches!(opened, Err(AuditError::Unwritable { .. })));
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_has_closed() {
    let home = tempfile::tempdir().unwrap();
    let sink = Sink::open(&settings(home.path()), key(), morning()).unwrap();
    let second = Sink::open(&settings(home.path()), key(), morning());
    assert!(matches!(second, Err(AuditError::InUse(_))));
    assert!(sink.close().await);
    assert_eq!(sink.reserve().map(drop), Err(Refused::Closed));
}

#[test]
fn a_full_queue_is_refused_and_a_dropped_slot_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let small = Settings {
        queue: 2,
        ..settings(home.path())
    };
    let sink = Sink::open(&small, key(), morning()).unwrap();
    let (one, two) = (sink.reserve().unwrap(), sink.reserve().unwrap());
    assert_eq!(sink.reserve().map(drop), Err(Refused::Full));
    assert_eq!(sink.ready(), Err(Refused::Full));
    drop((one, two));
    assert_eq!(sink.ready(), Ok(()));
    assert_eq!(sink.stats().abandoned, 2);
}

#[test]
fn a_disk_that_does_not_answer_is_refused_after_the_deadline() {
    let clock = morning();
    let (sink, _) = Sink::capture(clock.clone());
    sink.shared.begin(clock.monotonic(), false);
    assert_eq!(sink.ready(), Ok(()));
    clock.advance(Duration::from_secs(6));
    assert_eq!(sink.reserve().map(drop), Err(Refused::Stalled));
    sink.shared.end(true);
    assert_eq!(sink.ready(), Ok(()));
}

#[tokio::test]
async fn an_unwritable_sink_refuses_keeps_its_lines_and_recovers_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    // A device that takes nothing stands where the next hour's file belongs; it is refused like any other non-file.
    clock.advance(HOUR);
    let blocked = Hour::of(clock.now()).file(home.path(), Kind::Tools);
    symlink("/dev/full", &blocked).unwrap();
    let held = sink.reserve().unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(!sink.flush().await);
    assert_eq!(sink.ready(), Err(Refused::Unwritable));
    assert_eq!(sink.reserve().map(drop), Err(Refused::Unwritable));
    assert!(sink.stats().errors > 0);
    held.write(Record::new(Event::AuthFailure, clock.now(), "req_held"));
    fs::remove_file(&blocked).unwrap();
    assert!(sink.flush().await);
    assert!(sink.flush().await);
    assert_eq!(sink.ready(), Ok(()));
    assert_eq!(sink.stats().depth, 0);
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
    let lines = find(
        home.path(),
        &query::Filter::default(),
        query::View::Timeline,
    );
    for action in ["tool_invocation", "auth_failure", "audit_recovered"] {
        assert!(lines.contains(action), "{action}");
    }
}

#[tokio::test]
async fn a_directory_taken_away_is_noticed_made_again_and_seen_in_the_first_number() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.flush().await);
    fs::remove_dir_all(home.path().join("2025")).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "2");
    while !sink.flush().await {}
    assert!(sink.stats().errors > 0);
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    // The first line was flushed and is gone; the second was still kept, and is there again.
    assert_eq!(report.first_seq, Some(2));
}

#[tokio::test]
async fn r202_r203_r204_r206_hours_days_and_years_turn_with_the_clock_and_are_compressed() {
    let home = tempfile::tempdir().unwrap();
    // 2024-12-31T22:59:59Z
    let clock = Clock::manual(Timestamp::from_seconds(1_735_685_999));
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    clock.advance(Duration::from_secs(1));
    put(&sink, &clock, Event::ToolInvocation, "2");
    put(&sink, &clock, Event::TokenIssued, "2");
    clock.advance(HOUR);
    put(&sink, &clock, Event::RateLimited, "3");
    assert!(sink.flush().await);
    for file in [
        "2024/12/31/22-tool-invocations.jsonl.gz",
        "2024/12/31/23-tool-invocations.jsonl.gz",
        "2024/12/31/23-auth-events.jsonl.gz",
        "2025/01/01/00-security-events.jsonl",
    ] {
        assert!(exists(home.path(), file), "{file}");
    }
    assert!(!exists(home.path(), "2024/12/31/22-tool-invocations.jsonl"));
    let mode = |file: &str| {
        fs::metadata(home.path().join(file))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("2025/01/01/00-security-events.jsonl"), 0o600);
    assert_eq!(mode("2024/12/31/22-tool-invocations.jsonl.gz"), 0o600);
    assert_eq!(mode("2025/01"), 0o700);
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn r204_an_idle_hour_ends_by_the_clock_alone_and_a_clock_that_steps_back_opens_no_old_file() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    clock.advance(HOUR);
    assert!(sink.flush().await);
    assert!(exists(
        home.path(),
        "2025/01/28/10-security-events.jsonl.gz"
    ));
    let before = Timestamp::from_seconds(clock.now().seconds() - 3_000);
    sink.reserve()
        .unwrap()
        .write(Record::new(Event::ToolInvocation, before, "req_late"));
    assert!(sink.flush().await);
    assert!(exists(home.path(), "2025/01/28/11-tool-invocations.jsonl"));
    assert!(!exists(home.path(), "2025/01/28/10-tool-invocations.jsonl"));
    assert!(sink.close().await);
    // A start with the clock set back continues after the hour that was closed.
    let again = Sink::open(&settings(home.path()), key(), morning()).unwrap();
    assert!(again.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn r206_a_crash_during_compression_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.close().await);
    let plain = Hour::of(clock.now()).file(home.path(), Kind::Tools);
    // Both rests that a crash can leave: a half-written file aside, and a renamed one beside the plain one.
    fs::write(
        home.path()
            .join("2025/01/28/10-tool-invocations.jsonl.gz.tmp"),
        "half",
    )
    .unwrap();
    fs::write(compressed(&plain), "not even gzip").unwrap();
    clock.advance(HOUR * 2);
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    assert!(sink.flush().await);
    assert!(!plain.exists());
    assert!(!exists(
        home.path(),
        "2025/01/28/10-tool-invocations.jsonl.gz.tmp"
    ));
    let user = query::Filter {
        user: Some("1".into()),
        ..query::Filter::default()
    };
    assert_eq!(
        find(home.path(), &user, query::View::Lines).lines().count(),
        1
    );
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_and_told_and_the_chain_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::AuthFailure, "1");
    assert!(sink.close().await);
    let path = Hour::of(clock.now()).file(home.path(), Kind::Security);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(br#"{"timestamp":"2025-01-28T10:3"#);
    fs::write(&path, torn).unwrap();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains(r#""torn_bytes":29"#)
    );
}

#[tokio::test]
async fn r207_hours_older_than_the_retention_are_removed_and_younger_ones_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let week = Settings {
        retention: Duration::from_secs(7 * 86_400),
        ..settings(home.path())
    };
    let sink = Sink::open(&week, key(), clock.clone()).unwrap();
    for _ in 0..10 {
        put(&sink, &clock, Event::ToolInvocation, "1");
        assert!(sink.flush().await);
        clock.advance(HOUR * 24);
    }
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.flush().await);
    for (file, is_kept) in [
        ("2025/01/28", false),
        ("2025/01/30", false),
        ("2025/01/31/10-tool-invocations.jsonl.gz", true),
        ("2025/02/06/10-tool-invocations.jsonl.gz", true),
    ] {
        assert_eq!(exists(home.path(), file), is_kept, "{file}");
    }
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.first_seq > Some(1));
}

/// The hours that the trail has files of, as `YYYY/MM/DD/HH`.
fn hours(root: &Path) -> Vec<String> {
    let hours = super::super::files::hours(root).unwrap();
    hours.into_iter().map(Hour::path).collect()
}

#[tokio::test]
async fn r204_r207_a_clock_that_leaps_ahead_and_back_removes_nothing_and_names_no_file() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    clock.set_forward(HOUR * 24 * 3650);
    put(&sink, &clock, Event::ToolInvocation, "2");
    assert!(sink.flush().await);
    clock.advance(HOUR / 2);
    put(&sink, &clock, Event::ToolInvocation, "3");
    assert!(sink.flush().await);
    clock.set_back(HOUR * 24 * 3650);
    put(&sink, &clock, Event::ToolInvocation, "4");
    assert!(sink.flush().await);
    assert_eq!(hours(home.path()), ["2025/01/28/10", "2025/01/28/11"]);
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!((report.findings, report.first_seq), (vec![], Some(1)));
}

#[tokio::test]
async fn r207_a_clock_that_stays_ahead_names_files_after_an_hour_and_removes_none_for_a_day() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let week = Settings {
        retention: HOUR * 24 * 7,
        ..settings(home.path())
    };
    let sink = Sink::open(&week, key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.flush().await);
    clock.set_forward(HOUR * 24 * 365);
    for _ in 0..20 {
        clock.advance(HOUR);
        put(&sink, &clock, Event::ToolInvocation, "1");
        assert!(sink.flush().await);
    }
    assert!(hours(home.path()).contains(&"2026/01/28/12".to_owned()));
    // Starting anew is no way round: hours behind a gap vouch for nothing until they go on for a day.
    assert!(sink.close().await);
    let sink = Sink::open(&week, key(), clock.clone()).unwrap();
    assert!(sink.flush().await);
    let first = "2025/01/28/10-tool-invocations.jsonl.gz";
    assert!(exists(home.path(), first));
    for _ in 0..26 {
        clock.advance(HOUR);
        assert!(sink.flush().await);
    }
    assert!(!exists(home.path(), first), "it has held for a day");
    assert!(sink.close().await);
}

#[tokio::test]
async fn r204_files_stay_hourly_while_the_clock_is_behind_the_trail() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    clock.set_forward(HOUR * 24 * 3650);
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.flush().await);
    clock.set_back(HOUR * 24 * 3650);
    for _ in 0..3 {
        put(&sink, &clock, Event::ToolInvocation, "2");
        assert!(sink.flush().await);
        clock.advance(HOUR);
    }
    assert!(sink.flush().await);
    let hours = hours(home.path());
    assert_eq!(hours.len(), 3, "{hours:?}");
    assert!(hours.iter().all(|hour| hour.starts_with("2035/")));
    assert!(sink.close().await);
    let report = verify(home.path(), &KeyRing::new(vec![key()]), &[]).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn r208_r283_r302_r303_r304_queries_find_exactly_the_planted_rows() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "12345");
    put(&sink, &clock, Event::UnauthorizedAccess, "12345");
    clock.advance(HOUR);
    let mut record = Record::new(Event::ToolInvocation, clock.now(), "req_failed");
    record.user("777").failed("upstream_error", "no answer");
    sink.reserve().unwrap().write(record);
    put(&sink, &clock, Event::TokenIssued, "12345");
    assert!(sink.flush().await);
    let date = query::parse_date("2025-01-28");
    let filter = query::Filter::default;
    let timeline = |filter: query::Filter| find(home.path(), &filter, query::View::Timeline);
    assert_eq!(
        timeline(query::Filter {
            user: Some("user_12345".into()),
            date,
            ..filter()
        }),
        "2025-01-28T10:30:00.000Z\ttool_invocation\tsuccess\n\
         2025-01-28T10:30:00.000Z\tunauthorized_access\tsuccess\n\
         2025-01-28T11:30:00.000Z\ttoken_issued\tsuccess\n"
    );
    for (filter, rows) in [
        (
            query::Filter {
                hour: Some(10),
                ..filter()
            },
            2,
        ),
        (
            query::Filter {
                date: query::parse_date("2025-01-29"),
                ..filter()
            },
            0,
        ),
        (
            query::Filter {
                severity: Some(Severity::High),
                ..filter()
            },
            1,
        ),
        (
            query::Filter {
                status: Some(Outcome::Error),
                ..filter()
            },
            1,
        ),
        (
            query::Filter {
                notable: true,
                ..filter()
            },
            2,
        ),
        (
            query::Filter {
                kind: Some(Kind::Auth),
                ..filter()
            },
            1,
        ),
        (
            query::Filter {
                request_id: Some("req_failed".into()),
                ..filter()
            },
            1,
        ),
    ] {
        assert_eq!(timeline(filter.clone()).lines().count(), rows, "{filter:?}");
    }
}

#[tokio::test]
async fn r192_r194_r508_planted_secrets_do_not_reach_the_files() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    let mut record = Record::new(Event::ToolInvocation, clock.now(), "req_1");
    record
        .tool("mcp_0canaryNotARealToken0")
        .path("/mcp/canary@example.com")
        .user_agent("agent (Bearer canary-not-a-real-token)")
        .token_id("550e8400-e29b-41d4-a716-446655440000")
        .detail("api_key", "canary")
        .detail("note", "mail canary@example.com")
        .failed("upstream", "refused: password=canary&x");
    sink.reserve().unwrap().write(record);
    assert!(sink.close().await);
    let lines = find(home.path(), &query::Filter::default(), query::View::Lines);
    assert!(!lines.to_lowercase().contains("canary"), "{lines}");
    assert!(lines.contains("550e8400-e29b-41d4-a716-446655440000"));
}

#[test]
fn a_captured_trail_shows_its_lines_and_can_refuse() {
    let clock = morning();
    let (sink, captured) = Sink::capture(clock.clone());
    put(&sink, &clock, Event::ToolInvocation, "1");
    put(&sink, &clock, Event::ToolInvocation, "2");
    let records = captured.records();
    assert_eq!(records[1]["user_id"], "2");
    assert_eq!(records[1]["prev"], records[0]["mac"]);
    captured.refuse(Some(Refused::Unwritable));
    assert_eq!(sink.reserve().map(drop), Err(Refused::Unwritable));
}

#[test]
fn a_writer_that_fell_leaves_a_trail_that_refuses() {
    let home = tempfile::tempdir().unwrap();
    let shared = Shared::new(&settings(home.path()), morning());
    let (chores, _list) = mpsc::channel();
    let told = Arc::clone(&shared);
    let writer = Writer::open(
        &settings(home.path()),
        key(),
        (morning(), Arc::new(Machine)),
        told,
        chores,
    )
    .unwrap();
    assert_eq!(shared.check(), Ok(()));
    drop(writer);
    assert_eq!(shared.check(), Err(Refused::Unwritable));
}
