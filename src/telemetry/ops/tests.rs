//! Probes say what is missing, and nothing but the four pages is answered.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;

/// Sends one request as it stands and gives the whole answer as text.
async fn ask(address: SocketAddr, request: &str) -> String {
    ask_as(address, request, "localhost").await
}

async fn ask_as(address: SocketAddr, request: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn serving(ops: Arc<Ops>) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, ops, async {
        let _ = stopped.await;
    }));
    (address, stop, server)
}

#[tokio::test]
async fn a_page_that_points_its_own_name_here_is_refused() {
    let (address, _stop, _server) = serving(Ops::new(Readiness::new(), String::new)).await;
    for host in [
        "evil.test",
        "evil.test:9464",
        "localhost.evil.test",
        "127.0.0.1.evil.test",
    ] {
        let answer = ask_as(address, "GET /metrics", host).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{host}: {answer}");
    }
    for host in [
        "localhost",
        "LocalHost:9464",
        "127.0.0.1:9464",
        "[::1]:9464",
        "10.1.2.3",
    ] {
        let answer = ask_as(address, "GET /healthz", host).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
}

#[tokio::test]
async fn other_paths_and_verbs_are_refused() {
    let (address, _stop, _server) = serving(Ops::new(Readiness::new(), String::new)).await;
    for (request, status) in [
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("GET /readyz/../metrics", "404"),
        ("POST /metrics", "405"),
        ("DELETE /healthz", "405"),
        ("POST /secret", "404"),
    ] {
        let answer = ask(address, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
}

#[tokio::test]
async fn octets_that_are_no_request_are_refused_here_too() {
    let (address, _stop, _server) = serving(Ops::new(Readiness::new(), String::new)).await;
    for (request, host, status) in [
        ("GET /healthz", "", "400"),
        ("GET /healthz", "localhost\r\nHost: localhost", "400"),
        ("GET /healthz", "localhost\r\nX: a\r\n b", "400"),
        ("GET /healthz", "localhost\r\nContent-Length: 5", "400"),
        ("GET /healthz", "localhost\nX: a", "400"),
        ("GET *", "localhost", "400"),
        ("GET /healthz HTTP/2.0\r\n", "localhost", "505"),
    ] {
        let answer = ask_as(address, request, host).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request} {host:?}: {answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn r524_readiness_names_what_is_missing_until_nothing_is() {
    let audit = Arc::new(AtomicBool::new(false));
    let probed = Arc::clone(&audit);
    let mut readiness = Readiness::new().when("audit", move || {
        let is_open = probed.load(Ordering::Acquire);
        is_open
            .then_some(())
            .ok_or_else(|| "audit lines cannot be written".to_owned())
    });
    let keys = readiness.flag("keys");
    let (address, _stop, _server) = serving(Ops::new(readiness, String::new)).await;

    assert!(
        ask(address, "GET /healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let answer = ask(address, "GET /readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: audit, keys"),
        "{answer}"
    );
    audit.store(true, Ordering::Release);
    let answer = ask(address, "GET /health").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains(r#""conditions":{"audit":"ok","keys":"not yet"}"#),
        "{answer}"
    );
    keys.set(true);
    for page in ["/readyz", "/health"] {
        let answer = ask(address, &format!("GET {page}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
    }
}

#[tokio::test]
async fn metrics_are_rendered_at_each_scrape_and_the_listener_stops_when_told() {
    let (address, stop, server) =
        serving(Ops::new(Readiness::new(), || "a_metric 1\n".to_owned())).await;
    let answer = ask(address, "GET /metrics").await;
    assert!(
        answer.contains("text/plain; version=0.0.4") && answer.ends_with("a_metric 1\n"),
        "{answer}"
    );
    let answer = ask(address, "HEAD /metrics").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && !answer.contains("a_metric"),
        "{answer}"
    );
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
