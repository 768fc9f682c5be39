//! What the verbs that serve share: the runtime, the log, and the way to an orderly end.

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::listener::tls::provider;

/// The runtime of a serving process: one worker a core. The random source of the TLS library gathers its first entropy when
/// a thread first asks, which takes tens of milliseconds; asked here, that is done while the process starts instead of in
/// the handshakes of the first callers.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("sallygate")
        .on_thread_start(|| {
            // Where there is no randomness, the first handshake fails and says so.
            let _ = provider().secure_random.fill(&mut [0; 32]);
        })
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
