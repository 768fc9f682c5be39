//! The verbs of the binary, one process each: what they print, where they print it, and with which number they end.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::audit;
use crate::harness::client::{Client, Http};
use crate::harness::mcp::Mcp;
use crate::harness::process::{Program, ended, run, sallygate};
use crate::harness::upstream::FakeUpstream;

const GOOD: &str =
    "upstream: {url: \"http://127.0.0.1:3000/mcp\"}\nauth: {keys: [{secret_file: signing.key}]}\n";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";

fn folder_with(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    private(&folder.path().join("sallygate.yaml"), config);
    private(&folder.path().join("signing.key"), KEY);
    folder
}

fn private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn wrong_usage_ends_with_2_and_prints_nothing_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "",
        "fly",
        "run --what",
        "run --config a --upstream b",
        "token mint",
        "audit verify --dir x",
        "check --config",
        "demo --listen nowhere",
    ] {
        let words: Vec<_> = line.split_whitespace().collect();
        let said = run(folder.path(), &words);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {said:?}");
        assert!(said.err.contains("--help"), "{line}: {said:?}");
    }
}

#[test]
fn c56_no_verb_takes_a_secret_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for verb in [
        "demo",
        "run",
        "check",
        "init",
        "config show",
        "config schema",
        "keys generate",
        "token mint",
        "audit verify",
        "audit query",
        "user list",
        "user show",
        "user disable",
        "user enable",
        "user logout",
        "user erase",
        "vault status",
        "vault rotate",
        "vault import",
        "store status",
        "store backup",
        "store restore",
    ] {
        let words: Vec<_> = verb.split(' ').chain(["--help"]).collect();
        let help = run(folder.path(), &words);
        assert_eq!(help.code, 0, "{verb}: {help:?}");
        let words: Vec<_> = help.out.split_whitespace().collect();
        for (at, flag) in words.iter().enumerate() {
            if !flag.starts_with("--") {
                continue;
            }
            let flag = flag.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let takes_a_value = words.get(at + 1).is_some_and(|word| word.starts_with('<'));
            let secret = ["secret", "key", "token", "password", "credential"]
                .iter()
                .any(|word| flag.contains(word));
            let bad = secret && takes_a_value && !flag.ends_with("-file");
            assert!(!bad, "{verb} takes {flag}");
            seen += usize::from(takes_a_value);
        }
    }
    assert!(seen > 20, "only {seen} flags were read");
}

#[test]
fn check_ends_with_1_on_a_bad_configuration_and_names_every_mistake_with_its_line() {
    let folder = folder_with(
        "upstream: {url: \"http://127.0.0.1:3000/mcp\"}\nlistem: {}\nlogs: {level: loud}\n",
    );
    let said = run(folder.path(), &["check"]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in ["line 2", "listem", "line 3", "loud", "not ok: "] {
        assert!(said.out.contains(part), "{part} in {said:?}");
    }
    let report = run(folder.path(), &["check", "--json"]);
    assert_eq!(report.code, 1);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["findings"][0]["line"], 2);
    let absent = run(folder.path(), &["check", "--config", "absent.yaml"]);
    assert_eq!(absent.code, 1, "{absent:?}");
}

#[test]
fn check_ends_with_0_on_a_good_configuration() {
    let folder = folder_with(GOOD);
    let said = run(folder.path(), &["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("ok: 0 errors"), "{said:?}");
}

#[test]
fn what_init_writes_passes_the_strict_check() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &["init"]);
    assert_eq!(first.code, 0, "{first:?}");
    let said = run(folder.path(), &["check", "--strict"]);
    assert_eq!(said.code, 0, "{said:?}");
    let again = run(folder.path(), &["init"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("nothing was written"));
}

#[test]
fn the_schema_is_json_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &["config", "schema"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let schema: Value = serde_json::from_str(&said.out).unwrap();
    assert!(schema["properties"]["listen"].is_object());
}

#[test]
fn r086_the_shown_configuration_hides_every_secret() {
    let folder = folder_with(&format!(
        "upstream: {{url: \"http://127.0.0.1:3000/mcp\", headers: {{X-Api-Key: canary-not-a-real-key}}}}\nauth: {{keys: [{{secret: \"{KEY}\"}}]}}\n"
    ));
    let said = run(folder.path(), &["config", "show"]);
    assert_eq!(said.code, 0, "{said:?}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains("[REDACTED]") && all.contains("X-Api-Key"));
    assert!(!all.contains("canary-not-a-real-key") && !all.contains(KEY));
}

#[test]
fn run_without_anything_to_run_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &["run"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("--upstream URL") && said.err.contains("sallygate init"));
}

#[test]
fn a_token_is_printed_alone_and_its_key_comes_from_a_file_or_the_environment() {
    let folder = folder_with(GOOD);
    let said = run(folder.path(), &["token", "mint", "--user", "alice"]);
    assert_eq!((said.code, said.out.lines().count()), (0, 1), "{said:?}");
    assert_eq!(said.out.trim().split('.').count(), 3);
    let env = [("JWT_SECRET", KEY)];
    let mint = ["token", "mint", "--user", "alice"];
    let other = tempfile::tempdir().unwrap();
    let said = ended(&mut sallygate(other.path(), &mint, &env));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains(KEY) && !said.err.contains(KEY));
    let too_long = run(
        folder.path(),
        &["token", "mint", "--user", "alice", "--lifetime", "25h"],
    );
    assert_eq!(
        (too_long.code, too_long.out.as_str()),
        (1, ""),
        "{too_long:?}"
    );
}

/// A gateway in its own process, and a caller with a token that the binary made.
async fn serving(folder: &Path, arguments: &[&str], port: u16) -> (Program, Mcp) {
    let env = [("SALLYGATE_METRICS__ADDRESS", "127.0.0.1:0")];
    let listen = format!("127.0.0.1:{port}");
    let mut all = vec!["run", "--listen", &listen];
    all.extend(arguments);
    let mut program = Program::start(&folder.join("said"), &mut sallygate(folder, &all, &env));
    program.logged("serving").await;
    let mut mint = vec!["token", "mint", "--user", "alice", "--listen", &listen];
    mint.extend(arguments);
    let token = ended(&mut sallygate(folder, &mint, &env));
    assert_eq!(token.code, 0, "{token:?}");
    let ca = folder.join(".sallygate/ca.pem");
    let client = Client::trusting(&ca, Http::Two);
    let url = format!("https://127.0.0.1:{port}/mcp");
    (program, Mcp::at(&client, &url).with_token(token.out.trim()))
}

#[tokio::test]
async fn one_command_protects_an_upstream_and_its_trail_can_be_proved_and_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = FakeUpstream::start().await;
    upstream.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let url = upstream.url();
    let (mut program, caller) =
        serving(folder.path(), &["--upstream", &url], super::free_port()).await;
    for _ in 0..3 {
        assert_eq!(caller.call("echo", json!({})).await.status, 200);
    }
    program.terminate();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.err());

    let verify = [
        "audit",
        "verify",
        "--dir",
        ".sallygate/audit-logs",
        "--key-file",
        ".sallygate/audit.key",
    ];
    let whole = run(folder.path(), &verify);
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.out.starts_with("intact: "), "{whole:?}");
    let wrong_key = run(
        folder.path(),
        &[&verify[..5], &[".sallygate/signing.key"]].concat(),
    );
    assert_eq!(wrong_key.code, 1, "{wrong_key:?}");

    let trail = folder.path().join(".sallygate/audit-logs");
    let file = audit::files(&trail)
        .into_iter()
        .find(|file| file.to_string_lossy().contains("tool-invocations.jsonl"))
        .unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let second = text.lines().nth(1).unwrap().to_owned();
    for forged in [
        text.replacen("alice", "bobby", 1),
        text.replacen(&format!("{second}\n"), "", 1),
        text.replacen('\n', &format!("\n{second}\n"), 1),
    ] {
        assert_ne!(forged, text);
        fs::write(&file, &forged).unwrap();
        let said = run(folder.path(), &verify);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(!said.err.is_empty());
    }
    fs::write(&file, &text).unwrap();
    assert_eq!(run(folder.path(), &verify).code, 0);
}

#[tokio::test]
async fn run_with_a_file_serves_what_the_file_says() {
    let upstream = FakeUpstream::start().await;
    upstream.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let folder = folder_with(&format!(
        "upstream: {{url: \"{}\"}}\nauth: {{keys: [{{secret_file: signing.key}}]}}\npolicy: {{tools: {{disabled: [danger]}}}}\n",
        upstream.url()
    ));
    let arguments = ["--config", "sallygate.yaml"];
    let (mut program, caller) = serving(folder.path(), &arguments, super::free_port()).await;
    let refused = caller.call("danger", json!({})).await;
    assert_eq!(refused.error_code(), Some(-32602));
    upstream.saw_nothing();
    assert_eq!(caller.call("echo", json!({})).await.status, 200);
    program.terminate();
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.err());
}
