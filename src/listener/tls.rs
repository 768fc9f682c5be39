//! TLS as we offer it: 1.3 by default, 1.2 only when asked for and then with AEAD suites and ephemeral keys only
//! (C23, R043, R071, R072). The aws-lc-rs provider is named here once and nowhere else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::mutual;

/// HTTP/2 over TLS, as ALPN spells it.
pub const ALPN_H2: &[u8] = b"h2";
/// HTTP/1.1, as ALPN spells it.
pub const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The lowest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.3 alone.
    #[default]
    Tls13,
    /// TLS 1.2 too, with ECDHE and AEAD suites.
    Tls12,
}

/// What TLS is made of. An acceptor follows from it and from the files alone, so that it can be made again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PEM file with the certificate chain.
    pub cert_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
    /// The lowest version.
    pub min: MinVersion,
    /// Whether callers may or must show certificates.
    pub client_auth: Option<mutual::Settings>,
}

impl Settings {
    /// This certificate, and everything else as it is by default.
    pub fn new(cert_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            cert_file: cert_file.into(),
            key_file: key_file.into(),
            min: MinVersion::default(),
            client_auth: None,
        }
    }
}

/// Why a certificate or key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds no PEM of the kind that is needed.
    #[error("{path} holds no {wanted}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// rustls refuses the pair, for instance because the key does not match the certificate.
    #[error("certificate {path} and its key cannot be used")]
    Unusable {
        /// The certificate file.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// Callers' certificates cannot be checked with this.
    #[error("client certificates cannot be checked with {path}: {what}")]
    ClientAuth {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        what: String,
    },
}

/// The one cryptography provider of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads a certificate chain and its key and makes an acceptor of them.
///
/// # Errors
/// [`TlsError`] when a file is missing, empty, or the two do not belong together.
pub fn acceptor(settings: &Settings) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&settings.cert_file)?;
    let key = private_key(&settings.key_file)?;
    let versions: &[_] = match settings.min {
        MinVersion::Tls13 => &[&TLS13],
        MinVersion::Tls12 => &[&TLS13, &TLS12],
    };
    let unusable = |source| TlsError::Unusable {
        path: settings.cert_file.clone(),
        source,
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(unusable)?;
    let callers = settings.client_auth.as_ref().map(mutual::verifier);
    let is_mutual = callers.is_some();
    let builder = match callers.transpose()? {
        Some(callers) => builder.with_client_cert_verifier(callers),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    if is_mutual {
        // A resumed session shows no certificate but goes by the one of its first handshake, which may be over or taken
        // back by now.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`TlsError`] when the file cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let empty = || TlsError::Empty {
        path: path.into(),
        wanted: "certificate",
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|_| empty())?;
    if chain.is_empty() {
        Err(empty())
    } else {
        Ok(chain)
    }
}

/// The moment at which the first certificate of a PEM file ends, in seconds since the Unix epoch (R075).
///
/// # Errors
/// [`TlsError`] when the file cannot be read or holds no certificate.
pub fn expiry(path: &Path) -> Result<i64, TlsError> {
    let chain = certificates(path)?;
    let first = chain
        .first()
        .and_then(|der| x509_parser::parse_x509_certificate(der).ok());
    first
        .map(|(_, certificate)| certificate.validity().not_after.timestamp())
        .ok_or_else(|| TlsError::Empty {
            path: path.into(),
            wanted: "certificate",
        })
}

/// The private key of a PEM file.
///
/// # Errors
/// [`TlsError`] when the file cannot be read or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| TlsError::Empty {
        path: path.into(),
        wanted: "private key",
    })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        path: path.into(),
        source,
    })
}
