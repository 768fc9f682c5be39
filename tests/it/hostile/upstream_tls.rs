//! Upstreams whose TLS is not what was asked for: nothing is sent to them. Pins come on top of the usual checks.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::audit;
use crate::harness::gateway::{Plan, Rig};
use crate::harness::upstream::FakeUpstream;

/// An authority and what it signs, in a folder.
pub(super) struct Certificates {
    dir: PathBuf,
    ca: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate in its files.
pub(super) struct Leaf {
    pub(super) ca: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pin: String,
}

impl Certificates {
    pub(super) fn new(dir: &Path) -> Self {
        Self::named(dir, "ca")
    }

    fn named(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            ca: write(dir, &format!("{name}.pem"), &pem),
            dir: dir.into(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names.
    pub(super) fn leaf(&self, file: &str, names: &[&str]) -> Leaf {
        self.made(file, names, |_| {})
    }

    fn made(&self, file: &str, names: &[&str], edit: impl Fn(&mut CertificateParams)) -> Leaf {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            ca: self.ca.clone(),
            cert: write(&self.dir, &format!("{file}.pem"), &cert.pem()),
            key: write(&self.dir, &format!("{file}-key.pem"), &key.serialize_pem()),
            pin: pin(&key),
        }
    }
}

fn pin(key: &KeyPair) -> String {
    let digest = Sha256::digest(key.subject_public_key_info());
    format!("sha256/{}", STANDARD.encode(digest))
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    path
}

/// A gateway in front of an upstream with this certificate, with these lines about it.
async fn before(plan: Plan, leaf: &Leaf, lines: &[String]) -> Rig {
    let upstream = FakeUpstream::start_tls(&leaf.cert, &leaf.key).await;
    upstream.always(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}));
    let ca = format!("ca_file: {}", leaf.ca.display());
    let plan = lines
        .iter()
        .fold(plan.upstream(&ca), |plan, line| plan.upstream(line));
    plan.before(upstream).await
}

/// The call fails, nothing was sent, and the trail says why.
async fn assert_refused(rig: &Rig, why: &str) {
    let reply = rig.caller("alice").call("echo", json!({})).await;
    assert_eq!(reply.status, 502, "{why}: {reply:?}");
    assert_eq!(
        reply.json()["error"]["data"]["code"],
        "upstream_unreachable",
        "{why}"
    );
    rig.upstream.saw_nothing();
    let is_it = |line: &Value| line.to_string().contains("upstream_unreachable");
    let line = audit::line_of(rig.audit_dir(), is_it).await.to_string();
    assert!(line.contains(why), "{why} in {line}");
}

async fn assert_served(rig: &Rig, what: &str) {
    let reply = rig.caller("alice").call("echo", json!({})).await;
    assert_eq!(reply.status, 200, "{what}: {reply:?}");
}

fn pins(pins: &[&str]) -> String {
    format!("tls: {{ pins: {} }}", json!(pins))
}

#[tokio::test]
async fn a_certificate_that_is_over_for_another_name_or_from_another_authority_is_refused() {
    let plan = Plan::new();
    let authority = Certificates::new(plan.dir());
    let over = authority.made("over", &["localhost"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    assert_refused(&before(plan, &over, &[]).await, "expired").await;
    let plan = Plan::new();
    let name = Certificates::new(plan.dir()).leaf("name", &["elsewhere.test"]);
    assert_refused(&before(plan, &name, &[]).await, "not valid for name").await;
    let plan = Plan::new();
    let mut other = Certificates::new(plan.dir()).leaf("other", &["localhost"]);
    other.ca = Certificates::named(plan.dir(), "another").ca;
    assert_refused(&before(plan, &other, &[]).await, "UnknownIssuer").await;
    let plan = Plan::new();
    let client = Certificates::new(plan.dir()).made("client", &["localhost"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_refused(&before(plan, &client, &[]).await, "extended key usage").await;
}

#[tokio::test]
async fn a_key_that_is_not_pinned_is_refused_though_its_certificate_is_good() {
    let plan = Plan::new();
    let authority = Certificates::new(plan.dir());
    let (leaf, other) = (
        authority.leaf("one", &["localhost"]),
        authority.leaf("two", &["localhost"]),
    );
    assert_refused(
        &before(plan, &leaf, &[pins(&[&other.pin])]).await,
        "NotPinned",
    )
    .await;
}

#[tokio::test]
async fn the_key_of_the_authority_is_no_pin_for_what_it_signs() {
    let plan = Plan::new();
    let authority = Certificates::new(plan.dir());
    let leaf = authority.leaf("one", &["localhost"]);
    // Sent along, as anybody could.
    let chain = [&leaf.cert, &leaf.ca].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&leaf.cert, chain.concat()).unwrap();
    let of_authority = pin(authority.issuer.key());
    assert_refused(
        &before(plan, &leaf, &[pins(&[&of_authority])]).await,
        "NotPinned",
    )
    .await;
}

#[tokio::test]
async fn a_pin_is_no_way_around_the_usual_checks() {
    let plan = Plan::new();
    let authority = Certificates::new(plan.dir());
    let over = authority.made("over", &["localhost"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    assert_refused(&before(plan, &over, &[pins(&[&over.pin])]).await, "expired").await;
    let plan = Plan::new();
    let name = Certificates::new(plan.dir()).leaf("name", &["elsewhere.test"]);
    assert_refused(
        &before(plan, &name, &[pins(&[&name.pin])]).await,
        "not valid for name",
    )
    .await;
}

#[tokio::test]
async fn the_right_pin_the_backup_and_a_rotated_key_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Certificates::new(dir.path());
    let (one, two, three) = (
        authority.leaf("one", &["localhost"]),
        authority.leaf("two", &["localhost"]),
        authority.leaf("three", &["localhost"]),
    );
    let named = pins(&[&one.pin, &two.pin]);
    assert_served(
        &before(Plan::new(), &one, std::slice::from_ref(&named)).await,
        "the key in use",
    )
    .await;
    assert_served(
        &before(Plan::new(), &two, std::slice::from_ref(&named)).await,
        "the next one",
    )
    .await;
    assert_refused(&before(Plan::new(), &three, &[named]).await, "NotPinned").await;
}

#[tokio::test]
async fn the_name_in_the_certificate_may_be_another_than_that_of_the_address_if_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let leaf = Certificates::new(dir.path()).leaf("one", &["mcp.internal"]);
    let name = ["tls: { server_name: mcp.internal }".to_owned()];
    assert_served(
        &before(Plan::new(), &leaf, &name).await,
        "the name that is written",
    )
    .await;
    let other = ["tls: { server_name: other.internal }".to_owned()];
    assert_refused(
        &before(Plan::new(), &leaf, &other).await,
        "not valid for name",
    )
    .await;
}
