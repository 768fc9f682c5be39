//! Stage 1 as a prober sees it: which versions, suites and protocols are offered, and what becomes of those who do not
//! speak TLS, or never finish doing so. Hellos are written by hand where no decent library would send them.

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::client::Http;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::{raw, wait};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// The suites of TLS 1.2 that have both an ephemeral exchange and authenticated encryption, for the key that the
/// development certificate has.
const GOOD_SUITES: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];

fn older() -> Plan {
    Plan::new().env("SALLYGATE_LISTEN__TLS__MIN_VERSION", "1.2")
}

/// A ClientHello of TLS 1.2 or older with these suites.
fn hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let words = |words: &[u16]| {
        words
            .iter()
            .flat_map(|w| w.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let sized = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let extension = |kind: u16, body: Vec<u8>| [&kind.to_be_bytes()[..], &sized(body)].concat();
    let groups = extension(10, sized(words(&[0x001d, 0x0017, 0x0018])));
    let points = extension(11, vec![1, 0]);
    let algorithms = extension(13, sized(words(&[0x0403, 0x0503, 0x0804, 0x0401, 0x0201])));
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7_u8; 32]);
    body.push(0);
    body.extend(sized(words(suites)));
    body.extend([1, 0]);
    body.extend(sized([groups, points, algorithms].concat()));
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[HANDSHAKE, 3, 1][..], &sized(message)].concat()
}

/// What a hello is answered with: the kind of the record, and of an alert its description.
async fn answer(rig: &Rig, hello: &[u8]) -> (u8, Option<u8>) {
    let mut connection = TcpStream::connect(rig.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, hello)
        .await
        .unwrap();
    let mut start = [0; 7];
    let read = tokio::io::AsyncReadExt::read_exact(&mut connection, &mut start);
    wait::soon("an answer to the hello", read).await.unwrap();
    (start[0], (start[0] == ALERT).then_some(start[6]))
}

/// A handshake of a real client.
async fn handshake(
    rig: &Rig,
    versions: &[&'static rustls::SupportedProtocolVersion],
    suites: Vec<SupportedCipherSuite>,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !suites.is_empty() {
        provider.cipher_suites = suites;
    }
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&rig.ca_file).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let coming = TlsConnector::from(Arc::new(config)).connect(name, stream);
    wait::soon("a handshake", coming).await
}

#[tokio::test]
async fn r043_r070_r446_anything_older_than_tls_1_3_is_refused_by_default() {
    let rig = Rig::start().await;
    for version in [0x0300, 0x0301, 0x0302, 0x0303] {
        let answered = answer(&rig, &hello(version, &GOOD_SUITES)).await;
        assert_eq!(answered, (ALERT, Some(PROTOCOL_VERSION)), "{version:#06x}");
    }
    assert!(handshake(&rig, &[&TLS12], vec![], &[]).await.is_err());
    let stream = handshake(&rig, &[&TLS12, &TLS13], vec![], &[])
        .await
        .unwrap();
    let version = stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn r071_r072_tls_1_2_when_asked_for_has_no_suite_without_forward_secrecy_and_authentication()
{
    let rig = older().start().await;
    for version in [0x0301, 0x0302] {
        let answered = answer(&rig, &hello(version, &GOOD_SUITES)).await;
        assert_eq!(answered, (ALERT, Some(PROTOCOL_VERSION)), "{version:#06x}");
    }
    let registered = (0x0000..=0x00c7)
        .chain(0xc001..=0xc0ff)
        .chain(0xcc13..=0xccae);
    let weak: Vec<u16> = registered
        .filter(|suite| !GOOD_SUITES.contains(suite))
        .collect();
    for suites in weak.chunks(64) {
        let answered = answer(&rig, &hello(0x0303, suites)).await;
        assert_eq!(answered, (ALERT, Some(HANDSHAKE_FAILURE)), "{suites:x?}");
    }
    for suite in GOOD_SUITES {
        let (kind, _) = answer(&rig, &hello(0x0303, &[suite])).await;
        assert_eq!(kind, HANDSHAKE, "{suite:#06x}: the scan itself works");
    }
}

#[tokio::test]
async fn r071_a_client_of_tls_1_2_is_served_when_asked_for_and_better_clients_get_better() {
    let rig = older().start().await;
    let stream = handshake(&rig, &[&TLS12], vec![], &[b"h2"]).await.unwrap();
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap();
    assert!(GOOD_SUITES.contains(&u16::from(suite.suite())), "{suite:?}");
    let stream = handshake(&rig, &[&TLS12, &TLS13], vec![], &[])
        .await
        .unwrap();
    let version = stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn http_versions_are_agreed_on_by_alpn_and_unknown_protocols_are_refused() {
    let rig = Rig::start().await;
    let unknown = handshake(&rig, &[&TLS13], vec![], &[b"spdy/3"]).await;
    assert!(unknown.is_err());
    let offers: [(&[&[u8]], &[u8]); 3] = [
        (&[b"http/1.1", b"h2"], b"h2"),
        (&[b"h2"], b"h2"),
        (&[b"http/1.1"], b"http/1.1"),
    ];
    for (offered, chosen) in offers {
        let stream = handshake(&rig, &[&TLS13], vec![], offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen));
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let rig = Plan::new()
        .env("SALLYGATE_LISTEN__TLS__HANDSHAKE_TIMEOUT", "1s")
        .start()
        .await;
    let begun = hello(0x0303, &GOOD_SUITES);
    let (silent, half) = tokio::join!(
        raw::exchange(rig.address, ""),
        raw::exchange(rig.address, &begun[..begun.len() / 2]),
    );
    assert!(silent.is_empty() && half.is_empty(), "{silent:?} {half:?}");
    let metrics = rig.metrics().await;
    let failed = "sallygate_tls_handshakes_total{result=\"failed\"} 2";
    assert!(metrics.contains(failed), "{metrics}");
}

#[tokio::test]
async fn r043_plain_http_on_the_tls_port_gets_no_http_back() {
    let rig = Rig::start().await;
    let said = raw::exchange(
        rig.address,
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(!String::from_utf8_lossy(&said).contains("HTTP"), "{said:?}");
    assert!(said.len() <= 7, "a TLS alert at most: {said:?}");
}

#[tokio::test]
async fn r074_hsts_is_on_every_answer_over_tls_whatever_it_is() {
    let rig = Rig::start().await;
    for http in [Http::One, Http::Two] {
        let client = rig.client(http);
        for (path, status) in [("/health", 200), ("/absent", 404), ("/mcp", 401)] {
            let reply = client.get(&format!("https://localhost{path}")).await;
            assert_eq!(reply.status, status, "{path}");
            let hsts = reply.header("strict-transport-security").unwrap();
            assert!(hsts.starts_with("max-age=31536000"), "{path}: {hsts}");
        }
    }
}
