//! Where the gateway is reached, by whom, and what it stands in front of.

use super::*;

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
fn presets_name_the_web_clients() {
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
fn c29_c30_the_defaults_are_five_at_once_and_one_mebibyte() {
    let config = Folder::new().good("", &[]);
    assert_eq!(config.quotas.tiers["free"].concurrency, 5);
    assert_eq!(config.limits.body_bytes.as_u64(), 1_048_576);
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
fn r634_scopes_that_open_too_much_are_warned_about() {
    let folder = Folder::new();
    let warned = |scopes: &str| {
        let text = format!("routes:\n- upstream: {{url: http://127.0.0.1:3000/mcp}}\n  {scopes}\n");
        let (_, warnings) = folder
            .load(&text, &[("JWT_SECRET", KEY)])
            .map_err(|mistakes| mistakes.to_string())
            .unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let help = "name scopes for what is done, such as `mcp:read`, or ask for it with single tools only (tools.scopes)";
    for scope in [
        "admin",
        "full_access",
        "delete",
        "mcp:admin",
        "tasks.DELETE",
        "mcp:*",
    ] {
        for key in ["scopes_supported", "required_scopes"] {
            assert_eq!(
                warned(&format!("{key}: [\"{scope}\"]")),
                [format!(
                    "line 3: routes[0].{key}: scope `{scope}` opens more than most clients need; {help}"
                )]
            );
        }
    }
    for fine in [
        "scopes_supported: [administer_nothing, deleted_items]",
        "required_scopes: [\"mcp:read\"]",
        "tools: {scopes: {drop: [admin]}}",
    ] {
        assert_eq!(warned(fine), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn r484_asking_every_client_for_every_scope_is_warned_about() {
    let folder = Folder::new();
    let help = "write in required_scopes only what every call needs; tools.scopes is asked for when such a tool is called";
    for (scopes, said) in [
        ("scopes_supported: [a, b, c]", Some("scopes_supported")),
        (
            "required_scopes: [\"mcp:read\", \"mcp:write\", c]",
            Some("required_scopes"),
        ),
        (
            "scopes_supported: [a, b, c], tools: {scopes: {drop: [c]}}",
            Some("scopes_supported"),
        ),
        (
            "scopes_supported: [a, b], tools: {scopes: {drop: [c]}}",
            None,
        ),
        ("scopes_supported: [a, b, c], required_scopes: [a]", None),
        ("scopes_supported: [\"mcp:read\", \"mcp:write\"]", None),
    ] {
        let text =
            format!("routes: [{{upstream: {{url: \"http://127.0.0.1:3000/mcp\"}}, {scopes}}}]\n");
        let (_, warnings) = folder
            .load(&text, &[("JWT_SECRET", KEY)])
            .map_err(|mistakes| mistakes.to_string())
            .unwrap();
        let heard: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let wanted: Vec<String> = said
            .iter()
            .map(|key| {
                format!("line 1: routes[0].{key}: every client is asked to hold every scope there is; {help}")
            })
            .collect();
        assert_eq!(heard, wanted, "{text}");
    }
}

#[test]
fn r585_the_bundle_that_node_servers_know_is_a_setting() {
    let folder = Folder::new();
    let file = folder.write("ca.pem", "canary-not-a-real-file");
    let config = folder.good("", &[("NODE_EXTRA_CA_CERTS", file.to_str().unwrap())]);
    assert_eq!(config.extra_ca_file, Some(file));
    assert_eq!(folder.good("", &[]).extra_ca_file, None);
    let mistakes = folder.mistakes("", &[("NODE_EXTRA_CA_CERTS", "/nowhere/ca.pem")]);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(
        mistakes[0].starts_with(
            "variable NODE_EXTRA_CA_CERTS: extra_ca_file: /nowhere/ca.pem cannot be read"
        ),
        "{mistakes:?}"
    );
}

#[test]
fn whose_word_about_addresses_is_taken_is_warned_about_where_it_matters() {
    let folder = Folder::new();
    let env = [("JWT_SECRET", KEY)];
    let behind = |hops: &str| {
        format!(
            "listen: {{address: \"0.0.0.0:8080\", public_url: \"https://gw.test\", behind_tls_proxy: true{hops}}}\n"
        )
    };
    let told = |warned: &[String], what: &str| warned.iter().any(|one| one.contains(what));
    let warned = folder.warnings(&behind(""), &env);
    assert!(
        told(&warned, "all callers will seem to come from the proxy"),
        "{warned:?}"
    );
    for hops in [", trusted_hops: 1", ", trusted_hops: 0"] {
        let warned = folder.warnings(&behind(hops), &env);
        assert!(!told(&warned, "trusted_hops"), "{warned:?}");
    }
    let warned = folder.warnings("listen: {trusted_hops: 1}\n", &env);
    assert!(told(&warned, "can claim any address"), "{warned:?}");
    assert_eq!(folder.good("", &env).listen.trusted_hops, 0);
}

#[test]
fn what_is_asked_of_an_upstream_s_tls_and_health_is_read_strictly() {
    let at = |settings: &str| {
        format!("routes: [{{upstream: {{url: https://a.test/mcp, {settings}}}}}]\n")
    };
    let folder = Folder::new();
    for (settings, said) in [
        (
            "tls: {pins: [\"sha256/AAAA\"]}",
            "routes[0].upstream.tls.pins[0]: `sha256/AAAA` is no pin; \
             write `sha256/` and the base64 of the 32 bytes of the key's SHA-256",
        ),
        (
            "tls: {pins: [\"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"]}",
            "is no pin",
        ),
        (
            "tls: {server_name: \"a b\"}",
            "`a b` is no name of a server",
        ),
        ("tls: {verify: false}", "verify: unknown setting"),
        ("tls: {min_version: 1.1}", "min_version"),
        ("health: {path: health}", "`health` is no path"),
        ("health: {every: 10ms}", "every"),
        ("breaker: {failures: 0}", "failures"),
        ("breaker: {wait: 2m}", "wait"),
    ] {
        let mistakes = folder
            .load(&at(settings), &[("JWT_SECRET", KEY)])
            .expect_err(settings)
            .to_string();
        assert!(mistakes.contains(said), "{settings}: {mistakes}");
    }
    let plain = "routes: [{upstream: {url: http://127.0.0.1/mcp, tls: {min_version: 1.3}}}]\n";
    let mistakes = folder.load(plain, &[("JWT_SECRET", KEY)]).unwrap_err();
    assert!(
        mistakes.to_string().contains("is reached without TLS"),
        "{mistakes}"
    );
}

#[test]
fn an_upstream_is_pinned_named_looked_after_and_left_alone_as_written() {
    let folder = Folder::new();
    let (key, next) = (
        "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    let text = format!(
        "routes: [{{upstream: {{url: https://10.0.0.1/mcp, tls: {{pins: [\"{key}\", \"{next}\"], \
         server_name: mcp.internal, min_version: 1.3}}, health: {{path: /up}}, \
         breaker: {{failures: 2, window: 1m, wait: 5s}}}}}}]\n"
    );
    let (config, warnings) = folder.load(&text, &[("JWT_SECRET", KEY)]).unwrap();
    let upstream = &config.routes[0].upstream;
    assert_eq!(upstream.tls.pins.len(), 2);
    assert_eq!(upstream.tls.pins[1], [0; 32]);
    assert_eq!(upstream.tls.server_name.as_deref(), Some("mcp.internal"));
    assert_eq!(upstream.tls.min_version, TlsVersion::V13);
    assert_eq!(
        upstream.health.as_ref().unwrap().path.as_deref(),
        Some("/up")
    );
    assert_eq!(
        upstream.health.as_ref().unwrap().every,
        Duration::from_secs(10)
    );
    assert_eq!(
        (upstream.breaker.failures, upstream.breaker.off),
        (2, false)
    );
    assert!(
        !warnings
            .iter()
            .any(|warning| warning.to_string().contains("pins"))
    );
    let (_, warnings) = folder
        .load(
            &text.replace(&format!(", \"{next}\""), ""),
            &[("JWT_SECRET", KEY)],
        )
        .unwrap();
    assert!(
        warnings
            .iter()
            .any(|warning| warning.to_string().contains("names one key alone")),
        "{warnings:?}"
    );
}
