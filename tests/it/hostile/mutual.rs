//! Certificates of callers: which are refused, and what one that is good is worth. The authorities, their lists and the
//! certificates are made by the test.

use std::sync::Arc;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sallygate::auth::ClientCertificate;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::client::{Client, Http, Reply, tls_config};
use crate::harness::gateway::{KEY, PUBLIC, Plan, Rig, Who};
use crate::harness::mcp::Mcp;
use crate::harness::{audit, raw, tokens, wait};

const DAY: Duration = Duration::from_secs(86_400);
const ROBOT: &str = "spiffe://example.test/robot";

/// Who vouches.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key and the certificates between it and its authority.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Identity {
    fn thumbprint(&self) -> String {
        ClientCertificate::read(&self.chain[0])
            .thumbprint()
            .to_string()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A certificate for callers with this number.
fn caller(serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "robot");
    let uri = Ia5String::try_from(ROBOT).unwrap();
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(serial));
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let made = params.self_signed(&key).unwrap();
        Self {
            pem: made.pem(),
            der: made.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority that this one vouches for.
    fn below(&self, name: &str) -> Self {
        let (mut params, key) = (authority_params(name), KeyPair::generate().unwrap());
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(77_u64));
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            pem: made.pem(),
            der: made.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn vouch(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![made.der().clone()],
            key,
        }
    }

    /// A list of what it took back, good for so long from now on.
    fn list(&self, revoked: &[u64], good_for: time::Duration) -> String {
        let now = OffsetDateTime::now_utc();
        let taken_back = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now - DAY,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - 2 * DAY,
            next_update: now + good_for,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(taken_back).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A gateway that asks for certificates of this authority, with these settings and lists.
fn asking(authority: &Authority, settings: &str, lists: &str) -> Plan {
    let plan = Plan::new().file("callers.pem", &authority.pem);
    let crl = if lists.is_empty() {
        ""
    } else {
        ", crl_files: [crl.pem]"
    };
    plan.file("crl.pem", lists).listen(&format!(
        "tls: {{ client_auth: {{ ca_file: callers.pem, {settings}{crl} }} }}"
    ))
}

/// TLS that shows a certificate whenever it is asked for one, whether it has the key or not.
fn showing(rig: &Rig, identity: &Identity) -> ClientConfig {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = CertifiedKey::new(identity.chain.clone(), key);
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(tls_roots(rig))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

fn tls_roots(rig: &Rig) -> rustls::RootCertStore {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(&rig.ca_file).unwrap();
    roots.add(authority).unwrap();
    roots
}

/// The status of `/health` over a connection with this TLS, where it comes to that, and how the handshake went.
async fn health(rig: &Rig, tls: &Arc<ClientConfig>) -> Option<(u16, HandshakeKind)> {
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
    let mut stream = wait::soon("a handshake to end", handshake).await.ok()?;
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = wait::soon("an answer", stream.read_to_end(&mut answer)).await;
    let session: &ClientConnection = stream.get_ref().1;
    let kind = session.handshake_kind()?;
    (!answer.is_empty()).then(|| (raw::status(&answer), kind))
}

async fn is_served(rig: &Rig, identity: &Identity) -> bool {
    let answer = health(rig, &Arc::new(showing(rig, identity))).await;
    assert!(answer.is_none_or(|(status, _)| status == 200), "{answer:?}");
    answer.is_some()
}

async fn counted(rig: &Rig, result: &str) -> bool {
    let name = format!("sallygate_client_certificates_total{{result=\"{result}\"}} ");
    rig.metrics().await.contains(&name)
}

#[tokio::test]
async fn certificates_that_nobody_vouches_for_or_that_are_for_something_else_are_refused() {
    let authority = Authority::new("callers");
    let (foreign, namesake) = (Authority::new("others"), Authority::new("callers"));
    let rig = asking(&authority, "mode: required", "").start().await;
    let now = OffsetDateTime::now_utc();
    let mut over = caller(1);
    (over.not_before, over.not_after) = (now - 3 * DAY, now - DAY);
    let mut early = caller(2);
    (early.not_before, early.not_after) = (now + DAY, now + 3 * DAY);
    let mut server = caller(3);
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let own = Identity {
        chain: vec![caller(4).self_signed(&key).unwrap().der().clone()],
        key,
    };
    for (identity, result) in [
        (authority.vouch(&over), "expired"),
        (authority.vouch(&early), "not_valid_yet"),
        (authority.vouch(&server), "wrong_purpose"),
        (foreign.vouch(&caller(5)), "unknown_issuer"),
        (namesake.vouch(&caller(5)), "bad_signature"),
        (own, "unknown_issuer"),
    ] {
        assert!(!is_served(&rig, &identity).await, "{result}");
        assert!(counted(&rig, result).await, "{result}");
    }
    let nothing = Arc::new(tls_config(&rig.ca_file));
    assert_eq!(health(&rig, &nothing).await, None);
    assert!(counted(&rig, "absent").await);
    // The certificate of another, without its key.
    let mut thief = authority.vouch(&caller(6));
    thief.chain = authority.vouch(&caller(7)).chain;
    assert!(!is_served(&rig, &thief).await);
    assert!(counted(&rig, "bad_signature").await);
    assert!(is_served(&rig, &authority.vouch(&caller(8))).await);
    assert!(counted(&rig, "accepted").await);
}

#[tokio::test]
async fn a_chain_of_two_is_followed_and_both_may_be_taken_back() {
    let root = Authority::new("root");
    let middle = root.below("middle");
    let chained = |serial| {
        let mut identity = middle.vouch(&caller(serial));
        identity.chain.push(middle.der.clone());
        identity
    };
    let day = time::Duration::DAY;
    let good = root.list(&[], day) + &middle.list(&[5], day);
    let rig = asking(&root, "mode: required", &good).start().await;
    assert!(!is_served(&rig, &middle.vouch(&caller(4))).await, "a gap");
    assert!(!is_served(&rig, &chained(5)).await);
    assert!(counted(&rig, "revoked").await);
    assert!(is_served(&rig, &chained(6)).await);

    let taken_back = root.list(&[77], day) + &middle.list(&[], day);
    let rig = asking(&root, "mode: required", &taken_back).start().await;
    assert!(!is_served(&rig, &chained(6)).await);
    assert!(counted(&rig, "revoked").await);
}

#[tokio::test]
async fn rfc5280_lists_that_are_over_or_another_authoritys_say_nothing_and_so_nobody_comes_in() {
    let (authority, other) = (Authority::new("callers"), Authority::new("others"));
    let day = time::Duration::DAY;
    let good = authority.vouch(&caller(1));
    for (settings, lists, result) in [
        ("mode: required", authority.list(&[1], day), "revoked"),
        ("mode: optional", authority.list(&[1], day), "revoked"),
        ("mode: required", authority.list(&[], -day), "list_expired"),
        (
            "mode: required, deny_unknown_revocation: false",
            authority.list(&[], -day),
            "list_expired",
        ),
        ("mode: required", other.list(&[], day), "unknown_revocation"),
    ] {
        let rig = asking(&authority, settings, &lists).start().await;
        assert!(!is_served(&rig, &good).await, "{settings} {result}");
        assert!(counted(&rig, result).await, "{settings} {result}");
    }
    for (settings, lists) in [
        ("mode: required", authority.list(&[2], day)),
        (
            "mode: required, deny_unknown_revocation: false",
            other.list(&[1], day),
        ),
    ] {
        let rig = asking(&authority, settings, &lists).start().await;
        assert!(is_served(&rig, &good).await, "{settings}");
    }
}

#[tokio::test]
async fn a_session_cannot_be_resumed_past_the_check_of_its_certificate() {
    let authority = Authority::new("callers");
    let good = authority.vouch(&caller(1));
    for (plan, kind) in [
        (
            asking(&authority, "mode: required", ""),
            HandshakeKind::Full,
        ),
        (
            asking(&authority, "mode: optional", ""),
            HandshakeKind::Full,
        ),
        (Plan::new(), HandshakeKind::Resumed),
    ] {
        let rig = plan.start().await;
        let mut tls = showing(&rig, &good);
        tls.resumption = Resumption::in_memory_sessions(8);
        let tls = Arc::new(tls);
        health(&rig, &tls).await.unwrap();
        assert_eq!(health(&rig, &tls).await, Some((200, kind)));
    }
}

fn mcp(rig: &Rig, http: Http, identity: Option<&Identity>) -> Mcp {
    let tls = identity.map_or_else(
        || tls_config(&rig.ca_file),
        |identity| showing(rig, identity),
    );
    Mcp::at(
        &Client::with_tls(rig.address, tls, http),
        &format!("{PUBLIC}/mcp"),
    )
}

async fn call(caller: &Mcp) -> Reply {
    caller.call_legacy("echo", json!({})).await
}

/// A token of ours that is bound to a certificate, or says something else in its place.
fn bound(cnf: &Value) -> String {
    let now = sallygate::clock::Clock::system().now().seconds();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "proof"});
    let claims = json!({"iss": PUBLIC, "sub": "user_alice", "aud": format!("{PUBLIC}/mcp"),
        "exp": now + 3600, "iat": now, "jti": "jti_1", "team_id": "1", "tier": "free",
        "scope": "mcp:read mcp:write", "cnf": cnf});
    tokens::signed(&header, &claims, KEY.as_bytes())
}

#[tokio::test]
async fn rfc8705_s3_a_bound_token_is_worth_nothing_without_its_certificate() {
    let authority = Authority::new("callers");
    let rig = asking(&authority, "mode: optional", "").start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let (owner, thief) = (authority.vouch(&caller(1)), authority.vouch(&caller(2)));
    let token = bound(&json!({"x5t#S256": owner.thumbprint()}));
    for http in [Http::One, Http::Two] {
        let with = |identity| mcp(&rig, http, identity).with_token(&token);
        // The owner comes first, so that the token is known when the others show it.
        assert_eq!(call(&with(Some(&owner))).await.status, 200);
        for other in [Some(&thief), None] {
            let refused = call(&with(other)).await;
            assert_eq!(refused.status, 401);
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            let error = &refused.json()["error"];
            assert_eq!(error["details"]["reason"], "wrong_certificate");
        }
        assert_eq!(call(&with(Some(&owner))).await.status, 200);
    }
    for cnf in [
        json!({"x5t#S256": "short"}),
        json!("x"),
        json!({"x5t#S256": null}),
    ] {
        let odd = mcp(&rig, Http::One, Some(&owner)).with_token(&bound(&cnf));
        assert_eq!(call(&odd).await.status, 401, "{cnf}");
    }
    let free = rig.token(&Who::new("alice"));
    for identity in [Some(&thief), None] {
        let caller = mcp(&rig, Http::One, identity).with_token(&free);
        assert_eq!(call(&caller).await.status, 200, "not bound");
    }
}

#[tokio::test]
async fn policies_and_audit_lines_know_the_certificate_of_the_connection() {
    let authority = Authority::new("callers");
    let plan = asking(&authority, "mode: optional", "")
        .file(
            "robots.cedar",
            "@id(\"robots\") permit(principal, action, resource)\n  when { principal has client_certificate \
             && principal.client_certificate.kind == \"uri\" \
             && principal.client_certificate.name == \"spiffe://example.test/robot\" };\n\
             @id(\"methods\") permit(principal, action == Action::\"use_method\", resource);\n",
        )
        .settings("policy: { files: [robots.cedar] }");
    let rig = plan.start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let robot = authority.vouch(&caller(1));
    let mut params = caller(2);
    params.subject_alt_names = vec![];
    params.distinguished_name.push(DnType::CommonName, ROBOT);
    let pretender = authority.vouch(&params);
    let token = rig.token(&Who::new("alice"));
    // The same token over each connection: what was decided for one must not be remembered for the other.
    for _ in 0..2 {
        for (identity, allowed) in [
            (Some(&robot), true),
            (Some(&pretender), false),
            (None, false),
        ] {
            let reply = call(&mcp(&rig, Http::Two, identity).with_token(&token)).await;
            assert_eq!(reply.error_code().is_none(), allowed, "{reply:?}");
        }
    }
    let lines = audit::wait_for_those_with(rig.audit_dir(), "client_certificate", 4).await;
    let shown = lines
        .iter()
        .map(|line| &line["details"]["client_certificate"]);
    let shown: Vec<_> = shown.filter(|shown| shown["kind"] == "uri").collect();
    assert_eq!(shown.len(), 2, "{lines:?}");
    let hash = Sha256::digest(&robot.chain[0]);
    let pairs: Vec<_> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(
        shown[0],
        &json!({"name": ROBOT, "kind": "uri", "sha256": pairs.join(":")})
    );
}
