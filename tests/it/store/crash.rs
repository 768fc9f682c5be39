//! A process that writes and takes, says what was confirmed, and is killed a hundred times at moments nobody chose. What it
//! said has to be true afterwards: every record that it wrote is there, and none that it took comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sallygate::clock::Clock;
use sallygate::random;
use sallygate::store::{Key, Redb, Store, Table, redb};

const ROUNDS: u32 = 100;
const FOLDER: &str = "SALLYGATE_TEST_STORE";
const CHILD: &str = "store::crash::writes_until_it_is_killed";

fn open(folder: &Path) -> Redb {
    let path = folder.join("store.redb");
    Redb::open(&path, &redb::Settings::default(), &Clock::system()).unwrap()
}

fn key(id: &str) -> Key {
    Key::new(Table::Code, id)
}

/// What the process that is killed does: on eight tasks, so that it is killed in the midst of transactions of many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is started and killed by the test below"]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = std::sync::Arc::new(open(Path::new(&folder)));
    say("open");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let store = std::sync::Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            loop {
                let id = random::hex::<8>().unwrap();
                let value = vec![b'v'; usize::from(id.as_bytes()[0]) * 20];
                say(&format!("putting {id}"));
                store.put(&key(&id), value, None).await.unwrap();
                say(&format!("put {id}"));
                if id.as_bytes()[1].is_multiple_of(2) {
                    say(&format!("taking {id}"));
                    assert!(store.take(&key(&id)).await.unwrap().is_some());
                    say(&format!("took {id}"));
                }
            }
        }));
    }
    let (ended, _, _) = futures_util::future::select_all(tasks).await;
    ended.unwrap();
}

/// One line in one write, which a kill cannot cut in two.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("\n@{line}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// What is known about a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Unsure,
    There,
    Gone,
}

/// Runs the process and kills it after this long; yields what it said.
fn run_and_kill(folder: &Path, after: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut begun = None;
    for line in output.lines().map_while(Result::ok) {
        let Some(line) = line.strip_prefix('@') else {
            continue;
        };
        said.push(line.to_owned());
        let since: &mut Instant = begun.get_or_insert_with(Instant::now);
        if since.elapsed() >= after {
            let _ = child.kill();
        }
    }
    child.wait().unwrap();
    assert_eq!(said.first().map(String::as_str), Some("open"), "{after:?}");
    said
}

#[tokio::test]
async fn killed_a_hundred_times_it_keeps_what_it_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    for round in 0..ROUNDS {
        let chosen = u64::from(random::bytes::<1>().unwrap()[0]);
        let after = Duration::from_micros(chosen * 150);
        for line in run_and_kill(folder.path(), after) {
            let (what, id) = line.split_once(' ').unwrap_or((&line, ""));
            let state = match what {
                "put" => Known::There,
                "took" => Known::Gone,
                "putting" | "taking" => Known::Unsure,
                _ => continue,
            };
            known.insert(id.to_owned(), state);
        }
        let store = open(folder.path());
        if round % 10 == 9 {
            check(&store, &known).await;
        }
    }
    let settled = known.values().filter(|known| **known != Known::Unsure);
    assert!(settled.count() > 500, "too little was proven");
}

async fn check(store: &Redb, known: &BTreeMap<String, Known>) {
    let mut there = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.scan(Table::Code, "", after.as_deref(), 1000).await;
        let page = page.unwrap();
        let Some((last, _)) = page.last() else {
            break;
        };
        after = Some(last.clone());
        there.extend(page.into_iter().map(|(id, _)| id));
    }
    for (id, known) in known {
        match known {
            Known::There => assert!(there.contains(id), "{id} was confirmed and is lost"),
            Known::Gone => assert!(!there.contains(id), "{id} was taken and came back"),
            Known::Unsure => {}
        }
    }
    for id in &there {
        assert!(known.contains_key(id), "{id} was never written");
    }
}
