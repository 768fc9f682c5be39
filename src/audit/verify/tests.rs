//! Every way to tamper with the files is named by the report.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::record::Record;
use super::super::sink::{Settings, Sink};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

fn key(byte: u8) -> ChainKey {
    ChainKey::new(Secret::new(vec![byte; 32])).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(vec![key(2), key(1)])
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(1_738_060_200))
}

fn settings(root: &Path) -> Settings {
    Settings {
        directory: root.to_owned(),
        checkpoint_lines: 4,
        ..Settings::default()
    }
}

async fn run(root: &Path, key: ChainKey, clock: &Clock, lines: usize) {
    let sink = Sink::open(&settings(root), key, clock.clone()).unwrap();
    for number in 0..lines {
        let event = [
            Event::ToolInvocation,
            Event::TokenIssued,
            Event::AuthFailure,
        ][number % 3];
        let record = Record::new(event, clock.now(), &format!("req_{number}"));
        sink.reserve().unwrap().write(record);
        assert!(sink.flush().await);
    }
    assert!(sink.close().await);
}

/// Lines 1 to 14, all of one hour: open, 9 lines with 2 checkpoints between, close.
async fn trail() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), key(1), &clock(), 9).await;
    assert_eq!(verify(home.path(), &ring(), &[]).unwrap().findings, []);
    home
}

fn tools(root: &Path) -> PathBuf {
    root.join("2025/01/28/10-tool-invocations.jsonl")
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).unwrap();
}

fn findings(root: &Path) -> Vec<Finding> {
    verify(root, &ring(), &[]).unwrap().findings
}

#[tokio::test]
async fn a_changed_character_is_found_in_its_line() {
    let home = trail().await;
    edit(&tools(home.path()), |lines| {
        lines[1] = lines[1].replace("success", "failure");
    });
    let found = findings(home.path());
    assert!(
        matches!(&found[..], [Finding::BadSeal(place, _)] if place.line == 2),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_removed_line_is_missing() {
    let home = trail().await;
    edit(&tools(home.path()), |lines| {
        lines.remove(1);
    });
    assert!(matches!(&findings(home.path())[..], [Finding::Missing(from, to)] if from == to));
}

#[tokio::test]
async fn exchanged_lines_are_out_of_order() {
    let home = trail().await;
    edit(&tools(home.path()), |lines| lines.swap(0, 1));
    let found = findings(home.path());
    assert!(
        found
            .iter()
            .any(|one| matches!(one, Finding::OutOfOrder(..))),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_repeated_line_is_out_of_order_and_a_forged_one_has_no_seal() {
    let home = trail().await;
    edit(&tools(home.path()), |lines| lines.push(lines[2].clone()));
    let found = findings(home.path());
    assert!(matches!(&found[..], [Finding::OutOfOrder(..)]), "{found:?}");
    let home = trail().await;
    edit(&tools(home.path()), |lines| {
        lines.push("{\"seq\":99}".into())
    });
    assert!(matches!(
        &findings(home.path())[..],
        [Finding::Malformed(_)]
    ));
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_signed_head() {
    let home = trail().await;
    let security = home.path().join("2025/01/28/10-security-events.jsonl");
    edit(&security, |lines| {
        lines.pop();
    });
    let found = findings(home.path());
    assert!(
        matches!(&found[..], [Finding::CutTail { signed, found }] if *signed == found + 1),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_cut_tail_with_an_old_head_is_found_by_an_anchor_kept_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let clock = clock();
    run(home.path(), key(1), &clock, 1).await;
    let backup = tempfile::tempdir().unwrap();
    let head = home.path().join("chain-head.json");
    fs::copy(&head, backup.path().join("head")).unwrap();
    clock.advance(Duration::from_secs(3_600));
    run(home.path(), key(1), &clock, 1).await;
    let anchor = verify(home.path(), &ring(), &[]).unwrap().last.unwrap();
    for kind in Kind::ALL {
        let _ = fs::remove_file(files::Hour::of(clock.now()).file(home.path(), kind));
    }
    fs::copy(backup.path().join("head"), &head).unwrap();
    assert_eq!(verify(home.path(), &ring(), &[]).unwrap().findings, []);
    let found = verify(home.path(), &ring(), &[anchor]).unwrap().findings;
    assert!(matches!(&found[..], [Finding::CutTail { .. }]), "{found:?}");
}

#[tokio::test]
async fn a_restart_after_a_cut_tail_keeps_the_hole_visible() {
    let home = trail().await;
    let security = home.path().join("2025/01/28/10-security-events.jsonl");
    edit(&security, |lines| {
        lines.pop();
    });
    run(home.path(), key(1), &clock(), 1).await;
    let found = findings(home.path());
    assert!(
        matches!(&found[..], [Finding::Missing(from, to)] if from == to),
        "{found:?}"
    );
    assert!(
        fs::read_to_string(&security)
            .unwrap()
            .contains(r#""missing_tail":1"#)
    );
}

#[tokio::test]
async fn swapped_and_removed_files_are_found() {
    let home = tempfile::tempdir().unwrap();
    let clock = clock();
    for _ in 0..2 {
        run(home.path(), key(1), &clock, 3).await;
        clock.advance(Duration::from_secs(3_600));
    }
    let day = home.path().join("2025/01/28");
    let [ten, eleven] = ["10", "11"].map(|hour| day.join(format!("{hour}-security-events.jsonl")));
    let (gz, aside) = (files::compressed(&ten), day.join("aside"));
    let first = if gz.exists() { gz } else { ten };
    assert_eq!(findings(home.path()), []);
    fs::rename(&eleven, &aside).unwrap();
    assert!(!findings(home.path()).is_empty(), "a removed file");
    let target = first.with_file_name(
        first
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace("10-", "11-"),
    );
    fs::rename(&first, &target).unwrap();
    fs::rename(&aside, day.join("10-security-events.jsonl")).unwrap();
    let found = findings(home.path());
    assert!(
        found
            .iter()
            .any(|one| matches!(one, Finding::WrongFile(..))),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|one| matches!(one, Finding::OutOfOrder(..))),
        "{found:?}"
    );
}

#[tokio::test]
async fn lines_moved_to_another_kind_are_in_the_wrong_file() {
    let home = trail().await;
    let auth = home.path().join("2025/01/28/10-auth-events.jsonl");
    fs::rename(tools(home.path()), home.path().join("aside")).unwrap();
    fs::rename(&auth, tools(home.path())).unwrap();
    fs::rename(home.path().join("aside"), &auth).unwrap();
    let found = findings(home.path());
    assert!(
        found
            .iter()
            .all(|one| matches!(one, Finding::WrongFile(..)))
            && !found.is_empty()
    );
}

#[tokio::test]
async fn a_missing_or_forged_head_is_found() {
    let home = trail().await;
    let head = home.path().join("chain-head.json");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, text.replace("\"seq\":", "\"seq\":1")).unwrap();
    assert_eq!(findings(home.path()), [Finding::ForgedHead]);
    fs::remove_file(&head).unwrap();
    assert_eq!(findings(home.path()), [Finding::NoHead]);
}

#[tokio::test]
async fn a_new_key_takes_over_inside_the_chain_and_both_are_needed_to_verify() {
    let home = trail().await;
    run(home.path(), key(2), &clock(), 2).await;
    assert_eq!(findings(home.path()), []);
    let found = verify(home.path(), &KeyRing::new(vec![key(2)]), &[]).unwrap();
    assert!(!found.is_intact());
    assert!(
        matches!(&found.findings[0], Finding::UnknownKey(..)),
        "{found:?}"
    );
}
