//! Which keys open a vault, and that a wrong one changes nothing.

use super::*;

#[tokio::test]
async fn a_wrong_key_is_recognised_before_anything_is_written() {
    let rig = Rig::new().await;
    let unused = rig.dump().await;
    for used in [false, true] {
        if used {
            rig.seal("u", "n", CANARY).await;
        }
        let before = rig.dump().await;
        let mut passphrase = settings(1, &[]);
        passphrase.kdf = Kdf::Argon2id;
        for wrong in [settings(2, &[]), settings(2, &[3]), passphrase] {
            let refused = rig.again(&wrong).await.unwrap_err();
            let right = rig.vault.current_key().unwrap().to_string();
            assert!(
                matches!(&refused, VaultError::WrongKey { needed, .. } if *needed == right),
                "{refused}"
            );
            assert_eq!(refused.audit().0, "vault_wrong_key");
            assert_eq!(rig.dump().await, before);
        }
    }
    assert_ne!(rig.dump().await, unused);
    assert!(rig.again(&settings(1, &[])).await.is_ok());
}

#[tokio::test]
async fn a_store_that_lost_the_list_of_its_keys_is_not_taken_for_an_empty_one() {
    let rig = Rig::new().await;
    rig.seal("u", "n", CANARY).await;
    let name = rig.vault.current_key().unwrap().to_string();
    let key = crate::store::Key::new(Table::Meta, format!("vault/master/{name}"));
    rig.store.delete(&key).await.unwrap();
    let refused = rig.again(&settings(2, &[])).await.unwrap_err();
    assert!(matches!(refused, VaultError::WrongKey { needed, .. } if needed == name));
}

#[tokio::test]
async fn a_changed_check_value_is_not_believed() {
    let rig = Rig::new().await;
    let id = format!("vault/master/{}", rig.vault.current_key().unwrap());
    let record = rig.raw(Table::Meta, &id).await.value;
    let text = String::from_utf8(record).unwrap();
    for changed in [
        text.replace("hkdf", "none"),
        text.replace("\"check\":\"", "\"check\":\"AA"),
    ] {
        rig.write(Table::Meta, &id, changed.into_bytes()).await;
        let refused = rig.again(&settings(1, &[])).await.unwrap_err();
        assert!(matches!(refused, VaultError::Tampered { .. }), "{refused}");
    }
}

#[tokio::test]
async fn r082_the_vault_needs_a_key_that_is_one() {
    let clock = clock();
    for (key, weak) in [
        (None, false),
        (Some(vec![0; 32]), true),
        (Some(b"canary".to_vec()), true),
        (Some(vec![200; 31]), true),
    ] {
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let settings = Settings {
            key: key.map(Secret::new),
            kdf: Kdf::Auto,
            ..settings(1, &[])
        };
        let refused = Rig::over(store, clock.clone(), &settings)
            .await
            .unwrap_err();
        assert_eq!(matches!(refused, VaultError::WeakKey(_)), weak, "{refused}");
        assert_eq!(matches!(refused, VaultError::NoKey), !weak, "{refused}");
        assert!(refused.to_string().contains("ENCRYPTION_KEY"), "{refused}");
        assert!(!refused.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn r057_r093_processes_with_the_same_key_read_each_other_and_during_a_change_both_keys_open()
{
    let old = Rig::new().await;
    old.seal("u", "n", CANARY).await;
    let twin = old.again(&settings(1, &[])).await.unwrap();
    assert_eq!(twin.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
    // The new key comes first to one process; the other still seals with the old one.
    let new = old.again(&settings(2, &[1])).await.unwrap();
    assert_eq!(new.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
    old.seal("v", "n", CANARY).await;
    new.seal("w", "n", CANARY).await;
    assert_eq!(new.value("v", "n").await.unwrap().as_deref(), Some(CANARY));
    let unknown = old.value("w", "n").await.unwrap_err();
    assert!(matches!(unknown, VaultError::WrongKey { .. }), "{unknown}");
    let line = old.lines("api_key_decrypted").pop().unwrap();
    assert_eq!(
        (line["status"].as_str(), line["severity"].as_str()),
        (Some("error"), Some("high"))
    );
    let both = old.again(&settings(1, &[2])).await.unwrap();
    assert_eq!(both.value("w", "n").await.unwrap().as_deref(), Some(CANARY));
}

#[tokio::test]
async fn c07_a_passphrase_opens_the_vault_again_with_the_salt_that_the_store_keeps() {
    let clock = clock();
    let mut settings = settings(1, &[]);
    settings.kdf = Kdf::Auto;
    settings.key = Some(Secret::new(b"canary not a real passphrase".to_vec()));
    let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
    let rig = Rig::over(store, clock.clone(), &settings).await.unwrap();
    rig.seal("u", "n", CANARY).await;
    let again = rig.again(&settings).await.unwrap();
    assert_eq!(again.vault.current_key(), rig.vault.current_key());
    assert_eq!(
        again.value("u", "n").await.unwrap().as_deref(),
        Some(CANARY)
    );
    // Another store has another salt, and with it another key.
    let other: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
    let other = Rig::over(other, clock, &settings).await.unwrap();
    assert_ne!(other.vault.current_key(), rig.vault.current_key());
    let status = rig.vault.status().await.unwrap();
    assert_eq!(status.keys[0].derivation.as_deref(), Some("argon2id"));
}
