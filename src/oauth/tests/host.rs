//! A host of documents, over TLS: it says byte for byte what a test wants, and counts who came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A running host; it stops with the test's runtime.
pub(in crate::oauth) struct Host {
    pub(in crate::oauth) port: u16,
    /// The certificate to trust.
    pub(in crate::oauth) ca: NamedTempFile,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    /// Nothing, for ever.
    Silence,
}

impl Host {
    /// A host of these names that answers 404 until it is told what to serve.
    pub(in crate::oauth) async fn start(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), made.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = rustls::ServerConfig::builder_with_provider(crate::listener::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        tokio::spawn(Arc::clone(&shared).run(listener, Arc::new(config).into()));
        Self { port, ca, shared }
    }

    /// Serves a document.
    pub(in crate::oauth) fn serve(&self, path: &str, document: &Value) {
        self.say(
            path,
            "200 OK\r\ncontent-type: application/json",
            &document.to_string(),
        );
    }

    /// Serves anything: status with further header lines, and a body.
    pub(in crate::oauth) fn say(&self, path: &str, head: &str, body: &str) {
        let text = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.put(path, Answer::Bytes(text.into_bytes()));
    }

    /// Takes the request and never answers.
    pub(in crate::oauth) fn hang(&self, path: &str) {
        self.put(path, Answer::Silence);
    }

    fn put(&self, path: &str, answer: Answer) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.to_owned(), answer);
    }

    /// The heads of the requests so far.
    pub(in crate::oauth) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The address of a path, by name.
    pub(in crate::oauth) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }
}

impl Shared {
    async fn run(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (shared, acceptor) = (Arc::clone(&self), acceptor.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                match shared.answer(&String::from_utf8_lossy(&head)) {
                    Answer::Bytes(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Answer::Silence => std::future::pending().await,
                }
            });
        }
    }

    fn answer(&self, head: &str) -> Answer {
        self.asked.lock().unwrap().push(head.to_owned());
        let path = head.split(' ').nth(1).unwrap_or_default();
        let known = self.answers.lock().unwrap().get(path).cloned();
        let nothing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        known.unwrap_or_else(|| Answer::Bytes(nothing.to_vec()))
    }
}
