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

/// Resolves at the first order to stop: SIGTERM, Ctrl-C, or SIGHUP when a terminal is closed. A second one ends the process
/// at once: whoever insists does not want to wait for the drain.
pub(super) async fn ordered_to_stop() -> std::io::Result<()> {
    let mut orders = Orders {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    orders.next().await;
    tokio::spawn(async move {
        orders.next().await;
        std::process::exit(130);
    });
    Ok(())
}

/// The signals that are orders to stop.
struct Orders {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Orders {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
