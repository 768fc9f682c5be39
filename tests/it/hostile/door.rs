//! Too many connections, too fast, from one address or in all; too many bad tokens; too few descriptors. In each case the
//! others are served, and whoever overdid it is served again once they have stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::{Mcp, set};
use crate::harness::process::Program;
use crate::harness::raw::Connection;
use crate::harness::{audit, wait};

const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const HEALTH: &str = "https://localhost/health";

/// A gateway that counts loopback addresses like any others.
fn counting(limits: &str) -> Plan {
    Plan::new().settings(&format!(
        "limits: {{ per_address: {{ exempt: [], {limits} }} }}"
    ))
}

fn other(rig: &Rig) -> Client {
    Client::from(OTHER, rig.address, &rig.ca_file)
}

/// A connection from this address that says nothing.
async fn silent(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Waits until the connection is closed, and says whether that came as a reset.
async fn was_reset(mut connection: TcpStream) -> bool {
    let mut byte = [0; 1];
    let read = connection.read(&mut byte);
    let read = wait::soon("the connection to be closed", read).await;
    read.is_err()
}

async fn refusals(rig: &Rig, reason: &str) -> Option<u64> {
    let metrics = rig.metrics().await;
    let name = format!("sallygate_connections_refused_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map(|count| count.parse().unwrap())
}

/// Asks for this machine until there is an answer.
async fn served_again(rig: &Rig) {
    wait::until("the address to be served again", async || {
        let client = rig.client(Http::One);
        let get = hyper::Request::get(HEALTH).body(Default::default());
        client.answered(get.unwrap()).await
    })
    .await;
}

#[tokio::test]
async fn an_address_that_holds_too_many_connections_is_reset_and_others_are_served() {
    let rig = counting("connections: 3").start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Connection::open_tls(rig.address, &rig.ca_file).await);
    }
    for _ in 0..20 {
        assert!(was_reset(silent(CROWD, rig.address).await).await);
    }
    assert_eq!(refusals(&rig, "address_connections").await, Some(20));
    assert_eq!(other(&rig).get(HEALTH).await.status, 200);
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    held[0].send(request).await;
    held[0].read_to("\"ok\"}").await;
    held.pop();
    served_again(&rig).await;
}

#[tokio::test]
async fn an_address_that_connects_too_fast_is_reset_and_others_are_served() {
    let rig = counting("connections_per_second: 1").start().await;
    wait::until("a refusal", async || {
        drop(silent(CROWD, rig.address).await);
        refusals(&rig, "address_rate").await
    })
    .await;
    assert_eq!(other(&rig).get(HEALTH).await.status, 200);
    served_again(&rig).await;
}

#[tokio::test]
async fn an_address_with_too_many_handshakes_is_reset_until_they_have_ended() {
    let rig = counting("handshakes: 2")
        .env("SALLYGATE_LISTEN__TLS__HANDSHAKE_TIMEOUT", "1s")
        .start()
        .await;
    let slow = [
        silent(CROWD, rig.address).await,
        silent(CROWD, rig.address).await,
    ];
    assert!(was_reset(silent(CROWD, rig.address).await).await);
    assert_eq!(refusals(&rig, "address_handshakes").await, Some(1));
    assert_eq!(other(&rig).get(HEALTH).await.status, 200);
    for slow in slow {
        was_reset(slow).await;
    }
    served_again(&rig).await;
}

#[tokio::test]
async fn handshakes_are_bounded_in_all_also_of_exempt_addresses() {
    let rig = Plan::new()
        .settings("limits: { handshakes: 2 }")
        .start()
        .await;
    let slow = [
        silent(CROWD, rig.address).await,
        silent(OTHER, rig.address).await,
    ];
    assert!(was_reset(silent(CROWD, rig.address).await).await);
    assert_eq!(refusals(&rig, "handshakes").await, Some(1));
    drop(slow);
    served_again(&rig).await;
}

#[tokio::test]
async fn everybody_on_this_machine_may_connect_as_often_as_they_like() {
    let plan = Plan::new().settings(
        "limits: { per_address: { connections: 1, connections_per_second: 1, handshakes: 1, bad_tokens_per_minute: 1 } }",
    );
    let rig = plan.start().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(Connection::open_tls(rig.address, &rig.ca_file).await);
    }
    for _ in 0..20 {
        assert_eq!(guess(&rig.stranger(Http::Two), "").await.status, 401);
    }
}

/// A call with a token that nobody has made, as from this address if there is a proxy.
async fn guess(caller: &Mcp, forwarded: &str) -> Reply {
    let caller = caller.clone().with_token("e30.e30.AAAA");
    attempt(&caller, forwarded).await
}

async fn attempt(caller: &Mcp, forwarded: &str) -> Reply {
    let mut draft = caller.legacy_draft("tools/call", json!({"name": "echo", "arguments": {}}));
    if !forwarded.is_empty() {
        set(&mut draft, "x-forwarded-for", forwarded);
    }
    caller.send(draft).await
}

async fn answering(plan: Plan) -> Rig {
    let rig = plan.start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    rig
}

#[tokio::test]
async fn too_many_bad_tokens_are_answered_429_and_tokens_seen_before_go_on() {
    let rig = answering(counting("bad_tokens_per_minute: 3")).await;
    let known = rig.caller("alice");
    assert_eq!(attempt(&known, "").await.status, 200);
    let stranger = rig.stranger(Http::One);
    for _ in 0..5 {
        assert_eq!(
            attempt(&stranger, "").await.status,
            401,
            "no token is no guess"
        );
    }
    for _ in 0..3 {
        assert_eq!(guess(&stranger, "").await.status, 401);
    }
    let refused = guess(&stranger, "").await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "too_many_failures");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=21).contains(&wait), "{wait}");

    let unseen = attempt(&rig.caller("bob"), "").await;
    assert_eq!(unseen.status, 429, "it is not looked at");
    assert_eq!(attempt(&known, "").await.status, 200, "seen before");
    let elsewhere = Mcp::at(&other(&rig), &format!("{PUBLIC}/mcp"));
    let elsewhere = elsewhere.with_token(&rig.token(&Who::new("bob")));
    assert_eq!(attempt(&elsewhere, "").await.status, 200);

    let id = refused.header("x-request-id").unwrap();
    let line = audit::line_of(rig.audit_dir(), |line| line["request_id"] == id).await;
    assert!(line.to_string().contains("too_many_failures"), "{line}");
    let denied = "sallygate_denials_total{reason=\"too_many_failures\",stage=\"auth\"} 2";
    let metrics = rig.metrics().await;
    assert!(metrics.contains(denied), "{metrics}");
}

#[tokio::test]
async fn behind_a_proxy_bad_tokens_are_counted_for_whom_it_names_and_connections_are_not_counted() {
    let plan = counting("bad_tokens_per_minute: 2, connections: 1").listen("trusted_hops: 1");
    let rig = answering(plan).await;
    let proxy = rig.stranger(Http::One);
    for _ in 0..2 {
        assert_eq!(guess(&proxy, "192.0.2.1").await.status, 401);
    }
    assert_eq!(guess(&proxy, "192.0.2.1").await.status, 429);
    let forged = guess(&proxy, "198.51.100.7, 192.0.2.1").await;
    assert_eq!(forged.status, 429, "only what the proxy added counts");
    assert_eq!(attempt(&rig.caller("bob"), "192.0.2.2").await.status, 200);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(Connection::open_tls(rig.address, &rig.ca_file).await);
    }
}

/// The binary, with so many descriptors at most.
async fn with_descriptors(folder: &Path, count: u64, port: u16, ops: u16) -> Program {
    let script = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_sallygate"), "run"])
        .args(["--upstream", "http://127.0.0.1:1/mcp"])
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .env_clear()
        .env("SALLYGATE_METRICS__ADDRESS", format!("127.0.0.1:{ops}"))
        .current_dir(folder);
    let mut program = Program::start(&folder.join(format!("said-{count}")), &mut command);
    program.logged("serving").await;
    program
}

fn figure(metrics: &str, name: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    let value = value.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.trim().parse().unwrap()
}

/// Two ports that nobody has.
async fn free_ports() -> (u16, u16) {
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let two = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
    (port(&one), port(&two))
}

async fn crowd(count: usize, address: SocketAddr) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        crowd.push(
            wait::soon("a connection", TcpStream::connect(address))
                .await
                .unwrap(),
        );
    }
    crowd
}

#[tokio::test]
async fn when_descriptors_run_out_connections_go_on_and_the_next_are_served_when_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let (port, ops) = free_ports().await;
    let (address, metrics) = (
        SocketAddr::from(([127, 0, 0, 1], port)),
        format!("http://127.0.0.1:{ops}/metrics"),
    );
    let ca = folder.path().join(".sallygate/ca.pem");
    let scrape = async || Client::plain().get(&metrics).await.text().to_owned();

    // What is left when half of the limit is kept back is more than there is need of, and still fewer than callers.
    let mut program = with_descriptors(folder.path(), 256, port, ops).await;
    program
        .logged("the system allows too few file descriptors")
        .await;
    let needed = figure(&scrape().await, "process_open_fds");
    let waiting = crowd(200, address).await;
    wait::until("the room to be full", async || {
        let text = scrape().await;
        (figure(&text, "sallygate_active_connections") == 128).then_some(text)
    })
    .await;
    drop(waiting);
    program.terminate();
    program.ended().await;

    // Here even that is less than the process needs for itself.
    let mut program = with_descriptors(folder.path(), needed + 8, port, ops).await;
    let mut good = Connection::open_tls(address, &ca).await;
    let request = format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    // The first line opens the file of the trail, which without a descriptor is refused like any act without a line.
    good.send(&request).await;
    good.read_to("\"ok\"}").await;
    let waiting = crowd(100, address).await;
    program.logged("cannot accept connections").await;
    for _ in 0..3 {
        good.send(&request).await;
        good.read_to("\"ok\"}").await;
    }
    drop(waiting);
    let text = wait::until("it to recover", async || {
        let get = hyper::Request::get(&metrics).body(Default::default());
        let reply = Client::plain().answered(get.unwrap()).await?;
        Some(reply.text().to_owned())
    })
    .await;
    assert!(figure(&text, "sallygate_accept_errors_total") > 0);
    let mut another = Connection::open_tls(address, &ca).await;
    another.send(&request).await;
    another.read_to("\"ok\"}").await;
    program.terminate();
    program.ended().await;
}
