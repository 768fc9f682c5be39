//! While the store cannot be read nobody signs in, and nobody is told that their login was not there (C39).

use std::sync::Arc;

use http::StatusCode;

use super::fake::Fake;
use super::rig::{PUBLIC_URL, Rig, providers, visit};
use crate::clock::Timestamp;
use crate::login::{Desk, LoginError, Next, Settings};
use crate::secret::Secret;
use crate::store::{Entry, Key, Later, Revision, Store, StoreError, Table};

/// A store that is never there.
#[derive(Debug)]
struct Gone;

fn gone<'a, T: Send + 'a>() -> Later<'a, T> {
    let error = StoreError::Unavailable("gone".into());
    Box::pin(std::future::ready(Err(error)))
}

impl Store for Gone {
    fn get<'a>(&'a self, _: &'a Key) -> Later<'a, Option<Entry>> {
        gone()
    }
    fn put<'a>(&'a self, _: &'a Key, _: Vec<u8>, _: Option<Timestamp>) -> Later<'a, Revision> {
        gone()
    }
    fn create<'a>(
        &'a self,
        _: &'a Key,
        _: Vec<u8>,
        _: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        gone()
    }
    fn replace<'a>(
        &'a self,
        _: &'a Key,
        _: Revision,
        _: Vec<u8>,
        _: Option<Timestamp>,
    ) -> Later<'a, Option<Revision>> {
        gone()
    }
    fn take<'a>(&'a self, _: &'a Key) -> Later<'a, Option<Entry>> {
        gone()
    }
    fn delete<'a>(&'a self, _: &'a Key) -> Later<'a, bool> {
        gone()
    }
    fn scan<'a>(
        &'a self,
        _: Table,
        _: &'a str,
        _: Option<&'a str>,
        _: usize,
    ) -> Later<'a, Vec<(String, Entry)>> {
        gone()
    }
    fn bump<'a>(&'a self, _: &'a str, _: Option<Timestamp>) -> Later<'a, u64> {
        gone()
    }
    fn count<'a>(&'a self, _: &'a str) -> Later<'a, u64> {
        gone()
    }
    fn ready(&self) -> Later<'_, ()> {
        gone()
    }
    fn describe(&self) -> String {
        "gone".into()
    }
}

#[tokio::test]
async fn c39_while_the_store_is_gone_nobody_signs_in() {
    let rig = Rig::start().await;
    let away = rig.away("development", Next::Session).await;
    let other = Fake::start().await;
    let settings = Settings {
        providers: providers(&rig.fake, &other),
        public_url: PUBLIC_URL.into(),
        ..Settings::default()
    };
    let key = Secret::new([7; 32]);
    let desk = Desk::new(settings, Arc::new(Gone), key, rig.clock.clone()).unwrap();
    let back = away.back("code=alice");
    let begun = desk
        .begin("development", Next::Session, &visit("/auth/login", ""))
        .await;
    let finished = desk.finish(&back).await;
    for error in [begun.unwrap_err(), finished.unwrap_err()] {
        assert!(matches!(error, LoginError::Store(_)), "{error:?}");
        assert_eq!(error.answer(&back).status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // The login itself was not spent.
    assert!(rig.desk.finish(&back).await.is_ok());
}
