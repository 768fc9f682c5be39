//! What somebody can do who may write the store and has no key.

use super::*;
use crate::audit::Severity;

async fn rig() -> Rig {
    let rig = Rig::new().await;
    for user in ["12345", "67890"] {
        for name in ["api_key", "refresh_token"] {
            rig.seal(user, name, &format!("{CANARY}-{user}-{name}"))
                .await;
        }
    }
    rig
}

/// Opens a secret that must not open, and gives the one line about it.
async fn refused(rig: &Rig, user: &str, name: &str) -> Value {
    let before = rig.trail.lines().len();
    let error = rig.value(user, name).await.unwrap_err();
    assert!(matches!(error, VaultError::Tampered { .. }), "{error}");
    assert_eq!(error.audit(), ("vault_tampered", Severity::Critical));
    assert_eq!(rig.vault.opened(), 0);
    let mut lines = rig.trail.records();
    assert_eq!(lines.len(), before + 1);
    lines.pop().unwrap()
}

#[tokio::test]
async fn r050_every_flipped_bit_of_a_secret_or_a_data_key_is_an_audited_error() {
    let rig = rig().await;
    for (table, id) in [(Table::Secret, "12345/api_key"), (Table::UserKey, "12345")] {
        let record = rig.raw(table, id).await.value;
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            rig.write(table, id, changed).await;
            let rig = rig.again(&settings(1, &[])).await.unwrap();
            let line = refused(&rig, "12345", "api_key").await;
            assert!(!rig.trail.lines().concat().contains("canary"));
            assert_eq!(line["event_type"], "suspicious_activity", "bit {bit}");
            assert_eq!(line["severity"], "critical");
            assert_eq!(line["user_id"], "12345");
            assert_eq!(line["status"], "error");
        }
        rig.write(table, id, record).await;
    }
    let value = rig.value("12345", "api_key").await.unwrap();
    assert_eq!(value.unwrap(), format!("{CANARY}-12345-api_key"));
}

#[tokio::test]
async fn c08_records_that_change_places_do_not_open() {
    for (table, one, two) in [
        (Table::Secret, "12345/api_key", "67890/api_key"),
        (Table::Secret, "12345/api_key", "12345/refresh_token"),
        (Table::UserKey, "12345", "67890"),
    ] {
        let rig = rig().await;
        let (first, second) = (rig.raw(table, one).await, rig.raw(table, two).await);
        rig.write(table, one, second.value).await;
        rig.write(table, two, first.value).await;
        refused(&rig, "12345", "api_key").await;
        let user = two.split('/').next().unwrap();
        let name = two.split('/').nth(1).unwrap_or("api_key");
        refused(&rig, user, name).await;
    }
}

#[tokio::test]
async fn c08_a_user_who_gets_anothers_key_and_secret_gets_nothing() {
    let rig = rig().await;
    let key = rig.raw(Table::UserKey, "12345").await.value;
    let secret = rig.raw(Table::Secret, "12345/api_key").await.value;
    rig.write(Table::UserKey, "67890", key).await;
    rig.write(Table::Secret, "67890/api_key", secret).await;
    refused(&rig, "67890", "api_key").await;
}

#[tokio::test]
async fn records_that_are_cut_or_of_another_version_are_tampered_with() {
    let rig = rig().await;
    let record = rig.raw(Table::Secret, "12345/api_key").await.value;
    let text = String::from_utf8(record.clone()).unwrap();
    for changed in [
        text.replacen("\"v\":1", "\"v\":2", 1),
        text.replacen("\"encrypted\":true", "\"encrypted\":false", 1),
        text.replacen("\"r\":{", "\"r\":{\"more\":1,", 1),
        "{}".into(),
        String::new(),
    ] {
        rig.write(Table::Secret, "12345/api_key", changed.into_bytes())
            .await;
        refused(&rig, "12345", "api_key").await;
    }
    for length in 0..record.len() {
        let cut = record[..length].to_vec();
        rig.write(Table::Secret, "12345/api_key", cut).await;
        refused(&rig, "12345", "api_key").await;
    }
    // What was destroyed can be replaced by a new login.
    rig.seal("12345", "api_key", CANARY).await;
    assert_eq!(
        rig.value("12345", "api_key").await.unwrap().as_deref(),
        Some(CANARY)
    );
}

/// A whole record put back is not seen, which the vault's first lines say; a renewed data key makes it seen.
#[tokio::test]
async fn an_old_record_put_back_opens_only_until_the_data_key_is_renewed() {
    let rig = rig().await;
    let old = rig.raw(Table::Secret, "12345/api_key").await.value;
    rig.seal("12345", "api_key", "canary-not-a-real-successor")
        .await;
    rig.write(Table::Secret, "12345/api_key", old.clone()).await;
    assert!(
        rig.value("12345", "api_key")
            .await
            .unwrap()
            .unwrap()
            .starts_with(CANARY)
    );
    assert_eq!(rig.vault.list("12345").await.unwrap()[0].serial, 1);
    let renew = Rotation {
        data_keys: true,
        ..Rotation::default()
    };
    let done = rig
        .vault
        .rotate(renew, |_| std::ops::ControlFlow::Continue(()))
        .await;
    assert!(done.unwrap().is_done);
    rig.write(Table::Secret, "12345/api_key", old).await;
    refused(&rig, "12345", "api_key").await;
}

#[tokio::test]
async fn a_rotation_leaves_what_was_tampered_with_and_says_so() {
    let rig = rig().await;
    let foreign = rig.raw(Table::Secret, "67890/api_key").await.value;
    rig.write(Table::Secret, "12345/api_key", foreign).await;
    let renew = Rotation {
        data_keys: true,
        retire: true,
    };
    let done = rig
        .vault
        .rotate(renew, |_| std::ops::ControlFlow::Continue(()))
        .await
        .unwrap();
    assert!(
        done.is_done && done.damaged == 1 && done.secrets == 3,
        "{done:?}"
    );
    assert!(!rig.lines("suspicious_activity").is_empty());
    assert_eq!(rig.vault.status().await.unwrap().half_renewed, 1);
    assert!(rig.value("12345", "refresh_token").await.unwrap().is_some());
}
