//! Who may connect.

use super::*;

#[test]
fn networks_and_files_that_are_none_are_refused() {
    each_says(&[
        (
            "listen: {proxy_protocol: [10.0.0.1/8]}\n",
            "line 2: listen.proxy_protocol[0]: `10.0.0.1/8` is no address and no network; \
             write it as `192.0.2.1`, `10.0.0.0/8` or `2001:db8::/32`",
        ),
        (
            "limits: {per_address: {exempt: [everybody]}}\n",
            "line 2: limits.per_address.exempt[0]: `everybody` is no address and no network; \
             write it as `192.0.2.1`, `10.0.0.0/8` or `2001:db8::/32`",
        ),
        (
            "listen: {plain_http: true, tls: {client_auth: {mode: required, ca_file: cert.pem}}}\n",
            "line 2: listen.tls: is written, but TLS is switched off; remove it, or plain_http and behind_tls_proxy",
        ),
    ]);
}

#[test]
fn addresses_are_counted_only_where_they_can_be_told_apart() {
    let folder = Folder::new();
    let proxy = "address: \"0.0.0.0:80\", behind_tls_proxy: true, public_url: https://a.test";
    for (listen, connections, tokens) in [
        (String::new(), true, true),
        ("trusted_hops: 1".to_owned(), false, true),
        (proxy.to_owned(), false, false),
        (format!("{proxy}, trusted_hops: 1"), false, true),
        (format!("{proxy}, proxy_protocol: [10.0.0.0/8]"), true, true),
    ] {
        let door = folder.good(&format!("listen: {{{listen}}}\n"), &[]).door;
        let found = (
            door.per_address.is_some(),
            door.bad_tokens_per_minute.is_some(),
        );
        assert_eq!(found, (connections, tokens), "{listen}");
    }
}

#[test]
fn the_defaults_are_those_of_the_door() {
    let door = Folder::new().good("", &[]).door;
    let standard = crate::listener::door::Settings::default();
    let (mine, theirs) = (door.per_address.unwrap(), standard.per_address.unwrap());
    assert_eq!(
        (
            mine.connections,
            mine.connections_per_second,
            mine.handshakes
        ),
        (theirs.connections, theirs.per_second, theirs.handshakes)
    );
    assert_eq!(door.handshakes, standard.handshakes);
    assert_eq!(door.exempt, standard.exempt);
    let failures = crate::limits::failures::Settings::default();
    assert_eq!(door.bad_tokens_per_minute, failures.per_minute);
}

#[test]
fn a_proxy_is_not_held_to_what_its_callers_are() {
    let text = "listen: {proxy_protocol: [\"10.0.0.0/8\", \"::ffff:192.0.2.1\"]}\nlimits: {per_address: {exempt: []}}\n";
    let door = Folder::new().good(text, &[]).door;
    let texts: Vec<_> = door.exempt.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(door.exempt, door.proxies);
}
