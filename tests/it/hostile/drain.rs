//! The order to stop, given to the program itself while it is busy: whoever has sent a request gets the answer, streams end
//! between two events, and the process ends by itself.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::client::{Client, Http, tls_config};
use crate::harness::gateway::{KEY, PUBLIC};
use crate::harness::mcp::Mcp;
use crate::harness::process::{Ended, Program, ended, sallygate};
use crate::harness::sse::Step;
use crate::harness::upstream::{Answer, FakeUpstream};
use crate::harness::wait;

/// The gateway as a process, in front of a fake.
struct Process {
    program: Program,
    address: SocketAddr,
    ops: SocketAddr,
    token: String,
    upstream: FakeUpstream,
    folder: TempDir,
}

impl Process {
    async fn start(listen: &str) -> Self {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), FakeUpstream::start().await);
        let url = upstream.url();
        let yaml = format!(
            "listen: {{ address: \"127.0.0.1:0\", public_url: \"{PUBLIC}\", {listen} }}
metrics: {{ address: \"127.0.0.1:0\" }}
state_dir: state
auth: {{ keys: [ {{ kid: proof, secret: \"{KEY}\" }} ] }}
quotas: {{ concurrency: 1000, tiers: {{ free: {{ per_minute: 1000000 }} }} }}
policy: {{ tools: {{ disabled: [two] }} }}
upstream: {{ url: \"{url}\" }}
"
        );
        private(&folder.path().join("sallygate.yaml"), &yaml);
        let said = folder.path().join("said");
        let mut program = Program::start(&said, &mut sallygate(folder.path(), &["run"], &[]));
        let said = program.logged("serving").await;
        let minted = verb(folder.path(), &["token", "mint", "--user", "alice"]);
        assert_eq!(minted.code, 0, "{minted:?}");
        Self {
            address: address(&said, "address"),
            ops: address(&said, "ops"),
            token: minted.out.trim().to_owned(),
            program,
            upstream,
            folder,
        }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("state/ca.pem")
    }

    fn caller(&self, http: Http) -> Mcp {
        let client = Client::toward(self.address, &self.ca(), http);
        Mcp::at(&client, &format!("{PUBLIC}/mcp")).with_token(&self.token)
    }

    async fn ready(&self) -> u16 {
        let url = format!("http://{}/readyz", self.ops);
        Client::plain().get(&url).await.status.as_u16()
    }

    async fn raw(&self) -> Raw {
        Raw::open(self.address, &self.ca(), &self.token)
            .await
            .unwrap()
    }
}

/// Writes a file that its owner alone can read.
fn private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

fn verb(folder: &Path, words: &[&str]) -> Ended {
    ended(&mut sallygate(folder, words, &[]))
}

/// The address that the log names where it says that the gateway serves.
fn address(said: &str, name: &str) -> SocketAddr {
    let line = said.lines().find(|line| line.contains("serving")).unwrap();
    let at = line.split(name).nth(1).unwrap();
    let rest = &at[at.find(|c: char| c.is_ascii_digit()).unwrap()..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    rest[..end.unwrap_or(rest.len())].parse().unwrap()
}

/// What became of one request on a connection of HTTP/1.1.
#[derive(Debug, PartialEq)]
enum Became {
    Answered {
        last: bool,
    },
    /// The connection had been closed before anything of the request was sent.
    NotSent,
    Lost,
}

/// A connection whose every byte is counted: a pool would hide what was sent and never answered.
struct Raw {
    stream: TlsStream<TcpStream>,
    request: String,
}

impl Raw {
    async fn open(address: SocketAddr, ca: &Path, token: &str) -> Option<Self> {
        let tcp = TcpStream::connect(address).await.ok()?;
        tcp.set_nodelay(true).unwrap();
        let mut tls = tls_config(ca);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls))
            .connect(name, tcp)
            .await
            .ok()?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Some(Self { stream, request })
    }

    async fn ask(&mut self) -> Became {
        // A close that has arrived already says that nobody listens any more.
        let mut piece = [0; 4096];
        let early = futures_util::FutureExt::now_or_never(self.stream.read(&mut piece));
        if early.is_some()
            || self
                .stream
                .write_all(self.request.as_bytes())
                .await
                .is_err()
        {
            return Became::NotSent;
        }
        let mut answer = String::new();
        loop {
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return Became::Lost,
                Ok(read) => answer.push_str(std::str::from_utf8(&piece[..read]).unwrap()),
            }
            if answer.contains("\"id\":1") && answer.ends_with('}') {
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                let last = answer
                    .to_ascii_lowercase()
                    .contains("\r\nconnection: close\r\n");
                return Became::Answered { last };
            }
        }
    }
}

fn pong() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": {}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_stop_under_load_loses_no_request_that_was_sent() {
    let mut gateway = Process::start("drain_timeout: 10s").await;
    gateway.upstream.always(&pong());
    let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (address, ca, token) = (gateway.address, gateway.ca(), gateway.token.clone());
        let (answered, refused) = (Arc::clone(&answered), Arc::clone(&refused));
        callers.spawn(async move {
            // As a client does that keeps its connections: it goes on until nobody accepts a new one.
            while let Some(mut connection) = Raw::open(address, &ca, &token).await {
                loop {
                    match connection.ask().await {
                        Became::Answered { last: false } => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Became::Answered { last: true } => {
                            answered.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                        Became::NotSent => {
                            refused.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                        Became::Lost => panic!("a request was sent and never answered"),
                    }
                }
            }
        });
    }
    for _ in 0..4 {
        let caller = gateway.caller(Http::Two);
        let answered = Arc::clone(&answered);
        callers.spawn(async move {
            while let Ok(answer) = caller.attempt(caller.legacy_draft("ping", json!({}))).await {
                assert_eq!(answer.status(), 200);
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    wait::until_true("load", || answered.load(Ordering::SeqCst) > 200).await;
    gateway.program.terminate();
    let status = gateway.program.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.program.err());
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let (answered, refused) = (
        answered.load(Ordering::SeqCst),
        refused.load(Ordering::SeqCst),
    );
    eprintln!("{answered} answers, 0 lost, {refused} connections closed before a request");
}

#[tokio::test]
async fn a_connection_that_is_idle_at_the_order_gets_one_more_answer_which_says_that_it_is_the_last()
 {
    let mut gateway = Process::start("drain_timeout: 10s").await;
    gateway.upstream.always(&pong());
    let (mut used, mut unused) = (gateway.raw().await, gateway.raw().await);
    assert_eq!(used.ask().await, Became::Answered { last: false });
    // Something goes on, so that the process is still there.
    let (answer, feed) = Answer::stream("application/json");
    gateway.upstream.will(answer);
    let slow = gateway.caller(Http::One);
    let slow = tokio::spawn(async move { slow.legacy("ping", json!({})).await });
    gateway.upstream.saw(2).await;
    gateway.program.terminate();
    wait::until("the socket to close", async || {
        TcpStream::connect(gateway.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    for idle in [&mut used, &mut unused] {
        assert_eq!(idle.ask().await, Became::Answered { last: true });
    }
    feed.send(pong().to_string()).await;
    feed.end();
    assert_eq!(slow.await.unwrap().status, 200);
    assert_eq!(gateway.program.ended().await.code(), Some(0));
}

#[tokio::test]
async fn streams_end_between_events_and_calls_with_their_answer_when_the_process_has_to_stop() {
    for http in [Http::One, Http::Two] {
        let mut gateway = Process::start("drain_timeout: 10s").await;
        let note = json!({"jsonrpc": "2.0", "method": "notifications/x"});
        let caller = gateway.caller(http);
        let (answer, heard) = Answer::sse();
        gateway.upstream.will(answer);
        let draft = caller.legacy_bare(Method::GET);
        let (mut stream, ()) = tokio::join!(caller.open(draft), heard.event(&note));
        assert_eq!(stream.message().await, note);
        let (answer, feed) = Answer::sse();
        gateway.upstream.will(answer);
        let draft = caller.modern_draft("tools/call", json!({"name": "one", "arguments": {}}));
        let (mut call, ()) = tokio::join!(caller.open(draft), feed.event(&note));
        assert_eq!(call.message().await, note);
        gateway.program.terminate();
        assert_eq!(stream.step().await, Step::End, "{http:?}");
        heard.abandoned().await;
        feed.event(&pong()).await;
        feed.end();
        assert_eq!(call.message().await, pong());
        assert_eq!(call.step().await, Step::End);
        let status = gateway.program.ended().await;
        assert_eq!(status.code(), Some(0), "{}", gateway.program.err());
    }
}

#[tokio::test]
async fn with_a_delay_everything_goes_on_while_readiness_has_failed() {
    let mut gateway = Process::start("drain_delay: 5m").await;
    gateway.upstream.always(&pong());
    assert_eq!(gateway.ready().await, 200);
    gateway.program.terminate();
    wait::until("readiness to fail", async || {
        (gateway.ready().await == 503).then_some(())
    })
    .await;
    for http in [Http::One, Http::Two] {
        let reply = gateway.caller(http).legacy("ping", json!({})).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("connection")),
            (200, None)
        );
    }
    // Whoever insists does not want to wait.
    gateway.program.terminate();
    assert_eq!(gateway.program.ended().await.code(), Some(130));
}

#[tokio::test]
async fn a_second_order_ends_a_drain_at_once() {
    let mut gateway = Process::start("drain_timeout: 10m").await;
    gateway.upstream.will(Answer::hang());
    let caller = gateway.caller(Http::One);
    let asking = tokio::spawn(async move {
        caller
            .attempt(caller.legacy_draft("ping", json!({})))
            .await
            .map(drop)
    });
    gateway.upstream.saw(1).await;
    gateway.program.terminate();
    wait::until("the drain", async || {
        (gateway.ready().await == 503).then_some(())
    })
    .await;
    gateway.program.terminate();
    assert_eq!(gateway.program.ended().await.code(), Some(130));
    assert!(asking.await.unwrap().is_err());
}

#[tokio::test]
async fn operators_reload_by_signal_and_by_a_verb_that_says_what_came_of_it() {
    let mut gateway = Process::start("").await;
    let folder = gateway.folder.path().to_owned();
    let file = folder.join("sallygate.yaml");
    let write = |old: &str, new: &str| {
        let yaml = std::fs::read_to_string(&file).unwrap();
        assert!(yaml.contains(old), "{old}");
        let aside = folder.join("aside");
        private(&aside, &yaml.replace(old, new));
        std::fs::rename(&aside, &file).unwrap();
    };
    let unchanged = verb(&folder, &["reload"]);
    assert_eq!(
        (unchanged.code, unchanged.err.as_str()),
        (0, ""),
        "{unchanged:?}"
    );
    let last = unchanged.out.lines().last();
    assert_eq!(last, Some("unchanged: what is written is in force"));
    // The verb or the files themselves, whichever is first; afterwards it is in force.
    write("disabled: [two]", "disabled: [one]");
    assert_eq!(verb(&folder, &["reload"]).code, 0);
    gateway.program.logged("policy.tools.disabled").await;
    write("disabled: [one]", "disabled: 7");
    let refused = verb(&folder, &["reload"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.out.starts_with("error: sallygate.yaml: line "),
        "{refused:?}"
    );
    assert!(refused.out.contains("policy.tools.disabled"), "{refused:?}");
    assert!(
        refused
            .out
            .ends_with("refused: the configuration in force stays in force\n"),
        "{refused:?}"
    );
    gateway
        .program
        .logged("the last good one stays in force")
        .await;
    write("disabled: 7", "disabled: [three]");
    gateway.program.signal("HUP");
    wait::until("the reload", async || {
        let said = gateway.program.err();
        (said.matches("configuration reloaded").count() == 2).then_some(())
    })
    .await;
    gateway.program.terminate();
    assert_eq!(gateway.program.ended().await.code(), Some(0));
    let nobody = verb(&folder, &["reload", "--state-dir", "state"]);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(
        nobody
            .err
            .contains("no gateway runs with the state folder state"),
        "{nobody:?}"
    );
    // Nothing of this is said over the network.
    assert!(
        TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.address.port()))
            .await
            .is_err()
    );
}
