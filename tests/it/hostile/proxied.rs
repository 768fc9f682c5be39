//! Proxies that say for whom they connect, and everybody who pretends to be one. The callers' addresses are such as only a
//! header can name; that of the proxy is one of this machine's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::harness::client::tls_config;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::{audit, raw, wait};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CALLER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn proxied() -> Plan {
    Plan::new().listen("proxy_protocol: [\"127.0.0.2\"]")
}

/// Version 2 for 192.0.2.8.
fn binary(command: u8, extensions: &[u8]) -> Vec<u8> {
    let addresses = [192, 0, 2, 8, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];
    let length = u16::try_from(addresses.len() + extensions.len()).unwrap();
    let head = [command, 0x11];
    [
        SIGNATURE,
        &head,
        &length.to_be_bytes(),
        &addresses,
        extensions,
    ]
    .concat()
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends these bytes, then speaks TLS and asks for a path. Nothing where there is no answer.
async fn ask(from: Ipv4Addr, rig: &Rig, first: &[u8], path: &str) -> Option<u16> {
    ask_of(from, rig.address, &rig.ca_file, first, path).await
}

async fn ask_of(
    from: Ipv4Addr,
    address: SocketAddr,
    ca_file: &Path,
    first: &[u8],
    path: &str,
) -> Option<u16> {
    let mut stream = connect(from, address).await;
    stream.write_all(first).await.ok()?;
    let mut config = tls_config(ca_file);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let mut tls = wait::soon("a handshake to end", handshake).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let _ = wait::soon("an answer", tls.read_to_end(&mut answer)).await;
    (!answer.is_empty()).then(|| raw::status(&answer))
}

async fn address_of(rig: &Rig, path: &str) -> String {
    let line = audit::line_of(rig.audit_dir(), |line| line["path"] == path).await;
    line["ip_address"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_caller_is_who_the_proxy_says() {
    let rig = proxied().start().await;
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
    for (header, path, address) in [
        (CALLER.as_bytes(), "/one", "192.0.2.7"),
        (v6, "/two", "2001:db8::7"),
        (&binary(0x21, &[]), "/three", "192.0.2.8"),
        (&binary(0x21, &[0x04, 0, 3, 1, 2, 3]), "/four", "192.0.2.8"),
        (&binary(0x20, &[]), "/five", "127.0.0.2"),
        (b"PROXY UNKNOWN\r\n", "/six", "127.0.0.2"),
    ] {
        assert_eq!(ask(PROXY, &rig, header, path).await, Some(404), "{path}");
        assert_eq!(address_of(&rig, path).await, address);
    }
}

#[tokio::test]
async fn a_proxy_must_say_it_properly_and_nobody_else_may() {
    let rig = proxied().start().await;
    let long = binary(0x21, &[0; 600]);
    let twice = CALLER.repeat(2);
    let mut refused = 0;
    for header in [
        &b""[..],
        b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 192.0.2.07 198.51.100.1 4711 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat(),
        &binary(0x21, &[0x04, 0, 9, 1]),
        &binary(0x22, &[]),
        &binary(0x11, &[]),
        &long,
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        refused += 1;
        assert_eq!(
            ask(PROXY, &rig, header, "/health").await,
            None,
            "{header:?}"
        );
    }
    let metrics = rig.metrics().await;
    let counted =
        format!("sallygate_connections_refused_total{{reason=\"proxy_header\"}} {refused}\n");
    assert!(metrics.contains(&counted), "{metrics}");
    // What follows a header is the caller's, and so is what stands in front of a hello from anybody else.
    assert_eq!(ask(PROXY, &rig, twice.as_bytes(), "/health").await, None);
    assert_eq!(
        ask(STRANGER, &rig, CALLER.as_bytes(), "/health").await,
        None
    );
    assert_eq!(
        ask(STRANGER, &rig, &binary(0x21, &[]), "/health").await,
        None
    );
    assert_eq!(ask(STRANGER, &rig, b"", "/stranger").await, Some(404));
    assert_eq!(address_of(&rig, "/stranger").await, "127.0.0.3");
    assert_eq!(
        ask(PROXY, &rig, CALLER.as_bytes(), "/health").await,
        Some(200)
    );
}

#[tokio::test]
async fn a_header_that_does_not_come_or_not_wholly_ends_the_connection_within_its_time() {
    let rig = proxied()
        .env("SALLYGATE_LISTEN__TLS__HANDSHAKE_TIMEOUT", "1s")
        .start()
        .await;
    for begun in [&b""[..], b"PROXY TCP4 192.0.2.7", &binary(0x21, &[])[..20]] {
        let mut connection = connect(PROXY, rig.address).await;
        connection.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        let end = connection.read_to_end(&mut rest);
        let _ = wait::soon("the connection to be closed", end).await;
        assert!(rest.is_empty(), "{rest:?}");
    }
    let refused = "sallygate_connections_refused_total{reason=\"proxy_header\"} 3\n";
    assert!(rig.metrics().await.contains(refused));
    assert_eq!(
        ask(PROXY, &rig, CALLER.as_bytes(), "/health").await,
        Some(200)
    );
}

#[tokio::test]
async fn caps_are_those_of_the_caller_and_not_of_the_proxy() {
    let rig = proxied()
        .settings("limits: { per_address: { exempt: [], connections: 2 } }")
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = connect(PROXY, rig.address).await;
        connection.write_all(CALLER.as_bytes()).await.unwrap();
        held.push(connection);
    }
    let refused = "sallygate_connections_refused_total{reason=\"address_connections\"} ";
    wait::until("a refusal", async || {
        let _ = ask(PROXY, &rig, CALLER.as_bytes(), "/health").await;
        rig.metrics().await.contains(refused).then_some(())
    })
    .await;
    assert_eq!(
        ask(PROXY, &rig, &binary(0x21, &[]), "/health").await,
        Some(200)
    );
    drop(held);
    wait::until("the caller to be served again", async || {
        ask(PROXY, &rig, CALLER.as_bytes(), "/health").await
    })
    .await;
}
