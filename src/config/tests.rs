//! Whole files, wrong and right: each wrong one with the exact words it is answered with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

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
fn r121_r611_tokens_that_live_longer_than_a_day_are_refused() {
    let said = |value: &str| {
        format!("line 2: auth.token_lifetime: `{value}` is out of range; use 1m to 24h")
    };
    for value in ["86401", "25h", "31536000"] {
        each_says(&[(
            &format!("auth: {{token_lifetime: {value}}}\n"),
            &said(value),
        )]);
    }
    each_says(&[(
        "auth: {leeway: 61s}\n",
        "line 2: auth.leeway: `61s` is out of range; use 0s to 60s",
    )]);
    let folder = Folder::new();
    for (value, seconds) in [("86400", 86_400), ("24h", 86_400), ("1h", 3600)] {
        let config = folder.good("", &[("JWT_EXPIRY", value)]);
        assert_eq!(config.auth.token_lifetime, Duration::from_secs(seconds));
    }
    assert_eq!(
        folder.mistakes("", &[("JWT_EXPIRY", "86401")]),
        ["variable JWT_EXPIRY: auth.token_lifetime: `86401` is out of range; use 1m to 24h"]
    );
}

#[test]
fn r443_r511_r512_r581_plain_http_is_refused_beyond_this_machine() {
    each_says(&[
        (
            "listen: {address: \"0.0.0.0:80\", plain_http: true, public_url: http://127.0.0.1}\n",
            "line 2: listen.plain_http: plain HTTP at 0.0.0.0:80 can be read and changed on its way; \
             use listen.tls, or behind_tls_proxy if a proxy in front ends TLS",
        ),
        (
            "listen: {address: \"0.0.0.0:80\", plain_http: i-know-this-is-insecure, public_url: http://a.test}\n",
            "line 2: listen.plain_http: insecure HTTP is refused in the production profile; \
             use listen.tls or behind_tls_proxy, or write `profile: development`",
        ),
        (
            "listen: {address: \"0.0.0.0:443\", public_url: https://a.test}\n",
            "line 2: listen.tls: a certificate is needed to listen at 0.0.0.0:443; \
             write cert_file and key_file, or behind_tls_proxy if a proxy in front ends TLS",
        ),
        (
            "listen: {public_url: http://mcp.example.com}\n",
            "line 2: listen.public_url: must be https; MCP clients send tokens to this address",
        ),
        (
            "listen: {public_url: http://localhost.evil.tld}\n",
            "line 2: listen.public_url: must be https; MCP clients send tokens to this address",
        ),
        (
            "listen: {behind_tls_proxy: true}\n",
            "line 2: listen.public_url: is missing; write how clients reach the gateway, such as `https://mcp.example.com`",
        ),
        (
            "listen: {plain_http: true, public_url: https://a.test}\n",
            "line 2: listen.public_url: is https, but plain HTTP is spoken; \
             write the scheme that clients use; behind_tls_proxy says that a proxy in front ends TLS",
        ),
        (
            "listen: {plain_http: true, tls: {cert_file: cert.pem, key_file: key.pem}}\n",
            "line 2: listen.tls: is written, but TLS is switched off; remove it, or plain_http and behind_tls_proxy",
        ),
    ]);
}

#[test]
fn r511_r512_the_ways_to_speak_that_are_allowed() {
    let folder = Folder::new();
    for (text, transport, url) in [
        (
            "listen: {plain_http: true}\n",
            Transport::Plain,
            "http://127.0.0.1:8443",
        ),
        (
            "listen: {address: \"0.0.0.0:80\", behind_tls_proxy: true, public_url: https://a.test}\n",
            Transport::BehindTlsProxy,
            "https://a.test",
        ),
        (
            "profile: development\nlisten: {address: \"0.0.0.0:80\", plain_http: i-know-this-is-insecure, public_url: http://a.test}\n",
            Transport::Plain,
            "http://a.test",
        ),
    ] {
        let config = folder.good(text, &[]);
        assert_eq!(
            (config.listen.transport, config.listen.public_url.as_str()),
            (transport, url)
        );
    }
    let tls = folder.good("", &[]).listen;
    assert!(matches!(
        tls.transport,
        Transport::Tls(Tls {
            certificate: Certificate::Development { .. },
            min_version: TlsVersion::V13,
            ..
        })
    ));
    let files = "listen: {address: \"0.0.0.0:443\", public_url: \"https://MCP.example.com:443/\", \
                 tls: {cert_file: cert.pem, key_file: key.pem, min_version: 1.2}}\n";
    let config = folder.good(files, &[]);
    assert_eq!(config.listen.public_url, "https://mcp.example.com");
    assert_eq!(config.routes[0].resource, "https://mcp.example.com/mcp");
    assert_eq!(
        config.listen.allowed_hosts.into_iter().collect::<Vec<_>>(),
        ["mcp.example.com", "mcp.example.com:443"]
    );
    assert!(matches!(
        config.listen.transport,
        Transport::Tls(Tls {
            certificate: Certificate::Files { .. },
            min_version: TlsVersion::V12,
            ..
        })
    ));
}

#[test]
fn r584_certificate_checks_have_no_switch() {
    for word in ["reject_unauthorized", "insecure_skip_verify", "verify"] {
        let folder = Folder::new();
        let text = format!("routes: [{{upstream: {{url: https://a.test, {word}: false}}}}]\n");
        let mistakes = folder
            .load(&text, &[("JWT_SECRET", KEY)])
            .unwrap_err()
            .to_string();
        assert!(
            mistakes.contains(&format!("{word}: unknown setting")),
            "{mistakes}"
        );
    }
}

#[test]
fn r514_origins_are_exact() {
    each_says(&[
        (
            "cors: {allowed_origins: [\"*\"]}\n",
            "line 2: cors.allowed_origins[0]: patterns would let pages call that nobody named; \
             name each origin, such as `https://app.example.com`",
        ),
        (
            "cors:\n  allowed_origins:\n    - https://a.test\n    - https://*.b.test\n",
            "line 5: cors.allowed_origins[1]: patterns would let pages call that nobody named; \
             name each origin, such as `https://app.example.com`",
        ),
        (
            "cors: {allowed_origins: [http://a.test]}\n",
            "line 2: cors.allowed_origins[0]: is a page without TLS, which anybody on its way can change; use https",
        ),
        (
            "cors: {allowed_origins: [https://a.test/page]}\n",
            "line 2: cors.allowed_origins[0]: holds a path or a query; \
             write scheme, host and port only, such as `https://mcp.example.com`",
        ),
    ]);
}

#[test]
fn r513_presets_name_the_web_clients() {
    let folder = Folder::new();
    let config = folder.good(
        "cors: {presets: [claude, chatgpt], allowed_origins: [\"https://A.test:443\"]}\n",
        &[],
    );
    assert_eq!(
        config.cors.allowed_origins.into_iter().collect::<Vec<_>>(),
        [
            "https://a.test",
            "https://chat.openai.com",
            "https://chatgpt.com",
            "https://claude.ai",
            "https://claude.com"
        ]
    );
    let config = folder.good("", &[("CORS_ORIGINS", "https://a.test, https://b.test")]);
    assert_eq!(config.cors.allowed_origins.len(), 2);
}

#[test]
fn routes_that_cannot_be_told_apart_or_reached_are_refused() {
    let route = |rest: &str| {
        format!(
            "routes:\n  - {{path: /a, name: a, {rest}}}\n  - {{path: /b, name: b, upstream: {{url: http://127.0.0.1:1}}}}\n"
        )
    };
    let folder = Folder::new();
    for (text, said) in [
        (
            "listen: {}\n".to_owned(),
            "routes: no MCP server is named; write `upstream: {url: http://127.0.0.1:3000/mcp}`, or routes".to_owned(),
        ),
        (
            "routes: [{upstream: {url: http://127.0.0.1:1}}]\nupstream: {url: http://127.0.0.1:1}\n".into(),
            "line 2: upstream: is written beside routes; move it into a route of its own".into(),
        ),
        (
            route("upstream: {url: \"ftp://a.test\"}"),
            "line 2: routes[0].upstream.url: has the scheme `ftp`; write it as `https://host/path`".into(),
        ),
        (
            route("upstream: {url: \"https://u:canary@a.test\"}"),
            "line 2: routes[0].upstream.url: holds a user name or a password; send credentials in a header".into(),
        ),
        (
            route("upstream: {url: \"unix:run/a.sock:/mcp\"}"),
            "line 2: routes[0].upstream.url: a socket needs an absolute path; write `unix:/run/server.sock:/mcp`".into(),
        ),
        (
            route("upstream: {url: http://127.0.0.1:1, headers: {\"a b\": c}}"),
            "line 2: routes[0].upstream.headers.a b: `a b` is not the name of a header; such as `X-Api-Key`".into(),
        ),
        (
            route("upstream: {url: http://127.0.0.1:1, headers: {Host: c}}"),
            "line 2: routes[0].upstream.headers.Host: belongs to the gateway; remove it; the gateway sets it itself".into(),
        ),
        (
            route("upstream: {url: http://127.0.0.1:1, forward_headers: [Authorization]}"),
            "line 2: routes[0].upstream.forward_headers[0]: carries the client's credentials, which never travel upstream; \
             write the server's own credential under `headers`"
                .into(),
        ),
        (
            route("upstream: {url: https://a.test, client_cert_file: cert.pem}"),
            "line 2: routes[0].upstream.client_key_file: is missing; certificate and key go together".into(),
        ),
        (
            route("upstream: {}"),
            "line 2: routes[0].upstream.url: is missing".into(),
        ),
        (
            "routes:\n  - {path: /a, name: A b, upstream: {url: http://127.0.0.1:1}}\n".into(),
            "line 2: routes[0].name: `A b` is not a name; use 1 to 32 lowercase letters, digits and dashes".into(),
        ),
        (
            "routes:\n  - {path: /.well-known/x, upstream: {url: http://127.0.0.1:1}}\n".into(),
            "line 2: routes[0].path: `/.well-known` belongs to the gateway; choose another path".into(),
        ),
        (
            "routes:\n  - {path: /a/../b, upstream: {url: http://127.0.0.1:1}}\n".into(),
            "line 2: routes[0].path: `/a/../b` does not stay where it is; remove `.` and `..`".into(),
        ),
    ] {
        let mistakes = folder.load(&text, &[("JWT_SECRET", KEY)]).expect_err(&text);
        let heard: Vec<String> = mistakes.list.iter().map(ToString::to_string).collect();
        assert_eq!(heard, [said], "{text}");
    }
}

#[test]
fn routes_mean_what_they_say() {
    let text = "\
listen: {plain_http: true}
routes:
  - path: /a
    name: a
    upstream: {url: \"unix:/run/a.sock:/mcp\"}
    tools: {read_only: true, read_only_tools: [list], scopes: {drop: [\"mcp:write\"]}}
  - path: /b
    name: b
    resource: https://b.test/mcp
    upstream:
      url: https://b.test/mcp
      headers: {X-Api-Key: \"Key ${B_KEY}\"}
      forward_headers: [X-Tenant]
";
    let env = [("JWT_SECRET", KEY), ("B_KEY", "canary-not-a-real-key")];
    let (config, warnings) = Folder::new().load(text, &env).unwrap();
    assert_eq!(warnings, []);
    let [a, b] = config.routes.as_slice() else {
        panic!()
    };
    let unix = Endpoint::Unix {
        socket: "/run/a.sock".into(),
        path: "/mcp".into(),
    };
    assert_eq!(
        (&a.upstream.endpoint, a.resource.as_str()),
        (&unix, "http://127.0.0.1:8443/a")
    );
    assert!(a.tools.read_only);
    assert_eq!(a.tools.scopes["drop"], ["mcp:write"]);
    assert_eq!(b.resource, "https://b.test/mcp");
    assert_eq!(
        b.upstream.headers[0].1.expose(),
        "Key canary-not-a-real-key"
    );
    assert_eq!(b.upstream.forward_headers, ["x-tenant"]);
    assert_eq!(b.scopes_supported, ["mcp:read", "mcp:write"]);
}

#[test]
fn r083_r324_keys_that_are_missing_weak_or_shared_are_refused_by_name_only() {
    let folder = Folder::new();
    for (text, env, said) in [
        (
            "",
            vec![],
            "auth: holds neither keys nor issuers, so nobody could call; set JWT_SECRET, or write auth.keys or auth.issuers",
        ),
        (
            "",
            vec![("JWT_SECRET", "canary-not-real")],
            "variable JWT_SECRET: auth.keys[0].secret: has 15 bytes, a key needs at least 32; make one with `sallygate keys generate`",
        ),
        (
            "",
            vec![("JWT_SECRET", KEY), ("ENCRYPTION_KEY", KEY)],
            "variable ENCRYPTION_KEY: encryption_key: is the same key as `auth.keys[0].secret`; \
             make one for each purpose with `sallygate keys generate`",
        ),
        (
            "auth: {keys: [{}]}\n",
            vec![],
            "line 2: auth.keys[0]: holds no key; write secret_file, or secret: \"${JWT_SECRET}\"",
        ),
        (
            "auth:\n  keys:\n    - secret: ${NOT_SET}\n",
            vec![],
            "line 4: auth.keys[0].secret: the environment variable `NOT_SET` is not set",
        ),
        (
            "auth:\n  keys:\n    - secret: ${BLANK}\n",
            vec![("BLANK", "")],
            "line 4: auth.keys[0].secret: the environment variable `BLANK` is empty",
        ),
        (
            "auth:\n  keys:\n    - {kid: a, secret: \"${A}\"}\n    - {kid: a, secret: \"${B}\"}\n",
            vec![("A", KEY), ("B", OTHER_KEY)],
            "line 5: auth.keys[1].kid: `a` names another key already; give each key its own name",
        ),
        (
            "auth:\n  keys:\n    - {secret: \"${A}\", secret_file: jwt.key}\n",
            vec![("A", KEY)],
            "line 4: auth.keys[0].secret_file: `auth.keys[0].secret` is written as well; keep one of the two",
        ),
        (
            "",
            vec![("JWT_SECRET", KEY), ("JWT_SECRET_FILE", "jwt.key")],
            "variable JWT_SECRET: auth.keys: JWT_SECRET_FILE is set as well; unset one of the two",
        ),
    ] {
        let mistakes = folder
            .load(&format!("{UPSTREAM}{text}"), &env)
            .expect_err(text);
        let heard: Vec<String> = mistakes.list.iter().map(ToString::to_string).collect();
        assert_eq!(heard, [said]);
        assert!(!mistakes.to_string().contains(KEY));
    }
}

#[test]
fn r084_r488_keys_come_from_variables_and_files_and_the_previous_one_still_verifies() {
    let folder = Folder::new();
    let text = format!("{UPSTREAM}auth: {{keys: [{{kid: file, secret_file: jwt.key}}]}}\n");
    let (config, _) = folder.load(&text, &[]).unwrap();
    assert_eq!(
        (
            config.auth.keys[0].kid.as_str(),
            config.auth.keys[0].secret.expose().len()
        ),
        ("file", 32)
    );
    assert_eq!(
        config.secret_files,
        [(
            "auth.keys[0].secret_file".to_owned(),
            folder.0.path().join("jwt.key")
        )]
    );

    let old = folder.good("", &[]).auth.keys;
    let env = [
        ("JWT_SECRET", OTHER_KEY),
        ("JWT_SECRET_PREVIOUS_FILE", "jwt.key"),
    ];
    let (config, _) = folder.load(UPSTREAM, &env).unwrap();
    let rotated = config.auth.keys;
    assert_eq!(rotated.len(), 2);
    assert_eq!(
        rotated[1].kid, old[0].kid,
        "a key keeps its name wherever it stands"
    );
    assert_ne!(rotated[0].kid, old[0].kid);
}

#[test]
fn issuers_need_one_safe_source_of_keys() {
    each_says(&[
        (
            "auth: {issuers: [{name: okta, issuer: http://a.test}]}\n",
            "line 2: auth.issuers[0].issuer: must be https; who can change its answers can let anybody in",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, jwks_url: http://a.test}]}\n",
            "line 2: auth.issuers[0].jwks_url: must be https; who can change its answers can let anybody in",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, jwks_url: https://a.test, jwks_file: jwks.json}]}\n",
            "line 2: auth.issuers[0]: has several sources of keys; keep one of jwks_file, jwks_url and discovery",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, discovery: false}]}\n",
            "line 2: auth.issuers[0]: has no source of keys; write jwks_file or jwks_url, or remove `discovery: false`",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, algorithms: [HS256]}]}\n",
            "line 2: auth.issuers[0].algorithms[0]: `HS256` is not known here; use one of RS256, PS256, ES256, ES384, EdDSA",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, tier_map: {gold: vip}}]}\n",
            "line 2: auth.issuers[0].tier_map.gold: there is no tier `vip`; \
             use one of enterprise, free, premium, or add it to quotas.tiers",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test}, {name: okta, issuer: https://b.test}]}\n",
            "line 2: auth.issuers[1].name: `okta` is taken already; give each its own name",
        ),
        (
            "auth: {issuers: [{name: okta, issuer: https://a.test, jwks_file: none.json}]}\n",
            "line 2: auth.issuers[0].jwks_file: DIR/none.json cannot be read: No such file or directory (os error 2); \
             name a file that is there; relative names start at the folder of the configuration",
        ),
    ]);
    let folder = Folder::new();
    let text = "auth: {issuers: [{name: local, issuer: \"http://127.0.0.1:9\"}]}\n";
    assert_eq!(
        folder.good(text, &[]).auth.issuers[0].keys,
        KeySource::Discover
    );
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
fn overrides_that_lead_nowhere_are_refused_and_strange_names_warned_about() {
    let folder = Folder::new();
    for (name, value, said) in [
        (
            "SALLYGATE_LISTEN__ADDRES",
            "x",
            "variable SALLYGATE_LISTEN__ADDRES: listen.addres: unknown setting; did you mean `address`?",
        ),
        (
            "SALLYGATE_LISTEN__ADDRESS",
            "somewhere",
            "variable SALLYGATE_LISTEN__ADDRESS: listen.address: `somewhere` is not an IP address and a port; \
             write it as `127.0.0.1:8443` or `[::]:8443`",
        ),
        (
            "SALLYGATE_UPSTREAM__URL__X",
            "x",
            "variable SALLYGATE_UPSTREAM__URL__X: upstream.url.x: `x` leads nowhere; \
             name the levels as the file does; list items are counted from 0 without gaps",
        ),
        (
            "ENABLED_TOOLS",
            " ",
            "variable ENABLED_TOOLS: policy.tools.enabled: is set but empty; unset it or give it a value",
        ),
        (
            "MAX_REQUESTS_PER_MINUTE",
            "lots",
            "variable MAX_REQUESTS_PER_MINUTE: quotas.tiers.free.per_minute: `lots` is not a whole number; \
             use a whole number from 1 to 1000000",
        ),
    ] {
        assert_eq!(folder.mistakes("", &[(name, value)]), [said]);
    }
    assert_eq!(
        folder.warnings(
            "",
            &[
                ("SALLYGATE_LISTEN_ADDRESS", "x"),
                ("SALLYGATE_PORT_8443_TCP", "x"),
                ("SALLYGATE_SERVICE_HOST", "x")
            ]
        ),
        [
            "variable SALLYGATE_LISTEN_ADDRESS: names no setting and is ignored; \
          levels are parted by two underscores: SALLYGATE_LISTEN__..."
        ]
    );
}

#[test]
fn overrides_win_over_the_file_and_the_long_name_over_the_shared_one() {
    let env = [
        ("SALLYGATE_LISTEN__ADDRESS", "127.0.0.1:9000"),
        ("SALLYGATE_LISTEN__PLAIN_HTTP", "true"),
        (
            "SALLYGATE_CORS__ALLOWED_ORIGINS",
            "https://a.test,https://b.test",
        ),
        ("SALLYGATE_AUDIT__ENABLED", "yes"),
        ("SALLYGATE_LIMITS__BODY_BYTES", "2MiB"),
        ("MAX_PAYLOAD_SIZE", "3MiB"),
        ("LOG_LEVEL", "DEBUG"),
        ("LOG_FORMAT", "json"),
        ("MAX_CONCURRENT_REQUESTS", "7"),
    ];
    let config = Folder::new().good("listen: {address: \"127.0.0.1:1\"}\n", &env);
    assert_eq!(config.listen.public_url, "http://127.0.0.1:9000");
    assert_eq!(config.cors.allowed_origins.len(), 2);
    assert_eq!(config.limits.body_bytes.as_u64(), 2 << 20);
    assert_eq!(
        (config.logs.level, config.logs.format),
        ("debug", LogFormat::Json)
    );
    assert_eq!(config.quotas.tiers["free"].concurrency, 7);
    assert_eq!(
        config.origin("listen.address"),
        Origin::Variable("SALLYGATE_LISTEN__ADDRESS".into())
    );

    let env = [
        (
            "SALLYGATE_ROUTES__0__UPSTREAM__URL",
            "http://127.0.0.1:7/mcp",
        ),
        ("JWT_SECRET", KEY),
    ];
    let (config, _) = Folder::new().load("", &env).unwrap();
    assert_eq!(config.routes.len(), 1);
}

#[test]
fn r136_c29_the_shared_limit_is_the_free_base_and_premium_five_times_it() {
    let folder = Folder::new();
    for (text, env, free, premium, enterprise) in [
        ("", vec![], 100, 500, 5000),
        ("", vec![("MAX_REQUESTS_PER_MINUTE", "7")], 7, 35, 5000),
        (
            "",
            vec![("MAX_REQUESTS_PER_MINUTE", "2000")],
            2000,
            10_000,
            10_000,
        ),
        (
            "quotas: {tiers: {premium: {per_minute: 300}}}\n",
            vec![("MAX_REQUESTS_PER_MINUTE", "60")],
            60,
            300,
            5000,
        ),
    ] {
        let tiers = folder.good(text, &env).quotas.tiers;
        let per_minute = ["free", "premium", "enterprise"].map(|name| tiers[name].per_minute);
        assert_eq!(per_minute, [free, premium, enterprise]);
    }
}

#[test]
fn r498_r501_c30_the_defaults_are_five_at_once_and_one_mebibyte() {
    let config = Folder::new().good("", &[]);
    assert_eq!(config.quotas.tiers["free"].concurrency, 5);
    assert_eq!(config.limits.body_bytes.as_u64(), 1_048_576);
}

#[test]
fn a_reference_can_stand_for_a_whole_list() {
    let text = "policy: {tools: {enabled: \"${TOOLS}\", disabled: \"${NO_TOOLS}\"}}\n";
    let folder = Folder::new();
    let tools = folder
        .good(text, &[("TOOLS", "a,b"), ("NO_TOOLS", "c")])
        .policy
        .tools;
    assert_eq!(
        (tools.enabled.unwrap(), tools.disabled),
        (vec!["a".into(), "b".into()], vec!["c".into()])
    );
    assert_eq!(
        folder.mistakes(text, &[("TOOLS", "a,b")]),
        ["line 2: policy.tools.disabled: the environment variable `NO_TOOLS` is not set"]
    );
}

#[test]
fn c47_both_tool_lists_are_kept_and_warned_about() {
    let env = [("ENABLED_TOOLS", "a, b"), ("DISABLED_TOOLS", "b")];
    let folder = Folder::new();
    let tools = folder.good("", &env).policy.tools;
    assert_eq!(tools.enabled.unwrap(), ["a", "b"]);
    assert_eq!(tools.disabled, ["b"]);
    assert_eq!(
        folder.warnings("", &env),
        [
            "variable DISABLED_TOOLS: policy.tools.disabled: is written beside `enabled`; \
          a tool in both is disabled; keep one list to be clear"
        ]
    );
}

#[test]
fn r277_switching_the_audit_trail_off_is_warned_about() {
    assert_eq!(
        Folder::new().warnings("", &[("ENABLE_AUDIT_LOGGING", "false")]),
        [
            "variable ENABLE_AUDIT_LOGGING: audit.enabled: no audit trail is written; \
          remove it; what happened cannot be shown afterwards"
        ]
    );
    assert!(Folder::new().good("", &[]).audit.enabled);
}

#[test]
fn r044_r591_r592_r594_literal_secrets_are_warned_about_with_a_variable_to_use() {
    let folder = Folder::new();
    let text = format!(
        "auth: {{keys: [{{secret: {OTHER_KEY}}}]}}\nroutes:\n  - upstream:\n      url: https://a.test/?token=canary\n      \
         headers: {{Authorization: Bearer eyJcanary.not.real, X-Plain: acme, X-Api-Key: \"${{A}}\"}}\n"
    );
    let (_, warnings) = folder.load(&text, &[("A", "canary")]).unwrap();
    let heard: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let help = |name: &str| {
        format!("holds a literal secret; write ${{{name}}} and set that variable, or use a file")
    };
    assert_eq!(
        heard,
        [
            format!("line 1: auth.keys[0].secret: {}", help("SECRET")),
            format!("line 4: routes[0].upstream.url: {}", help("URL")),
            format!(
                "line 5: routes[0].upstream.headers.Authorization: {}",
                help("AUTHORIZATION")
            ),
        ]
    );
}

#[test]
fn r593_plain_http_to_another_machine_is_warned_about() {
    let load = |url: &str| from_upstream(url, &Environment::default()).unwrap().1;
    assert_eq!(
        load("http://10.0.0.7:3000/mcp")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        [
            "option --upstream: upstream.url: speaks plain HTTP to 10.0.0.7; use https, or a server on this machine"
        ]
    );
    for url in [
        "http://localhost:3000",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://a.test",
    ] {
        assert_eq!(load(url), []);
    }
}

#[test]
fn r086_the_settings_in_force_show_no_secret() {
    let text = "sessions: {key: \"${S}\"}\n";
    let config = Folder::new().good(
        text,
        &[
            ("S", OTHER_KEY),
            ("ENCRYPTION_KEY", &KEY.replace("00", "ab")),
        ],
    );
    let shown = config.shown().to_string();
    for hidden in [KEY, OTHER_KEY, &KEY.replace("00", "ab")] {
        assert!(!shown.contains(hidden));
        assert!(!format!("{config:?}").contains(hidden));
    }
    assert_eq!(config.shown()["sessions"]["key"], "[REDACTED]");
    assert_eq!(
        config.shown()["listen"]["public_url"],
        "https://127.0.0.1:8443"
    );
    assert_eq!(config.shown()["limits"]["body_bytes"], "1MiB");
}

#[test]
fn one_upstream_needs_no_file_and_no_key() {
    let (config, _) = from_upstream("http://127.0.0.1:3000/mcp", &Environment::default()).unwrap();
    assert_eq!((config.routes.len(), config.auth.keys.len()), (1, 0));
    assert_eq!(config.state_dir, Path::new(".sallygate"));
    assert_eq!(config.audit.dir, Path::new(".sallygate/audit-logs"));
    assert_eq!(
        from_upstream("nowhere", &Environment::default())
            .unwrap_err()
            .to_string(),
        "option --upstream: upstream.url: is not an absolute URL: relative URL without a base; write it as `https://host/path`"
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
