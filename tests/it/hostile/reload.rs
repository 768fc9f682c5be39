//! Another configuration while the gateway runs: what is refused and how, what each kind of change does, and how it is
//! noticed. Refusals first: whatever is wrong, the last good set goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use sallygate::devcert::ensure;
use serde_json::{Value, json};

use crate::harness::audit;
use crate::harness::client::{Client, Http, Reply};
use crate::harness::gateway::{KEY, PUBLIC, Plan, Rig, Who};
use crate::harness::upstream::FakeUpstream;
use crate::harness::wait;

/// Another key that protects nothing.
pub(super) const OTHER_KEY: &str = "canary-not-a-real-key-9Zt4Ba7Wc2Qx5Nd8Ym3P";

/// A gateway in front of a server with two tools, of which the policy hides one.
pub(super) async fn rig(plan: Plan) -> Rig {
    let rig = plan.start().await;
    rig.upstream.always(&tools(&["one", "two"]));
    rig
}

pub(super) fn plan() -> Plan {
    Plan::new()
        .settings("policy: { tools: { disabled: [two] } }")
        .look(Duration::from_secs(3600))
}

pub(super) fn tools(names: &[&str]) -> Value {
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
    let tools: Vec<_> = names.iter().map(tool).collect();
    json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}})
}

/// The tools that a caller sees.
pub(super) async fn seen(rig: &Rig) -> Vec<String> {
    let reply = rig.caller("alice").legacy("tools/list", json!({})).await;
    names(&reply)
}

pub(super) fn names(reply: &Reply) -> Vec<String> {
    let list = reply.result();
    let tools = list["tools"].as_array().unwrap();
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    tools.iter().map(name).collect()
}

/// What the operators' listener says.
pub(super) async fn page(rig: &Rig, path: &str) -> Reply {
    let url = format!("http://{}{path}", rig.ops_address);
    Client::plain().get(&url).await
}

/// The figure of a metric.
pub(super) async fn figure(rig: &Rig, name: &str) -> Option<f64> {
    let page = rig.metrics().await;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[tokio::test]
async fn a_bad_set_is_refused_with_every_reason_and_the_last_good_one_goes_on() {
    let plan = plan()
        .file("good.cedar", "permit(principal, action, resource);")
        .file("bad.cedar", "permit(principal, action resource);");
    let (one, two) = (plan.dir().join("one"), plan.dir().join("two"));
    let (one, two) = (ensure(&one, &[]).unwrap(), ensure(&two, &[]).unwrap());
    let pair = |cert: &Path, key: &Path| {
        let (cert, key) = (cert.display(), key.display());
        format!("listen:\n  tls: {{ cert_file: \"{cert}\", key_file: \"{key}\" }}\n")
    };
    let rig = rig(plan).await;
    let good = rig.yaml();
    let token = rig.token(&Who::new("alice"));
    let mut refused = 0.0;
    for (yaml, reasons) in [
        (good.replace("policy:", "policy: ["), vec!["sallygate.yaml"]),
        (good.replace("tools: {", "tolls: {"), vec!["policy.tolls", "tools"]),
        (
            // Two mistakes are told at once.
            good.replace("disabled: [two]", "disabled: 7").replace("state_dir", "state_dri"),
            vec!["policy.tools.disabled", "state_dri"],
        ),
        (good.replace("policy: {", "policy: { files: [bad.cedar],"), vec!["bad.cedar:1"]),
        (good.replace("policy: {", "policy: { files: [gone.cedar],"), vec!["gone.cedar"]),
        (
            good.replace("listen:\n", &pair(&one.cert_file, &two.key_file)),
            vec!["certificate and key do not belong together"],
        ),
        (
            good.replace("listen:\n", &pair(&one.cert_file, &rig.dir().join("none"))),
            vec!["none"],
        ),
        (
            good.replace(
                "auth: {",
                "auth: { issuers: [{name: far, issuer: \"https://127.0.0.1:1\", jwks_url: \"https://127.0.0.1:1/jwks\"}],",
            ),
            vec!["keys of the issuer far cannot be loaded"],
        ),
        (good.replace("canary-not-a-real-key", "canary"), vec!["auth.keys[0].secret"]),
    ] {
        rig.write(&yaml);
        let unfit = rig.reload().await.expect_err(&yaml).to_string();
        for reason in reasons {
            assert!(unfit.contains(reason), "{reason} in {unfit}");
        }
        refused += 1.0;
        assert_eq!(seen(&rig).await, ["one"], "{unfit}");
        let ready = page(&rig, "/readyz").await;
        assert_eq!(ready.status, 200, "{unfit}");
        assert!(
            ready.text().starts_with("ready\nconfiguration: the last reload was refused: "),
            "{}",
            ready.text()
        );
        let health = page(&rig, "/health").await.json();
        assert_eq!(health["status"], "ok");
        assert!(health["notes"]["configuration"].is_string(), "{health}");
        let counted = "sallygate_config_reloads_total{result=\"refused\"}";
        assert_eq!(figure(&rig, counted).await, Some(refused), "{unfit}");
        assert!(!unfit.contains("7Q2mXv9LzR4tKb8WcY3s"), "{unfit}");
    }
    // No new token was needed, and what is written well again is in force again.
    let again = rig.stranger(Http::Two).with_token(&token);
    assert_eq!(names(&again.legacy("tools/list", json!({})).await), ["one"]);
    rig.write(&good);
    assert_eq!(rig.reload().await.unwrap().changed, Vec::<String>::new());
    assert_eq!(page(&rig, "/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn what_needs_a_restart_is_refused_by_name_and_nothing_else_is_taken_over() {
    let rig = rig(plan()).await;
    let good = rig.yaml();
    for (old, new, named) in [
        (
            "127.0.0.1:0\"\n  public",
            "127.0.0.1:1\"\n  public",
            "listen.address",
        ),
        ("state_dir: state", "state_dir: other", "state_dir"),
        (
            "state_dir: state",
            "state_dir: state\naudit: { dir: elsewhere }",
            "audit.dir",
        ),
        (
            "state_dir: state",
            "state_dir: state\nstore: { url: \"memory:\" }",
            "store.url",
        ),
        (
            "state_dir: state",
            "state_dir: state\nlogs: { level: debug }",
            "logs.level",
        ),
        (
            "state_dir: state",
            "state_dir: state\nlimits: { connections: 5 }",
            "limits.connections",
        ),
        (
            "metrics: { address: \"127.0.0.1:0\" }",
            "metrics: { address: \"127.0.0.1:1\" }",
            "metrics.address",
        ),
    ] {
        assert!(good.contains(old), "{old}");
        // The change of policy beside it would be harmless.
        rig.write(
            &good
                .replace(old, new)
                .replace("disabled: [two]", "disabled: [one]"),
        );
        let unfit = rig.reload().await.unwrap_err().to_string();
        assert_eq!(unfit, format!("{named}: a change of it needs a restart"));
        assert_eq!(seen(&rig).await, ["one"]);
    }
}

#[tokio::test]
async fn each_kind_of_change_is_in_force_for_the_next_request() {
    let other = FakeUpstream::start().await;
    other.always(&tools(&["three"]));
    let allow = |tool: &str| {
        format!("permit(principal, action == Action::\"call_tool\", resource == Tool::\"{tool}\");")
    };
    let rig = rig(plan().file("rules.cedar", &allow("two"))).await;
    assert_eq!(seen(&rig).await, ["one"]);
    rig.edit("disabled: [two]", "disabled: [one]");
    assert_eq!(
        rig.reload().await.unwrap().changed,
        ["policy.tools.disabled"]
    );
    assert_eq!(seen(&rig).await, ["two"]);
    rig.edit(
        "policy: { tools: { disabled: [one] } }",
        "policy: { files: [rules.cedar] }",
    );
    rig.reload().await.unwrap();
    assert_eq!(seen(&rig).await, ["two"]);
    fs::write(rig.dir().join("rules.cedar"), allow("one")).unwrap();
    assert_eq!(rig.reload().await.unwrap().changed, ["policy.files[0]"]);
    assert_eq!(seen(&rig).await, ["one"]);
    rig.edit("policy: { files: [rules.cedar] }\n", "");
    rig.edit(&rig.upstream.url(), &other.url());
    assert_eq!(
        rig.reload().await.unwrap().changed,
        ["policy.files", "policy.files[0]", "routes[0].upstream.url"]
    );
    assert_eq!(seen(&rig).await, ["three"]);
    // A route is added, and taken away again.
    let added = format!(
        "routes:\n  - name: more\n    path: /more\n    upstream: {{ url: {} }}\n",
        other.url()
    );
    let before = rig.yaml();
    assert_eq!(
        rig.caller_at("/more", &Who::new("bob"))
            .call_legacy("x", json!({}))
            .await
            .status,
        404
    );
    rig.edit("routes:\n", &added);
    rig.reload().await.unwrap();
    let more = rig.caller_at("/more", &Who::new("bob"));
    assert_eq!(more.legacy("tools/list", json!({})).await.status, 200);
    assert_eq!(seen(&rig).await, ["three"]);
    rig.write(&before);
    rig.reload().await.unwrap();
    assert_eq!(more.legacy("tools/list", json!({})).await.status, 404);
    // Limits too, those of a connection for connections that come.
    rig.edit("state_dir", "limits: { body_bytes: 1KiB }\nstate_dir");
    rig.reload().await.unwrap();
    let long = rig
        .caller("alice")
        .legacy("tools/list", json!({"a": "x".repeat(2000)}))
        .await;
    assert_eq!(long.status, 413);
}

#[tokio::test]
async fn a_key_that_is_taken_away_is_not_accepted_any_more_from_one_request_to_the_next() {
    let rig = rig(plan()).await;
    let alice = rig.caller("alice");
    assert_eq!(alice.legacy("tools/list", json!({})).await.status, 200);
    let written = format!("{{ kid: proof, secret: \"{KEY}\" }}");
    let new = format!("{{ kid: new, secret: \"{OTHER_KEY}\" }}");
    rig.edit(&written, &format!("{new}, {written}"));
    rig.reload().await.unwrap();
    assert_eq!(
        alice.legacy("tools/list", json!({})).await.status,
        200,
        "both are good"
    );
    rig.edit(&format!("{new}, {written}"), &new);
    rig.reload().await.unwrap();
    let refused = alice.legacy("tools/list", json!({})).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn r075_a_new_certificate_is_shown_to_who_comes_and_whoever_is_there_stays() {
    let plan = plan();
    let (old, new) = (plan.dir().join("old"), plan.dir().join("new"));
    let (old, new) = (ensure(&old, &[]).unwrap(), ensure(&new, &[]).unwrap());
    let (cert, key) = (plan.dir().join("cert.pem"), plan.dir().join("key.pem"));
    fs::copy(&old.cert_file, &cert).unwrap();
    fs::copy(&old.key_file, &key).unwrap();
    let rig = rig(plan.listen("tls: { cert_file: cert.pem, key_file: key.pem }")).await;
    let trusting = |ca: &Path| Client::toward(rig.address, ca, Http::One);
    let health = format!("{PUBLIC}/health");
    let there = trusting(&old.ca_file);
    assert_eq!(there.get(&health).await.status, 200);
    fs::copy(&new.cert_file, &cert).unwrap();
    let unfit = rig.reload().await.unwrap_err().to_string();
    assert!(unfit.contains("do not belong together"), "{unfit}");
    fs::copy(&new.key_file, &key).unwrap();
    let done = rig.reload().await.unwrap();
    assert_eq!(
        done.changed,
        ["listen.tls.cert_file", "listen.tls.key_file"]
    );
    assert_eq!(
        there.get(&health).await.status,
        200,
        "by the connection that is there"
    );
    assert_eq!(trusting(&new.ca_file).get(&health).await.status, 200);
    let request = hyper::Request::get(&health)
        .body(http_body_util::Full::default())
        .unwrap();
    assert!(trusting(&old.ca_file).attempt(request).await.is_err());
    let ends = sallygate::listener::tls::expiry(&new.cert_file).unwrap();
    let shown = figure(&rig, "sallygate_certificate_expiry_timestamp_seconds").await;
    assert_eq!(shown, Some(ends as f64));
}

#[tokio::test]
async fn r201_a_change_is_recorded_by_the_names_of_settings_and_refusals_are_too() {
    let rig = rig(plan()).await;
    rig.edit("disabled: [two]", "disabled: [one]");
    rig.edit(KEY, OTHER_KEY);
    rig.reload().await.unwrap();
    rig.edit("disabled: [one]", "disabled: {}");
    rig.reload().await.unwrap_err();
    let of = |outcome: &'static str| {
        move |line: &Value| {
            line["event_type"] == "configuration_changed" && line["status"] == outcome
        }
    };
    let line = audit::line_of(rig.audit_dir(), of("success")).await;
    let details = &line["details"];
    let changed = json!(["auth.keys[0].secret", "policy.tools.disabled"]);
    assert_eq!(details["changed"], changed, "{line}");
    assert_ne!(details["before"], details["after"], "{line}");
    let refused = audit::line_of(rig.audit_dir(), of("error")).await;
    assert_eq!(refused["details"]["before"], details["after"], "{refused}");
    assert!(
        refused.to_string().contains("policy.tools.disabled"),
        "{refused}"
    );
    let trail = format!("{line}{refused}");
    for secret in [KEY, OTHER_KEY] {
        assert!(!trail.contains(secret), "{trail}");
    }
    let applied = "sallygate_config_reloads_total{result=\"applied\"}";
    assert_eq!(figure(&rig, applied).await, Some(1.0));
}

#[tokio::test]
async fn changed_files_are_noticed_behind_turned_links_and_half_written_ones_do_no_harm() {
    let plan = plan().look(Duration::from_millis(5));
    let allow = |tool: &str| {
        format!("permit(principal, action == Action::\"call_tool\", resource == Tool::\"{tool}\");")
    };
    // As Kubernetes mounts it: the names lead through a link that is turned.
    let at = |name: &str| plan.dir().join("policies").join(name);
    for (folder, tool) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir_all(at(folder)).unwrap();
        fs::write(at(folder).join("rules.cedar"), allow(tool)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/rules.cedar", at("rules.cedar")).unwrap();
    let (turned, data) = (at("..data_tmp"), at("..data"));
    let rules = at("..2").join("rules.cedar");
    let rig = Plan::settings(plan, "").start().await;
    rig.upstream.always(&tools(&["one", "two"]));
    rig.edit(
        "policy: { tools: { disabled: [two] } }",
        "policy: { files: [policies/rules.cedar] }",
    );
    let until = async |wanted: &[&str]| {
        wait::until("the change", async || {
            (seen(&rig).await == wanted).then_some(())
        })
        .await;
    };
    wait::until("the policy", async || {
        let applied = "sallygate_config_reloads_total{result=\"applied\"}";
        figure(&rig, applied).await
    })
    .await;
    until(&["one"]).await;
    symlink("..2", &turned).unwrap();
    fs::rename(&turned, &data).unwrap();
    until(&["two"]).await;
    // A file that is written in pieces is no policy until it is complete.
    let whole = allow("one");
    fs::write(&rules, &whole[..30]).unwrap();
    wait::until("the refusal", async || {
        let ready = page(&rig, "/readyz").await;
        assert_eq!(ready.status, 200);
        assert_eq!(seen(&rig).await, ["two"]);
        ready.text().contains("configuration").then_some(())
    })
    .await;
    fs::write(&rules, &whole).unwrap();
    until(&["one"]).await;
    assert_eq!(page(&rig, "/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn a_refused_set_comes_into_force_when_what_it_needs_is_there() {
    let rig = rig(plan().look(Duration::from_millis(2))).await;
    let refusals = "sallygate_config_reloads_total{result=\"refused\"}";
    rig.edit("policy: {", "policy: { files: [later.cedar],");
    wait::until("the refusal", async || figure(&rig, refusals).await).await;
    let all = "permit(principal, action, resource);\nforbid(principal, action, resource == Tool::\"one\");";
    fs::write(rig.dir().join("later.cedar"), all).unwrap();
    rig.upstream.always(&tools(&["one", "two", "three"]));
    wait::until("the change", async || {
        (seen(&rig).await == ["three"]).then_some(())
    })
    .await;
    assert_eq!(figure(&rig, refusals).await, Some(1.0), "said once");
}
