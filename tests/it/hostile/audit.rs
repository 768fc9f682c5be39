//! The disk under the trail fills up, hangs, and comes back. What cannot be written down is not served; what was served is
//! written down, once and in order, as soon as there is room again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sallygate::audit::disk::Disk;
use sallygate::clock::{Clock, Timestamp};
use serde_json::json;

use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::{audit, process, wait};

const KEY: &str = "canary-not-a-real-key-for-the-chain-0123456789";

/// A disk with room for so many bytes, which can also fall silent.
#[derive(Debug)]
struct Moody {
    room: Mutex<usize>,
    silent: Mutex<bool>,
    speaks: Condvar,
}

impl Moody {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            room: Mutex::new(usize::MAX),
            silent: Mutex::new(false),
            speaks: Condvar::new(),
        })
    }

    fn has_room_for(&self, bytes: usize) {
        *self.room.lock().unwrap() = bytes;
    }

    fn is_silent(&self, silent: bool) {
        *self.silent.lock().unwrap() = silent;
        self.speaks.notify_all();
    }
}

impl Disk for Moody {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let silent = self.silent.lock().unwrap();
        drop(self.speaks.wait_while(silent, |silent| *silent));
        let mut room = self.room.lock().unwrap();
        let fits = bytes.len().min(*room);
        *room -= fits;
        file.write_all(&bytes[..fits])?;
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

fn plan() -> Plan {
    Plan::new()
        .settings("audit: { chain_key_file: chain.key }")
        .file("chain.key", KEY)
}

async fn rig(plan: Plan) -> Rig {
    let rig = plan.start().await;
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}});
    rig.upstream.always(&answer);
    rig
}

async fn readiness(rig: &Rig) -> (u16, String) {
    let url = format!("http://{}/readyz", rig.ops_address);
    let ready = Client::plain().get(&url).await;
    (ready.status.as_u16(), ready.text().to_owned())
}

fn id(reply: &Reply) -> String {
    reply.header("x-request-id").unwrap().to_owned()
}

/// Asks until the gateway serves, and keeps the ids of those that were served.
async fn until_served(rig: &Rig, served: &mut Vec<String>) {
    let caller = rig.caller("alice");
    let reply = wait::until("service again", async || {
        let reply = caller.call("echo", json!({})).await;
        (reply.status == 200).then_some(reply)
    });
    served.push(id(&reply.await));
}

/// Every request that was served has its one line, none that was refused has any or reached the upstream, and the chain
/// holds.
async fn everything_is_written(rig: &mut Rig, served: &[String]) {
    assert_eq!(rig.upstream.seen().len(), served.len());
    assert!(rig.drain().await);
    let mut lines = BTreeMap::new();
    for line in audit::lines(rig.audit_dir()) {
        if line["tool_name"] == "echo" {
            let id = line["request_id"].as_str().unwrap().to_owned();
            assert_eq!(lines.insert(id, line), None, "twice");
        }
    }
    assert_eq!(lines.len(), served.len());
    for id in served {
        assert!(lines.contains_key(id), "{id}");
    }
    verified(rig);
}

fn verified(rig: &Rig) {
    let dir = rig.audit_dir();
    let key = dir.ancestors().nth(2).unwrap().join("chain.key");
    fs::write(&key, KEY).unwrap();
    let (dir, key) = (dir.to_str().unwrap(), key.to_str().unwrap());
    let verify = ["audit", "verify", "--dir", dir, "--key-file", key];
    let said = process::run(Path::new("/"), &verify);
    assert_eq!(said.code, 0, "{said:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_and_every_line_is_there_once_it_has_room() {
    let disk = Moody::new();
    let mut rig = rig(plan().disk(disk.clone())).await;
    let mut served = Vec::new();
    // Room for some lines and a part of one, a few times over.
    for room in [2_500, 0, 900] {
        until_served(&rig, &mut served).await;
        disk.has_room_for(room);
        let callers = [Http::One, Http::Two].map(|http| rig.caller_by(http, &Who::new("alice")));
        let refused = wait::until("a refusal", async || {
            for caller in &callers {
                let reply = caller.call("echo", json!({})).await;
                match reply.status.as_u16() {
                    200 => served.push(id(&reply)),
                    _ => return Some(reply),
                }
            }
            None
        });
        let refused = refused.await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.json()["error"]["code"], "audit_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(readiness(&rig).await, (503, "not ready: audit\n".into()));
        let metrics = rig.metrics().await;
        assert!(
            metrics.contains("\nsallygate_audit_refusing 1\n"),
            "{metrics}"
        );
        let denied = "sallygate_denials_total{reason=\"audit_unwritable\",stage=\"limits\"}";
        assert!(metrics.contains(denied), "{metrics}");
        // No door of the gateway is open, whoever asks and for what.
        let client = rig.client(Http::One);
        for path in [
            "/health",
            "/.well-known/oauth-protected-resource/mcp",
            "/oauth/authorize",
            "/auth/me",
        ] {
            let reply = client.get(&format!("{PUBLIC}{path}")).await;
            assert_eq!(reply.status, 503, "{path}");
        }
        disk.has_room_for(usize::MAX);
    }
    until_served(&rig, &mut served).await;
    assert_eq!(readiness(&rig).await.0, 200);
    let metrics = rig.metrics().await;
    assert!(
        metrics.contains("\nsallygate_audit_refusing 0\n"),
        "{metrics}"
    );
    everything_is_written(&mut rig, &served).await;
}

#[tokio::test]
async fn a_disk_that_does_not_answer_refuses_at_once_after_the_deadline_and_loses_nothing() {
    let disk = Moody::new();
    let clock = Clock::manual(Timestamp::from_seconds(1_790_000_000));
    let mut rig = rig(plan().disk(disk.clone()).clock(&clock)).await;
    let caller = rig.caller("alice");
    disk.is_silent(true);
    let mut served = Vec::new();
    for _ in 0..20 {
        // Within the deadline requests are served, and their lines wait.
        let reply = caller.call("echo", json!({})).await;
        assert_eq!(reply.status, 200);
        served.push(id(&reply));
    }
    clock.advance(Duration::from_secs(6));
    for _ in 0..20 {
        assert_eq!(caller.call("echo", json!({})).await.status, 503);
    }
    assert_eq!(readiness(&rig).await, (503, "not ready: audit\n".into()));
    let metrics = rig.metrics().await;
    let figure = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(figure("sallygate_audit_oldest_unwritten_seconds ") >= 6.0);
    assert!(figure("sallygate_audit_queue_depth ") >= 20.0);
    assert!(figure("sallygate_audit_queue_bytes ") > 0.0);
    assert!(metrics.contains("reason=\"audit_stalled\""), "{metrics}");
    disk.is_silent(false);
    until_served(&rig, &mut served).await;
    everything_is_written(&mut rig, &served).await;
}

/// The same on a real file system that fills up, three times. It has to be mounted, so it runs where that is allowed:
/// `cargo test --test it real_file_system -- --ignored`.
#[tokio::test]
#[ignore = "mounts a file system, for which it has to be run by the superuser"]
async fn a_real_file_system_that_fills_up_is_survived() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().to_str().unwrap();
    let mounted =
        |args: &[&str]| assert!(Command::new("mount").args(args).status().unwrap().success());
    mounted(&["-t", "tmpfs", "-o", "size=256k", "tmpfs", place]);
    let yaml = format!("audit: {{ chain_key_file: chain.key, dir: \"{place}/trail\" }}");
    let plan = Plan::new().settings(&yaml).file("chain.key", KEY);
    let mut rig = rig(plan).await;
    let mut served = Vec::new();
    let ballast = home.path().join("ballast");
    let caller = rig.caller("alice");
    for _ in 0..3 {
        // As much as fits.
        let _ = fs::write(&ballast, vec![0; 512 * 1024]);
        wait::until("a refusal", async || {
            let reply = caller.call("echo", json!({})).await;
            match reply.status.as_u16() {
                200 => served.push(id(&reply)),
                _ => return Some(()),
            }
            None
        })
        .await;
        let _ = fs::remove_file(&ballast);
        until_served(&rig, &mut served).await;
    }
    assert_eq!(rig.upstream.seen().len(), served.len());
    assert!(rig.drain().await);
    let lines = audit::lines(rig.audit_dir());
    for id in &served {
        let count = lines
            .iter()
            .filter(|line| line["request_id"] == **id)
            .count();
        assert_eq!(count, 1, "{id}");
    }
    let key = home.path().join("chain.key");
    fs::write(&key, KEY).unwrap();
    let dir = rig.audit_dir().to_str().unwrap();
    let verify = [
        "audit",
        "verify",
        "--dir",
        dir,
        "--key-file",
        key.to_str().unwrap(),
    ];
    let said = process::run(Path::new("/"), &verify);
    let _ = Command::new("umount").arg("-l").arg(place).status();
    assert_eq!(said.code, 0, "{said:?}");
}
