//! A rotation of ten thousand secrets by a gateway that goes on serving: its users leave keys and look at them meanwhile, and it
//! is killed ten times on the way.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use sallygate::random;
use serde_json::json;
use tokio::task::JoinHandle;

use super::{NAMES, NEW, OLD, ROTATE, fill, holds_all, vault};
use crate::harness::audit;
use crate::harness::client::Client;
use crate::harness::gateway::PUBLIC;
use crate::harness::provider::TOKEN;
use crate::harness::station::Station;

const USERS: usize = 2_000;
const KILLS: u8 = 10;
/// Users who call meanwhile; their data keys are among those that are replaced.
const BUSY: usize = 4;

/// The key that a user leaves for the so manyth time. The provider takes any number of zeros.
fn key(user: usize, version: usize) -> String {
    format!("{TOKEN}{user:0width$}", width = 4 + version)
}

/// A user who leaves one key after the other.
#[derive(Clone, Debug)]
struct Busy {
    user: usize,
    token: String,
    /// The last key that was confirmed.
    confirmed: usize,
    /// The last key that was sent.
    sent: usize,
}

impl Busy {
    /// Leaves keys and looks at them until told to stop, or until the gateway is gone.
    async fn call(mut self, client: Client, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            self.sent += 1;
            let body = json!({ "api_key": key(self.user, self.sent) }).to_string();
            let Some(status) = self.ask(&client, "POST", body).await else {
                break;
            };
            assert_eq!(status, StatusCode::OK);
            self.confirmed = self.sent;
            let Some(status) = self.ask(&client, "GET", String::new()).await else {
                break;
            };
            assert_eq!(status, StatusCode::OK);
        }
        self
    }

    async fn ask(&self, client: &Client, method: &str, body: String) -> Option<StatusCode> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{PUBLIC}/auth/api-key"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let reply = client.answered(request).await?;
        assert!(reply.status.is_success(), "{}", reply.text());
        Some(reply.status)
    }
}

/// Everybody who calls, until told to stop.
fn traffic(station: &Station, busy: Vec<Busy>, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Busy>> {
    let client = station.client(Ipv4Addr::LOCALHOST);
    busy.into_iter()
        .map(|busy| tokio::spawn(busy.call(client.clone(), Arc::clone(stop))))
        .collect()
}

async fn back(traffic: Vec<JoinHandle<Busy>>) -> Vec<Busy> {
    let back = join_all(traffic).await;
    back.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r094_a_gateway_rotates_ten_thousand_secrets_beside_its_traffic_killed_ten_times() {
    let keys = [("ENCRYPTION_KEY", NEW), ("ENCRYPTION_KEY_PREVIOUS", OLD)];
    let mut station = Station::new(&keys).await;
    fill(&station.store(), USERS).await;
    let mut busy: Vec<_> = (0..BUSY).map(|user| caller(&station, user)).collect();
    let running = Arc::new(AtomicBool::new(false));
    let mut broken = 0;
    for round in 0..KILLS {
        station.start().await;
        let calling = traffic(&station, busy, &running);
        let mut rotate = station.begin(&format!("rotate-{round}"), &ROTATE);
        // Somewhere between the order and its end; nobody chose where.
        let chosen = u64::from(random::bytes::<1>().unwrap()[0]);
        tokio::time::sleep(Duration::from_millis(50 + 2 * chosen)).await;
        station.kill();
        broken += usize::from(!rotate.ended().await.success());
        busy = back(calling).await;
    }
    assert!(broken > 0, "it was never killed on the way");
    let unfinished = station.verb(&["vault", "status"]);
    assert!(
        unfinished.out.contains("a rotation stopped after"),
        "{unfinished:?}"
    );

    station.start().await;
    let enough = Arc::new(AtomicBool::new(false));
    let calling = traffic(&station, busy, &enough);
    let last = station.verb(&ROTATE);
    assert_eq!(last.code, 0, "{last:?}");
    enough.store(true, Ordering::Relaxed);
    let busy = back(calling).await;
    one_key_version(&station, busy.len());
    station.stop().await;

    let vault = vault(&station.store(), NEW).await;
    holds_all(&vault, USERS).await;
    let mut left = 0;
    for busy in &busy {
        let opened = vault
            .open_secret(&busy.user.to_string(), "clickup/api_key")
            .await;
        let opened = opened.unwrap().unwrap().expose().clone();
        let possible = (busy.confirmed..=busy.sent).map(|version| key(busy.user, version));
        assert!(
            possible.clone().any(|key| key == opened),
            "{busy:?}: {opened}"
        );
        left += busy.sent;
    }
    println!("{KILLS} kills, {broken} rotations broken off, {left} keys left meanwhile");
    assert!(left > 100, "too little was left meanwhile: {left}");
    for canary in ["canary-not-a-real", TOKEN] {
        let found = audit::files_with(&station.state(), canary);
        assert!(found.is_empty(), "{canary} in {found:?}");
    }
}

fn caller(station: &Station, user: usize) -> Busy {
    let minted = station.verb(&["token", "mint", "--user", &user.to_string()]);
    assert_eq!(minted.code, 0, "{minted:?}");
    Busy {
        user,
        token: minted.out.trim().to_owned(),
        confirmed: 0,
        sent: 0,
    }
}

/// What the gateway says itself while it runs: everything is sealed under the new key, that of the gateway's own too.
fn one_key_version(station: &Station, busy: usize) {
    let status = station.verb(&["vault", "status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let lines: Vec<_> = status.out.lines().collect();
    let (users, secrets) = (USERS + 1, USERS * NAMES + busy + 1);
    assert_eq!(lines[0], format!("{secrets} secrets of {users} users"));
    assert_eq!(lines.len(), 3, "{status:?}");
    let all = format!(": {users} users, {secrets} secrets");
    let under: Vec<_> = lines.iter().filter(|line| line.ends_with(&all)).collect();
    assert!(
        under.len() == 1 && under[0].contains("current"),
        "{status:?}"
    );
    assert!(status.out.contains("retired") && status.out.contains("may be removed"));
}
