//! A disk that fails in every way it can: full, read-only, torn, silent, forgetful. Whatever it does, no promised line is lost
//! or repeated, and the chain verifies.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Condvar, Mutex};

use proptest::prelude::*;

use super::super::event::{Event, Kind};
use super::super::files::Hour;
use super::super::verify::{Report, verify};
use super::super::{KeyRing, query};
use super::tests::{HOUR, find, key, morning, put, settings};
use super::*;

/// What the disk does with the next calls; when the list is used up it works.
#[derive(Debug, Default)]
struct Faulty {
    appends: Mutex<Vec<Fault>>,
    syncs: Mutex<Vec<Fault>>,
    hanging: Mutex<bool>,
    released: Condvar,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// It takes so many bytes and then fails.
    After(usize),
    /// It does not answer until it is told to.
    Hang,
}

impl Faulty {
    fn appending(faults: &[Fault]) -> Arc<Self> {
        let disk = Self::default();
        *disk.appends.lock().unwrap() = faults.iter().rev().copied().collect();
        Arc::new(disk)
    }

    fn will(&self, appends: &[Fault], syncs: &[Fault]) {
        *self.appends.lock().unwrap() = appends.iter().rev().copied().collect();
        *self.syncs.lock().unwrap() = syncs.iter().rev().copied().collect();
    }

    fn wait(&self) {
        let mut hanging = self.hanging.lock().unwrap();
        *hanging = true;
        self.released.notify_all();
        drop(self.released.wait_while(hanging, |hanging| *hanging));
    }

    fn hangs(&self) {
        let hanging = self.hanging.lock().unwrap();
        drop(self.released.wait_while(hanging, |hanging| !*hanging));
    }

    fn release(&self) {
        *self.hanging.lock().unwrap() = false;
        self.released.notify_all();
    }
}

impl Disk for Faulty {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let fault = self.appends.lock().unwrap().pop();
        match fault.unwrap_or(Fault::None) {
            Fault::None => file.write_all(bytes),
            Fault::After(count) => {
                file.write_all(&bytes[..count.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Hang => {
                self.wait();
                file.write_all(bytes)
            }
        }
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        let fault = self.syncs.lock().unwrap().pop();
        match fault.unwrap_or(Fault::None) {
            Fault::None => Ok(()),
            Fault::After(_) => Err(io::Error::other("it could not be flushed")),
            Fault::Hang => {
                self.wait();
                Ok(())
            }
        }
    }
}

fn report(root: &Path) -> Report {
    verify(root, &KeyRing::new(vec![key()]), &[]).unwrap()
}

/// The users of the lines, in the order of the chain.
fn users(root: &Path) -> Vec<String> {
    let lines = find(root, &query::Filter::default(), query::View::Lines);
    let users = lines.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        Some(line["user_id"].as_str()?.to_owned())
    });
    users.collect()
}

const EVENTS: [Event; 3] = [
    Event::TokenIssued,
    Event::ToolInvocation,
    Event::AuthFailure,
];

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::None),
        1 => (0_usize..4_000).prop_map(Fault::After),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_fails_no_promised_line_is_lost_repeated_or_reordered(
        appends in proptest::collection::vec(fault(), 0..24),
        syncs in proptest::collection::vec(fault(), 0..6),
        kinds in proptest::collection::vec(0_usize..3, 1..40),
        checkpoint_lines in 1_u64..8,
    ) {
        let home = tempfile::tempdir().unwrap();
        let clock = morning();
        let disk = Faulty::appending(&[]);
        let often = Settings { checkpoint_lines, ..settings(home.path()) };
        let sink = Sink::open_on(&often, key(), clock.clone(), disk.clone()).unwrap();
        let slots: Vec<_> = kinds.iter().map(|_| sink.reserve().unwrap()).collect();
        disk.will(&appends, &syncs);
        for (number, (slot, kind)) in slots.into_iter().zip(&kinds).enumerate() {
            let mut record = Record::new(EVENTS[*kind], clock.now(), "req_test");
            record.user(&number.to_string());
            slot.write(record);
            if number == kinds.len() / 2 {
                clock.advance(HOUR);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { while !sink.flush().await {} });
        disk.will(&[], &[]);
        prop_assert_eq!(sink.stats().depth, 0);
        prop_assert_eq!(sink.stats().bytes, 0);
        prop_assert_eq!(sink.ready(), Ok(()));
        prop_assert!(runtime.block_on(sink.close()));
        let expected: Vec<_> = (0..kinds.len()).map(|number| number.to_string()).collect();
        prop_assert_eq!(users(home.path()), expected);
        prop_assert_eq!(report(home.path()).findings, []);
    }
}

#[tokio::test]
async fn a_disk_that_hangs_refuses_at_once_keeps_what_was_promised_and_recovers_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let disk = Faulty::appending(&[]);
    let sink = Sink::open_on(&settings(home.path()), key(), clock.clone(), disk.clone()).unwrap();
    let held = sink.reserve().unwrap();
    disk.will(&[Fault::Hang], &[]);
    put(&sink, &clock, Event::ToolInvocation, "1");
    disk.hangs();
    clock.advance(Duration::from_secs(6));
    assert_eq!(sink.reserve().map(drop), Err(Refused::Stalled));
    assert_eq!(sink.ready(), Err(Refused::Stalled));
    let stats = sink.stats();
    assert!(
        stats.refusing && stats.depth == 2 && stats.bytes > 0,
        "{stats:?}"
    );
    assert!(stats.waiting >= Duration::from_secs(6), "{stats:?}");
    held.write(Record::new(Event::AuthFailure, clock.now(), "req_held"));
    disk.release();
    assert!(sink.flush().await);
    assert_eq!(sink.ready(), Ok(()));
    let stats = sink.stats();
    assert_eq!((stats.depth, stats.bytes, stats.refusing), (0, 0, false));
    assert_eq!(stats.waiting, Duration::ZERO);
    assert!(sink.close().await);
    assert_eq!(report(home.path()).findings, []);
    let lines = find(home.path(), &query::Filter::default(), query::View::Lines);
    assert!(lines.contains("req_held"));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_disk_that_hangs_also_at_the_end() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let disk = Faulty::appending(&[]);
    let sink = Sink::open_on(&settings(home.path()), key(), clock.clone(), disk.clone()).unwrap();
    disk.will(&[Fault::Hang], &[]);
    put(&sink, &clock, Event::ToolInvocation, "1");
    disk.hangs();
    assert!(!sink.flush().await);
    assert!(!sink.close().await);
    disk.release();
}

#[test]
fn what_waits_for_the_disk_is_bounded_in_bytes() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let disk = Faulty::appending(&[]);
    let small = Settings {
        queue_bytes: ByteSize::kib(64),
        ..settings(home.path())
    };
    let sink = Sink::open_on(&small, key(), clock.clone(), disk.clone()).unwrap();
    disk.will(&[Fault::Hang], &[]);
    put(&sink, &clock, Event::ToolInvocation, "0");
    disk.hangs();
    let mut waiting = 0;
    while let Ok(slot) = sink.reserve() {
        let mut record = Record::new(Event::ToolInvocation, clock.now(), "req_test");
        record.detail("arguments", "a text ".repeat(1_000));
        slot.write(record);
        waiting += 1;
    }
    assert!((5..=10).contains(&waiting), "{waiting}");
    assert_eq!(sink.reserve().map(drop), Err(Refused::Full));
    assert!(sink.stats().bytes < 80 * 1024);
    disk.release();
}

#[tokio::test]
async fn a_folder_that_was_replaced_is_refused_until_the_real_one_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (root, aside) = (home.path().join("trail"), home.path().join("aside"));
    let clock = morning();
    let sink = Sink::open(&settings(&root), key(), clock.clone()).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "1");
    assert!(sink.flush().await);
    let held = sink.reserve().unwrap();
    fs::rename(&root, &aside).unwrap();
    put(&sink, &clock, Event::ToolInvocation, "2");
    assert!(!sink.flush().await);
    assert!(!root.exists(), "nothing is made where the folder was");
    fs::create_dir(&root).unwrap();
    assert!(!sink.flush().await);
    assert_eq!(sink.ready(), Err(Refused::Unwritable));
    let mut record = Record::new(Event::ToolInvocation, clock.now(), "req_held");
    held.write(record.user("3").clone());
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    while !sink.flush().await {}
    assert!(sink.close().await);
    assert_eq!(users(&root), ["1", "2", "3"]);
    assert_eq!(report(&root).findings, []);
}

#[tokio::test]
async fn a_file_that_was_cut_or_removed_is_written_again_as_far_as_it_is_still_kept() {
    for cut in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let clock = morning();
        let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
        for user in ["1", "2", "3"] {
            put(&sink, &clock, Event::ToolInvocation, user);
        }
        assert!(sink.flush().await);
        let file = Hour::of(clock.now()).file(home.path(), Kind::Tools);
        match cut {
            true => fs::write(&file, "").unwrap(),
            false => fs::remove_file(&file).unwrap(),
        }
        put(&sink, &clock, Event::ToolInvocation, "4");
        while !sink.flush().await {}
        assert!(sink.stats().errors > 0, "it was noticed");
        assert!(sink.close().await);
        assert_eq!(users(home.path()), ["1", "2", "3", "4"]);
        assert_eq!(report(home.path()).findings, []);
    }
}

#[tokio::test]
async fn lines_torn_by_a_crash_are_cut_in_every_file_also_when_the_next_start_is_hours_later() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    for event in EVENTS {
        put(&sink, &clock, event, "1");
    }
    assert!(sink.close().await);
    for kind in Kind::ALL {
        let path = Hour::of(clock.now()).file(home.path(), kind);
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(br#"{"timestamp":"2025-01-28T10:3"#).unwrap();
    }
    clock.advance(HOUR * 5);
    let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
    assert!(sink.flush().await);
    assert!(sink.close().await);
    assert_eq!(report(home.path()).findings, []);
    let checkpoints = query::Filter {
        checkpoints: true,
        ..query::Filter::default()
    };
    let lines = find(home.path(), &checkpoints, query::View::Lines);
    assert!(lines.contains(r#""torn_bytes":87"#), "{lines}");
}

/// Takes the last lines of a kind's file away, as a crash does that keeps them from the disk.
fn lose(root: &Path, clock: &Clock, kind: Kind, count: usize) {
    let path = Hour::of(clock.now()).file(root, kind);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let kept = &lines[..lines.len() - count];
    fs::write(
        path,
        kept.iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .unwrap();
}

#[tokio::test]
async fn lines_that_a_crash_kept_from_the_disk_are_owned_up_to_and_those_before_the_flush_never() {
    for (is_flushed, is_old) in [(false, false), (true, false), (false, true)] {
        let home = tempfile::tempdir().unwrap();
        let clock = morning();
        let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
        put(&sink, &clock, Event::ToolInvocation, "1");
        if is_old {
            clock.advance(Duration::from_secs(30));
            assert!(sink.flush().await);
            // Somebody puts an old signature back, to let his deed look like a crash.
            clock.advance(Duration::from_secs(200));
        }
        put(&sink, &clock, Event::ToolInvocation, "2");
        put(&sink, &clock, Event::AuthFailure, "3");
        let head = fs::read(home.path().join("chain-head.json")).unwrap();
        assert!(sink.close().await);
        if !is_flushed {
            // As it was before the close, which signs: the last lines are behind the signature.
            fs::write(home.path().join("chain-head.json"), head).unwrap();
            lose(home.path(), &clock, Kind::Security, 1);
        }
        lose(home.path(), &clock, Kind::Tools, 1);
        let sink = Sink::open(&settings(home.path()), key(), clock.clone()).unwrap();
        assert!(sink.close().await);
        let report = report(home.path());
        match is_flushed || is_old {
            false => {
                assert_eq!(report.findings, []);
                assert_eq!(report.lost, [(3, 3)]);
            }
            true => assert_eq!(report.findings.len(), 1, "{report:?}"),
        }
    }
}

#[tokio::test]
async fn a_closed_file_that_cannot_be_compressed_or_removed_keeps_no_other_from_its_turn() {
    let home = tempfile::tempdir().unwrap();
    let clock = morning();
    let week = Settings {
        retention: HOUR * 24 * 7,
        ..settings(home.path())
    };
    let sink = Sink::open(&week, key(), clock.clone()).unwrap();
    for event in EVENTS {
        put(&sink, &clock, event, "1");
    }
    assert!(sink.flush().await);
    let first = Hour::of(clock.now());
    // Where the compressed file should be made, there is a folder, which is neither written nor removed.
    let blocked = first
        .file(home.path(), Kind::Auth)
        .with_extension("jsonl.gz.tmp");
    fs::create_dir_all(blocked.join("full")).unwrap();
    clock.advance(HOUR);
    assert!(sink.flush().await);
    assert!(sink.stats().untidy > 0);
    assert_eq!(sink.ready(), Ok(()), "lines can be written all the same");
    assert!(!first.file(home.path(), Kind::Tools).exists());
    for _ in 0..9 {
        clock.advance(HOUR * 24);
        put(&sink, &clock, Event::ToolInvocation, "2");
        assert!(sink.flush().await);
    }
    let tools = first
        .file(home.path(), Kind::Tools)
        .with_extension("jsonl.gz");
    assert!(!tools.exists(), "removed beside the one that cannot be");
    assert!(sink.close().await);
}

/// The folder as a process that is killed now would leave it. The signature is copied first, as it is the oldest of what is
/// on a disk.
fn as_left_by_a_crash(root: &Path, clock: &Clock) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    let head = "chain-head.json";
    fs::copy(root.join(head), left.path().join(head)).unwrap();
    for kind in Kind::ALL {
        let (from, to) = (
            Hour::of(clock.now()).file(root, kind),
            Hour::of(clock.now()).file(left.path(), kind),
        );
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        if from.exists() {
            fs::copy(from, to).unwrap();
        }
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_crash_at_any_moment_leaves_a_trail_that_goes_on_and_verifies(
        appends in proptest::collection::vec(fault(), 0..24),
        syncs in proptest::collection::vec(fault(), 0..6),
        kinds in proptest::collection::vec(0_usize..3, 1..40),
        checkpoint_lines in 1_u64..8,
    ) {
        let home = tempfile::tempdir().unwrap();
        let clock = morning();
        let disk = Faulty::appending(&[]);
        let often = Settings { checkpoint_lines, ..settings(home.path()) };
        let sink = Sink::open_on(&often, key(), clock.clone(), disk.clone()).unwrap();
        let slots: Vec<_> = kinds.iter().map(|_| sink.reserve().unwrap()).collect();
        disk.will(&appends, &syncs);
        let mut crashed = Vec::new();
        for (number, (slot, kind)) in slots.into_iter().zip(&kinds).enumerate() {
            slot.write(Record::new(EVENTS[*kind], clock.now(), "req_test"));
            if number % 8 == 0 {
                crashed.push(as_left_by_a_crash(home.path(), &clock));
            }
        }
        crashed.push(as_left_by_a_crash(home.path(), &clock));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for left in crashed {
            clock.advance(Duration::from_secs(1));
            let again = Sink::open(&settings(left.path()), key(), clock.clone()).unwrap();
            put(&again, &clock, Event::ToolInvocation, "after");
            prop_assert!(runtime.block_on(again.close()));
            prop_assert_eq!(report(left.path()).findings, []);
        }
    }
}
