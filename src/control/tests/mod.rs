//! Orders over a real socket: who may give them, what they do, and what the trail says about each.

mod kept;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::*;
use crate::audit::Sink;
use crate::audit::sink::{Captured, Refused};
use crate::auth::principal::Held;
use crate::auth::{AuthError, Principal};
use crate::clock::{Clock, Timestamp};
use crate::grants::{self, Grants, New};
use crate::revocation::{Revocations, Settings};
use crate::secret::Secret;
use crate::store::{Key, Memory, Store, Table};
use crate::users::{self, Profile};

/// A socket with the people behind it.
struct Rig {
    dir: TempDir,
    people: People,
    lines: Captured,
    served: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn people(clock: &Clock) -> People {
    let store = Arc::new(Memory::new(clock.clone()));
    let revocations = Revocations::new(store.clone(), Settings::default(), clock.clone());
    let revocations = Arc::new(revocations.aged_by(Clock::system()));
    let grants = Grants::new(
        store.clone(),
        Arc::clone(&revocations),
        grants::Settings::default(),
        Secret::new([1; 32]),
        clock.clone(),
    );
    People {
        store,
        revocations,
        grants: Some(Arc::new(grants)),
        vault: None,
        clock: clock.clone(),
    }
}

impl Rig {
    async fn start() -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let people = people(&clock);
        people.revocations.poll().await.unwrap();
        let (audit, lines) = Sink::capture(clock);
        let dir = tempfile::tempdir().unwrap();
        let control = Control::bind(dir.path(), Arc::new(verbs(&people, audit)));
        let served = tokio::spawn(control.await.unwrap().run());
        Self {
            dir,
            people,
            lines,
            served,
        }
    }

    async fn order(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let answer = ask(self.dir.path(), method, path, Bytes::new()).await;
        let answer = answer.unwrap().expect("it is served");
        (answer.status, answer.document)
    }

    async fn post(&self, path: &str) -> Value {
        let (status, document) = self.order(Method::POST, path).await;
        assert_eq!(status, 200, "{path}: {document}");
        document
    }

    async fn knows(&self, id: &str) {
        let profile = Profile {
            id: id.into(),
            tier: "free".into(),
            ..Profile::default()
        };
        let now = self.people.clock.now();
        users::signed_in(&*self.people.store, &profile, now)
            .await
            .unwrap();
    }

    fn judge(&self, principal: &Principal) -> Result<(), AuthError> {
        self.people.revocations.view().check(principal)
    }
}

fn bearer(user: &str) -> Principal {
    Principal::for_tests(user, "free", &[]).holding(Held {
        token: Some("jti_1"),
        session: Some("sid_1"),
        client: Some("https://client.test/a"),
        generation: Some(0),
        ..Held::default()
    })
}

#[tokio::test]
async fn what_is_no_order_is_refused() {
    let rig = Rig::start().await;
    let not_found = StatusCode::NOT_FOUND;
    let not_allowed = StatusCode::METHOD_NOT_ALLOWED;
    for (method, path, status) in [
        (Method::GET, "/", not_found),
        (Method::POST, "/users/a/promote", not_found),
        (Method::POST, "/users//disable", not_found),
        (Method::POST, "/users/a/b/disable", not_found),
        (Method::POST, "/users/a%00b/disable", not_found),
        (Method::POST, "/users/a%0ab/disable", not_found),
        (Method::POST, "/users/%ff/disable", not_found),
        (Method::POST, "/users/a%2/disable", not_found),
        (Method::POST, "/users/a/disable/", not_found),
        (Method::GET, "/users/a/disable", not_allowed),
        (Method::DELETE, "/users/a", not_allowed),
        (Method::GET, "/users/nobody", not_found),
        (Method::POST, "/users/nobody/enable", not_found),
    ] {
        let (got, document) = rig.order(method.clone(), path).await;
        assert_eq!(got, status, "{method} {path}: {document}");
        assert!(document["error"]["message"].is_string(), "{document}");
    }
}

#[tokio::test]
async fn nobody_else_may_come_near_the_socket() {
    let rig = Rig::start().await;
    let socket = fs::metadata(rig.dir.path().join(SOCKET)).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(open.path(), Permissions::from_mode(0o777)).unwrap();
    let verbs = || {
        let clock = Clock::system();
        Arc::new(verbs(&people(&clock), Sink::discard(clock)))
    };
    let refused = Control::bind(open.path(), verbs()).await;
    assert!(
        matches!(refused, Err(ControlError::LooseFolder { mode: 0o777, .. })),
        "{refused:?}"
    );
    let made = open.path().parent().unwrap().join(format!(
        "{}-made",
        open.path().file_name().unwrap().to_str().unwrap()
    ));
    let control = Control::bind(&made, verbs()).await.unwrap();
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
    drop(control);
    fs::remove_dir(&made).unwrap();
}

#[tokio::test]
async fn whoever_is_another_user_is_told_to_be_the_right_one() {
    let clock = Clock::system();
    let people = people(&clock);
    let verbs = Arc::new(verbs(&people, Sink::discard(clock)));
    let dir = tempfile::tempdir().unwrap();
    let mut control = Control::bind(dir.path(), verbs).await.unwrap();
    // To it, we are now the other one.
    control.uid = control.uid.wrapping_add(1);
    let served = tokio::spawn(control.run());
    for (method, path) in [
        (Method::POST, "/users/a/disable"),
        (Method::GET, "/users"),
        (Method::GET, "/nothing"),
    ] {
        let answer = ask(dir.path(), method, path, Bytes::new()).await;
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert!(!people.revocations.view().standing("a").disabled);
    served.abort();
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let rig = Rig::start().await;
    rig.lines.refuse(Some(Refused::Unwritable));
    let (status, document) = rig.order(Method::POST, "/users/a/disable").await;
    assert_eq!(status, 503);
    assert_eq!(document["error"]["code"], "audit_unavailable");
    assert_eq!(rig.judge(&bearer("a")), Ok(()));
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
    let rig = Rig::start().await;
    let clock = Clock::system();
    let verbs = Arc::new(verbs(&people(&clock), Sink::discard(clock)));
    let second = Control::bind(rig.dir.path(), Arc::clone(&verbs)).await;
    assert!(matches!(second, Err(ControlError::InUse(_))), "{second:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists() && !is_served(dir.path()).await.unwrap());
    let control = Control::bind(dir.path(), Arc::clone(&verbs)).await.unwrap();
    assert!(is_served(dir.path()).await.unwrap());
    drop(control);
    assert!(!path.exists(), "it disappears with the gateway");

    fs::write(&path, "a file").unwrap();
    let file = Control::bind(dir.path(), verbs).await;
    assert!(matches!(file, Err(ControlError::NoSocket(_))), "{file:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let rig = Rig::start().await;
    let body = Bytes::from(vec![b' '; 70_000]);
    let answer = ask(rig.dir.path(), Method::POST, "/users/a/disable", body).await;
    let answer = answer.unwrap().unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(rig.judge(&bearer("a")), Ok(()));
    let mut raw = UnixStream::connect(rig.dir.path().join(SOCKET))
        .await
        .unwrap();
    let _ = raw.write_all(b"GET / HTTP/1.1\r\n").await;
    let _ = raw
        .write_all(format!("x: {}\r\n\r\n", "y".repeat(20_000)).as_bytes())
        .await;
    let mut said = Vec::new();
    let _ = raw.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431"),
        "{said}"
    );
}

#[tokio::test]
async fn r285_r625_users_sessions_clients_and_tokens_are_ended_by_order() {
    for (path, refusal) in [
        ("/users/idp%7Ca/disable", AuthError::UserDisabled),
        ("/users/idp%7Ca/logout", AuthError::Revoked),
        ("/users/idp%7Ca/erase", AuthError::Revoked),
        ("/sessions/sid_1/revoke", AuthError::Revoked),
        ("/tokens/jti_1/revoke", AuthError::Revoked),
        (
            "/clients/https:%2F%2Fclient.test%2Fa/revoke",
            AuthError::Revoked,
        ),
    ] {
        let rig = Rig::start().await;
        let principal = bearer("idp|a");
        assert_eq!(rig.judge(&principal), Ok(()));
        rig.post(path).await;
        assert_eq!(rig.judge(&principal), Err(refusal), "{path}");
    }
}

/// The mark on a client lasts as long as an access token, and a refresh token lives for months.
#[tokio::test]
async fn a_client_that_was_revoked_refreshes_nothing_later_either() {
    let rig = Rig::start().await;
    rig.knows("12345").await;
    let grants = rig.people.grants.clone().unwrap();
    let open = |client: &str| {
        let new = New {
            user: "12345".into(),
            client: Some(client.into()),
            ..New::default()
        };
        grants.open(new)
    };
    let (_, token) = open("https://client.test/a").await.unwrap();
    let (_, others) = open("https://client.test/b").await.unwrap();
    let document = rig
        .post("/clients/https:%2F%2Fclient.test%2Fa/revoke")
        .await;
    assert_eq!(document["sessions_ended"], 1);
    assert_eq!(document["was_registered"], false);
    let registered = Key::new(Table::Client, "r/mcp_client_1");
    let kept = rig.people.store.create(&registered, b"{}".to_vec(), None);
    assert!(kept.await.unwrap().is_some());
    let document = rig.post("/clients/mcp_client_1/revoke").await;
    assert_eq!(document["was_registered"], true);
    assert!(rig.people.store.get(&registered).await.unwrap().is_none());
    rig.people.clock.advance(Duration::from_secs(2 * 86_400));
    let refused = grants.rotate(token.expose(), Some("https://client.test/a"));
    assert!(matches!(refused.await, Err(grants::GrantError::Unknown)));
    let good = grants.rotate(others.expose(), Some("https://client.test/b"));
    assert!(good.await.is_ok());
}

#[tokio::test]
async fn a_user_is_shown_shut_out_let_in_and_erased() {
    let rig = Rig::start().await;
    for id in ["okta.jane", "12345"] {
        rig.knows(id).await;
    }
    let (_, all) = rig.order(Method::GET, "/users?limit=1").await;
    assert_eq!(all["users"][0]["id"], "12345");
    assert_eq!(all["next"], "12345");
    let (_, rest) = rig.order(Method::GET, "/users?after=12345&limit=5").await;
    assert_eq!(rest["users"][0]["id"], "okta.jane");
    assert_eq!(rest["next"], Value::Null);

    assert_eq!(rig.post("/users/12345/disable").await["disabled"], true);
    let (_, shown) = rig.order(Method::GET, "/users/12345").await;
    assert_eq!(shown["disabled"], true);
    assert_eq!(
        rig.post("/users/user_12345/enable").await["id"],
        "12345",
        "C19"
    );
    let (_, shown) = rig.order(Method::GET, "/users/user_12345").await;
    assert_eq!(shown["disabled"], false);
    assert_eq!(rig.post("/users/12345/erase").await["was_known"], true);
    assert_eq!(rig.post("/users/12345/erase").await["was_known"], false);
    let (status, _) = rig.order(Method::GET, "/users/12345").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn every_order_leaves_a_line_that_says_who_gave_it() {
    let rig = Rig::start().await;
    rig.knows("12345").await;
    let uid = fs::metadata(rig.dir.path().join(SOCKET)).unwrap().uid();
    for (method, path, action, status) in [
        (
            Method::POST,
            "/users/12345/disable",
            "user_disable",
            "success",
        ),
        (Method::GET, "/users/12345", "user_show", "success"),
        (Method::GET, "/users", "user_list", "success"),
        (Method::POST, "/users/x/enable", "user_enable", "error"),
        (
            Method::POST,
            "/tokens/jti_1/revoke",
            "token_revoke",
            "success",
        ),
    ] {
        rig.order(method, path).await;
        let lines = rig.lines.lines();
        let line: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        assert_eq!(line["event_type"], "admin_action", "{line}");
        assert_eq!(line["action"], action, "{line}");
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["path"], path, "{line}");
        assert_eq!(line["details"]["uid"], uid, "{line}");
    }
    assert_eq!(rig.lines.lines().len(), 5);
}

#[tokio::test]
async fn other_parts_add_verbs_of_their_own() {
    let clock = Clock::system();
    let boil = |call: Call| async move {
        match call.body.is_empty() {
            true => Err(Refusal::failed("nothing to do")),
            false => Ok(json!({ "boiled": call.body.len(), "by": call.uid })),
        }
    };
    let verbs = verbs(&people(&clock), Sink::discard(clock)).on(
        Method::POST,
        "/kettle/boil",
        "kettle_boil",
        boil,
    );
    let dir = tempfile::tempdir().unwrap();
    let control = Control::bind(dir.path(), Arc::new(verbs)).await.unwrap();
    let served = tokio::spawn(control.run());
    for (body, status) in [("", 503), ("{}", 200)] {
        let body = Bytes::from_static(body.as_bytes());
        let answer = ask(dir.path(), Method::POST, "/kettle/boil", body).await;
        assert_eq!(answer.unwrap().unwrap().status, status);
    }
    served.abort();
}

#[test]
fn names_survive_the_way_through_a_path() {
    for name in ["a", "okta|a b", "ü/%2F", "https://c.test/?x=1#y", "~{}"] {
        let path = format!("/users/{}/disable", escaped(name));
        assert!(path.parse::<http::Uri>().is_ok(), "{path}");
        assert_eq!(verbs::matched("/users/{}/disable", &path).unwrap(), [name]);
    }
}
