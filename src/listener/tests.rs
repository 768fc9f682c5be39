//! The listener with a service that makes mistakes.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::wire::Fault;
use super::*;

/// Panics where it is told to.
#[derive(Clone)]
struct Clumsy;

impl Serve for Clumsy {
    type Body = Full<Bytes>;

    async fn serve(self, request: Request<Incoming>, _: Peer, _: &Place) -> Response<Self::Body> {
        assert_ne!(request.uri().path(), "/panic", "as the test wants it");
        Response::new(Full::from("well"))
    }

    fn overloaded(&self, _: Request<Incoming>, _: Peer) -> Response<Self::Body> {
        Response::new(Full::default())
    }

    fn malformed(&self, _: Peer, _: Fault) -> Response<Self::Body> {
        unreachable!("every request is well formed")
    }

    fn misbehaved(&self, _: Peer, _: &'static str) {
        unreachable!("nobody misbehaves")
    }
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_nothing_else() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let metrics = Metrics::new().unwrap();
    let gate = Gate {
        tls: None,
        settings: Settings::default(),
        service: Clumsy,
        metrics: Arc::clone(&metrics),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(Listener { socket, gate }.run(async {
        let _ = stopped.await;
    }));
    assert_eq!(ask(address, "/panic").await, "");
    let counted = async {
        while !metrics
            .render()
            .contains("sallygate_connection_panics_total 1")
        {
            let answer = ask(address, "/").await;
            assert!(answer.ends_with("well"), "{answer:?}");
        }
    };
    timeout(Duration::from_secs(20), counted).await.unwrap();
    drop(stop);
    assert!(running.await.unwrap());
}
