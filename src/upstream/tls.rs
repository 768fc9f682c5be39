//! TLS towards one upstream: whom to trust, which name and version to insist on, what to show, and, where the operator names
//! keys, the pins. A pin comes on top of the usual verification and never in its place.
//!
//! Pins are checked against the server's own certificate alone. The rest of what a server sends is only its proposal for a
//! chain, so that anybody with a certificate of any trusted authority could send a pinned key along in it.

use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::Settings;
use super::connect::ConnectError;
use crate::listener::tls::{MinVersion, certificates, private_key, provider};
use crate::trust;

/// What is asked of an upstream's TLS beyond a certificate that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// SHA-256 of SubjectPublicKeyInfos of which the server must have one; none for any key.
    pub pins: Vec<[u8; 32]>,
    /// The name that the certificate must be for, where it is not the host of the target.
    pub server_name: Option<ServerName<'static>>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            pins: Vec::new(),
            server_name: None,
            min_version: MinVersion::Tls12,
        }
    }
}

/// The TLS of connections to this upstream. Where none is spoken, nobody is trusted and no store is read.
pub(super) fn client_config(uri: &Uri, settings: &Settings) -> Result<ClientConfig, ConnectError> {
    let roots = if uri.scheme() == Some(&Scheme::HTTPS) {
        let (only, extra) = (&settings.ca_file, &settings.extra_ca_file);
        trust::roots(only.as_deref(), extra.as_deref())?
    } else {
        RootCertStore::empty()
    };
    let versions: &[_] = match settings.tls.min_version {
        MinVersion::Tls13 => &[&TLS13],
        MinVersion::Tls12 => &[&TLS13, &TLS12],
    };
    let roots = Arc::new(roots);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(ConnectError::Tls)?
        .with_root_certificates(Arc::clone(&roots));
    let mut config = match &settings.client_identity {
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(ConnectError::Tls)?,
        None => builder.with_no_client_auth(),
    };
    if !settings.tls.pins.is_empty() {
        let pinned = Pinned::new(roots, &settings.tls.pins)?;
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(pinned));
    }
    Ok(config)
}

/// The server's certificate is good, and its key is none that was named.
#[derive(Debug, thiserror::Error)]
#[error("the server's key is none of the {0} that are pinned")]
struct NotPinned(usize);

/// The usual verification, and the pins after it.
#[derive(Debug)]
struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    pins: Box<[[u8; 32]]>,
}

impl Pinned {
    fn new(roots: Arc<RootCertStore>, pins: &[[u8; 32]]) -> Result<Self, ConnectError> {
        let usual = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        Ok(Self {
            usual: usual.map_err(|error| {
                ConnectError::Tls(rustls::Error::Other(OtherError(Arc::new(error))))
            })?,
            pins: pins.into(),
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let leaf = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| CertificateError::BadEncoding)?;
        let key: [u8; 32] = Sha256::digest(leaf.subject_public_key_info()).into();
        if self.pins.contains(&key) {
            Ok(verified)
        } else {
            let why = Arc::new(NotPinned(self.pins.len()));
            Err(CertificateError::Other(OtherError(why)).into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
