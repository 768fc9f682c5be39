//! stub
#![allow(missing_docs)]
use crate::stage::Stage;
use std::time::Duration;
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteLabel;
#[derive(Debug, Default)]
pub struct Metrics;
impl Metrics {
    pub fn new() -> Self {
        Self
    }
    pub fn route(&self, _: &str) -> RouteLabel {
        RouteLabel
    }
    pub fn stage(&self, _: Stage, _: Duration) {}
    pub fn unrecorded(&self) {}
    pub fn observe_keys<'a>(&self, _: impl Iterator<Item = (&'a str, usize, u64)>) {}
}
impl crate::listener::Watch for Metrics {
    fn connection(&self, _: bool) {}
    fn handshake(&self, _: &'static str) {}
}

#[derive(Debug, Default)]
pub struct Finished {
    pub route: Option<RouteLabel>,
    pub tool: Option<Box<str>>,
    pub rpc_method: Option<Box<str>>,
    pub tier: Option<Box<str>>,
    pub refused: Option<(Stage, &'static str)>,
    pub status: u16,
    pub duration: Duration,
    pub upstream_error: bool,
}
impl Metrics {
    pub fn finished(&self, _: &Finished) {}
}
