//! Certificates: readable, matching their key, valid today and for a while, and made for the name that clients use. The
//! answers come from the same library that will serve them.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Findings;
use crate::cli::run::explained;
use crate::clock::Timestamp;
use crate::config::{Certificate, Config, Mistake, Origin, Transport};
use crate::gateway::mutual_settings;
use crate::listener::mutual;
use crate::trust;

/// A certificate that ends sooner is warned about.
const SOON_SECONDS: i64 = 30 * 86_400;

/// Looks at every certificate that the configuration names.
pub(super) fn look(config: &Config, now: Timestamp, findings: &mut Findings) {
    if let Transport::Tls(tls) = &config.listen.transport
        && let Certificate::Files { cert, key } = &tls.certificate
    {
        let path = "listen.tls.cert_file";
        if let Some(leaf) = pair(config, path, (cert, key), now, findings) {
            covers(config, path, &leaf, findings);
        }
    }
    if let Transport::Tls(tls) = &config.listen.transport
        && let Some(client_auth) = &tls.client_auth
        && let Err(error) = mutual::verifier(&mutual_settings(client_auth))
    {
        let path = "listen.tls.client_auth";
        let mistake = Mistake::new(path, explained(&error)).at(config.origin(path));
        let help =
            "name PEM files with authorities of callers, and with lists of revoked certificates";
        findings.error(mistake.help(help));
    }
    for (index, route) in config.routes.iter().enumerate() {
        let at = match config.origin("upstream") {
            Origin::Default => format!("routes[{index}].upstream"),
            _ => "upstream".to_owned(),
        };
        if let Some(identity) = &route.upstream.client_identity {
            let path = format!("{at}.client_cert_file");
            pair(
                config,
                &path,
                (&identity.cert, &identity.key),
                now,
                findings,
            );
        }
        if let Some(file) = &route.upstream.ca_file {
            authorities(config, &format!("{at}.ca_file"), file, findings);
        }
    }
    if let Some(file) = &config.extra_ca_file {
        authorities(config, "extra_ca_file", file, findings);
    }
    for (index, issuer) in config.auth.issuers.iter().enumerate() {
        if let Some(file) = &issuer.ca_file {
            authorities(
                config,
                &format!("auth.issuers[{index}].ca_file"),
                file,
                findings,
            );
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
enum CertificateError {
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(String),
    #[error("{0} holds no private key in PEM form")]
    NoKey(String),
    #[error("the key cannot be used: {0}")]
    Key(rustls::Error),
    #[error("certificate and key do not belong together")]
    Mismatch,
    #[error("the certificate cannot be read")]
    Unreadable,
}

/// A chain and its key; hands back the server's own certificate.
fn pair(
    config: &Config,
    path: &str,
    files: (&Path, &Path),
    now: Timestamp,
    findings: &mut Findings,
) -> Option<CertificateDer<'static>> {
    let found = read(files).and_then(|leaf| {
        let times = validity(&leaf)?;
        Ok((leaf, times))
    });
    match found {
        Err(error) => {
            let mistake = Mistake::new(path, error.to_string()).at(config.origin(path));
            findings.error(
                mistake.help("name the certificate chain and the private key that belongs to it"),
            );
            None
        }
        Ok((leaf, (from, until))) => {
            dated(config, path, (from, until), now, findings);
            Some(leaf)
        }
    }
}

fn read((cert, key): (&Path, &Path)) -> Result<CertificateDer<'static>, CertificateError> {
    let chain = certificates(cert)?;
    let key_file = key.display().to_string();
    let key = PrivateKeyDer::from_pem_file(key).map_err(|_| CertificateError::NoKey(key_file))?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(CertificateError::Key)?;
    let leaf = chain.first().cloned().ok_or(CertificateError::Unreadable)?;
    match CertifiedKey::new(chain, Arc::clone(&key)).keys_match() {
        Ok(()) => Ok(leaf),
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(_) => Err(CertificateError::Unreadable),
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let none = || CertificateError::NoCertificate(file.display().to_string());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(|_| none())?
        .collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(none)
}

/// First and last second.
fn validity(leaf: &CertificateDer<'_>) -> Result<(i64, i64), CertificateError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Unreadable)?;
    let validity = parsed.validity();
    Ok((
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

fn dated(
    config: &Config,
    path: &str,
    (from, until): (i64, i64),
    now: Timestamp,
    findings: &mut Findings,
) {
    let now = now.seconds();
    let shown = |seconds| Timestamp::from_seconds(seconds).rfc3339_seconds();
    let finding = |message: String| {
        Mistake::new(path, message)
            .at(config.origin(path))
            .help("renew the certificate")
    };
    if until < now {
        findings.error(finding(format!(
            "the certificate expired at {}",
            shown(until)
        )));
    } else if from > now {
        findings.error(finding(format!(
            "the certificate is not valid before {}",
            shown(from)
        )));
    } else if until - now < SOON_SECONDS {
        findings.warning(finding(format!(
            "the certificate expires at {}",
            shown(until)
        )));
    }
}

/// Is the certificate made for the host of the public URL?
fn covers(config: &Config, path: &str, leaf: &CertificateDer<'_>, findings: &mut Findings) {
    let url = url::Url::parse(&config.listen.public_url).ok();
    let host = url
        .as_ref()
        .and_then(url::Url::host_str)
        .unwrap_or_default();
    let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']'));
    let covered = name.is_ok_and(|name| {
        webpki::EndEntityCert::try_from(leaf)
            .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    });
    if !covered {
        findings.error(
            Mistake::new(path, format!("the certificate is not made for `{host}`"))
                .at(config.origin(path))
                .help("use one that names the host of listen.public_url"),
        );
    }
}

fn authorities(config: &Config, path: &str, file: &Path, findings: &mut Findings) {
    if let Err(error) = trust::look_at(file) {
        let mistake = Mistake::new(path, explained(&error)).at(config.origin(path));
        findings.error(mistake.help("name a PEM file with certificates of authorities"));
    }
}
