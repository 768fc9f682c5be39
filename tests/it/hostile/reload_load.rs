//! Reloads under load: whatever changes, and however often, no request fails, and none is decided by two sets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sallygate::devcert::{DevCert, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::reload::{OTHER_KEY, names, plan, tools};
use crate::harness::client::{Client, Http};
use crate::harness::gateway::{KEY, PUBLIC, Rig, Who};
use crate::harness::mcp::Mcp;
use crate::harness::upstream::FakeUpstream;
use crate::harness::wait;

/// How many reloads a plain test run makes; `SALLYGATE_RELOADS` says how many instead.
const RELOADS: usize = 40;
/// Requests after which a caller comes again with a new connection.
const AT_ONCE: usize = 25;
/// What the two policies let everybody see of the tools `a` to `d`.
const SEEN: [[&str; 2]; 2] = [["a", "c"], ["b", "d"]];
const HIDDEN: [&str; 2] = ["[b, d]", "[a, c]"];

/// What happened to the requests of one caller.
type Tally = BTreeMap<String, usize>;

/// Lists, pings and calls, over connections that last for a while, until it is told to stop.
async fn load(caller: impl Fn() -> Mcp, over: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::new();
    while !over.load(Ordering::Acquire) {
        let caller = caller();
        for _ in 0..AT_ONCE {
            let draft = caller.modern_draft("tools/list", json!({}));
            let what = match caller.attempt(draft).await {
                Err(error) => format!("failed: {error:?}"),
                Ok(answer) => judged(answer).await,
            };
            *tally.entry(what).or_default() += 1;
        }
    }
    tally
}

async fn judged(answer: hyper::Response<hyper::body::Incoming>) -> String {
    use http_body_util::BodyExt;
    let (head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return format!("broken: {error:?}"),
    };
    let reply = crate::harness::client::Reply {
        status: head.status,
        version: head.version,
        headers: head.headers,
        body,
    };
    if reply.status != 200 {
        return format!("{}: {}", reply.status, reply.text());
    }
    let names = names(&reply);
    match SEEN.iter().any(|seen| names == seen[..]) {
        true => "one set".to_owned(),
        false => format!("mixed: {names:?}"),
    }
}

struct Stage {
    rig: Rig,
    other: FakeUpstream,
    pairs: [DevCert; 2],
    bundle: PathBuf,
}

impl Stage {
    async fn start() -> Self {
        let plan = plan().listen("tls: { cert_file: cert.pem, key_file: key.pem }");
        let at = |name: &str| plan.dir().join(name);
        let pairs = ["one", "two"].map(|name| ensure(&at(name), &[]).unwrap());
        let bundle = at("bundle.pem");
        let both = pairs
            .each_ref()
            .map(|pair| fs::read_to_string(&pair.ca_file).unwrap());
        fs::write(&bundle, both.concat()).unwrap();
        show(&at(""), &pairs[0]);
        let rig = plan.start().await;
        rig.edit("[two]", HIDDEN[0]);
        let other = FakeUpstream::start().await;
        for upstream in [&rig.upstream, &other] {
            upstream.always(&tools(&["a", "b", "c", "d"]));
        }
        rig.reload().await.unwrap();
        Self {
            rig,
            other,
            pairs,
            bundle,
        }
    }

    /// Changes one thing after the other: policy, quota, certificate, server, keys.
    async fn change(&self, round: usize) {
        let (rig, odd) = (&self.rig, (round / 5) % 2);
        match round % 5 {
            0 => rig.edit(HIDDEN[odd], HIDDEN[1 - odd]),
            1 => {
                let limit = |odd| format!("free: {{ per_minute: {} }}", 1_000_000 - odd);
                rig.edit(&limit(odd), &limit(1 - odd));
            }
            2 => show(rig.dir(), &self.pairs[1 - odd]),
            3 => {
                let urls = [rig.upstream.url(), self.other.url()];
                rig.edit(&urls[odd], &urls[1 - odd]);
            }
            _ => {
                let held = format!("{{ kid: proof, secret: \"{KEY}\" }}");
                let both = format!("{{ kid: new, secret: \"{OTHER_KEY}\" }}, {held}");
                let keys = [held, both];
                rig.edit(&keys[odd], &keys[1 - odd]);
            }
        }
        let done = rig
            .reload()
            .await
            .unwrap_or_else(|unfit| panic!("{round}: {unfit}"));
        assert!(!done.changed.is_empty(), "{round}");
    }
}

/// Puts a certificate and its key where the gateway reads them.
fn show(dir: &Path, pair: &DevCert) {
    fs::copy(&pair.cert_file, dir.join("cert.pem")).unwrap();
    fs::copy(&pair.key_file, dir.join("key.pem")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_fail_no_request_and_no_answer_is_of_two_sets() {
    let reloads = std::env::var("SALLYGATE_RELOADS").ok();
    let reloads = reloads.map_or(RELOADS, |count| count.parse().unwrap());
    let stage = Stage::start().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for (user, http) in [
        ("alice", Http::One),
        ("bob", Http::Two),
        ("carol", Http::One),
    ] {
        let (address, bundle) = (stage.rig.address, stage.bundle.clone());
        let token = stage.rig.token(&Who::new(user));
        let caller = move || {
            let client = Client::toward(address, &bundle, http);
            Mcp::at(&client, &format!("{PUBLIC}/mcp")).with_token(&token)
        };
        callers.spawn(load(caller, Arc::clone(&over)));
    }
    for round in 0..reloads {
        stage.change(round).await;
    }
    over.store(true, Ordering::Release);
    let mut tally = Tally::new();
    while let Some(one) = callers.join_next().await {
        for (what, count) in one.unwrap() {
            *tally.entry(what).or_default() += count;
        }
    }
    let good = tally.remove("one set").unwrap_or_default();
    assert!(tally.is_empty(), "beside {good} good answers: {tally:?}");
    assert!(
        good >= reloads,
        "{good} answers are no load for {reloads} reloads"
    );
    let reloader = stage.rig.reloader();
    wait::until("old sets to go", async || {
        (reloader.sets_in_use().await == 1).then_some(())
    })
    .await;
    eprintln!("{reloads} reloads, {good} answers, 0 failed");
}
