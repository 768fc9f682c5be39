//! `upstream.credential`: what is missing, what is too much, and what it means.

use super::*;

const TOKEN_URL: &str = "https://as.test/token";

fn loaded(folder: &Folder, credential: &str) -> Result<Credential, Vec<String>> {
    let text = format!(
        "upstream: {{url: http://127.0.0.1:3000/mcp, forward_headers: [X-Team], headers: {{X-Own: a}}, credential: {{{credential}}}}}\n"
    );
    let env = [("JWT_SECRET", KEY), ("SECRET", "canary-not-a-real-secret")];
    match folder.load(&text, &env) {
        Ok((mut config, _)) => Ok(config.routes.remove(0).upstream.credential.unwrap()),
        Err(mistakes) => Err(mistakes.list.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn a_credential_that_cannot_work_is_refused_with_what_is_wrong() {
    let folder = Folder::new();
    let endpoint = format!("token_url: {TOKEN_URL}, client_id: gw, client_secret: \"${{SECRET}}\"");
    for (credential, wrong) in [
        ("header: X-Api-Key".to_owned(), "kind"),
        ("kind: passthrough".into(), "passthrough"),
        ("kind: static".into(), "write value or value_file"),
        ("kind: static, value: \"${SECRET}\", value_file: jwt.key".into(), "keep one of the two"),
        ("kind: static, value_file: nowhere".into(), "cannot be read"),
        ("kind: static, value: \"Bearer ${SECRET}\"".into(), "what stands before it is `scheme`"),
        ("kind: static, value: \"${SECRET}\", scheme: \"a b\"".into(), "is not one word"),
        ("kind: static, value: \"${SECRET}\", header: \"a b\"".into(), "is not the name of a header"),
        ("kind: static, value: \"${SECRET}\", header: Host".into(), "belongs to the gateway"),
        ("kind: static, value: \"${SECRET}\", header: Mcp-Name".into(), "belongs to the gateway"),
        ("kind: static, value: \"${SECRET}\", header: Cookie".into(), "never travel"),
        ("kind: static, value: \"${SECRET}\", header: x-team".into(), "must not see two credentials"),
        ("kind: static, value: \"${SECRET}\", header: X-OWN".into(), "must not see two credentials"),
        ("kind: static, value: \"${SECRET}\", provider: okta".into(), "means nothing for this kind"),
        ("kind: per_user".into(), "users' credentials are kept under its name"),
        ("kind: per_user, provider: \"a/b\"".into(), "is not a name"),
        ("kind: per_user, provider: okta, value: \"${SECRET}\"".into(), "means nothing for this kind"),
        ("kind: per_user, provider: okta, audience: a".into(), "means nothing for this kind"),
        (format!("kind: per_user, provider: okta, token_url: {TOKEN_URL}"), "client_id"),
        ("kind: client_credentials".into(), "write the address of the token endpoint"),
        (format!("kind: client_credentials, token_url: {TOKEN_URL}, client_id: gw"), "client_secret"),
        (format!("kind: client_credentials, token_url: {TOKEN_URL}, client_id: gw, client_auth: private_key_jwt"), "key_file"),
        ("kind: client_credentials, token_url: http://as.test/token, client_id: gw, client_auth: none".into(), "must be https"),
        (format!("kind: client_credentials, {endpoint}, provider: okta"), "means nothing for this kind"),
        (format!("kind: client_credentials, {endpoint}, key_file: key.pem"), "means nothing for this kind"),
        (format!("kind: client_credentials, {endpoint}, timeout: 2m"), "timeout"),
        (format!("kind: token_exchange, {endpoint}"), "provider"),
        (format!("kind: token_exchange, {endpoint}, provider: okta, issuer: a"), "means nothing for this kind"),
        (format!("kind: token_exchange, {endpoint}, subject: assertion"), "key_file"),
        (format!("kind: token_exchange, {endpoint}, subject: assertion, key_file: key.pem, provider: okta"), "means nothing for this kind"),
        (format!("kind: token_exchange, {endpoint}, subject: client"), "client"),
    ] {
        let mistakes = loaded(&folder, &credential).unwrap_err();
        assert!(
            mistakes.iter().any(|one| one.contains(wrong)),
            "{credential}: {mistakes:?}"
        );
        assert!(!format!("{mistakes:?}").contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn each_kind_is_read() {
    let folder = Folder::new();
    let endpoint = format!("token_url: {TOKEN_URL}, client_id: gw, client_auth: none");
    let is = |text: &str, wanted: fn(&Credential) -> bool| {
        let read = loaded(&folder, text).unwrap();
        assert!(wanted(&read), "{text}: {read:?}");
        assert!(!format!("{read:?}").contains("canary"));
    };
    is("kind: static, value: \"${SECRET}\"", |read| {
        read.header == "authorization"
            && read.scheme.is_none()
            && matches!(&read.kind, CredentialKind::Static(value) if value.ct_eq(b"canary-not-a-real-secret"))
    });
    is(
        "kind: static, value_file: jwt.key, header: X-Api-Key, scheme: none",
        |read| {
            read.header == "x-api-key"
                && read.scheme.as_deref() == Some("")
                && matches!(&read.kind, CredentialKind::Static(value) if value.ct_eq(KEY.as_bytes()))
        },
    );
    is("kind: per_user, provider: okta", |read| {
        matches!(
            &read.kind,
            CredentialKind::PerUser(PerUser { renewal: None, .. })
        )
    });
    is(
        &format!("kind: per_user, provider: okta, {endpoint}"),
        |read| matches!(&read.kind, CredentialKind::PerUser(PerUser { renewal: Some(at), .. }) if at.url.as_str() == TOKEN_URL),
    );
    is(
        &format!("kind: client_credentials, {endpoint}, scope: a b"),
        |read| matches!(&read.kind, CredentialKind::ClientCredentials { wish, .. } if wish.scope.as_deref() == Some("a b")),
    );
    is(
        &format!("kind: token_exchange, {endpoint}, provider: okta"),
        |read| {
            matches!(
                &read.kind,
                CredentialKind::TokenExchange {
                    subject: CredentialSubject::Stored(_),
                    ..
                }
            )
        },
    );
    is(
        &format!(
            "kind: token_exchange, {endpoint}, subject: assertion, key_file: key.pem, key_id: k1"
        ),
        |read| {
            matches!(&read.kind, CredentialKind::TokenExchange {
                subject: CredentialSubject::Assertion { key, .. }, ..
            } if key.id.as_deref() == Some("k1"))
        },
    );
}
