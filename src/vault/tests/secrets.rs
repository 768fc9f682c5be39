//! Sealing, opening, removing, listing, and what is left of it in store, memory and trail.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::audit::Refused;

#[tokio::test]
async fn r046_r066_r069_a_stored_secret_shows_its_metadata_and_nothing_of_itself() {
    let rig = Rig::new().await;
    for name in ["api_key", "access_token", "refresh_token"] {
        rig.seal("12345", name, &format!("{CANARY}-{name}")).await;
    }
    let dump = rig.dump().await;
    let (hex, base64) = (
        crate::random::to_hex(CANARY.as_bytes()),
        "cGtfMTIzNDU2X2NhbmFye",
    );
    for canary in [CANARY, "canary", &hex, base64] {
        assert!(!dump.contains(canary), "{canary}: {dump}");
    }
    let record: Value =
        serde_json::from_slice(&rig.raw(Table::Secret, "12345/api_key").await.value).unwrap();
    let record = &record["r"];
    assert_eq!(record["encrypted"], true);
    assert_eq!(record["algorithm"], "AES-256-GCM");
    assert_eq!(record["created_at"], "2026-11-18T11:06:40Z");
    assert!(record["key_version"].as_str().unwrap().starts_with("vk_"));
}

#[tokio::test]
async fn r067_r068_the_reader_goes_by_key_and_refuses_another_cipher() {
    let rig = Rig::new().await;
    rig.seal("12345", "api_key", CANARY).await;
    let text = String::from_utf8(rig.raw(Table::Secret, "12345/api_key").await.value).unwrap();
    for (from, to) in [("AES-256-GCM", "AES-128-GCM"), ("\"vk_", "\"v1_")] {
        let changed = text.replace(from, to).into_bytes();
        rig.write(Table::Secret, "12345/api_key", changed).await;
        let refused = rig.value("12345", "api_key").await;
        assert!(matches!(
            refused,
            Err(VaultError::Tampered {
                damage: Damage::Metadata,
                ..
            })
        ));
    }
}

#[tokio::test]
async fn what_is_too_large_or_named_oddly_is_refused_and_nothing_is_written() {
    let rig = Rig::new().await;
    let before = rig.dump().await;
    let large = Secret::new("x".repeat(VALUE_MAX_BYTES + 1));
    let refused = rig.vault.seal("u", "n", large, None).await;
    assert!(matches!(refused, Err(VaultError::TooLarge { .. })));
    for (user, name) in [("", "n"), ("u", ""), ("u\n", "n"), ("u", "\0")] {
        let refused = rig
            .vault
            .seal(user, name, Secret::new(String::new()), None)
            .await;
        assert!(matches!(refused, Err(VaultError::BadName { .. })));
        assert!(rig.value(user, name).await.is_err());
    }
    assert_eq!(rig.dump().await, before);
}

#[tokio::test]
async fn r012_r064_users_and_names_do_not_reach_into_each_other() {
    let rig = Rig::new().await;
    let places = [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a:b", "c"),
        ("a%2Fb", "c"),
        ("ab", "c"),
    ];
    for (number, (user, name)) in places.iter().enumerate() {
        rig.seal(user, name, &number.to_string()).await;
    }
    for (number, (user, name)) in places.iter().enumerate() {
        assert_eq!(
            rig.value(user, name).await.unwrap(),
            Some(number.to_string())
        );
    }
    assert_eq!(rig.vault.list("a").await.unwrap().len(), 1);
    assert_eq!(rig.vault.remove_all("a").await.unwrap(), 1);
    assert_eq!(rig.value("a/b", "c").await.unwrap().as_deref(), Some("1"));
    assert_eq!(rig.value("ab", "c").await.unwrap().as_deref(), Some("4"));
}

#[tokio::test]
async fn r085_a_list_has_names_and_metadata_and_opens_nothing() {
    let rig = Rig::new().await;
    let end = rig.clock.now().plus(Duration::from_secs(60));
    let value = || Secret::new(CANARY.to_owned());
    rig.vault.seal("u", "b", value(), Some(end)).await.unwrap();
    rig.vault.seal("u", "a", value(), None).await.unwrap();
    rig.vault.seal("u", "a", value(), None).await.unwrap();
    let list = rig.vault.list("u").await.unwrap();
    let shown: Vec<_> = list
        .iter()
        .map(|s| (s.name.as_str(), s.serial, s.expires_at))
        .collect();
    assert_eq!(shown, [("a", 2, None), ("b", 1, Some(end))]);
    assert!(!format!("{list:?}").contains("canary"));
    assert!(rig.trail.records().is_empty());
    assert!(rig.vault.list("v").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_secret_ends_when_it_was_said_to_also_if_it_is_open() {
    let rig = Rig::new().await;
    let end = rig.clock.now().plus(Duration::from_secs(10));
    let value = Secret::new(CANARY.to_owned());
    rig.vault.seal("u", "n", value, Some(end)).await.unwrap();
    assert!(rig.vault.open_secret("u", "n").await.unwrap().is_some());
    rig.clock.advance(Duration::from_secs(10));
    assert!(rig.vault.open_secret("u", "n").await.unwrap().is_none());
    assert_eq!(rig.value("u", "n").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_keeps_a_record_too_long_does_not_lengthen_it() {
    let rig = Rig::new().await;
    let end = rig.clock.now().plus(Duration::from_secs(10));
    let value = Secret::new(CANARY.to_owned());
    rig.vault.seal("u", "n", value, Some(end)).await.unwrap();
    let raw = rig.raw(Table::Secret, "u/n").await.value;
    rig.write(Table::Secret, "u/n", raw.clone()).await;
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(rig.value("u", "n").await.unwrap(), None);
    let lengthened = String::from_utf8(raw)
        .unwrap()
        .replace(&end.millis().to_string(), "null");
    rig.write(Table::Secret, "u/n", lengthened.into_bytes())
        .await;
    assert!(matches!(
        rig.value("u", "n").await,
        Err(VaultError::Tampered { .. })
    ));
}

#[tokio::test]
async fn r296_each_opening_is_a_line_and_what_is_open_already_is_none() {
    let rig = Rig::new().await;
    rig.seal("12345", "refresh_token", CANARY).await;
    for _ in 0..3 {
        let value = rig
            .vault
            .open_for(Some("req_1"), "12345", "refresh_token")
            .await;
        assert_eq!(value.unwrap().unwrap().expose(), CANARY);
    }
    assert!(
        rig.vault
            .open_secret("12345", "other")
            .await
            .unwrap()
            .is_none()
    );
    let lines = rig.lines("api_key_decrypted");
    assert_eq!((lines.len(), rig.trail.lines().len()), (1, 1));
    let line = &lines[0];
    assert_eq!(line["user_id"], "12345");
    assert_eq!(line["request_id"], "req_1");
    assert_eq!(line["details"]["name"], "refresh_token");
    assert_eq!(line["status"], "success");
    assert!(!rig.trail.lines().concat().contains("canary"));
}

#[tokio::test]
async fn nothing_is_opened_that_cannot_be_written_down() {
    let rig = Rig::new().await;
    rig.seal("u", "n", CANARY).await;
    rig.trail.refuse(Some(Refused::Unwritable));
    let refused = rig.value("u", "n").await;
    assert!(matches!(
        refused,
        Err(VaultError::Unrecorded(Refused::Unwritable))
    ));
    assert_eq!(rig.vault.opened(), 0);
    rig.trail.refuse(None);
    assert_eq!(rig.value("u", "n").await.unwrap().as_deref(), Some(CANARY));
}

#[tokio::test]
async fn r079_opened_values_go_after_a_minute_and_with_every_change() {
    let rig = Rig::new().await;
    rig.seal("u", "n", CANARY).await;
    let open = || async { rig.vault.open_secret("u", "n").await.unwrap() };
    open().await;
    assert_eq!(rig.vault.opened(), 1);
    rig.clock.advance(Duration::from_secs(61));
    open().await;
    assert_eq!(rig.lines("api_key_decrypted").len(), 2);
    rig.seal("u", "n", "canary-not-a-real-successor").await;
    assert_eq!(rig.vault.opened(), 0);
    assert_eq!(
        open().await.unwrap().expose(),
        "canary-not-a-real-successor"
    );
    assert!(rig.vault.remove("u", "n").await.unwrap());
    assert!(open().await.is_none());
    assert!(!rig.vault.remove("u", "n").await.unwrap());
}

#[tokio::test]
async fn r105_erasing_a_user_destroys_the_key_of_whatever_copies_there_are() {
    let rig = Rig::new().await;
    rig.seal("u", "a", CANARY).await;
    rig.seal("u", "b", CANARY).await;
    rig.seal("v", "a", CANARY).await;
    let copy = rig.raw(Table::Secret, "u/a").await.value;
    assert_eq!(rig.vault.remove_all("u").await.unwrap(), 2);
    for (table, prefix) in [(Table::Secret, "u/"), (Table::UserKey, "u")] {
        let left = rig.store.scan(table, prefix, None, 1).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
    // A copy from a backup, first alone and then beside a key that the user got later.
    rig.write(Table::Secret, "u/a", copy).await;
    assert_eq!(rig.value("u", "a").await.unwrap(), None);
    rig.seal("u", "b", CANARY).await;
    assert!(matches!(
        rig.value("u", "a").await,
        Err(VaultError::Tampered {
            damage: Damage::ForeignKey,
            ..
        })
    ));
    assert_eq!(rig.value("v", "a").await.unwrap().as_deref(), Some(CANARY));
    assert_eq!(rig.vault.remove_all("u").await.unwrap(), 2);
    assert_eq!(rig.vault.remove_all("u").await.unwrap(), 0);
}

#[tokio::test]
async fn r086_nothing_of_the_vault_shows_a_secret_or_a_key() {
    let rig = Rig::new().await;
    rig.seal("u", "n", CANARY).await;
    let opened = rig.vault.open_secret("u", "n").await.unwrap();
    let shown = format!("{:?} {:?} {opened:?}", rig.vault, settings(1, &[2]));
    for hidden in [
        CANARY,
        "canary",
        &crate::random::to_hex(material(1).expose()),
        "248, 241",
    ] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
}

#[tokio::test]
async fn many_writers_of_one_place_leave_one_of_their_values() {
    let rig = Arc::new(Rig::new().await);
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.seal("u", "n", &number.to_string()).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let left: u8 = rig.value("u", "n").await.unwrap().unwrap().parse().unwrap();
    assert!(left < 8);
    assert_eq!(rig.vault.list("u").await.unwrap()[0].serial, 8);
    assert_eq!(rig.vault.status().await.unwrap().users, 1);
}

#[tokio::test]
async fn c39_a_store_that_is_away_is_not_an_empty_one() {
    let clock = clock();
    let store = Arc::new(Far::new(&clock, 1));
    let near: Arc<dyn Store> = Arc::<Far>::clone(&store);
    store.away.store(true, Ordering::SeqCst);
    let opened = Rig::over(Arc::clone(&near), clock.clone(), &settings(1, &[])).await;
    assert!(matches!(opened, Err(VaultError::Unavailable(_))));
    store.away.store(false, Ordering::SeqCst);
    let Rig { vault, trail, .. } = Rig::over(near, clock, &settings(1, &[])).await.unwrap();
    store.away.store(true, Ordering::SeqCst);
    let value = Secret::new(CANARY.to_owned());
    let is_away = |error| matches!(error, VaultError::Unavailable(_));
    assert!(is_away(
        vault.seal("u", "n", value, None).await.unwrap_err()
    ));
    assert!(is_away(vault.open_secret("u", "n").await.unwrap_err()));
    assert!(is_away(vault.remove("u", "n").await.unwrap_err()));
    assert!(is_away(vault.remove_all("u").await.unwrap_err()));
    assert!(is_away(vault.list("u").await.unwrap_err()));
    assert!(is_away(vault.status().await.unwrap_err()));
    assert!(trail.lines().is_empty());
}

#[tokio::test]
async fn a_secret_is_replaced_only_while_it_is_the_one_that_was_meant() {
    let rig = Rig::new().await;
    let secret = |text: &str| Secret::new(text.to_owned());
    let (old, other) = (
        secret("canary-not-real-old"),
        secret("canary-not-real-other"),
    );
    let replace = |old| {
        rig.vault
            .replace("u1", "okta/token", old, secret("canary-not-real-new"))
    };
    assert!(!replace(&old).await.unwrap(), "nothing is there");
    assert!(
        rig.vault
            .open_secret("u1", "okta/token")
            .await
            .unwrap()
            .is_none()
    );
    rig.vault
        .seal("u1", "okta/token", other.clone(), None)
        .await
        .unwrap();
    assert!(!replace(&old).await.unwrap(), "it is another one");
    let kept = rig
        .vault
        .open_secret("u1", "okta/token")
        .await
        .unwrap()
        .unwrap();
    assert!(kept.ct_eq(other.expose().as_bytes()));
    assert!(replace(&other).await.unwrap());
    let kept = rig
        .vault
        .open_secret("u1", "okta/token")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.expose(), "canary-not-real-new");
    let long = secret(&"x".repeat(VALUE_MAX_BYTES + 1));
    let refused = rig.vault.replace("u1", "okta/token", &kept, long).await;
    assert!(matches!(refused, Err(VaultError::TooLarge { .. })));
}

#[tokio::test]
async fn of_many_who_replace_the_same_secret_one_does() {
    let rig = Rig::new().await;
    let old = Secret::new("canary-not-real-old".to_owned());
    rig.vault
        .seal("u1", "okta/token", old.clone(), None)
        .await
        .unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (vault, old) = (Arc::clone(&rig.vault), old.clone());
            let new = Secret::new(format!("canary-not-real-{n}"));
            tokio::spawn(async move { vault.replace("u1", "okta/token", &old, new).await })
        })
        .collect();
    let mut replaced = 0;
    for task in tasks {
        replaced += u32::from(task.await.unwrap().unwrap());
    }
    assert_eq!(replaced, 1);
}
