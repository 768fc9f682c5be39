//! Login providers, the authorization server, the store and the keys that they need.

use super::*;

const OIDC: &str =
    "login: {providers: [{name: okta, kind: oidc, client_id: a, issuer: \"https://okta.test\"}]}\n";
const SEALING: &str = "canary-not-a-real-sealing-key-0a1b2c3d4e5f";

#[test]
fn providers_that_cannot_work_are_refused_by_place() {
    let provider = |text: &str| format!("login: {{providers: [{{name: a, {text}}}]}}\n");
    let folder = Folder::new();
    let env = [("JWT_SECRET", KEY), ("ENCRYPTION_KEY", SEALING)];
    for (text, said) in [
        (
            provider("kind: oidc, client_id: a"),
            "line 2: login.providers[0].issuer: is missing; write the issuer of the OpenID provider",
        ),
        (
            provider("kind: oidc, client_id: a, issuer: \"http://okta.test\""),
            "line 2: login.providers[0].issuer: must be https; who can change its answers can let anybody in",
        ),
        (
            provider("kind: github, client_id: a, api_url: \"https://git.test/api\""),
            "line 2: login.providers[0].client_secret: is missing; write client_secret: \"${CLIENT_SECRET}\", or client_secret_file",
        ),
        (
            provider("kind: oidc, client_id: a, issuer: \"https://okta.test\", default_tier: gold"),
            "line 2: login.providers[0].default_tier: there is no tier `gold`",
        ),
        (
            "login: {providers: [{name: a, kind: clickup, client_id: a, client_secret: x},\
             \n  {name: b, kind: clickup, client_id: b, client_secret: x, api_url: \"https://b.test/api\"}]}\n"
                .to_owned(),
            "line 3: login.providers[1]: is another ClickUp than `a`; use one of them",
        ),
        (
            provider("kind: oidc, client_id: a, issuer: \"https://okta.test\", default_team: \" \""),
            "line 2: login.providers[0].default_team: names no team; every token names a team; leave it out for `default`",
        ),
        (
            format!("{OIDC}oauth: {{idle_lifetime: 60d, max_lifetime: 30d}}\n"),
            "line 3: oauth.idle_lifetime: is longer than max_lifetime; a login cannot be unused for longer than it lives",
        ),
        (
            format!("{OIDC}oauth: {{clients: [{{client_id: a}}]}}\n"),
            "line 3: oauth.clients[0]: can do nothing; write redirect_uris, `machine: true` or `introspect: true`",
        ),
        (
            format!("{OIDC}oauth: {{clients: [{{client_id: a, machine: true}}]}}\n"),
            "line 3: oauth.clients[0]: acts for itself and cannot prove who it is; write client_secret: \"${CLIENT_SECRET}\", or jwks_file",
        ),
        (
            format!("{OIDC}store: {{url: \"http://a.test\"}}\n"),
            "line 3: store.url: has the scheme `http`; write it as `rediss://user:password@host:6379/0`, best as \"${STORE_URL}\"",
        ),
    ] {
        let heard = folder.mistakes(&text, &env);
        assert!(
            matches!(heard.as_slice(), [one] if one.starts_with(said)),
            "{heard:?}"
        );
    }
}

#[test]
fn whoever_signs_users_in_needs_both_keys() {
    let folder = Folder::new();
    let heard = folder.mistakes(OIDC, &[("JWT_SECRET", KEY)]);
    assert_eq!(
        heard,
        [
            "encryption_key: is missing, so nothing about users who sign in could be kept; \
             set ENCRYPTION_KEY, best made with `sallygate keys generate`"
        ]
    );
    let heard = folder.mistakes(
        OIDC,
        &[
            ("ENCRYPTION_KEY", SEALING),
            ("ENCRYPTION_KEY_PREVIOUS", SEALING),
            ("JWT_SECRET", KEY),
        ],
    );
    assert!(
        heard.iter().any(|one| one.contains("is the same key as")),
        "{heard:?}"
    );
    let memory = format!("{OIDC}vault: {{mode: memory}}\n");
    assert_eq!(
        folder.good(&memory, &[("JWT_SECRET", KEY)]).providers.len(),
        1
    );
}

#[test]
fn r275_clickup_is_a_provider_as_soon_as_both_variables_are_set() {
    let folder = Folder::new();
    let keys = [("JWT_SECRET", KEY), ("ENCRYPTION_KEY", SEALING)];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<_> {
        keys.iter().chain(more).copied().collect()
    };
    let heard = folder.mistakes("", &with(&[("CLICKUP_CLIENT_ID", "id")]));
    assert_eq!(
        heard,
        [
            "variable CLICKUP_CLIENT_ID: login.providers: CLICKUP_CLIENT_SECRET is not set; set both, or neither"
        ]
    );
    let both = with(&[
        ("CLICKUP_CLIENT_ID", "id"),
        ("CLICKUP_CLIENT_SECRET", "canary-not-a-real-client-secret"),
    ]);
    let config = folder.good(OIDC, &both);
    let [_, clickup] = config.providers.as_slice() else {
        panic!("{:?}", config.providers);
    };
    assert_eq!(
        (clickup.name.as_str(), clickup.client_id.as_str()),
        ("clickup", "id")
    );
    assert!(clickup.keep_tokens);
    assert!(
        !config.shown().to_string().contains("canary"),
        "{}",
        config.shown()
    );
    let own = OIDC.replace("okta,", "clickup,");
    assert_eq!(
        folder.good(&own, &both).providers.len(),
        1,
        "the file says it already"
    );
}

#[test]
fn r276_a_redirect_uri_that_is_not_served_is_refused() {
    let folder = Folder::new();
    let env = |uri: &'static str| {
        [
            ("JWT_SECRET", KEY),
            ("ENCRYPTION_KEY", SEALING),
            ("OAUTH_REDIRECT_URI", uri),
            ("SALLYGATE_LISTEN__PUBLIC_URL", "https://gw.test"),
        ]
    };
    for uri in [
        "http://gw.test/auth/callback",
        "https://gw.test/callback",
        "https://gw.test/auth/callback/",
        "https://evil.test/auth/callback",
    ] {
        let heard = folder.mistakes(OIDC, &env(uri));
        assert!(
            matches!(heard.as_slice(), [one] if one.contains("is not `https://gw.test/auth/callback`")),
            "{heard:?}"
        );
    }
    folder.good(OIDC, &env("https://gw.test/auth/callback"));
}

#[test]
fn everybody_with_an_account_somewhere_is_warned_about() {
    let folder = Folder::new();
    let env = [
        ("JWT_SECRET", KEY),
        ("ENCRYPTION_KEY", SEALING),
        ("SECRET", "x"),
    ];
    let github = |allow: &str| {
        format!(
            "login: {{providers: [{{name: gh, kind: github, client_id: a, client_secret: \"${{SECRET}}\"{allow}}}]}}\n"
        )
    };
    let warned = folder.warnings(&github(""), &env);
    assert!(
        warned
            .iter()
            .any(|one| one.contains("everybody with a GitHub account")),
        "{warned:?}"
    );
    let warned = folder.warnings(&github(", allow: {teams: [acme]}"), &env);
    assert!(warned.is_empty(), "{warned:?}");
}
