//! What the verbs that serve share: the runtime, the log, and the way to an orderly end.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a serving process: one worker a core.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("sallygate")
        .build()
}

/// Resolves at the first order to stop (SIGTERM, or Ctrl-C). A second one ends the process at once: whoever insists does
/// not want to wait for the drain.
pub(super) async fn ordered_to_stop() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    either(&mut terminate, &mut interrupt).await;
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(130);
    });
    Ok(())
}

async fn either(one: &mut Signal, two: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = two.recv() => {}
    }
}
