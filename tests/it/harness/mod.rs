//! What integration tests are made of: an upstream that follows a script and remembers what it saw, clients that speak
//! HTTP, MCP or raw bytes, and readers of what the gateway leaves behind. Nothing here sleeps for a guess: everything
//! waits for a condition, and gives up with words after [`wait::PATIENCE`].

pub(crate) mod audit;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod mcp;
pub(crate) mod piecemeal;
pub(crate) mod process;
pub(crate) mod provider;
pub(crate) mod raw;
#[allow(dead_code, reason = "shared with the unit tests")]
#[path = "../../support/redis.rs"]
pub(crate) mod redis;
pub(crate) mod saboteur;
pub(crate) mod saboteur_h2;
#[path = "../../support/signer.rs"]
pub(crate) mod signer;
pub(crate) mod sse;
pub(crate) mod station;
pub(crate) mod tokens;
pub(crate) mod upstream;
pub(crate) mod wait;
