//! Bounded waiting. A test names what it waits for, so that a failure says what did not come.

use std::time::Duration;

/// How long anything may take before a test gives up: far more than it needs, so that a busy machine fails nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The result of `coming`, or a panic that names it.
pub(crate) async fn soon<T>(what: &str, coming: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, coming).await {
        Ok(come) => come,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks until `answer` gives something, or panics with `what`.
pub(crate) async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    soon(what, async {
        loop {
            if let Some(found) = answer().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// Asks until `holds` is true, or panics with `what`.
pub(crate) async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, async || holds().then_some(())).await;
}
