//! What becomes of refresh tokens: reuse, races, age.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::revocation;
use crate::store::Memory;
use crate::users::Profile;

const DAY: Duration = Duration::from_secs(86_400);

struct Rig {
    grants: Arc<Grants>,
    revocations: Arc<Revocations>,
    store: Arc<dyn Store>,
    clock: Clock,
}

impl Rig {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
        let revocations = Arc::new(Revocations::new(
            Arc::clone(&store),
            revocation::Settings::default(),
            clock.clone(),
        ));
        let grants = Arc::new(Grants::new(
            Arc::clone(&store),
            Arc::clone(&revocations),
            settings,
            Secret::new([1; 32]),
            clock.clone(),
        ));
        let rig = Self {
            grants,
            revocations,
            store,
            clock,
        };
        rig.sign_in("12345").await;
        rig
    }

    async fn sign_in(&self, id: &str) -> User {
        let profile = Profile {
            id: id.into(),
            tier: "free".into(),
            ..Profile::default()
        };
        users::signed_in(&*self.store, &profile, self.clock.now())
            .await
            .unwrap()
    }

    async fn open(&self) -> (Grant, String) {
        let (grant, token) = self.grants.open(new()).await.unwrap();
        (grant, token.expose().clone())
    }

    async fn rotate(&self, token: &str) -> Result<(bool, String), GrantError> {
        match self.grants.rotate(token, Some("c1")).await? {
            Rotation::Fresh { token, .. } => Ok((true, token.expose().clone())),
            Rotation::Repeated { token, .. } => Ok((false, token.expose().clone())),
        }
    }
}

fn new() -> New {
    New {
        user: "12345".into(),
        client: Some("c1".into()),
        scopes: vec!["mcp:read".into()],
        resources: vec!["https://gw.test/mcp".into()],
        ..New::default()
    }
}

#[tokio::test]
async fn r542_a_token_that_comes_again_after_its_moment_ends_the_family() {
    let rig = Rig::new().await;
    let (grant, first) = rig.open().await;
    let (_, second) = rig.rotate(&first).await.unwrap();
    rig.clock.advance(Duration::from_millis(10_001));
    let refused = rig.rotate(&first).await.unwrap_err();
    assert!(
        matches!(refused, GrantError::Reused { grant: id, user } if id == grant.id && user == "12345")
    );
    assert!(matches!(
        rig.rotate(&second).await,
        Err(GrantError::Unknown)
    ));
    assert_eq!(rig.grants.of_user("12345").await.unwrap(), []);
}

#[tokio::test]
async fn rfc9700_s4_14_2_a_token_older_than_the_one_before_ends_the_family_at_once() {
    let rig = Rig::new().await;
    let (_, first) = rig.open().await;
    let (_, second) = rig.rotate(&first).await.unwrap();
    let (_, third) = rig.rotate(&second).await.unwrap();
    assert!(matches!(
        rig.rotate(&first).await,
        Err(GrantError::Reused { .. })
    ));
    for token in [&first, &second, &third] {
        assert!(matches!(rig.rotate(token).await, Err(GrantError::Unknown)));
    }
}

/// A clock that is set back must not make the moment of a stolen token longer; one that is a little behind ends nothing.
#[tokio::test]
async fn a_clock_that_is_behind_makes_no_moment_longer() {
    for (behind, ends) in [(3600, true), (11, true), (10, false), (1, false)] {
        let rig = Rig::new().await;
        let (_, first) = rig.open().await;
        rig.rotate(&first).await.unwrap();
        let elsewhere = Grants::new(
            Arc::clone(&rig.store),
            Arc::clone(&rig.revocations),
            Settings::default(),
            Secret::new([1; 32]),
            Clock::manual(Timestamp::from_seconds(1_800_000_000 - behind)),
        );
        let rotated = elsewhere.rotate(&first, Some("c1")).await;
        let ended = matches!(rotated, Err(GrantError::Reused { .. }));
        assert_eq!(ended, ends, "{behind} s: {rotated:?}");
    }
}

#[tokio::test]
async fn a_forged_token_touches_no_family() {
    let rig = Rig::new().await;
    let (grant, good) = rig.open().await;
    let forger = Press::new(Secret::new([2; 32]));
    let forged = forger.strike(&grant.id, 0).unwrap();
    for token in [
        forged.expose().as_str(),
        "",
        "mcp_rt_",
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA",
    ] {
        assert!(
            matches!(rig.rotate(token).await, Err(GrantError::Unknown)),
            "{token}"
        );
    }
    assert!(rig.rotate(&good).await.unwrap().0);
}

#[tokio::test]
async fn a_token_is_no_good_to_another_client() {
    let rig = Rig::new().await;
    let (_, token) = rig.open().await;
    for client in [None, Some("c2"), Some("")] {
        let refused = rig.grants.rotate(&token, client).await;
        assert!(matches!(refused, Err(GrantError::OtherClient)));
        let refused = rig.grants.consider(&token, client).await;
        assert!(matches!(refused, Err(GrantError::OtherClient)));
    }
    assert!(rig.rotate(&token).await.unwrap().0);
}

#[tokio::test]
async fn c53_a_grant_ends_when_it_is_idle_and_when_it_is_old() {
    let rig = Rig::new().await;
    let (_, token) = rig.open().await;
    rig.clock.advance(DAY * 30);
    assert!(rig.rotate(&token).await.is_err());

    let (_, mut token) = rig.open().await;
    for _ in 0..3 {
        rig.clock.advance(DAY * 29);
        token = rig.rotate(&token).await.unwrap().1;
    }
    // Used three days ago, and ninety days old.
    rig.clock.advance(DAY * 3);
    assert!(rig.rotate(&token).await.is_err());
    assert_eq!(rig.grants.of_user("12345").await.unwrap(), []);
}

#[tokio::test]
async fn c50_whoever_is_shut_out_or_signed_out_everywhere_gets_no_new_token() {
    let rig = Rig::new().await;
    let (_, token) = rig.open().await;
    rig.revocations.disable("12345").await.unwrap();
    assert!(matches!(rig.rotate(&token).await, Err(GrantError::ShutOut(user)) if user == "12345"));
    rig.revocations.enable("12345").await.unwrap();
    assert!(matches!(rig.rotate(&token).await, Err(GrantError::Unknown)));

    let user = rig.sign_in("12345").await;
    let generation = user.generation;
    let (_, token) = rig
        .grants
        .open(New {
            generation,
            ..new()
        })
        .await
        .unwrap();
    rig.revocations.bump_generation("12345").await.unwrap();
    let refused = rig.rotate(token.expose()).await;
    assert!(matches!(refused, Err(GrantError::ShutOut(_))));
}

#[tokio::test]
async fn a_grant_whose_user_was_erased_ends() {
    let rig = Rig::new().await;
    let (_, token) = rig.open().await;
    crate::store::record::delete::<User>(&*rig.store, "12345")
        .await
        .unwrap();
    assert!(matches!(
        rig.rotate(&token).await,
        Err(GrantError::ShutOut(_))
    ));
}

#[tokio::test]
async fn r560_r624_a_revoked_grant_is_gone_with_its_tokens() {
    let rig = Rig::new().await;
    let (one, first) = rig.open().await;
    let (two, second) = rig.open().await;
    assert!(rig.grants.revoke(&one.id).await.unwrap());
    assert!(!rig.grants.revoke(&one.id).await.unwrap());
    assert!(matches!(rig.rotate(&first).await, Err(GrantError::Unknown)));
    assert_eq!(rig.grants.of_user("12345").await.unwrap(), [two]);
    assert!(rig.rotate(&second).await.unwrap().0);
    assert_eq!(rig.grants.revoke_user("12345").await.unwrap(), 1);
    assert_eq!(rig.grants.revoke_user("12345").await.unwrap(), 0);
}

/// Between its place on the list and itself a grant is not there yet; somebody else who signs in must not take it for over.
#[tokio::test]
async fn a_grant_that_is_being_opened_stays_on_the_list() {
    let rig = Rig::new().await;
    let (grant, _) = rig.open().await;
    let held = records::get::<Grant>(&*rig.store, &grant.id).await.unwrap();
    records::delete::<Grant>(&*rig.store, &grant.id)
        .await
        .unwrap();
    rig.open().await;
    let end = held.as_ref().and_then(|held| held.expires_at);
    let record = held.unwrap().record;
    records::create(&*rig.store, &grant.id, &record, end)
        .await
        .unwrap();
    assert_eq!(rig.grants.of_user("12345").await.unwrap().len(), 2);
    // One that never comes is forgotten.
    records::delete::<Grant>(&*rig.store, &grant.id)
        .await
        .unwrap();
    rig.clock.advance(Duration::from_secs(601));
    rig.grants.of_user("12345").await.unwrap();
    let listed = records::get::<Listed>(&*rig.store, &place(&grant)).await;
    assert!(listed.unwrap().is_none());
}

#[tokio::test]
async fn c50_the_grants_of_one_user_are_not_those_of_another() {
    let rig = Rig::new().await;
    rig.open().await;
    let other = New {
        user: "123456".into(),
        ..new()
    };
    rig.grants.open(other).await.unwrap();
    assert_eq!(rig.grants.revoke_user("1").await.unwrap(), 0);
    assert_eq!(rig.grants.revoke_user("12345").await.unwrap(), 1);
    assert_eq!(rig.grants.of_user("123456").await.unwrap().len(), 1);
}

#[tokio::test]
async fn r625_a_clients_grants_end_together() {
    let rig = Rig::new().await;
    rig.open().await;
    let other = New {
        client: Some("c2".into()),
        ..new()
    };
    rig.grants.open(other).await.unwrap();
    assert_eq!(rig.grants.revoke_client("c1").await.unwrap(), 1);
    assert_eq!(rig.grants.revoke_client("c1").await.unwrap(), 0);
    assert_eq!(rig.grants.of_user("12345").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_grant_unused_for_longest_makes_room() {
    let rig = Rig::with(Settings {
        per_user: 2,
        ..Settings::default()
    })
    .await;
    let (_, first) = rig.open().await;
    rig.clock.advance(Duration::from_secs(1));
    let (_, second) = rig.open().await;
    rig.clock.advance(Duration::from_secs(1));
    let (_, first) = rig.rotate(&first).await.unwrap();
    rig.open().await;
    assert_eq!(rig.grants.of_user("12345").await.unwrap().len(), 2);
    assert!(matches!(
        rig.rotate(&second).await,
        Err(GrantError::Unknown)
    ));
    assert!(rig.rotate(&first).await.unwrap().0);
}

#[tokio::test]
async fn a_lost_answer_is_given_once_more_with_the_same_successor() {
    let rig = Rig::new().await;
    let (_, first) = rig.open().await;
    let (fresh, second) = rig.rotate(&first).await.unwrap();
    rig.clock.advance(Duration::from_secs(10));
    let (again, same) = rig.rotate(&first).await.unwrap();
    assert!(fresh && !again);
    assert_eq!(second, same);
    // Once the successor was used, the answer was not lost.
    rig.rotate(&second).await.unwrap();
    assert!(matches!(
        rig.rotate(&first).await,
        Err(GrantError::Reused { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_that_present_one_token_at_once_one_is_fresh_and_all_get_the_same_successor() {
    let rig = Rig::new().await;
    let (_, token) = rig.open().await;
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (grants, token) = (Arc::clone(&rig.grants), token.clone());
            tokio::spawn(async move { grants.rotate(&token, Some("c1")).await.unwrap() })
        })
        .collect();
    let mut fresh = 0;
    let mut successors = std::collections::BTreeSet::new();
    for task in tasks {
        let token = match task.await.unwrap() {
            Rotation::Fresh { token, .. } => {
                fresh += 1;
                token
            }
            Rotation::Repeated { token, .. } => token,
        };
        successors.insert(token.expose().clone());
    }
    assert_eq!((fresh, successors.len()), (1, 1));
}

#[tokio::test]
async fn c55_the_store_holds_no_token() {
    let rig = Rig::new().await;
    let (grant, first) = rig.open().await;
    let (_, second) = rig.rotate(&first).await.unwrap();
    let key = crate::store::Key::new(crate::store::Table::Grant, grant.id);
    let entry = rig.store.get(&key).await.unwrap().unwrap();
    let text = String::from_utf8(entry.value).unwrap();
    for token in [first, second] {
        assert!(!text.contains(&token) && !text.contains(token.get(7..).unwrap()));
        assert!(text.contains(&opaque::hash(&token)));
    }
}

#[tokio::test]
async fn r620_each_refresh_gives_another_token_of_the_same_grant() {
    let rig = Rig::new().await;
    let (grant, first) = rig.open().await;
    let rotated = rig.grants.rotate(&first, Some("c1")).await.unwrap();
    let Rotation::Fresh {
        grant: after,
        user,
        token,
    } = rotated
    else {
        panic!("the first use is fresh")
    };
    assert_eq!((after.id, user.id), (grant.id, "12345".into()));
    assert_ne!(*token.expose(), first);
    let (found, current) = rig.grants.of_token(&first).await.unwrap().unwrap();
    assert_eq!((found.user.as_str(), current), ("12345", false));
    assert!(
        rig.grants
            .of_token(token.expose())
            .await
            .unwrap()
            .unwrap()
            .1
    );
    assert!(rig.grants.of_token("mcp_rt_x").await.unwrap().is_none());
}

/// Whatever ends a grant wins, in whichever order it meets a refresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_refreshed_out_of_what_is_being_ended() {
    for round in 0..60 {
        let rig = Arc::new(Rig::new().await);
        let (grant, token) = rig.open().await;
        let (refreshing, presented) = (Arc::clone(&rig), token.clone());
        let refresh = tokio::spawn(async move {
            let mut last = presented;
            while let Ok((_, next)) = refreshing.rotate(&last).await {
                last = next;
            }
            last
        });
        let ending = Arc::clone(&rig);
        let end = tokio::spawn(async move {
            match round % 3 {
                0 => drop(ending.grants.revoke(&grant.id).await.unwrap()),
                1 => drop(ending.revocations.disable("12345").await.unwrap()),
                _ => drop(ending.revocations.bump_generation("12345").await.unwrap()),
            }
        });
        end.await.unwrap();
        let last = refresh.await.unwrap();
        for token in [&token, &last] {
            let refused = rig.rotate(token).await;
            assert!(refused.is_err(), "round {round}: {refused:?}");
        }
        rig.revocations.enable("12345").await.unwrap();
        assert!(rig.rotate(&last).await.is_err(), "round {round}");
        assert_eq!(rig.grants.of_user("12345").await.unwrap(), [], "{round}");
    }
}
