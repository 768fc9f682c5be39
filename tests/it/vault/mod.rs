//! The vault over the store on disk, and its verbs as processes that can be killed.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sallygate::audit::Sink;
use sallygate::clock::Clock;
use sallygate::config::key_bytes;
use sallygate::secret::Secret;
use sallygate::store::redb;
use sallygate::vault::{Keeping, Settings, Vault};
use tempfile::TempDir;

use crate::harness::process::{ended, sallygate};

mod online;

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
const NEW: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
const SIGNING: &str = "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
const NAMES: usize = 5;
/// Users of a vault that no gateway serves, and how often its rotation is killed.
const USERS: usize = 500;
const KILLS: u64 = 5;

fn value(user: usize, name: usize) -> String {
    format!("canary-not-a-real-token-{user}-{name}")
}

/// The vault of a store, opened by this process; it is let go when the vault is dropped.
async fn vault(file: &Path, key: &str) -> Vault {
    let clock = Clock::system();
    let settings = Settings {
        keeping: Keeping::Vault,
        key: Some(key_bytes(key)),
        ..Settings::default()
    };
    let store = redb::Redb::open(file, &redb::Settings::default(), &clock).unwrap();
    let (sink, _) = Sink::capture(clock.clone());
    Vault::open(Arc::new(store), &settings, clock, sink)
        .await
        .unwrap()
}

/// Fills a store with the secrets of so many users.
async fn fill(file: &Path, users: usize) {
    let vault = Arc::new(vault(file, OLD).await);
    let writers: Vec<_> = (0..64)
        .map(|part| {
            let vault = Arc::clone(&vault);
            tokio::spawn(async move {
                for user in (part..users).step_by(64) {
                    for name in 0..NAMES {
                        let secret = Secret::new(value(user, name));
                        let (user, name) = (user.to_string(), name.to_string());
                        vault.seal(&user, &name, secret, None).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Everything that it was filled with opens.
async fn holds_all(vault: &Vault, users: usize) {
    for user in 0..users {
        for name in 0..NAMES {
            let wanted = value(user, name);
            let (user, name) = (user.to_string(), name.to_string());
            let opened = vault.open_secret(&user, &name).await.unwrap();
            assert_eq!(opened.unwrap().expose(), &wanted);
        }
    }
}

async fn filled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = "upstream: {url: \"http://127.0.0.1:1/mcp\"}\nvault: {mode: vault}\n";
    std::fs::write(folder.path().join("sallygate.yaml"), config).unwrap();
    fill(&folder.path().join(STORE), USERS).await;
    folder
}

const STORE: &str = ".sallygate/store.redb";
const ROTATE: [&str; 4] = ["vault", "rotate", "--data-keys", "--retire"];
const KEYS: [(&str, &str); 3] = [
    ("JWT_SECRET", SIGNING),
    ("ENCRYPTION_KEY", NEW),
    ("ENCRYPTION_KEY_PREVIOUS", OLD),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_no_gateway_takes_is_done_here_and_killed_loses_nothing() {
    let folder = filled().await;
    let mut killed = 0;
    for round in 1..=KILLS {
        let mut rotate = sallygate(folder.path(), &ROTATE, &KEYS);
        let mut process = rotate
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Somewhere between the start and the end; where it is does not matter.
        tokio::time::sleep(Duration::from_millis(40 + 25 * round)).await;
        process.kill().unwrap();
        killed += usize::from(!process.wait().unwrap().success());
    }
    assert!(killed > 0);
    let last = ended(&mut sallygate(folder.path(), &ROTATE, &KEYS));
    assert_eq!(last.code, 0, "{last:?}");
    let alone = [KEYS[0], KEYS[1]];
    let status = ended(&mut sallygate(folder.path(), &["vault", "status"], &alone));
    assert_eq!(status.code, 0, "{status:?}");
    let lines: Vec<_> = status.out.lines().collect();
    assert_eq!(
        lines[0],
        format!("{} secrets of {USERS} users", USERS * NAMES)
    );
    let under: Vec<_> = lines
        .iter()
        .filter(|line| line.contains(": 500 users, 2500 secrets"))
        .collect();
    assert_eq!((lines.len(), under.len()), (3, 1), "{status:?}");
    assert!(
        under[0].contains("current") && !status.out.contains("between"),
        "{status:?}"
    );
    assert!(
        status.out.contains("retired") && status.out.contains("may be removed"),
        "{status:?}"
    );
    holds_all(&vault(&folder.path().join(STORE), NEW).await, USERS).await;
    let file = std::fs::read(folder.path().join(STORE)).unwrap();
    let canary = b"canary-not-a-real";
    assert!(!file.windows(canary.len()).any(|window| window == canary));
}
