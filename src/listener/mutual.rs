//! Client certificates: who vouches for them, and which of them were taken back. A list of revocations speaks for as long as
//! it says; after that it says nothing, and nobody whom it would speak of is let in until there is a newer one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use tracing::warn;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::tls::{TlsError, certificates, provider, read};
use crate::clock::Clock;

/// Whose certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether a connection without one is refused.
    pub required: bool,
    /// PEM file with the authorities.
    pub ca_file: PathBuf,
    /// PEM files with lists of revoked certificates.
    pub crl_files: Vec<PathBuf>,
    /// Whether a certificate is refused that no list speaks of, where there are lists.
    pub deny_unknown_revocation: bool,
}

/// What judges the certificates of callers.
///
/// # Errors
/// [`TlsError`] when a file cannot be used.
pub fn verifier(settings: &Settings) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    let unusable = |path: &Path, what: String| TlsError::ClientAuth {
        path: path.into(),
        what,
    };
    for certificate in certificates(&settings.ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(&settings.ca_file, error.to_string()))?;
    }
    let mut lists = Vec::new();
    for path in &settings.crl_files {
        lists.extend(revoked(path)?);
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .with_crls(lists)
        .enforce_revocation_expiration();
    if !settings.deny_unknown_revocation {
        builder = builder.allow_unknown_revocation_status();
    }
    if !settings.required {
        builder = builder.allow_unauthenticated();
    }
    let first = settings.crl_files.first().unwrap_or(&settings.ca_file);
    builder
        .build()
        .map_err(|error| unusable(first, error.to_string()))
}

/// The lists of a PEM file, at least one.
fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let empty = || TlsError::Empty {
        path: path.into(),
        wanted: "list of revoked certificates",
    };
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|_| empty())?;
    if lists.is_empty() {
        return Err(empty());
    }
    for list in &lists {
        warn_if_over(path, list);
    }
    Ok(lists)
}

/// A list that is over refuses everybody of its issuer, which the operator should not learn from them.
fn warn_if_over(path: &Path, list: &CertificateRevocationListDer<'_>) {
    let next = CertificateRevocationList::from_der(list)
        .ok()
        .and_then(|(_, list)| list.next_update());
    if next.is_some_and(|next| next.timestamp() <= Clock::system().now().seconds()) {
        warn!(
            path = %path.display(),
            "the list of revoked certificates is past its next update; certificates of its issuer are refused until there is a newer one"
        );
    }
}

/// What became of the certificate in a handshake, as the metric tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is good.
    Accepted,
    /// There was none.
    Absent,
    /// It was refused, for this reason.
    Refused(&'static str),
}

impl Shown {
    /// Every reason for a refusal has a name of ours.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Absent => "absent",
            Self::Refused(reason) => reason,
        }
    }

    /// What a failed handshake says about the certificate, where it says anything.
    pub fn in_failure(error: &std::io::Error) -> Option<Self> {
        let inner = error.get_ref()?.downcast_ref::<Error>()?;
        match inner {
            Error::NoCertificatesPresented => Some(Self::Absent),
            Error::InvalidCertificate(error) => Some(Self::Refused(refusal(error))),
            _ => None,
        }
    }
}

fn refusal(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::Revoked => "revoked",
        E::Expired | E::ExpiredContext { .. } => "expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "not_valid_yet",
        E::UnknownIssuer => "unknown_issuer",
        E::UnknownRevocationStatus => "unknown_revocation",
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => "list_expired",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong_purpose",
        E::BadSignature => "bad_signature",
        _ => "invalid",
    }
}
