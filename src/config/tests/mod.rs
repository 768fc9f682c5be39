//! Whole files, wrong and right: each wrong one with the exact words it is answered with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod credential;
mod door;
mod identity;
mod keys;
mod overriding;
mod serving;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
const OTHER_KEY: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221101";
const UPSTREAM: &str = "upstream: {url: http://127.0.0.1:3000/mcp}\n";

/// A folder with a configuration, a certificate and key that only have to be there, and a policy.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["cert.pem", "key.pem", "a.cedar", "b.cedar", "jwks.json"] {
            folder.write(name, "canary-not-a-real-file");
        }
        folder.write("jwt.key", &format!("{KEY}\n"));
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    fn load(&self, text: &str, env: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Mistakes> {
        let env = env.iter().copied().collect();
        load(&self.write("sallygate.yaml", text), &env)
    }

    /// Loads `text` with a good upstream and a good signing key.
    fn with(&self, text: &str, env: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Mistakes> {
        let env: Vec<_> = env.iter().copied().chain([("JWT_SECRET", KEY)]).collect();
        self.load(&format!("{UPSTREAM}{text}"), &env)
    }

    fn good(&self, text: &str, env: &[(&str, &str)]) -> Config {
        self.with(text, env)
            .map_err(|mistakes| mistakes.to_string())
            .unwrap()
            .0
    }

    fn mistakes(&self, text: &str, env: &[(&str, &str)]) -> Vec<String> {
        let mistakes = self.with(text, env).expect_err(text);
        mistakes.list.iter().map(ToString::to_string).collect()
    }

    fn warnings(&self, text: &str, env: &[(&str, &str)]) -> Vec<String> {
        let (_, warnings) = self
            .with(text, env)
            .map_err(|mistakes| mistakes.to_string())
            .unwrap();
        warnings.iter().map(ToString::to_string).collect()
    }
}

/// Each text is written below the line with the upstream, so its own first line is line 2.
fn each_says(table: &[(&str, &str)]) {
    let folder = Folder::new();
    for (text, said) in table {
        let root = folder.0.path().display().to_string();
        let heard: Vec<String> = folder
            .mistakes(text, &[])
            .iter()
            .map(|one| one.replace(&root, "DIR"))
            .collect();
        assert_eq!(heard, [*said], "{text}");
    }
}

#[test]
fn unknown_settings_are_refused_with_the_nearest_known_one() {
    each_says(&[
        (
            "listem: {}\n",
            "line 2: listem: unknown setting; did you mean `listen`?",
        ),
        (
            "listen:\n  addres: 127.0.0.1:1\n",
            "line 3: listen.addres: unknown setting; did you mean `address`?",
        ),
        (
            "audit: {zebra: 1}\n",
            "line 2: audit.zebra: unknown setting; the settings here are enabled, dir, retention, chain_key, chain_key_file",
        ),
        (
            "quotas:\n  tiers:\n    free: {per_minut: 5, per_minute: 5}\n",
            "line 4: quotas.tiers.free.per_minut: unknown setting; did you mean `per_minute`?",
        ),
    ]);
}

#[test]
fn wrong_kinds_of_values_are_refused() {
    each_says(&[
        (
            "listen: 127.0.0.1:1\n",
            "line 2: listen: must be a table of settings, not a single value",
        ),
        (
            "listen: {address: [a]}\n",
            "line 2: listen.address: must be a single value, not a list",
        ),
        (
            "cors: {allowed_origins: https://a.test}\n",
            "line 2: cors.allowed_origins: must be a list, not a single value; write `allowed_origins: [one, two]`",
        ),
        (
            "audit: {enabled: maybe}\n",
            "line 2: audit.enabled: `maybe` is neither true nor false",
        ),
        (
            "audit: {enabled: \"true\"}\n",
            "line 2: audit.enabled: must be true or false, not a text; write it without quotes",
        ),
        (
            "policy:\n",
            "line 2: policy: has no value; write one, or remove the key",
        ),
        (
            "policy: {tools: {enabled: ~}}\n",
            "line 2: policy.tools.enabled: has no value; write one, or remove the key",
        ),
        (
            "logs: {format: xml}\n",
            "line 2: logs.format: `xml` is not known here; use one of text, json",
        ),
        (
            "quotas: {tiers: {free: {}}}\n",
            "line 2: quotas.tiers.free.per_minute: is missing",
        ),
    ]);
}

#[test]
fn r502_r136_limits_that_are_zero_negative_text_or_too_large_are_refused() {
    each_says(&[
        (
            "quotas: {concurrency: 0}\n",
            "line 2: quotas.concurrency: `0` is out of range; use a whole number from 1 to 10000",
        ),
        (
            "quotas: {concurrency: -1}\n",
            "line 2: quotas.concurrency: `-1` is not a whole number; use a whole number from 1 to 10000",
        ),
        (
            "quotas: {tiers: {free: {per_minute: many}}}\n",
            "line 2: quotas.tiers.free.per_minute: `many` is not a whole number; use a whole number from 1 to 1000000",
        ),
        (
            "limits: {body_bytes: 0}\n",
            "line 2: limits.body_bytes: `0` is out of range; use 1KiB to 64MiB",
        ),
        (
            "limits: {body_bytes: 12 parsecs}\n",
            "line 2: limits.body_bytes: `12 parsecs` has an unknown unit; use one of B, KB, KiB, MB, MiB, GB, GiB",
        ),
        (
            "limits: {body_timeout: -1s}\n",
            "line 2: limits.body_timeout: `-1s` does not begin with a whole number",
        ),
    ]);
}

#[test]
fn policy_files_that_are_not_there_never_look_like_permission() {
    each_says(&[
        (
            "policy: {files: [\"*.polar\"]}\n",
            "line 2: policy.files[0]: no file in DIR fits `*.polar`; put policies there, or remove the pattern",
        ),
        (
            "policy: {tiers: {gold: {tools: {disabled: [drop]}}}}\n",
            "line 2: policy.tiers.gold: there is no tier `gold`; \
             use one of enterprise, free, premium, or add it to quotas.tiers",
        ),
    ]);
    let folder = Folder::new();
    let files = folder
        .good("policy: {files: [\"*.cedar\"]}\n", &[])
        .policy
        .files;
    assert_eq!(
        files,
        [
            folder.0.path().join("a.cedar"),
            folder.0.path().join("b.cedar")
        ]
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
listen:
  addres: 127.0.0.1:1
limits:
  body_bytes: 12 parsecs
cors:
  allowed_origins: [\"*\"]
quotas:
  default_tier: gold
";
    assert_eq!(
        Folder::new().mistakes(text, &[]),
        [
            "line 3: listen.addres: unknown setting; did you mean `address`?",
            "line 5: limits.body_bytes: `12 parsecs` has an unknown unit; use one of B, KB, KiB, MB, MiB, GB, GiB",
            "line 7: cors.allowed_origins[0]: patterns would let pages call that nobody named; \
             name each origin, such as `https://app.example.com`",
            "line 9: quotas.default_tier: there is no tier `gold`; \
             use one of enterprise, free, premium, or add it to quotas.tiers",
        ]
    );
}

#[test]
fn a_file_that_is_missing_says_how_to_get_one() {
    let mistakes = load(Path::new("no-such.yaml"), &Environment::default()).unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        "no-such.yaml: cannot be read: No such file or directory (os error 2); `sallygate init` writes one to start from"
    );
}

#[test]
fn the_schema_accepts_what_is_in_force() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let config = Folder::new().good(
        "cors: {presets: [claude]}\nlisten: {plain_http: true}\n",
        &[],
    );
    let shown = config.shown();
    assert_eq!(
        validator
            .iter_errors(shown)
            .map(|error| error.to_string())
            .collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    assert!(!validator.is_valid(&serde_json::json!({"listem": {}})));
}

/// Reads a text without a file around it.
fn read_text(text: &str) -> Result<(Config, Vec<Warning>), Vec<Mistake>> {
    let env = Environment::from_iter([("JWT_SECRET", KEY)]);
    understand(document::read(text)?, &env, Path::new(""), Keys::Required)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:{}\\[\\]\"'#&*!|>%@`~ \n\t0-9$-]{0,200}") {
        let _ = read_text(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(at in 0_usize..2000, cut in 0_usize..40, put in ".{0,8}") {
        let good = include_str!("../../cli/init.yaml");
        let damaged: String = good.chars().take(at).chain(put.chars()).chain(good.chars().skip(at + cut)).collect();
        if let Err(mistakes) = read_text(&damaged) {
            proptest::prop_assert!(!mistakes.is_empty());
        }
    }
}

#[test]
fn a_mistake_at_the_end_is_on_a_line_that_exists() {
    let env = Environment::default();
    for text in ["\u{15}a: \nb_ *\u{8}sb", "a: [\n", "a: \"", "{"] {
        let mistakes = read(text, &env, Path::new("/nonexistent"));
        for mistake in mistakes.unwrap_err().list {
            if let Origin::Line(line) = mistake.origin {
                assert!((1..=text.lines().count() + 1).contains(&line), "{text:?}");
            }
        }
    }
}
