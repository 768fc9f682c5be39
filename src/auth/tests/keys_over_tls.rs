//! Keys of an issuer that is reached over TLS.

use std::sync::Arc;

use serde_json::json;

use crate::auth::discovery::JwksError;
use crate::auth::jwks::Jwks;
use crate::auth::settings::{IssuerSettings, KeySource};
use crate::auth::support::Signer;
use crate::clock::Clock;
use crate::fetch::FetchError;

use super::issuer::LoopbackIssuer;
use super::jwks::issuer;

/// An issuer with a certificate for `localhost`, and the file of the CA that made it.
async fn tls_issuer() -> (LoopbackIssuer, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
        )
        .unwrap();
    (LoopbackIssuer::start_tls(Arc::new(config).into()).await, ca)
}

#[tokio::test]
async fn keys_over_tls_need_a_certificate_of_the_configured_ca() {
    let (idp, ca) = tls_issuer().await;
    idp.serve("/keys", &json!({"keys": [Signer::es256("k1").jwk()]}));
    let refresh = async |ca_file| {
        let settings = IssuerSettings {
            ca_file,
            ..issuer(&idp)
        };
        let jwks = Jwks::new(&settings, Clock::system()).unwrap();
        jwks.refresh().await.map(|()| jwks.keys_loaded())
    };
    assert!(matches!(
        refresh(None).await,
        Err(JwksError::Fetch(FetchError::Transport { .. }))
    ));
    assert_eq!(refresh(Some(ca.path().to_owned())).await.unwrap(), 1);
}

#[tokio::test]
async fn an_issuer_out_on_the_network_cannot_point_at_our_loopback() {
    let (idp, ca) = tls_issuer().await;
    let inside = LoopbackIssuer::start().await;
    inside.serve("/keys", &json!({"keys": [Signer::es256("k1").jwk()]}));
    let document = json!({"issuer": idp.url, "jwks_uri": format!("{}/keys", inside.url)});
    idp.serve("/.well-known/openid-configuration", &document);
    let settings = IssuerSettings {
        jwks: KeySource::Discover,
        ca_file: Some(ca.path().to_owned()),
        ..issuer(&idp)
    };
    let jwks = Jwks::new(&settings, Clock::system()).unwrap();
    assert!(matches!(
        jwks.refresh().await,
        Err(JwksError::Fetch(FetchError::Address(_)))
    ));
    assert!(inside.asked().is_empty());
}
