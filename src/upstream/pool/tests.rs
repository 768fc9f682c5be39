//! The pool against a server whose every byte is written out here: what is sent, how often, and over which connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::{advance, timeout};

use super::{IDLE_TIME, Idle, MOST_IDLE, Outgoing, Pool, Sender, host};
use crate::upstream::connect::Connector;
use crate::upstream::{Settings, Target, UpstreamError};

/// One that is about to fail, so that no test waits for ever.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.unwrap()
}

/// Waits for something that other tasks bring about.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    soon(wait).await;
}

fn pool(target: Target, endpoint: &str) -> Arc<Pool> {
    let connector = Connector::new(&Settings::new(target)).unwrap();
    Arc::new(Pool::new(connector, endpoint.parse().unwrap()).unwrap())
}

/// A server that does nothing by itself, and the pool of connections to it.
async fn server() -> (TcpListener, Arc<Pool>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/mcp?a=b", socket.local_addr().unwrap());
    let target = Target::Web(endpoint.parse().unwrap());
    (socket, pool(target, &endpoint))
}

fn request(body: impl Into<Bytes>) -> Outgoing {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = Method::POST;
    request
}

/// A call; what it yields is the body of its answer.
fn call(pool: &Arc<Pool>, body: impl Into<Bytes>) -> JoinHandle<Result<String, UpstreamError>> {
    let (pool, request) = (Arc::clone(pool), request(body));
    tokio::spawn(async move {
        let answer = pool.send(request).await?;
        let body = answer.into_body().collect().await;
        let body = body.map_err(|_| UpstreamError::BodyBroken)?.to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    })
}

async fn answered(call: JoinHandle<Result<String, UpstreamError>>) -> String {
    soon(call).await.unwrap().unwrap()
}

fn good(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// The server's end of a connection.
struct Peer<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The next request up to the end of its head.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// The body of the next request.
    async fn body(&mut self) -> String {
        let head = self.head().await;
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Says it, if somebody listens still.
    async fn say(&mut self, text: impl AsRef<[u8]>) {
        let _ = soon(self.0.write_all(text.as_ref())).await;
    }

    /// Waits for the gateway to close the connection, on which it says nothing more.
    async fn is_left(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

async fn accept(server: &TcpListener) -> Peer<TcpStream> {
    Peer(soon(server.accept()).await.unwrap().0)
}

/// Accepts a connection, whose first request has to be this one, and serves it.
async fn serve_new(server: &TcpListener, body: &str) -> Peer<TcpStream> {
    let mut peer = accept(server).await;
    assert_eq!(peer.body().await, body);
    peer.say(good(body)).await;
    peer
}

/// How many connections are kept.
fn kept(pool: &Pool) -> usize {
    let now = tokio::time::Instant::now();
    let kept = pool.idle.0.lock().unwrap();
    kept.iter().filter(|kept| kept.is_good(now)).count()
}

type Driven = Connection<TokioIo<DuplexStream>, Full<Bytes>>;

/// A connection that is ready for a request, driven by nobody, and its other end.
async fn pipe() -> (Sender, Driven, Peer<DuplexStream>) {
    let (near, far) = duplex(1024);
    let (mut sender, mut driven) = http1::handshake(TokioIo::new(near)).await.unwrap();
    poll_fn(|cx| {
        assert!(Pin::new(&mut driven).poll(cx).is_pending());
        sender.poll_ready(cx)
    })
    .await
    .unwrap();
    (sender, driven, Peer(far))
}

#[tokio::test]
async fn a_connection_that_the_server_closed_while_idle_is_not_used() {
    let (server, pool) = server().await;
    let first = call(&pool, "one");
    let peer = serve_new(&server, "one").await;
    assert_eq!(answered(first).await, "one");
    assert_eq!(kept(&pool), 1);
    drop(peer);
    until(|| kept(&pool) == 0).await;
    let second = call(&pool, "two");
    let _peer = serve_new(&server, "two").await;
    assert_eq!(answered(second).await, "two");
}

/// What may become of an idle connection between the moment that it is taken and the moment that the request is written.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Dropped,
    Closed,
    SpeaksUnasked,
}

#[tokio::test]
async fn a_call_that_was_not_written_to_its_connection_is_sent_once_on_another() {
    for fate in [Fate::Dropped, Fate::Closed, Fate::SpeaksUnasked] {
        let (server, pool) = server().await;
        let (sender, driven, mut far) = pipe().await;
        pool.idle.put(sender);
        let sending = pool.send(request("one"));
        let meanwhile = async {
            match fate {
                Fate::Dropped => drop(driven),
                Fate::Closed => {
                    far.0.shutdown().await.unwrap();
                    let _ = driven.await;
                }
                Fate::SpeaksUnasked => {
                    far.say(good("somebody else's")).await;
                    let _ = driven.await;
                }
            }
            far.is_left().await;
            serve_new(&server, "one").await
        };
        let (answer, mut peer) = soon(async { tokio::join!(sending, meanwhile) }).await;
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "one", "{fate:?}");
        // The next call finds it, and no second copy of the first before it.
        let next = call(&pool, "two");
        assert_eq!(peer.body().await, "two", "{fate:?}");
        peer.say(good("two")).await;
        assert_eq!(answered(next).await, "two", "{fate:?}");
    }
}

#[tokio::test]
async fn any_number_of_dead_connections_costs_no_call() {
    let (server, pool) = server().await;
    let mut dead = Vec::new();
    for _ in 0..5 {
        let (sender, driven, _) = pipe().await;
        pool.idle.put(sender);
        dead.push(driven);
    }
    let sending = pool.send(request("one"));
    let meanwhile = async {
        drop(dead);
        serve_new(&server, "one").await
    };
    let (answer, _peer) = soon(async { tokio::join!(sending, meanwhile) }).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(kept(&pool), 1);
}

#[tokio::test]
async fn a_call_that_was_written_is_never_sent_again() {
    for is_fresh in [true, false] {
        let (server, pool) = server().await;
        let mut kept = None;
        if !is_fresh {
            let before = call(&pool, "before");
            kept = Some(serve_new(&server, "before").await);
            answered(before).await;
        }
        let broken = call(&pool, "broken");
        let mut peer = match kept {
            Some(peer) => peer,
            None => accept(&server).await,
        };
        assert_eq!(peer.body().await, "broken");
        drop(peer);
        let broken = soon(broken).await.unwrap();
        assert!(
            matches!(broken, Err(UpstreamError::Broken(_))),
            "{broken:?}"
        );
        // Connections are accepted in their order: the next is of the next call.
        let after = call(&pool, "after");
        let _peer = serve_new(&server, "after").await;
        assert_eq!(answered(after).await, "after");
    }
}

#[tokio::test]
async fn a_fresh_connection_that_fails_is_not_followed_by_another() {
    let (server, pool) = server().await;
    let failed = call(&pool, "one");
    let mut peer = accept(&server).await;
    peer.say("SSH-2.0-OpenSSH_9.9\r\n").await;
    peer.0.shutdown().await.unwrap();
    let failed = soon(failed).await.unwrap();
    assert!(
        matches!(failed, Err(UpstreamError::Broken(_))),
        "{failed:?}"
    );
    let next = call(&pool, "two");
    let _peer = serve_new(&server, "two").await;
    assert_eq!(answered(next).await, "two");
}

#[tokio::test]
async fn without_a_connection_the_upstream_is_unreachable() {
    let (server, pool) = server().await;
    drop(server);
    let refused = soon(call(&pool, "one")).await.unwrap();
    assert!(
        matches!(refused, Err(UpstreamError::Unreachable(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_late_answer_to_a_dropped_call_reaches_nobody() {
    let (server, pool) = server().await;
    // On a connection that the pool knows already.
    let before = call(&pool, "before");
    let mut peer = serve_new(&server, "before").await;
    answered(before).await;
    let dropped = call(&pool, "dropped");
    assert_eq!(peer.body().await, "dropped");
    dropped.abort();
    assert!(soon(dropped).await.unwrap_err().is_cancelled());
    peer.say(good("dropped")).await;
    let next = call(&pool, "next");
    let _peer = serve_new(&server, "next").await;
    assert_eq!(answered(next).await, "next");
    peer.is_left().await;
}

#[tokio::test]
async fn the_rest_of_an_answer_that_is_dropped_half_read_reaches_nobody() {
    let (server, pool) = server().await;
    let sending = pool.send(request("one"));
    let serving = async {
        let mut peer = accept(&server).await;
        assert_eq!(peer.body().await, "one");
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            .await;
        peer
    };
    let (answer, mut peer) = soon(async { tokio::join!(sending, serving) }).await;
    drop(answer);
    let next = call(&pool, "next");
    let _peer = serve_new(&server, "next").await;
    assert_eq!(answered(next).await, "next");
    peer.say(good("one")).await;
    peer.is_left().await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_ends_its_connection() {
    for comes_at_once in [true, false] {
        let (server, pool) = server().await;
        let first = call(&pool, "one");
        let mut peer = accept(&server).await;
        assert_eq!(peer.body().await, "one");
        if comes_at_once {
            peer.say(good("one") + &good("smuggled")).await;
            assert_eq!(answered(first).await, "one");
        } else {
            peer.say(good("one")).await;
            assert_eq!(answered(first).await, "one");
            assert_eq!(kept(&pool), 1);
            peer.say(good("smuggled")).await;
            peer.is_left().await;
        }
        assert_eq!(kept(&pool), 0, "{comes_at_once}");
        let next = call(&pool, "two");
        let _peer = serve_new(&server, "two").await;
        assert_eq!(answered(next).await, "two", "{comes_at_once}");
        peer.is_left().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_server_will_close_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\none",
        "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\none",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        let (server, pool) = server().await;
        let first = call(&pool, "one");
        let mut peer = accept(&server).await;
        assert_eq!(peer.body().await, "one");
        peer.say(answer).await;
        answered(first).await;
        assert_eq!(kept(&pool), 0, "{answer}");
        let next = call(&pool, "two");
        let _peer = serve_new(&server, "two").await;
        assert_eq!(answered(next).await, "two", "{answer}");
        peer.is_left().await;
    }
}

#[tokio::test]
async fn a_connection_whose_request_is_not_yet_written_waits_for_that() {
    let (server, pool) = server().await;
    let long = vec![b'x'; 16 << 20];
    let first = call(&pool, long.clone());
    let mut peer = accept(&server).await;
    peer.head().await;
    peer.say(good("early")).await;
    assert_eq!(answered(first).await, "early");
    let second = call(&pool, "two");
    let _peer = serve_new(&server, "two").await;
    assert_eq!(answered(second).await, "two");
    assert_eq!(kept(&pool), 1);
    let mut read = vec![0; long.len()];
    soon(peer.0.read_exact(&mut read)).await.unwrap();
    assert!(read == long);
    // When hyper calls the first one ready now is its own affair; the other one is there.
    assert!(kept(&pool) >= 1);
}

#[tokio::test]
async fn an_answer_in_pieces_frees_its_connection_at_its_end() {
    let (server, pool) = server().await;
    let first = call(&pool, "one");
    let mut peer = accept(&server).await;
    peer.body().await;
    peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n")
        .await;
    let second = call(&pool, "two");
    let _peer = serve_new(&server, "two").await;
    assert_eq!(answered(second).await, "two");
    assert_eq!(kept(&pool), 1);
    peer.say("2\r\nne\r\n0\r\n\r\n").await;
    assert_eq!(answered(first).await, "one");
    until(|| kept(&pool) == 2).await;
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection_and_those_at_once_have_one_each() {
    let (server, pool) = server().await;
    let first = call(&pool, "0");
    let mut peers = vec![serve_new(&server, "0").await];
    answered(first).await;
    for number in 1..50 {
        let call = call(&pool, number.to_string());
        assert_eq!(peers[0].body().await, number.to_string());
        peers[0].say(good("")).await;
        answered(call).await;
    }
    for round in 0..3 {
        let calls: Vec<_> = (0..8).map(|_| call(&pool, "many")).collect();
        while peers.len() < 8 {
            peers.push(accept(&server).await);
        }
        for peer in &mut peers {
            assert_eq!(peer.body().await, "many", "{round}");
            peer.say(good("many")).await;
        }
        for call in calls {
            assert_eq!(answered(call).await, "many");
        }
        assert_eq!(kept(&pool), 8, "{round}");
    }
}

#[tokio::test]
async fn a_unix_socket_is_spoken_to_alike() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let server = UnixListener::bind(&socket).unwrap();
    let path = "/mcp".to_owned();
    let pool = pool(Target::Unix { socket, path }, "http://localhost/mcp");
    let first = call(&pool, "one");
    let mut peer = Peer(soon(server.accept()).await.unwrap().0);
    for (body, call) in [("one", Some(first)), ("two", None)] {
        let call = call.unwrap_or_else(|| self::call(&pool, body));
        let head = peer.head().await;
        assert_eq!(
            head,
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n"
        );
        soon(peer.0.read_exact(&mut [0; 3])).await.unwrap();
        peer.say(good(body)).await;
        assert_eq!(answered(call).await, body);
    }
}

#[tokio::test]
async fn rfc9112_s3_2_the_request_line_is_in_origin_form_and_a_host_of_ours_is_kept() {
    let (server, pool) = server().await;
    let address = server.local_addr().unwrap().to_string();
    for (ours, sent) in [(None, &*address), (Some("elsewhere"), "elsewhere")] {
        let mut request = request("");
        if let Some(ours) = ours {
            request.headers_mut().insert(HOST, ours.parse().unwrap());
        }
        let serving = async {
            let mut peer = accept(&server).await;
            let head = peer.head().await;
            peer.say("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
            head
        };
        let (answer, head) = soon(async { tokio::join!(pool.send(request), serving) }).await;
        assert_eq!(answer.unwrap().status(), 204);
        assert!(head.starts_with("POST /mcp?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {sent}\r\n")), "{head}");
    }
}

#[test]
fn rfc9110_s7_2_the_host_names_the_port_where_it_is_not_that_of_http() {
    for (endpoint, expected) in [
        ("http://example.com/mcp", "example.com"),
        ("http://example.com:80/mcp", "example.com"),
        ("http://example.com:443/mcp", "example.com:443"),
        ("http://example.com:8080", "example.com:8080"),
        ("http://user:word@example.com:8080/", "example.com:8080"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:80/", "[::1]"),
        ("http://[::1]:3000/", "[::1]:3000"),
    ] {
        let endpoint: Uri = endpoint.parse().unwrap();
        assert_eq!(host(&endpoint).unwrap(), expected, "{endpoint}");
    }
    assert_eq!(host(&Uri::from_static("/mcp")), None);
}

/// One that somebody drives, which is what keeps it open.
async fn driven_pipe() -> (Sender, Peer<DuplexStream>) {
    let (sender, driven, far) = pipe().await;
    tokio::spawn(driven);
    (sender, far)
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_for_too_long_is_neither_used_nor_kept() {
    let idle = Idle::default();
    let (old, mut old_far) = driven_pipe().await;
    let (older, mut older_far) = driven_pipe().await;
    idle.put(older);
    advance(IDLE_TIME / 2).await;
    idle.put(old);
    // Putting one back is what sweeps.
    advance(IDLE_TIME / 2).await;
    let (new, _new_far) = driven_pipe().await;
    idle.put(new);
    assert_eq!(idle.0.lock().unwrap().len(), 2);
    older_far.is_left().await;
    assert!(idle.take().is_some());
    advance(IDLE_TIME / 2).await;
    assert!(idle.take().is_none());
    old_far.is_left().await;
}

#[tokio::test]
async fn no_more_than_so_many_are_kept_and_the_last_one_is_used_first() {
    let idle = Idle::default();
    let mut far = Vec::new();
    for _ in 0..MOST_IDLE + 2 {
        let (sender, end) = driven_pipe().await;
        idle.put(sender);
        far.push(end);
    }
    assert_eq!(idle.0.lock().unwrap().len(), MOST_IDLE);
    far[0].is_left().await;
    far[1].is_left().await;
    let mut last = idle.take().unwrap();
    let end = far.last_mut().unwrap();
    let serving = async {
        assert_eq!(end.body().await, "one");
        end.say(good("one")).await;
    };
    let (answer, ()) =
        soon(async { tokio::join!(last.send_request(request("one")), serving) }).await;
    assert_eq!(answer.unwrap().status(), 200);
}
