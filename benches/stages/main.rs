//! What each stage costs by itself: `cargo bench --bench stages`, or `-- --quick`, or `-- policy` for one of them. What a whole
//! request costs beside other proxies is measured by `benches/compare/run`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be prepared ends"
)]

mod auth;
mod decide;
mod message;
mod samples;
#[path = "../../tests/support/signer.rs"]
mod signer;
mod trail;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decide::limits(&mut criterion);
    auth::bearer(&mut criterion);
    auth::verify(&mut criterion);
    decide::quota(&mut criterion);
    message::decode(&mut criterion);
    decide::policy(&mut criterion);
    message::agreement(&mut criterion);
    auth::session(&mut criterion);
    message::lists(&mut criterion);
    message::events(&mut criterion);
    trail::audit(&mut criterion);
    trail::redact(&mut criterion);
    trail::metrics(&mut criterion);
    criterion.final_summary();
}
