//! A real Redis for tests, started from the machine's own `redis-server` and ended with the value. Where there is none the
//! tests that need one say so and do nothing; under CI that is a failure.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a Redis may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running Redis.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl Redis {
    /// Starts one, if the machine has it.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            assert!(
                std::env::var("CI").map_or(true, |ci| ci != "true"),
                "redis-server is missing, and under CI nothing may be skipped"
            );
            #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
            let () =
                eprintln!("SKIPPED: redis-server is not installed (apt-get install redis-server)");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut redis = Self {
            address,
            folder: tempfile::tempdir().unwrap(),
            process: None,
        };
        redis.resume();
        Some(redis)
    }

    /// Its address as settings name it.
    pub(crate) fn url(&self) -> String {
        format!(
            "redis://:canary-not-a-real-redis-password@{}/0",
            self.address
        )
    }

    /// The folder with its dump.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ends it at once, as a crash would; what it had confirmed is on its disk.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again, at the same place with the same data.
    pub(crate) fn resume(&mut self) {
        let port = self.address.port().to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--requirepass", "canary-not-a-real-redis-password"])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < until, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
