//! A Redis that is killed and comes back, one that is set up carelessly, and one that asks for another password. These tests
//! start their own, since they end it: the program is `redis-server`, or what `REDIS_SERVER` names.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::store::suite::clock;

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, port: u16, more: &[&str]) -> Self {
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--dir", dir.to_str().unwrap()])
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server can be started");
        let mut server = Self { child, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "it ended");
            std::thread::yield_now();
        }
        server
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn store(&self, login: &str) -> Redis {
        let url = format!("redis://{login}127.0.0.1:{}", self.port);
        let settings = Settings {
            retry_pause: Duration::ZERO,
            response_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            ..Settings::default()
        };
        Redis::new(&Secret::new(url), &settings, &clock()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn key(id: impl ToString) -> Key {
    Key::new(Table::Code, id.to_string())
}

/// Tries until it succeeds. A Redis that reads its file answers "loading" for a while.
async fn until_back(store: &Redis) {
    while store.ready().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn c39_a_killed_redis_refuses_and_comes_back_with_all_that_was_confirmed() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut server = Server::start(dir.path(), port, &DURABLE);
    let store = server.store("");
    for round in 0..10 {
        for number in 0..20 {
            let key = key(round * 100 + number);
            store.put(&key, vec![], None).await.unwrap();
            if number % 2 == 0 {
                store.take(&key).await.unwrap().unwrap();
            }
        }
        server.kill();
        let away = store.take(&key(round * 100 + 1)).await;
        assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
        server = Server::start(dir.path(), port, &DURABLE);
        until_back(&store).await;
        for number in 0..20 {
            let found = store.get(&key(round * 100 + number)).await.unwrap();
            assert_eq!(found.is_some(), number % 2 == 1, "{round} {number}");
        }
    }
    assert_eq!(
        store.scan(Table::Code, "", None, 1000).await.unwrap().len(),
        100
    );
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_redis_that_was_restarted_while_nobody_asked_costs_no_error() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut server = Server::start(dir.path(), port, &DURABLE);
    let store = server.store("");
    store.put(&key("one"), vec![], None).await.unwrap();
    server.kill();
    let server = Server::start(dir.path(), port, &DURABLE);
    until_back(&server.store("")).await;
    assert!(store.get(&key("one")).await.unwrap().is_some());
    assert!(store.take(&key("one")).await.unwrap().is_some());
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_careless_set_up_is_warned_about() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut server = Server::start(dir.path(), port, &["--maxmemory-policy", "allkeys-lru"]);
    let warnings = server.store("").warnings().await.unwrap().join("\n");
    assert!(warnings.contains("appendonly"), "{warnings}");
    assert!(warnings.contains("appendfsync"), "{warnings}");
    assert!(warnings.contains("noeviction"), "{warnings}");
    server.kill();
    let server = Server::start(dir.path(), port, &DURABLE);
    assert_eq!(
        server.store("").warnings().await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn c39_a_wrong_password_is_an_error_that_does_not_show_it() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = Server::start(dir.path(), port, &["--requirepass", "canary-right"]);
    for login in ["", ":canary-wrong@", "canary-user:canary-right@"] {
        let store = server.store(login);
        let refused = store.get(&key("one")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert!(!format!("{refused} {store:?}").contains("canary"));
    }
    server.store(":canary-right@").ready().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_full_redis_is_an_error_and_never_an_answer() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = Server::start(dir.path(), port, &["--maxmemory", "3mb"]);
    let store = server.store("");
    store.put(&key("kept"), vec![1], None).await.unwrap();
    let mut number = 0;
    let refused = loop {
        let large = vec![b'v'; 200_000];
        match store.put(&key(number), large, None).await {
            Ok(_) => number += 1,
            Err(refused) => break refused,
        }
        assert!(number < 100);
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    let kept = store.get(&key("kept")).await.unwrap().unwrap();
    assert_eq!(kept.value, [1]);
}

/// The commands that `docs/stores.md` names, and no other.
const ALLOWED: &str = "evalsha script|load hmget pttl zrangebylex info hset hincrby del pexpire persist time zadd zrem zscore \
    zrangebyscore get set config|get";

#[tokio::test]
#[ignore = "needs a Redis: tests/store/run"]
async fn a_login_with_the_documented_commands_suffices() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/stores.md");
    let docs = std::fs::read_to_string(docs).unwrap().to_lowercase();
    let mut user: Vec<_> = ["--user", "gateway", "on", ">canary-right", "~sallygate:*"]
        .map(str::to_owned)
        .into();
    for command in ALLOWED.split_whitespace() {
        let word = format!("`{}`", command.replace('|', " "));
        assert!(docs.contains(&word), "{word}");
        user.push(format!("+{command}"));
    }
    let user: Vec<_> = user.iter().map(String::as_str).collect();
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let server = Server::start(dir.path(), port, &user);
    let store = server.store("gateway:canary-right@");
    store.put(&key("one"), vec![1], None).await.unwrap();
    let held = store.get(&key("one")).await.unwrap().unwrap();
    let end = Some(store.clock.now().plus(Duration::from_secs(60)));
    let replaced = store
        .replace(&key("one"), held.revision, vec![2], end)
        .await;
    assert!(replaced.unwrap().is_some());
    assert_eq!(store.scan(Table::Code, "", None, 9).await.unwrap().len(), 1);
    assert!(store.take(&key("one")).await.unwrap().is_some());
    assert_eq!(store.bump("count", end).await.unwrap(), 1);
    assert_eq!(store.bump("count", end).await.unwrap(), 2);
    let due = vec![("one".to_owned(), "0".to_owned())];
    store.index.settle(Table::Code, due).await.unwrap();
    store.warnings().await.unwrap();
    // Others' keys are out of reach.
    let foreign = Settings {
        namespace: "foreign".into(),
        response_timeout: Duration::from_secs(10),
        ..Settings::default()
    };
    let url = format!("redis://gateway:canary-right@127.0.0.1:{port}");
    let foreign = Redis::new(&Secret::new(url), &foreign, &clock()).unwrap();
    assert!(foreign.get(&key("one")).await.is_err());
}
