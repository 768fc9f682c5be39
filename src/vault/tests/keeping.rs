//! The three places where credentials may be kept (C09), and the way in from the seed's store.

use super::super::v1::V1Key;
use super::*;

#[tokio::test]
async fn r001_c09_in_memory_nothing_reaches_the_store_and_nothing_outlives_the_vault() {
    let clock = clock();
    let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
    let settings = Settings::default();
    assert_eq!(settings.keeping, Keeping::Memory);
    let rig = Rig::over(store, clock, &settings).await.unwrap();
    rig.seal("u", "n", CANARY).await;
    assert_eq!(rig.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
    assert_eq!(rig.dump().await, "");
    let again = rig.again(&settings).await.unwrap();
    assert_eq!(again.value("u", "n").await.unwrap(), None);
}

#[test]
fn c09_each_way_of_keeping_has_its_name() {
    for way in Keeping::ALL {
        assert_eq!(Keeping::parse(way.name()), Some(way));
    }
    assert_eq!(Keeping::parse("plain"), None);
}

#[cfg(feature = "keychain")]
mod in_keychain {
    use keyring_core::{CredentialStore, Error, mock};

    use super::*;

    async fn rig(items: &Arc<mock::Store>) -> Rig {
        let (clock, settings) = (
            clock(),
            Settings {
                keeping: Keeping::Keychain,
                ..Settings::default()
            },
        );
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let (sink, trail) = Sink::capture(clock.clone());
        let items: Arc<CredentialStore> = Arc::<mock::Store>::clone(items);
        let keychain = Keychain::over(items, &settings.keychain_service)
            .await
            .unwrap();
        let place = Place::Keychain(keychain);
        let vault = Vault::over(&settings, place, Arc::clone(&store), clock.clone(), sink);
        Rig {
            vault: Arc::new(vault),
            store,
            clock,
            trail,
        }
    }

    fn item(items: &Arc<mock::Store>, account: &str) -> keyring_core::Entry {
        let items: Arc<CredentialStore> = Arc::<mock::Store>::clone(items);
        items.build("mcp-service-token", account, None).unwrap()
    }

    #[tokio::test]
    async fn r571_c09_a_machine_without_a_keychain_is_told_so_and_nothing_is_written() {
        let items = mock::Store::new().unwrap();
        let broken = item(&items, "sallygate");
        let broken = broken.as_any().downcast_ref::<mock::Cred>().unwrap();
        broken.set_error(Error::NoStorageAccess("no session bus".into()));
        let items: Arc<CredentialStore> = items;
        let refused = Keychain::over(items, "mcp-service-token")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("no session bus") && refused.contains("in memory"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn r564_a_value_is_kept_updated_and_removed_and_the_store_holds_none() {
        let items = mock::Store::new().unwrap();
        let rig = rig(&items).await;
        rig.seal("u", "n", CANARY).await;
        assert_eq!(rig.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
        rig.seal("u", "n", "canary-not-a-real-successor").await;
        let account = item(&items, "u/n");
        assert_eq!(
            account.get_password().unwrap(),
            "canary-not-a-real-successor"
        );
        assert!(!rig.dump().await.contains("canary"));
        let list = rig.vault.list("u").await.unwrap();
        assert_eq!(
            (list.len(), list[0].algorithm.as_str(), list[0].serial),
            (1, "system keychain", 2)
        );
        assert!(rig.vault.remove("u", "n").await.unwrap());
        assert!(matches!(account.get_password(), Err(Error::NoEntry)));
        assert_eq!(rig.value("u", "n").await.unwrap(), None);
        assert_eq!(rig.lines("api_key_decrypted").len(), 1);
    }

    #[tokio::test]
    async fn erasing_a_user_empties_the_keychain_of_him_alone() {
        let items = mock::Store::new().unwrap();
        let rig = rig(&items).await;
        for (user, name) in [("u", "a"), ("u", "b"), ("v", "a")] {
            rig.seal(user, name, CANARY).await;
        }
        assert_eq!(rig.vault.status().await.unwrap().secrets, 3);
        assert_eq!(rig.vault.remove_all("u").await.unwrap(), 2);
        assert!(matches!(
            item(&items, "u/a").get_secret(),
            Err(Error::NoEntry)
        ));
        assert_eq!(rig.value("v", "a").await.unwrap().as_deref(), Some(CANARY));
        let rotated = rig
            .vault
            .rotate(Rotation::default(), |_| std::ops::ControlFlow::Continue(()))
            .await;
        assert!(matches!(
            rotated,
            Err(VaultError::NothingToRotate("keychain"))
        ));
    }

    #[tokio::test]
    async fn a_keychain_that_is_locked_later_is_an_error_and_not_an_absent_value() {
        let items = mock::Store::new().unwrap();
        let rig = rig(&items).await;
        rig.seal("u", "n", CANARY).await;
        let locked = item(&items, "u/n");
        let locked = locked.as_any().downcast_ref::<mock::Cred>().unwrap();
        locked.set_error(Error::NoStorageAccess("locked".into()));
        assert!(matches!(
            rig.value("u", "n").await,
            Err(VaultError::Keychain(_))
        ));
        assert_eq!(rig.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
    }
}

/// As the seed stores it, sealed by Web Crypto.
const V1: &str = "AAECAwQFBgcICQoLI+FaGkhFFmtRzVabTCAon6ujuyabY21YM2boadYNqTCueaxJrlmTF0ynMGJBdyw=";

fn v1_key(text: &str) -> V1Key {
    V1Key::derive(&Secret::new(text.to_owned()))
}

fn seed_key() -> V1Key {
    v1_key("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
}

#[tokio::test]
async fn an_import_that_cannot_be_read_whole_imports_nothing() {
    let rig = Rig::new().await;
    let before = rig.dump().await;
    let good = format!(r#"{{"user:1:api_key": "{V1}", "user:2:api_key": "AAAA"}}"#);
    let dump = Dump::parse(&good).unwrap();
    let refused = rig
        .vault
        .import(&dump, &seed_key(), false)
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            DumpError::Unreadable {
                failed: 1,
                all: 2,
                ..
            }
        ),
        "{refused}"
    );
    let wrong = rig
        .vault
        .import(&dump, &v1_key("canary"), false)
        .await
        .unwrap_err();
    assert!(
        matches!(wrong, DumpError::Unreadable { failed: 2, .. }),
        "{wrong}"
    );
    assert_eq!(rig.dump().await, before);
}

#[test]
fn c08_dumps_that_are_something_else_are_refused() {
    let shared = r#"{"user:1:tokens": {"encryptedAccessToken": "a", "encryptedRefreshToken": "b", "iv": "c"}}"#;
    assert!(matches!(Dump::parse(shared), Err(DumpError::SharedIv(_))));
    for (text, wanted) in [
        ("", "no JSON"),
        ("3", "no JSON"),
        (r#"[{"value": "x"}]"#, "no JSON"),
        (r#"{"12345": "x"}"#, "names no user"),
        (r#"{"user:12345": "x"}"#, "names no user"),
        (r#"{"a/b": 3}"#, "has no value"),
        (r#"{"a/b": {}}"#, "has no value"),
        (
            r#"{"a/b": {"value": "x", "metadata": {"key_version": "v2"}}}"#,
            "not of key version",
        ),
        (
            r#"{"a/b": {"value": "x", "metadata": {"algorithm": "AES-128-GCM"}}}"#,
            "not of key version",
        ),
        (r#"{"a/b": "x", "user:a:b": "y"}"#, "twice"),
    ] {
        let refused = Dump::parse(text).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{text}: {refused}");
    }
}

#[tokio::test]
async fn r052_r064_r065_the_seeds_store_is_read_in_each_of_its_shapes_and_sealed_anew() {
    let metadata = r#"{"encrypted": true, "algorithm": "AES-256-GCM", "key_version": "v1", "created_at": "2025-01-28T10:30:00Z"}"#;
    for text in [
        format!(r#"{{"user:12345:api_key": "{V1}", "user:12345:refresh_token": "{V1}"}}"#),
        format!(r#"{{"12345/api_key": "{V1}", "12345/refresh_token": {{"value": "{V1}"}}}}"#),
        format!(
            r#"[{{"key": "user:12345:api_key", "value": "{V1}", "metadata": {metadata}}},
                {{"key": "user:12345:refresh_token", "value": "{V1}", "metadata": {metadata}}}]"#
        ),
    ] {
        let rig = Rig::new().await;
        let dump = Dump::parse(&text).unwrap();
        assert!(!format!("{dump:?}").contains(V1));
        let imported = rig.vault.import(&dump, &seed_key(), false).await.unwrap();
        assert_eq!(imported.secrets, 2);
        assert_eq!(
            rig.value("12345", "api_key").await.unwrap().as_deref(),
            Some(CANARY)
        );
        assert!(!rig.dump().await.contains(V1));
        assert_eq!(rig.lines("admin_action")[0]["action"], "vault_import");
        let again = rig
            .vault
            .import(&dump, &seed_key(), false)
            .await
            .unwrap_err();
        assert!(matches!(again, DumpError::There(_)), "{again}");
        assert_eq!(
            rig.vault
                .import(&dump, &seed_key(), true)
                .await
                .unwrap()
                .secrets,
            2
        );
    }
}
