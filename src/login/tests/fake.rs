//! A provider on the loopback that answers what it is told and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running provider; it stops with the test's runtime.
pub(crate) struct Fake {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, String>>,
    asked: Mutex<Vec<Asked>>,
    /// The path whose answers wait.
    held: watch::Sender<Option<String>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    /// A field of a form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Fake {
    /// A provider that answers 404 until it is told what to serve.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.answer(stream).await });
            }
        });
        Self {
            url: format!("http://localhost:{port}"),
            shared,
        }
    }

    /// Serves a JSON document under a path.
    pub(crate) fn serve(&self, path: &str, document: &Value) {
        self.serve_with(path, "200 OK", document);
    }

    /// The same with another status.
    pub(crate) fn serve_with(&self, path: &str, status: &str, document: &Value) {
        let body = document.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.answer_raw(path, &format!("{head}{body}"));
    }

    /// Serves any bytes under a path; none at all leave the caller waiting.
    pub(crate) fn answer_raw(&self, path: &str, answer: &str) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.to_owned(), answer.to_owned());
    }

    /// Lets the answers of a path wait until another one is held, or none.
    pub(crate) fn hold(&self, path: Option<&str>) {
        self.shared.held.send_replace(path.map(str::to_owned));
    }

    /// Every request for a path, in order.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        let for_path = |asked: &&Asked| asked.line.split(' ').nth(1) == Some(path);
        asked.iter().filter(for_path).cloned().collect()
    }
}

impl Shared {
    async fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut asked = Asked {
            line: head.lines().next().unwrap().to_owned(),
            head,
            body: String::new(),
        };
        let length = asked
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        asked.body = String::from_utf8(body).unwrap();
        let path = asked.line.split(' ').nth(1).unwrap().to_owned();
        self.asked.lock().unwrap().push(asked);
        let mut held = self.held.subscribe();
        let go = held.wait_for(|held| held.as_deref() != Some(path.as_str()));
        go.await.unwrap();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        let answer =
            answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".into());
        if answer.is_empty() {
            std::future::pending::<()>().await;
        }
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}
