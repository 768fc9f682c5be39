//! Keys, issuers, and secrets that must not be written or shown.

use super::*;

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
fn c07_a_passphrase_is_a_key_only_where_it_is_stretched() {
    let folder = Folder::new();
    let (fine, short) = ("canary phrases!!", "canary phrases!");
    for (text, key, least) in [
        ("", fine, 32),
        ("vault: {kdf: hkdf}\n", fine, 32),
        ("vault: {kdf: argon2id}\n", short, 16),
        ("vault: {kdf: argon2id, mode: keychain}\n", fine, 32),
    ] {
        let mistakes = folder.mistakes(text, &[("ENCRYPTION_KEY", key)]);
        let wanted = format!("has {} bytes, a key needs at least {least}; ", key.len());
        assert!(mistakes[0].contains(&wanted), "{mistakes:?}");
    }
    let stretched = "vault: {kdf: argon2id}\n";
    let config = folder.good(stretched, &[("ENCRYPTION_KEY", fine)]);
    assert_eq!(config.vault.kdf, VaultKdf::Argon2id);
    let key = config.encryption_key.unwrap();
    assert_eq!(key.expose(), fine.as_bytes());
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
        // A signing key is its text: whoever else signs with it takes the digits as they stand.
        ("file", 64)
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
fn rows_of_a_tier_map_stay_in_the_order_in_which_they_were_written() {
    let text = "auth: {issuers: [{name: okta, issuer: https://a.test, tier_map: {zeta: premium, alpha: free, mid: enterprise}}]}\n";
    let config = Folder::new().good(text, &[]);
    let rows: Vec<_> = config.auth.issuers[0]
        .tier_map
        .iter()
        .map(|(value, _)| value.as_str())
        .collect();
    assert_eq!(rows, ["zeta", "alpha", "mid"]);
}
