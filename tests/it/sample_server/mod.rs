//! The sample MCP server on a real socket, in both eras: refusals first. What holds here is what the tests of the gateway
//! may take for granted about an honest upstream.

mod both;
mod legacy;
mod modern;

use std::net::SocketAddr;

use sallygate::demo::{self, Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::client::Client;
use crate::harness::mcp::Mcp;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), demo::DemoError>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(demo::serve(listener, settings, shutdown));
        Self {
            address,
            stop,
            task,
        }
    }

    fn caller(&self) -> Mcp {
        Mcp::at(
            &Client::plain(),
            &format!("http://{}{}", self.address, demo::PATH),
        )
    }

    async fn legacy_caller(&self) -> Mcp {
        let mut caller = self.caller();
        let reply = caller.initialize().await;
        assert_eq!(reply.status, 200);
        caller
    }
}

fn count(to: u64, delay_ms: u64) -> Value {
    json!({"name": "count_slowly", "arguments": {"to": to, "delay_ms": delay_ms}})
}
