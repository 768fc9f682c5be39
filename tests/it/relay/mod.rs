//! What goes through the gateway, over real sockets: what is seen and can be called, and that everything else is
//! untouched. Refusals first.

mod alike;
mod called;
mod drain;
mod lists;
mod rights;
mod routes;
mod servers;
mod sessions;
mod streams;
mod tasks;
mod transparent;

use sallygate::demo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::gateway::Plan;

/// The tool that the policy of these tests hides.
const HIDDEN: &str = "delete_note";

/// Hides one tool, one prompt and one family of resources, and rules over the arguments of another tool.
const CEDAR: &str = r#"
@id("tools")
permit (principal, action == Action::"call_tool", resource)
when { !["delete_note", "add"].contains(resource.name) };
@id("small-sums")
permit (principal, action == Action::"call_tool", resource == Tool::"add")
when { context.arguments has a && context.arguments.a < 10 };
@id("prompts")
permit (principal, action == Action::"get_prompt", resource)
when { resource.name != "secret_prompt" };
@id("resources")
permit (principal, action == Action::"read_resource", resource)
when { !(resource.uri like "secret:*") };
"#;

/// A gateway under these rules.
fn ruled() -> Plan {
    Plan::new()
        .file("rules.cedar", CEDAR)
        .settings("policy: { files: [rules.cedar] }")
}

/// A response with this result.
fn result(value: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "result": value})
}

/// A list of these tools, as a response.
fn tools(names: &[&str]) -> Value {
    let tools: Vec<_> = names
        .iter()
        .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
        .collect();
    result(&json!({"tools": tools}))
}

/// The member `key` of every entry of the list `member` in a response.
fn entries(response: &Value, member: &str, key: &str) -> Vec<String> {
    let list = response["result"][member].as_array();
    let list = list.unwrap_or_else(|| panic!("no {member} in {response}"));
    list.iter()
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

/// The names in a list of tools.
fn names(response: &Value) -> Vec<String> {
    entries(response, "tools", "name")
}

/// The sample MCP server, with pages so short that every list has several. It ends with the value.
struct Sample {
    url: String,
    task: JoinHandle<Result<(), demo::DemoError>>,
}

impl Sample {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{}", listener.local_addr().unwrap(), demo::PATH);
        let settings = demo::Settings {
            page_size: 3,
            ..demo::Settings::default()
        };
        Self {
            url,
            task: tokio::spawn(demo::serve(listener, settings, std::future::pending())),
        }
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        self.task.abort();
    }
}
