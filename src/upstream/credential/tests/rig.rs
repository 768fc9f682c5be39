//! A token endpoint that follows a script and remembers what it was asked, and a shelf of credentials in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::super::*;
use crate::clock::Timestamp;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const CLIENT_TOKEN: &str = "Bearer canary-not-a-real-client-token";

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(NOW))
}

pub(super) fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

pub(super) fn alice() -> Principal {
    Principal::for_tests("alice", "free", &[])
}

/// What the upstream sees in `Authorization`, where the client's own token stood before.
pub(super) async fn shown(
    credentials: &Credentials,
    principal: &Principal,
) -> Result<(String, Shown), CredentialError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static(CLIENT_TOKEN));
    let shown = credentials.apply(principal, &mut headers).await;
    let value = headers
        .get(AUTHORIZATION)
        .map(|value| value.to_str().unwrap().to_owned());
    assert_ne!(value.as_deref(), Some(CLIENT_TOKEN), "whatever happens");
    Ok((value.unwrap_or_default(), shown?))
}

/// The same after the upstream has refused one.
pub(super) async fn shown_instead(
    credentials: &Credentials,
    principal: &Principal,
    refused: Shown,
) -> Result<(String, Shown), CredentialError> {
    let mut headers = HeaderMap::new();
    let shown = credentials
        .replace(principal, refused, &mut headers)
        .await?;
    Ok((headers[AUTHORIZATION].to_str().unwrap().to_owned(), shown))
}

/// One question that a token endpoint was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) form: HashMap<String, String>,
}

/// The token endpoint. It stops with the test's runtime.
#[derive(Clone)]
pub(super) struct TokenServer {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<VecDeque<String>>,
    asked: watch::Sender<Vec<Asked>>,
    gate: Semaphore,
}

impl TokenServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            asked: watch::Sender::default(),
            gate: Semaphore::new(1),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { shared.answer(stream).await });
            }
        });
        Self { url, shared }
    }

    /// Answers next with these bytes.
    pub(super) fn will_raw(&self, answer: impl Into<String>) -> &Self {
        self.shared.script.lock().unwrap().push_back(answer.into());
        self
    }

    /// Answers next with this status and JSON.
    pub(super) fn will(&self, status: u16, body: &Value) -> &Self {
        let body = body.to_string();
        self.will_raw(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Answers next with a token that lives an hour.
    pub(super) fn will_give(&self, token: &str) -> &Self {
        let body =
            serde_json::json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        self.will(200, &body)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    pub(super) async fn wait_for(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        asked.wait_for(|asked| asked.len() >= count).await.unwrap();
    }

    /// Leaves questions unanswered until [`TokenServer::release`].
    pub(super) async fn hold(&self) {
        self.shared.gate.acquire().await.unwrap().forget();
    }

    pub(super) fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    pub(super) fn settings(&self) -> EndpointSettings {
        let proof = ClientAuth::Basic(secret("canary-not-a-real-client-secret"));
        EndpointSettings {
            timeout: std::time::Duration::from_secs(20),
            ..EndpointSettings::new(&self.url, "gateway", proof)
        }
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
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let form = url::form_urlencoded::parse(&body).into_owned().collect();
        self.asked
            .send_modify(|asked| asked.push(Asked { head, form }));
        let _turn = self.gate.acquire().await.unwrap();
        let answer = self.script.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".into());
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

/// Credentials in memory. What `open` says may lag behind, as a vault's memory does.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    kept: Mutex<HashMap<String, Arc<Secret<String>>>>,
    remembered: Mutex<HashMap<String, Arc<Secret<String>>>>,
    /// How many of the next writes fail.
    pub(super) failing: AtomicU32,
    pub(super) broken: std::sync::atomic::AtomicBool,
}

impl Shelf {
    pub(super) fn put(&self, user: &str, name: &str, value: &str) {
        let value = Arc::new(secret(value));
        self.kept
            .lock()
            .unwrap()
            .insert(format!("{user}/{name}"), value);
    }

    pub(super) fn remove(&self, user: &str, name: &str) {
        self.kept.lock().unwrap().remove(&format!("{user}/{name}"));
    }

    /// From now on `open` says what it would say now.
    pub(super) fn remember(&self) {
        self.remembered
            .lock()
            .unwrap()
            .clone_from(&self.kept.lock().unwrap());
    }

    pub(super) fn json(&self, user: &str, name: &str) -> Value {
        let kept = self.kept.lock().unwrap();
        serde_json::from_str(kept[&format!("{user}/{name}")].expose()).unwrap()
    }

    fn check(&self) -> Result<(), KeysError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(KeysError::because(std::io::Error::other("broken"))),
            false => Ok(()),
        }
    }
}

impl Keys for Shelf {
    fn open<'a>(&'a self, user: &'a str, name: &'a str) -> Later<'a, Option<Arc<Secret<String>>>> {
        Box::pin(async move {
            self.check()?;
            let id = format!("{user}/{name}");
            let remembered = self.remembered.lock().unwrap().get(&id).cloned();
            Ok(remembered.or_else(|| self.kept.lock().unwrap().get(&id).cloned()))
        })
    }

    fn open_now<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Arc<Secret<String>>>> {
        Box::pin(async move {
            self.check()?;
            Ok(self
                .kept
                .lock()
                .unwrap()
                .get(&format!("{user}/{name}"))
                .cloned())
        })
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
        old: &'a Secret<String>,
        new: Secret<String>,
    ) -> Later<'a, bool> {
        Box::pin(async move {
            let fails = |n: u32| n.checked_sub(1);
            let failed = self
                .failing
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails);
            if failed.is_ok() {
                return Err(KeysError::because(std::io::Error::other("busy")));
            }
            let mut kept = self.kept.lock().unwrap();
            let id = format!("{user}/{name}");
            let same = kept
                .get(&id)
                .is_some_and(|kept| kept.expose() == old.expose());
            if same {
                kept.insert(id, Arc::new(new));
            }
            Ok(same)
        })
    }
}
