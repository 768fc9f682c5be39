//! `sallygate demo` as somebody meets it who has just downloaded the binary: what it prints, what it leaves on disk, how it
//! ends, and whether every command that it prints does what the text says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::harness::audit;
use crate::harness::browser::{Arrived, Browser, Form};
use crate::harness::client::{Client, Http};
use crate::harness::mcp::Mcp;
use crate::harness::process::{Ended, Program, ended, run, sallygate};

struct Demo {
    folder: TempDir,
    program: Program,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec!["demo", "--listen", "127.0.0.1:0", "--state-dir", "state"];
        all.extend(arguments);
        let mut command = sallygate(folder.path(), &all, &[]);
        let program = Program::start(&folder.path().join("said"), &mut command);
        Self { folder, program }
    }

    /// The facts of `--json`.
    async fn facts(&mut self) -> Value {
        let line = self.program.printed("\n").await;
        serde_json::from_str(&line).unwrap()
    }
}

fn client(facts: &Value, http: Http) -> Client {
    Client::trusting(Path::new(facts["ca_file"].as_str().unwrap()), http)
}

fn stranger(facts: &Value) -> Mcp {
    Mcp::at(&client(facts, Http::Two), facts["url"].as_str().unwrap())
}

fn caller(facts: &Value, tier: &str) -> Mcp {
    stranger(facts).with_token(facts["tokens"][tier].as_str().unwrap())
}

#[test]
fn the_demo_refuses_to_listen_beyond_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &["demo", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("loopback only"), "{said:?}");
    assert!(!folder.path().join(".sallygate").exists());
}

#[tokio::test]
async fn the_demo_tells_its_facts_in_one_line_and_ends_when_it_is_told_to() {
    let mut demo = Demo::start(&["--json"]);
    let facts = demo.facts().await;
    let free = caller(&facts, "free");
    let hidden = json!(["export_notes", "delete_note"]);
    assert_eq!(facts["tools"]["hidden_from_free"], hidden);
    for tool in hidden.as_array().unwrap() {
        let refused = free.call(tool.as_str().unwrap(), json!({"id": "n1"})).await;
        assert_eq!(refused.error_code(), Some(-32602), "{tool}");
    }
    for (tier, seen) in [("free", 6), ("premium", 8)] {
        let list = caller(&facts, tier).modern("tools/list", json!({})).await;
        assert_eq!(list.result()["tools"].as_array().unwrap().len(), seen);
    }
    assert_eq!(facts["tools"]["allowed"].as_array().unwrap().len(), 6);
    let said = free.call("echo", json!({"text": "hello"})).await.result();
    assert_eq!(said["content"][0]["text"], "hello");
    let metrics_url = facts["metrics_url"].as_str().unwrap();
    let metrics = Client::plain().get(metrics_url).await;
    assert!(metrics.text().contains("sallygate_requests_total"));

    demo.program.terminate();
    assert_eq!(demo.program.ended().await.code(), Some(0));
    let lines = audit::lines(Path::new(facts["audit_dir"].as_str().unwrap()));
    let calls = |line: &&Value| line["tool_name"] == "echo";
    assert_eq!(lines.iter().filter(calls).count(), 1);
    assert_eq!(demo.program.out().lines().count(), 1);
}

/// The whole way of a browser: the door, the login that asks for no proof, the page with a token, and what that opens.
#[tokio::test]
async fn whoever_opens_the_login_of_the_demo_is_signed_in_as_whom_they_like() {
    let mut demo = Demo::start(&["--json"]);
    let facts = demo.facts().await;
    let url = Url::parse(facts["url"].as_str().unwrap()).unwrap();
    let mut browser = Browser::new(client(&facts, Http::One), &[url.as_str()]);
    let page = browser.open(facts["login_url"].as_str().unwrap()).await;
    let Arrived::At(at, page) = page else {
        panic!("the demo signs in by itself")
    };
    assert!(page.text().contains("DEVELOPMENT LOGIN"), "{}", page.text());
    let state = &Form::read(page.text()).hidden[0].1;
    let back = at.join("/auth/callback").unwrap();
    let back = Url::parse_with_params(
        back.as_str(),
        [
            ("state", state.as_str()),
            ("code", "ann"),
            ("tier", "premium"),
        ],
    );
    let page = browser.open(back.unwrap().as_str()).await.page();
    assert!(page.text().contains("You are signed in"), "{}", page.text());
    let token = page.text().split("spellcheck=\"false\">").nth(1).unwrap();
    let token = token.split('<').next().unwrap();
    let list = stranger(&facts).with_token(token);
    let list = list.modern("tools/list", json!({})).await;
    assert_eq!(list.result()["tools"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn what_the_demo_keeps_is_for_its_owner_alone() {
    let mut demo = Demo::start(&["--json"]);
    let facts = demo.facts().await;
    caller(&facts, "free")
        .call("echo", json!({"text": "x"}))
        .await;
    let state = demo.folder.path().join("state");
    let seen = private(&state);
    assert!(seen > 5, "certificates, keys and lines, not {seen}");
}

/// Asserts that a folder and everything below is closed to everybody else; answers how many there were.
fn private(path: &Path) -> usize {
    let meta = fs::metadata(path).unwrap();
    let mode = meta.permissions().mode() & 0o777;
    let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
    if !meta.is_dir() {
        return 1;
    }
    let inside = fs::read_dir(path).unwrap();
    1 + inside
        .map(|entry| private(&entry.unwrap().path()))
        .sum::<usize>()
}

/// The commands of the printed text, in order: what begins at the left margin, functions with their body.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::<String>::new();
    let mut open = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if open {
            let last = commands.last_mut().unwrap();
            last.push('\n');
            last.push_str(line);
            open = line != "}";
        } else if !line.starts_with(' ') {
            open = line.ends_with('{') || line.contains("() {");
            commands.push(line.to_owned());
        }
    }
    commands
}

/// Runs one of the printed commands in a shell that has read the block before.
fn shell(setup: &str, command: &str) -> Ended {
    ended(
        Command::new("bash")
            .args(["-c", &format!("set -o pipefail\n{setup}\n{command}")])
            .env_remove("CURL_CA_BUNDLE"),
    )
}

#[tokio::test]
async fn every_printed_command_does_what_the_text_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        // The same acts are proved with our own client above; a build machine has to have curl.
        assert!(std::env::var_os("CI").is_none(), "curl is missing");
        return;
    }
    let mut demo = Demo::start(&[]);
    let text = demo.program.printed("--method tools/list\n").await;
    let commands = commands(&text);
    let (setup, tries) = commands.split_at(5);
    let setup = setup.join("\n");
    assert!(
        setup.contains("export URL=") && setup.ends_with('}'),
        "{setup}"
    );
    let [
        allowed,
        free,
        premium,
        destructive,
        nobody,
        limit,
        sign_in,
        trail,
        proof,
        figures,
        inspector,
    ] = tries
    else {
        panic!("other commands than this test knows: {tries:#?}");
    };
    let done = |command: &String| {
        let said = shell(&setup, command);
        assert_eq!(said.code, 0, "{command}: {said:?}");
        said.out
    };

    let answer = done(allowed);
    assert!(
        answer.contains("hello") && answer.contains("[HTTP 200]"),
        "{answer}"
    );
    let (free, premium) = (done(free), done(premium));
    assert!(!free.contains("export_notes") && free.contains("\"name\":\"echo\""));
    assert!(premium.contains("export_notes") && premium.contains("delete_note"));
    let refused = done(destructive);
    assert!(refused.contains("-32602"), "{refused}");
    let challenge = done(nobody).to_lowercase();
    assert!(challenge.contains(" 401") && challenge.contains("resource_metadata="));
    let counts = done(limit);
    assert!(
        counts.contains("[HTTP 429]") && counts.contains("[HTTP 200]"),
        "{counts}"
    );
    assert!(sign_in.ends_with(r#"npx -y -p mcp-remote mcp-remote-client "$URL""#));
    let line: Value = serde_json::from_str(done(trail).trim()).unwrap();
    assert_eq!(line["action"], "tool_invocation");
    assert!(done(proof).starts_with("intact: "));
    assert!(done(figures).contains("route=\"default\""));
    assert!(
        inspector.starts_with("NODE_EXTRA_CA_CERTS=\"$CA\" npx -y @modelcontextprotocol/inspector")
    );
}
