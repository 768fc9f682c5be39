//! stub
#![allow(missing_docs)]
#[derive(Clone, Debug, Default)]
pub struct Readiness;
impl Readiness {
    pub fn set(&self, _: &'static str, _: bool) {}
}
pub async fn serve(
    _: tokio::net::TcpListener,
    _: std::sync::Arc<super::metrics::Metrics>,
    _: Readiness,
    stop: impl Future<Output = ()>,
) {
    stop.await
}
