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
    let (orders, hang_ups) = (Orders::heard()?, HangUps::heard()?);
    let hung_up = async {
        let mut hang_ups = hang_ups;
        hang_ups.next().await;
    };
    tokio::select! {
        () = orders.stopped() => {}
        () = hung_up => {}
    }
    Ok(())
}

/// The signals that are orders to stop. From the moment that they are heard, none of them ends the process by itself.
pub(super) struct Orders {
    terminate: Signal,
    interrupt: Signal,
}

impl Orders {
    /// Hears them from now on.
    pub(super) fn heard() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the first one; the second one ends the process at once.
    pub(super) async fn stopped(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(130);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP.
pub(super) struct HangUps(Signal);

impl HangUps {
    /// Hears them from now on.
    pub(super) fn heard() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Resolves at the next one. Those that come meanwhile are one.
    pub(super) async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
