//! The sample MCP server that lives in the binary, so that `sallygate demo` has something to stand in front of without
//! asking anybody to install anything. It is small but keeps to the specification in both eras: sessions, GET streams
//! and subscriptions of the legacy revisions, and the stateless requests of 2026-07-28, on one endpoint. It listens on
//! plain HTTP and believes every caller: it belongs on loopback, behind the gateway, and nowhere else.
//!
//! One file a concern: `http` moves bytes, `rpc` reads messages and spells faults, `legacy` and `modern` are the two
//! eras' rules, `offer` is what both serve (`tools` and their `catalogue`, `prompts`, `resources`, the `notes` below
//! them); `sessions`, `stream` and `running` hold what outlives one answer.

mod catalogue;
mod http;
mod legacy;
mod modern;
mod notes;
mod offer;
mod prompts;
mod resources;
mod rpc;
mod running;
mod sessions;
mod stream;
mod tools;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::units::ByteSize;

/// The path of the one endpoint.
pub const PATH: &str = "/mcp";
/// A tool that every tier may call in the demo.
pub const TOOL_FOR_ALL: &str = "echo";
/// A tool that only the premium tier sees in the demo.
pub const TOOL_FOR_PREMIUM: &str = "export_notes";
/// A tool that destroys something; hidden from the free tier in the demo.
pub const TOOL_DESTRUCTIVE: &str = "delete_note";
/// Every tool, in the order in which they are listed.
pub const TOOLS: [&str; 8] = [
    "echo",
    "add",
    "clock",
    "count_slowly",
    "search_notes",
    "read_note",
    "delete_note",
    "export_notes",
];

/// How the sample server behaves at its rims.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An SSE stream that has nothing to say sends a comment this often.
    pub keep_alive: Duration,
    /// How many items a list answers at once.
    pub page_size: usize,
    /// Connections served at once; more wait in the listener's queue.
    pub max_connections: usize,
    /// Legacy sessions remembered; a new one beyond that ends the one unused for longest.
    pub max_sessions: usize,
    /// Slow calls running at once.
    pub max_running: usize,
    /// The longest body that is read.
    pub max_body: ByteSize,
    /// How long a connection may take to send a request's head.
    pub head_timeout: Duration,
    /// How long answers in flight may take after the stop signal.
    pub drain: Duration,
    /// What time the `clock` tool tells.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(15),
            page_size: 50,
            max_connections: 256,
            max_sessions: 256,
            max_running: 32,
            max_body: ByteSize::mib(1),
            head_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            clock: Clock::system(),
        }
    }
}

/// Why the sample server does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A tool's own schema is no JSON Schema.
    #[error("the schema of the sample tool `{tool}` does not compile: {reason}")]
    Schema {
        /// The tool.
        tool: &'static str,
        /// What the schema compiler said.
        reason: String,
    },
}

/// Serves until `shutdown` is ready, then ends streams with their closing message, lets answers in flight finish within
/// [`Settings::drain`], and returns.
///
/// # Errors
/// [`DemoError`] when the server's own definitions are broken; never once it has begun to serve.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DemoError> {
    let sample = Arc::new(Sample::new(settings)?);
    http::serve(listener, sample, shutdown).await;
    Ok(())
}

/// Everything the server remembers.
struct Sample {
    settings: Settings,
    tools: tools::Tools,
    notes: notes::Notes,
    sessions: sessions::Sessions,
    running: running::Running,
    /// The addresses of resources that have just changed.
    changes: broadcast::Sender<Arc<str>>,
    /// Turns true once, when the server stops.
    stopping: watch::Sender<bool>,
}

impl Sample {
    fn new(settings: Settings) -> Result<Self, DemoError> {
        Ok(Self {
            tools: tools::Tools::compile()?,
            notes: notes::Notes::default(),
            sessions: sessions::Sessions::with_room_for(settings.max_sessions),
            running: running::Running::with_room_for(settings.max_running),
            changes: broadcast::Sender::new(64),
            stopping: watch::Sender::new(false),
            settings,
        })
    }

    /// Ready once the server stops.
    async fn stopped(&self) {
        // An error would mean that the sender is gone, and we hold it.
        let _ = self.stopping.subscribe().wait_for(|stop| *stop).await;
    }
}
