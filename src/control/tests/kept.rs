//! Orders about what is kept: the vault and the store of a gateway that runs.

use super::*;
use crate::secret::Secret;
use crate::store::{Key, Store, Table};
use crate::vault::{Keeping, Settings as VaultSettings, Vault};

const CANARY: &str = "canary-not-a-real-token";

/// Bytes that look random and are not.
fn material(number: u8) -> Secret<Vec<u8>> {
    Secret::new((0..32_u8).map(|n| (255 - n * 7) ^ number).collect())
}

/// Serves the people's store with a vault under this key, after those before it.
async fn served(rig: &Rig, key: u8, previous: &[u8]) -> (TempDir, Arc<Vault>, JoinHandle<()>) {
    let clock = rig.people.clock.clone();
    let settings = VaultSettings {
        keeping: Keeping::Vault,
        key: Some(material(key)),
        previous: previous.iter().copied().map(material).collect(),
        ..VaultSettings::default()
    };
    let (sink, _) = Sink::capture(clock.clone());
    let store = Arc::clone(&rig.people.store);
    let vault = Vault::open(store, &settings, clock.clone(), sink).await;
    let vault = Arc::new(vault.unwrap());
    let people = People {
        vault: Some(Arc::clone(&vault)),
        ..rig.people.clone()
    };
    let dir = tempfile::tempdir().unwrap();
    let verbs = Arc::new(verbs(&people, Sink::discard(clock)));
    let control = Control::bind(dir.path(), verbs).await.unwrap();
    (dir, vault, tokio::spawn(control.run()))
}

async fn said(dir: &TempDir, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let body = Bytes::from(body.to_owned());
    let answer = ask(dir.path(), method, path, body).await;
    let answer = answer.unwrap().unwrap();
    (answer.status, answer.document)
}

async fn fill(vault: &Vault, users: usize) {
    for user in 0..users {
        let (user, secret) = (user.to_string(), Secret::new(CANARY.to_owned()));
        let sealed = vault.seal(&user, "clickup/token", secret, None);
        sealed.await.unwrap();
    }
}

/// Waits for the end of a rotation.
async fn ended(dir: &TempDir) -> Value {
    loop {
        let (status, state) = said(dir, Method::GET, "/vault/rotation", "").await;
        assert_eq!(status, 200, "{state}");
        if state["running"] == false {
            return state;
        }
    }
}

#[tokio::test]
async fn orders_about_what_is_not_there_or_makes_no_sense_are_refused() {
    let rig = Rig::start().await;
    let (dir, _vault, served) = served(&rig, 1, &[]).await;
    let (get, post) = (Method::GET, Method::POST);
    for (method, path, body, status) in [
        (&get, "/vault/rotation", "", 404),
        (&post, "/vault/rotate", "", 400),
        (&post, "/vault/rotate", r#"{"data_kyes": true}"#, 400),
        (&post, "/vault/import", "{}", 400),
        (
            &post,
            "/vault/import",
            r#"{"dump": "/dev/null", "key_file": "here"}"#,
            400,
        ),
        (&post, "/store/backup", "{}", 400),
        (&post, "/store/backup", r#"{"file": "here"}"#, 503),
        (&post, "/store/restore", r#"{"file": "/dev/null"}"#, 404),
    ] {
        let (said, document) = said(&dir, method.clone(), path, body).await;
        assert_eq!(said, status, "{path} {body}: {document}");
        assert!(document["error"]["message"].is_string(), "{document}");
    }
    // Nothing is sealed in the other gateway.
    for (method, path) in [(get, "/vault/status"), (post, "/vault/rotate")] {
        let answer = ask(rig.dir.path(), method, path, Bytes::from("{}")).await;
        assert_eq!(answer.unwrap().unwrap().status, 404, "{path}");
    }
    served.abort();
}

#[tokio::test]
async fn the_keys_of_a_vault_are_rotated_by_order() {
    let rig = Rig::start().await;
    let (_dir, vault, first) = served(&rig, 1, &[]).await;
    fill(&vault, 100).await;
    first.abort();
    let (dir, vault, second) = served(&rig, 2, &[1]).await;
    let wish = r#"{"data_keys": true, "retire": true}"#;
    let rotate = || said(&dir, Method::POST, "/vault/rotate", wish);
    assert_eq!(rotate().await.1, json!({ "running": true }));
    let done = ended(&dir).await;
    assert_eq!(done["done"], true, "{done}");
    let (_, state) = said(&dir, Method::GET, "/vault/status", "").await;
    assert_eq!(
        (&state["secrets"], &state["users"]),
        (&json!(100), &json!(100))
    );
    assert_eq!(state["rotation"], Value::Null);
    let keys = state["keys"].as_array().unwrap();
    let of = |wanted: &str| keys.iter().find(|key| key["state"] == wanted).unwrap();
    assert_eq!(of("current")["secrets"], 100);
    assert_eq!(of("retired")["may_be_removed"], true);
    let opened = vault.open_secret("7", "clickup/token").await.unwrap();
    assert_eq!(opened.unwrap().expose(), CANARY);
    second.abort();
}

#[tokio::test]
async fn there_is_one_rotation_at_a_time_and_whoever_wants_the_same_joins_it() {
    let rig = Rig::start().await;
    let (_dir, vault, served) = served(&rig, 1, &[]).await;
    let turns = secrets::Turns::default();
    let order = |data_keys| {
        turns.begin(
            &vault,
            &secrets::Wish {
                data_keys,
                retire: false,
            },
        )
    };
    // Nothing waits in between, so the first one has not even begun.
    assert!(order(true).is_ok() && order(true).is_ok());
    assert_eq!(order(false).unwrap_err().status, 409);
    served.abort();
}

#[tokio::test]
async fn a_store_is_counted_and_saved_by_order_to_a_file_of_its_owner() {
    let rig = Rig::start().await;
    let key = Key::new(Table::Grant, "one");
    rig.people
        .store
        .put(&key, b"x".to_vec(), None)
        .await
        .unwrap();
    let (status, document) = rig.order(Method::GET, "/store/status").await;
    assert_eq!(status, 200, "{document}");
    assert_eq!(document["records"]["grant"], 1);
    let file = rig.dir.path().join("monday");
    let wish = json!({ "file": file }).to_string();
    let (status, document) = said(&rig.dir, Method::POST, "/store/backup", &wish).await;
    assert_eq!((status.as_u16(), &document["records"]), (200, &json!(1)));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    let (status, document) = said(&rig.dir, Method::POST, "/store/backup", &wish).await;
    assert_eq!(status, 503, "{document}");
    assert_eq!(fs::read(&file).unwrap(), before, "it is not written over");
    let store = Arc::new(Memory::new(rig.people.clock.clone()));
    let over = crate::store::backup::Over::Nothing;
    let clock = &rig.people.clock;
    let restored = refill(store.clone(), clock, file.clone(), over).await;
    assert_eq!(restored.unwrap()["records"], 1);
    assert!(store.get(&key).await.unwrap().is_some());
    let again = refill(store, clock, file, over).await.unwrap_err();
    assert!(again.message.ends_with("--force"), "{again}");
}
