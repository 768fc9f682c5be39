//! An issuer on the loopback that serves documents, counts who asks for them, and can be held, changed or broken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// A running issuer; it stops with the test's runtime.
pub(super) struct LoopbackIssuer {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<HashMap<String, String>>,
    asked: watch::Sender<Vec<String>>,
    /// Requests wait for a permit before they are answered; one permit lets all of them through.
    gate: Semaphore,
}

impl LoopbackIssuer {
    /// An issuer that answers 404 until it is told what to serve.
    pub(super) async fn start() -> Self {
        Self::listen("http", |stream| std::future::ready(Some(stream))).await
    }

    /// The same over TLS.
    pub(super) async fn start_tls(acceptor: tokio_rustls::TlsAcceptor) -> Self {
        Self::listen("https", move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.ok() }
        })
        .await
    }

    async fn listen<S, F>(
        scheme: &str,
        wrap: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            asked: watch::Sender::default(),
            gate: Semaphore::new(1),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (wrapping, shared) = (wrap(stream), Arc::clone(&serving));
                tokio::spawn(async move {
                    if let Some(stream) = wrapping.await {
                        shared.answer(stream).await;
                    }
                });
            }
        });
        Self {
            url: format!("{scheme}://localhost:{port}"),
            shared,
        }
    }

    /// Serves a JSON document under a path.
    pub(super) fn serve(&self, path: &str, document: &serde_json::Value) {
        let body = document.to_string();
        self.answer_raw(
            path,
            &format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
    }

    /// Serves any bytes under a path.
    pub(super) fn answer_raw(&self, path: &str, answer: &str) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.to_owned(), answer.to_owned());
    }

    /// Every path that was asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.asked.borrow().clone()
    }

    /// Waits until so many requests have arrived.
    pub(super) async fn wait_for_requests(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        asked.wait_for(|asked| asked.len() >= count).await.unwrap();
    }

    /// Leaves requests unanswered until [`LoopbackIssuer::release`].
    pub(super) async fn hold(&self) {
        self.shared.gate.acquire().await.unwrap().forget();
    }

    /// Answers those that wait, and all later ones.
    pub(super) fn release(&self) {
        self.shared.gate.add_permits(1);
    }
}

impl Shared {
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.asked.send_modify(|asked| asked.push(path.clone()));
        drop(self.gate.acquire().await);
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        let answer =
            answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
