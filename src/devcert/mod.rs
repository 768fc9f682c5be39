//! Certificates for a developer's own machine: a certificate authority that says DEVELOPMENT ONLY in its name and one
//! server certificate below it, made on the first run. The authority's key signs once and is then dropped, never stored:
//! whoever adds the authority to a trust store must not thereby trust a key that lies in a file. Name constraints
//! narrow it further to the names asked for. Existing files are used again exactly when a TLS client would still accept
//! them for every name a week from now, asked of the same verifier that clients use.

mod files;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use zeroize::Zeroizing;

use self::files::{private_dir, refuse_loose_file, take_turn, write_private};
use crate::clock::{Clock, Timestamp};
use crate::random;

/// The file of the authority's certificate, for the trust stores of clients.
pub const CA_FILE: &str = "ca.pem";
/// The names that are always in the server certificate.
pub const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Long enough that nobody meets it by surprise, short enough that a forgotten trust entry dies.
const AUTHORITY_LIFE: Duration = Duration::from_secs(365 * 86_400);
const SERVER_LIFE: Duration = Duration::from_secs(60 * 86_400);
/// A certificate with less than this left is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 86_400);
/// Both begin a little in the past, for machines whose clocks disagree.
const BACKDATED: Duration = Duration::from_secs(3_600);

/// Where the development certificates lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevCert {
    /// The certificate of the development authority, for the client's trust store.
    pub ca_file: PathBuf,
    /// The server certificate.
    pub cert_file: PathBuf,
    /// The private key of the server certificate.
    pub key_file: PathBuf,
}

/// Why there are no development certificates.
#[derive(Debug, thiserror::Error)]
pub enum DevCertError {
    /// A file or folder can be entered by others.
    #[error("`{}` has mode {mode:04o}, wanted {wanted:04o}; others may have read or changed it: remove it and start again", path.display())]
    Loose {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they have to be.
        wanted: u32,
    },
    /// Something lies where a plain file or folder should be, for example a symbolic link.
    #[error("`{}` is neither a plain file nor a plain folder of ours", .0.display())]
    NotPlain(PathBuf),
    /// A name is neither a host name nor an address.
    #[error("`{0}` cannot stand in a certificate")]
    BadName(String),
    /// A file could not be read or written.
    #[error("`{}` cannot be used", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("a development certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// No randomness for a file name.
    #[error(transparent)]
    Random(#[from] random::NoRandomness),
}

/// Development certificates for [`LOOPBACK_NAMES`] and `names`, in `dir`: those that lie there, or new ones.
/// Processes that start at the same time take turns.
///
/// # Errors
/// [`DevCertError`] when the folder or a file in it is open to others, or something cannot be read, made or written.
pub fn ensure(dir: &Path, names: &[String]) -> Result<DevCert, DevCertError> {
    ensure_at(dir, names, Clock::system().now())
}

fn ensure_at(dir: &Path, names: &[String], now: Timestamp) -> Result<DevCert, DevCertError> {
    let names = all_names(names);
    let files = DevCert {
        ca_file: dir.join(CA_FILE),
        cert_file: dir.join("server.pem"),
        key_file: dir.join("server-key.pem"),
    };
    private_dir(dir)?;
    let _turn = take_turn(&dir.join(".lock"))?;
    for file in [&files.ca_file, &files.cert_file, &files.key_file] {
        refuse_loose_file(file)?;
    }
    if !usable(&files, &names, now) {
        make(&names, now)?.store(dir, &files)?;
    }
    Ok(files)
}

fn all_names(extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> = LOOPBACK_NAMES.map(String::from).to_vec();
    for name in extra {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Would a client that trusts the authority accept these files for every name, now and in a week? A missing, broken or
/// half-replaced set answers no, like an old one.
fn usable(files: &DevCert, names: &[String], now: Timestamp) -> bool {
    let read = || -> Option<(CertificateDer<'static>, CertificateDer<'static>, PrivateKeyDer<'static>)> {
        Some((
            CertificateDer::from_pem_file(&files.ca_file).ok()?,
            CertificateDer::from_pem_file(&files.cert_file).ok()?,
            PrivateKeyDer::from_pem_file(&files.key_file).ok()?,
        ))
    };
    let Some((authority, server, key)) = read() else {
        return false;
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key_fits = CertifiedKey::from_der(vec![server.clone()], key, &provider).is_ok();
    let mut roots = RootCertStore::empty();
    if roots.add(authority).is_err() || !key_fits {
        return false;
    }
    let Ok(verifier) =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
    else {
        return false;
    };
    [now, now.plus(RENEW_BEFORE)].into_iter().all(|at| {
        let seconds = u64::try_from(at.seconds()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        names.iter().all(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| {
                verifier
                    .verify_server_cert(&server, &[], &name, &[], at)
                    .is_ok()
            })
        })
    })
}

/// Three PEM texts that belong together.
struct Fresh {
    authority: String,
    server: String,
    key: Zeroizing<String>,
}

fn make(names: &[String], now: Timestamp) -> Result<Fresh, DevCertError> {
    let authority_params = authority(names, now)?;
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority_params.self_signed(&authority_key)?.pem();
    // The authority's key lives to the end of this function and is written nowhere.
    let issuer = Issuer::new(authority_params, authority_key);
    let server_key = KeyPair::generate()?;
    let server = server(names, now)?.signed_by(&server_key, &issuer)?;
    Ok(Fresh {
        authority: authority_pem,
        server: server.pem(),
        key: Zeroizing::new(server_key.serialize_pem()),
    })
}

fn authority(names: &[String], now: Timestamp) -> Result<CertificateParams, DevCertError> {
    let mut params = CertificateParams::new(Vec::new())?;
    // Every authority gets its own name: two with one name and different keys confuse trust stores.
    let name = format!("sallygate DEVELOPMENT ONLY {}", random::hex::<4>()?);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: names.iter().map(|name| subtree(name)).collect(),
        excluded_subtrees: Vec::new(),
    });
    set_validity(&mut params, now, AUTHORITY_LIFE);
    Ok(params)
}

fn subtree(name: &str) -> GeneralSubtree {
    match name.parse() {
        Ok(address @ IpAddr::V4(_)) => {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 32))
        }
        Ok(address @ IpAddr::V6(_)) => {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, 128))
        }
        Err(_) => GeneralSubtree::DnsName(name.to_owned()),
    }
}

fn server(names: &[String], now: Timestamp) -> Result<CertificateParams, DevCertError> {
    let mut params = CertificateParams::new(Vec::new())?;
    for name in names {
        params.subject_alt_names.push(alt_name(name)?);
    }
    params
        .distinguished_name
        .push(DnType::CommonName, "sallygate development server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, SERVER_LIFE);
    Ok(params)
}

fn alt_name(name: &str) -> Result<SanType, DevCertError> {
    let bad = || DevCertError::BadName(name.to_owned());
    match ServerName::try_from(name).map_err(|_| bad())? {
        ServerName::IpAddress(_) => Ok(SanType::IpAddress(name.parse().map_err(|_| bad())?)),
        _ => Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?)),
    }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    params.not_before = now.utc() - BACKDATED;
    params.not_after = now.plus(life).utc();
}

impl Fresh {
    fn store(&self, dir: &Path, files: &DevCert) -> Result<(), DevCertError> {
        write_private(dir, &files.key_file, self.key.as_bytes())?;
        write_private(dir, &files.cert_file, self.server.as_bytes())?;
        write_private(dir, &files.ca_file, self.authority.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn contents(files: &DevCert) -> Vec<Vec<u8>> {
        [&files.ca_file, &files.cert_file, &files.key_file]
            .map(|file| fs::read(file).unwrap())
            .to_vec()
    }

    /// A whole TLS handshake in memory, as a client that trusts only the authority.
    fn handshake(files: &DevCert, name: &str) -> Result<(), rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let cert = CertificateDer::from_pem_file(&files.cert_file).unwrap();
        let key = PrivateKeyDer::from_pem_file(&files.key_file).unwrap();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert], key)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca_file).unwrap())?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn names_that_are_no_names_are_refused_and_leave_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        for name in ["", "with space", "a/b", "*"] {
            let refused = ensure(&dir, &[name.to_owned()]).unwrap_err();
            assert!(matches!(refused, DevCertError::BadName(_)), "{refused}");
        }
        assert!(!dir.join("server-key.pem").exists());
    }

    #[test]
    fn a_real_handshake_succeeds_for_the_names_and_for_no_other() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let files = ensure(&dir, &["Gateway.Test".to_owned()]).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "gateway.test"] {
            handshake(&files, name).unwrap();
        }
        for name in ["example.com", "127.0.0.2", "other.gateway.test"] {
            assert!(handshake(&files, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_authority_cannot_vouch_for_other_names() {
        let now = Clock::system().now();
        let names = all_names(&[]);
        let authority = authority(&names, now).unwrap();
        let key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&key).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let stranger = server(&["bank.example".to_owned()], now)
            .unwrap()
            .signed_by(&server_key, &Issuer::new(authority, key))
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let name = ServerName::try_from("bank.example").unwrap();
        let verdict = verifier.verify_server_cert(stranger.der(), &[], &name, &[], UnixTime::now());
        let said = format!("{:?}", verdict.unwrap_err());
        assert!(said.contains("NameConstraint"), "{said}");
    }

    #[test]
    fn everything_is_private_and_the_authority_key_is_not_kept() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        ensure(&dir, &[]).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        let mut found = BTreeSet::new();
        let mut keys = 0;
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o600);
            let text = fs::read_to_string(entry.path()).unwrap();
            keys += text.matches("BEGIN PRIVATE KEY").count();
            found.insert(entry.file_name().into_string().unwrap());
        }
        let wanted = [".lock", "ca.pem", "server-key.pem", "server.pem"];
        assert_eq!(found, wanted.map(String::from).into());
        assert_eq!(keys, 1, "the server's key and no other");
    }

    #[test]
    fn certificates_are_kept_until_a_week_before_their_end() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let start = Timestamp::from_seconds(1_800_000_000);
        let at = |days: u32| ensure_at(&dir, &[], start.plus(DAY * days)).unwrap();
        let first = contents(&at(0));
        assert_eq!(contents(&at(52)), first);
        assert_ne!(contents(&at(54)), first);
    }

    #[test]
    fn a_new_name_and_a_broken_set_are_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let first = contents(&ensure(&dir, &[]).unwrap());
        let files = ensure(&dir, &["gateway.test".to_owned()]).unwrap();
        let second = contents(&files);
        assert_ne!(second, first);
        assert_eq!(
            contents(&ensure(&dir, &[]).unwrap()),
            second,
            "fewer names fit"
        );
        // A crash between two renames leaves a key of another set.
        fs::write(&files.key_file, &first[2]).unwrap();
        let third = contents(&ensure(&dir, &[]).unwrap());
        assert_ne!(third[0], second[0]);
        handshake(&files, "localhost").unwrap();
    }

    #[test]
    fn parallel_starts_agree_on_one_set() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dev");
        let seen: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| contents(&ensure(&dir, &[]).unwrap())))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
