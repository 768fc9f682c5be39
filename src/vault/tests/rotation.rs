//! Rotation: broken off anywhere, taken up again, with others reading and writing all the while.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[tokio::test]
async fn r092_r094_r095_a_new_master_key_takes_over_and_the_old_one_is_retired() {
    let old = Rig::new().await;
    for user in 0..120 {
        old.seal(&user.to_string(), "n", &format!("{CANARY}-{user}"))
            .await;
    }
    let new = old.again(&settings(2, &[1])).await.unwrap();
    let retire = Rotation {
        retire: true,
        ..Rotation::default()
    };
    let done = new.vault.rotate(retire, on).await.unwrap();
    let wanted = Progress {
        users: 120,
        retired: 1,
        is_done: true,
        ..Progress::default()
    };
    assert_eq!(done, wanted);
    // The previous key is needed no more, and seals no more.
    let alone = new.again(&settings(2, &[])).await.unwrap();
    for user in 0..120 {
        let value = alone.value(&user.to_string(), "n").await.unwrap();
        assert_eq!(value, Some(format!("{CANARY}-{user}")));
    }
    let refused = new.again(&settings(1, &[2])).await.unwrap_err();
    assert!(matches!(refused, VaultError::Retired(_)), "{refused}");
    let actions: Vec<_> = new
        .lines("key_rotated")
        .iter()
        .map(|line| line["action"].clone())
        .collect();
    assert_eq!(actions, ["vault_key_retired", "vault_rotated"]);
}

#[tokio::test]
async fn the_status_says_how_much_is_under_which_key_and_which_may_go() {
    let old = Rig::new().await;
    for user in 0..100 {
        old.seal(&user.to_string(), "x", CANARY).await;
        old.seal(&user.to_string(), "y", CANARY).await;
    }
    let new = old.again(&settings(2, &[1])).await.unwrap();
    new.seal("guest", "x", CANARY).await;
    let stop = |progress: &Progress| match progress.users {
        1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = new.vault.rotate(Rotation::default(), stop).await.unwrap();
    assert!(!stopped.is_done && stopped.users == 1);
    let status = new.vault.status().await.unwrap();
    assert_eq!(
        (status.users, status.secrets, status.damaged),
        (101, 201, 0)
    );
    assert_eq!(
        status.rotation.as_ref().map(|rotation| rotation.users),
        Some(1)
    );
    let current = new.vault.current_key().unwrap().to_string();
    let moved = status.keys.iter().find(|key| key.name == current).unwrap();
    let others = status.keys.iter().find(|key| key.name != current).unwrap();
    assert!((2..50).contains(&moved.users), "{moved:?}");
    assert_eq!((moved.users - 1) * 2 + 1, moved.secrets);
    assert_eq!(
        (others.users, others.secrets),
        (101 - moved.users, 201 - moved.secrets)
    );
    for key in [moved, others] {
        assert!(key.is_given && !key.may_be_removed(), "{key:?}");
    }
    let done = new.vault.rotate(Rotation::default(), on).await.unwrap();
    assert!(done.is_done && done.users == 101, "{done:?}");
    let status = new.vault.status().await.unwrap();
    let removable: Vec<_> = status
        .keys
        .iter()
        .filter(|key| key.may_be_removed())
        .collect();
    assert_eq!(removable.len(), 1);
    assert_ne!(removable[0].name, current);
    assert_eq!(status.rotation, None);
}

#[tokio::test]
async fn a_third_key_that_was_not_given_stops_the_rotation_with_its_name() {
    let rig = Rig::new().await;
    rig.seal("u", "n", CANARY).await;
    rig.again(&settings(2, &[1])).await.unwrap();
    let third = rig.again(&settings(3, &[2])).await.unwrap();
    let refused = third
        .vault
        .rotate(Rotation::default(), on)
        .await
        .unwrap_err();
    let needed = rig.vault.current_key().unwrap().to_string();
    assert!(matches!(refused, VaultError::WrongKey { needed: name, .. } if name == needed));
}

const USERS: usize = 1_000;
const NAMES: usize = 10;

/// Polls a rotation so many times and drops it there.
async fn broken_off(rig: &Rig, what: Rotation, polls: usize) -> bool {
    let mut left = polls;
    let mut rotation = pin!(rig.vault.rotate(what, on));
    std::future::poll_fn(|task| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        match rotation.as_mut().poll(task) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(done.unwrap().is_done),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}

/// Others, at work: each user has one writer, who notes what was confirmed, and everybody reads.
async fn traffic(rig: Rig, part: usize, stop: Arc<AtomicBool>) -> (Rig, BTreeMap<String, String>) {
    let mut confirmed = BTreeMap::new();
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        let user = (part + 4 * ((round * 7) % (USERS / 4))).to_string();
        let name = (round % NAMES).to_string();
        let value = format!("{CANARY}-{user}-{name}-{round}");
        rig.seal(&user, &name, &value).await;
        confirmed.insert(format!("{user}/{name}"), value);
        let other = ((round * 13) % USERS).to_string();
        assert!(
            rig.value(&other, &name).await.unwrap().is_some(),
            "{other}/{name}"
        );
        if round % 50 == 0 {
            // Somebody comes, and somebody goes.
            let guest = format!("guest-{part}-{round}");
            rig.seal(&guest, "n", &guest).await;
            assert_eq!(
                rig.value(&guest, "n").await.unwrap().as_deref(),
                Some(guest.as_str())
            );
            rig.vault.remove_all(&guest).await.unwrap();
        }
        round += 1;
        tokio::task::yield_now().await;
    }
    (rig, confirmed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r094_r096_ten_thousand_records_broken_off_at_ten_points_with_traffic_lose_nothing() {
    let clock = clock();
    let store = Arc::new(Far::new(&clock, 1));
    let old = Rig::over(store, clock, &settings(1, &[])).await.unwrap();
    let mut wanted = BTreeMap::new();
    for user in 0..USERS {
        for name in 0..NAMES {
            let value = format!("{CANARY}-{user}-{name}");
            old.seal(&user.to_string(), &name.to_string(), &value).await;
            wanted.insert(format!("{user}/{name}"), value);
        }
    }
    let settings = settings(2, &[1]);
    let stop = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for part in 0..4 {
        let process = old.again(&settings).await.unwrap();
        others.push(tokio::spawn(traffic(process, part, Arc::clone(&stop))));
    }
    let what = Rotation {
        data_keys: true,
        retire: true,
    };
    for _ in 0..10 {
        // Each attempt is a process of its own: nothing but the store connects them.
        let process = old.again(&settings).await.unwrap();
        let [a, b] = crate::random::bytes::<2>().unwrap();
        let polls = usize::from(u16::from_be_bytes([a, b]) % 5_000);
        assert!(!broken_off(&process, what, polls).await);
    }
    let last = old.again(&settings).await.unwrap();
    let done = last.vault.rotate(what, on).await.unwrap();
    assert!(
        done.is_done && done.damaged == 0 && done.retired == 1,
        "{done:?}"
    );
    stop.store(true, Ordering::SeqCst);
    for other in others {
        let (process, confirmed) = other.await.unwrap();
        assert!(process.lines("suspicious_activity").is_empty());
        assert!(!confirmed.is_empty());
        wanted.extend(confirmed);
    }
    // Guests may have come after the last pass; they have the current key from the start.
    let status = last.vault.status().await.unwrap();
    let current = last.vault.current_key().unwrap().to_string();
    let in_use: Vec<_> = status.keys.iter().filter(|key| key.users > 0).collect();
    assert_eq!(in_use.len(), 1);
    assert_eq!(
        (in_use[0].name.as_str(), status.half_renewed),
        (current.as_str(), 0)
    );
    assert_eq!(status.secrets, (USERS * NAMES) as u64);
    let alone = old.again(&self::settings(2, &[])).await.unwrap();
    for (id, value) in wanted {
        let (user, name) = id.split_once('/').unwrap();
        assert_eq!(alone.value(user, name).await.unwrap(), Some(value), "{id}");
    }
}

/// One user, one thread, and a store in which everybody overtakes everybody: whoever writes reads what he wrote, and nobody
/// finds a record that does not open.
#[tokio::test]
async fn r096_writers_readers_and_a_rotation_of_the_same_user_are_never_in_each_others_way() {
    let clock = clock();
    let store: Arc<dyn Store> = Arc::new(Far::new(&clock, 12));
    let rig = Rig::over(store, clock, &settings(1, &[])).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for name in ["a", "b", "c"] {
        let (rig, stop) = (
            rig.again(&settings(1, &[])).await.unwrap(),
            Arc::clone(&stop),
        );
        others.push(tokio::spawn(async move {
            let mut round = 0;
            while !stop.load(Ordering::SeqCst) {
                let value = format!("{CANARY}-{name}-{round}");
                rig.seal("u", name, &value).await;
                for _ in 0..3 {
                    let read = rig.value("u", name).await;
                    assert_eq!(read.unwrap(), Some(value.clone()), "{name} {round}");
                }
                if round % 3 == 0 {
                    rig.vault.remove("u", name).await.unwrap();
                }
                round += 1;
            }
            assert!(rig.lines("suspicious_activity").is_empty());
            round
        }));
    }
    let what = Rotation {
        data_keys: true,
        ..Rotation::default()
    };
    for _ in 0..300 {
        let done = rig.vault.rotate(what, on).await.unwrap();
        assert!(done.is_done && done.damaged == 0, "{done:?}");
    }
    stop.store(true, Ordering::SeqCst);
    for other in others {
        assert!(other.await.unwrap() > 100);
    }
}

#[tokio::test]
async fn a_user_whose_keys_were_half_replaced_is_finished_by_whoever_comes_next() {
    let rig = Rig::new().await;
    rig.seal("u", "a", CANARY).await;
    rig.seal("u", "b", CANARY).await;
    let before = [
        rig.raw(Table::Secret, "u/a").await.value,
        rig.raw(Table::Secret, "u/b").await.value,
    ];
    let what = Rotation {
        data_keys: true,
        ..Rotation::default()
    };
    // The new data key was put beside the old one, and no secret was moved yet.
    let held = rig.vault.user_key("u").await.unwrap().unwrap();
    let keys = rig.vault.open_user_key(&held.record, "u").unwrap();
    let half = records::DataKeys {
        previous: Some(keys.current),
        current: SealKey::random().unwrap(),
        created_at: keys.created_at,
        renewal: Some("another run".into()),
    };
    let master = &rig.vault.masters().unwrap().current;
    let record = records::UserKeyRecord::seal(master, "u", &half).unwrap();
    crate::store::record::put(rig.store.as_ref(), "u", &record, None)
        .await
        .unwrap();
    assert_eq!(rig.value("u", "a").await.unwrap().as_deref(), Some(CANARY));
    rig.seal("u", "b", "canary-not-a-real-successor").await;
    assert_eq!(rig.vault.status().await.unwrap().half_renewed, 1);
    let done = rig.vault.rotate(Rotation::default(), on).await.unwrap();
    assert!(done.is_done && done.secrets == 1, "{done:?}");
    assert_eq!(rig.vault.status().await.unwrap().half_renewed, 0);
    assert!(rig.vault.rotate(what, on).await.unwrap().is_done);
    assert_eq!(rig.value("u", "a").await.unwrap().as_deref(), Some(CANARY));
    assert_eq!(
        rig.value("u", "b").await.unwrap().as_deref(),
        Some("canary-not-a-real-successor")
    );
    for (id, old) in ["u/a", "u/b"].into_iter().zip(before) {
        assert_ne!(rig.raw(Table::Secret, id).await.value, old);
    }
}
