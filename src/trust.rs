//! Whom outgoing TLS connections trust, for upstreams and for issuers alike: a named authority alone, or else the
//! system's, together with one that the operator adds for all. Certificates are always verified; there is no switch
//! (R583).

use std::path::{Path, PathBuf};

use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_native_certs::load_native_certs;

use crate::listener::tls::{TlsError, certificates, provider};

/// Variables that name a bundle which stands in for the system's, as OpenSSL and many others read them.
const BUNDLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Why it is not known whom to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file with authorities is of no use.
    #[error(transparent)]
    File(#[from] TlsError),
    /// A certificate in a file is none that can be an authority.
    #[error("{path} holds a certificate that cannot be trusted as an authority")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// A variable stands in for the system's authorities and leads to none.
    #[error("{0} is set, but no certificate authority can be read there")]
    Bundle(&'static str),
    /// rustls cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// The first half of an outgoing TLS configuration; whether a client certificate is shown is up to the caller. `only` is
/// trusted instead of the system's authorities and `extra`, `extra` besides the system's.
///
/// # Errors
/// [`TrustError`] when a file or a variable leads to no authority: to fall back on others would trust whom nobody named.
pub fn client_config(
    only: Option<&Path>,
    extra: Option<&Path>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TrustError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Tls)?
        .with_root_certificates(roots(only, extra)?))
}

/// The authorities themselves, for whoever asks more of a certificate than that one of them vouches for it.
///
/// # Errors
/// The same as of [`client_config`].
pub fn roots(only: Option<&Path>, extra: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let Some(path) = only else {
        let mut roots = of_system()?;
        if let Some(path) = extra {
            add(path, &mut roots)?;
        }
        return Ok(roots);
    };
    let mut roots = RootCertStore::empty();
    add(path, &mut roots)?;
    Ok(roots)
}

/// Can every certificate of this file be trusted as an authority?
///
/// # Errors
/// [`TrustError`] when the file cannot be read, holds no certificate, or one that is no authority.
pub fn look_at(path: &Path) -> Result<(), TrustError> {
    add(path, &mut RootCertStore::empty())
}

fn add(path: &Path, roots: &mut RootCertStore) -> Result<(), TrustError> {
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TrustError::Authority {
                path: path.into(),
                source,
            })?;
    }
    Ok(())
}

/// What the system trusts, or what a variable names in its stead; the built-in public authorities where a machine has
/// none at all (C24), as a minimal container.
fn of_system() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    // Stores carry the odd certificate that rustls does not read; one that is left out trusts nobody.
    roots.add_parsable_certificates(load_native_certs().certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    match BUNDLES
        .into_iter()
        .find(|name| std::env::var_os(name).is_some())
    {
        Some(name) => Err(TrustError::Bundle(name)),
        None => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            Ok(roots)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;
    use std::sync::Arc;

    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::devcert::{DevCert, ensure};
    use crate::listener::tls::private_key;

    /// A server with a certificate of a private authority, met by a client that trusts as configured.
    fn meet(
        server: &DevCert,
        only: Option<&Path>,
        extra: Option<&Path>,
    ) -> Result<(), rustls::Error> {
        let client = client_config(only, extra).unwrap().with_no_client_auth();
        let chain = certificates(&server.cert_file).unwrap();
        let key = private_key(&server.key_file).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            wire.clear();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn r583_r585_r586_a_private_authority_is_met_only_where_it_is_named() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = ensure(&here.path().join("dev"), &[]).unwrap();
        let other = ensure(&there.path().join("dev"), &[]).unwrap();
        let (right, wrong) = (
            Some(server.ca_file.as_path()),
            Some(other.ca_file.as_path()),
        );
        for (only, extra, trusted) in [
            (None, None, false),
            (wrong, None, false),
            (None, wrong, false),
            (wrong, right, false),
            (right, None, true),
            (None, right, true),
            (right, wrong, true),
        ] {
            assert_eq!(
                meet(&server, only, extra).is_ok(),
                trusted,
                "{only:?} {extra:?}"
            );
        }
    }

    #[test]
    fn a_file_without_an_authority_is_refused_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        assert!(matches!(
            client_config(Some(&missing), None),
            Err(TrustError::File(TlsError::Unreadable { .. }))
        ));
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate").unwrap();
        assert!(matches!(
            client_config(None, Some(&empty)),
            Err(TrustError::File(TlsError::Empty { .. }))
        ));
        let odd = folder.path().join("odd.pem");
        let mut file = std::fs::File::create(&odd).unwrap();
        file.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(matches!(look_at(&odd), Err(TrustError::Authority { .. })));
    }

    const STAGE: &str = "SALLYGATE_TEST_STAGE";

    const ITSELF: &str = "trust::tests::r585_a_bundle_in_the_environment_stands_in_for_the_system";

    /// Variables are of a whole process, so each row has one of its own: this test program, asked for this test again.
    #[test]
    fn r585_a_bundle_in_the_environment_stands_in_for_the_system() {
        if let Some(folder) = std::env::var_os(STAGE) {
            return as_the_environment_says(Path::new(&folder));
        }
        let folder = tempfile::tempdir().unwrap();
        let server = ensure(&folder.path().join("dev"), &[]).unwrap();
        let missing = folder.path().join("missing.pem");
        for (variable, bundle, said) in [
            (None, &missing, "refused"),
            (Some("SSL_CERT_FILE"), &missing, "no bundle"),
            (Some("SSL_CERT_FILE"), &server.ca_file, "trusted"),
        ] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["--exact", ITSELF, "--nocapture"])
                .env_remove("SSL_CERT_FILE")
                .env_remove("SSL_CERT_DIR")
                .env(STAGE, folder.path().join("dev"));
            if let Some(variable) = variable {
                command.env(variable, bundle);
            }
            let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
            assert!(output.contains(&format!("client: {said}.")), "{output}");
        }
    }

    #[allow(clippy::print_stdout, reason = "the test above reads it")]
    fn as_the_environment_says(folder: &Path) {
        let server = ensure(folder, &[]).unwrap();
        let said = match client_config(None, None) {
            Err(TrustError::Bundle("SSL_CERT_FILE")) => "no bundle",
            Err(_) => "another error",
            Ok(_) if meet(&server, None, None).is_ok() => "trusted",
            Ok(_) => "refused",
        };
        println!("client: {said}.");
    }
}
