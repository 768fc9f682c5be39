//! The certificate that a caller proved to hold when its connection was made: by which name policies and audit lines know
//! it, and by which hash a token can be bound to it (RFC 8705 section 3.1). Whoever makes one has verified it before.

use std::fmt::{self, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::claims::is_printable;

/// A verified client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    name: Arc<str>,
    kind: NameKind,
    thumbprint: Thumbprint,
}

/// Where the name of a certificate stands in it. An authority that vouches for addresses need not vouch for what it is
/// told as a common name, so rules can ask for one or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A URI among the subject alternative names, such as a SPIFFE id.
    Uri,
    /// A DNS name among the subject alternative names.
    Dns,
    /// The common name of the subject.
    CommonName,
    /// Nowhere; the name is the thumbprint.
    Thumbprint,
}

impl NameKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::CommonName => "common_name",
            Self::Thumbprint => "thumbprint",
        }
    }
}

/// The SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Of this certificate.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Pairs of hex digits with colons between them.
    fn in_pairs(self) -> String {
        let mut text = String::with_capacity(3 * self.0.len());
        for byte in self.0 {
            let separator = if text.is_empty() { "" } else { ":" };
            let _ = write!(text, "{separator}{byte:02X}");
        }
        text
    }

    /// As the `x5t#S256` member of a token has it: base64url without padding, in its one canonical spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl ClientCertificate {
    /// Reads the certificate that stands first in a verified chain.
    pub fn read(der: &[u8]) -> Self {
        let thumbprint = Thumbprint::of(der);
        let named = X509Certificate::from_der(der)
            .ok()
            .and_then(|(_, certificate)| name_of(&certificate));
        let (kind, name) =
            named.unwrap_or_else(|| (NameKind::Thumbprint, thumbprint.to_string().into()));
        Self {
            name,
            kind,
            thumbprint,
        }
    }

    /// By which name it is known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where that name stands.
    pub const fn kind(&self) -> NameKind {
        self.kind
    }

    /// As audit lines have it. The hash is in the form that `openssl x509 -fingerprint` prints, which, unlike base64, looks
    /// like no secret and so is not taken out of lines.
    pub fn described(&self) -> Value {
        json!({
            "name": &*self.name,
            "kind": self.kind.name(),
            "sha256": self.thumbprint.in_pairs(),
        })
    }

    /// By which hash.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

/// The first URI, else the first DNS name, else the last common name, which is the most specific.
fn name_of(certificate: &X509Certificate<'_>) -> Option<(NameKind, Arc<str>)> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names);
    let uri = names.clone().find_map(|name| match name {
        GeneralName::URI(uri) => fit(uri).map(|uri| (NameKind::Uri, uri.into())),
        _ => None,
    });
    let dns = || {
        names.clone().find_map(|name| match name {
            GeneralName::DNSName(dns) => {
                fit(dns).map(|dns| (NameKind::Dns, dns.to_ascii_lowercase().into()))
            }
            _ => None,
        })
    };
    let common = || {
        let last = certificate.subject().iter_common_name().last()?;
        let text = last.as_str().ok()?;
        fit(text).map(|name| (NameKind::CommonName, name.into()))
    };
    uri.or_else(dns).or_else(common)
}

/// A name that can stand in an audit line.
fn fit(name: &str) -> Option<&str> {
    is_printable(name, NAME_MAX_BYTES).then_some(name)
}

/// The longest name that is taken from a certificate.
const NAME_MAX_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn named(common: &str, alternatives: &[SanType]) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !common.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternatives.to_vec();
        let key = KeyPair::generate().unwrap();
        ClientCertificate::read(params.self_signed(&key).unwrap().der())
    }

    fn text(text: &str) -> Ia5String {
        Ia5String::try_from(text).unwrap()
    }

    #[test]
    fn a_name_is_the_first_uri_or_dns_name_and_else_the_common_name() {
        let uri = SanType::URI(text("spiffe://example.test/a"));
        let dns = SanType::DnsName(text("Robot.Example.TEST"));
        for (common, alternatives, kind, name) in [
            (
                "c",
                vec![dns.clone(), uri],
                NameKind::Uri,
                "spiffe://example.test/a",
            ),
            ("c", vec![dns], NameKind::Dns, "robot.example.test"),
            ("robot-1", vec![], NameKind::CommonName, "robot-1"),
        ] {
            let certificate = named(common, &alternatives);
            assert_eq!((certificate.kind(), certificate.name()), (kind, name));
        }
    }

    #[test]
    fn a_name_that_does_not_fit_into_a_line_is_not_taken() {
        for common in ["", "two\nlines", &"x".repeat(NAME_MAX_BYTES + 1)] {
            let certificate = named(common, &[]);
            assert_eq!(certificate.kind(), NameKind::Thumbprint, "{common:?}");
            assert_eq!(certificate.name(), certificate.thumbprint().to_string());
        }
    }

    #[test]
    fn a_line_has_the_hash_as_openssl_prints_it() {
        let pairs = Thumbprint::of(b"").in_pairs();
        assert!(pairs.starts_with("E3:B0:C4:42:98"), "{pairs}");
        assert!(pairs.ends_with(":78:52:B8:55"), "{pairs}");
        assert_eq!(pairs.len(), 95);
    }

    #[test]
    fn rfc8705_s3_1_a_thumbprint_is_the_base64url_of_the_hash_of_the_der() {
        let text = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert_eq!(Thumbprint::of(b"").to_string(), text);
        assert_eq!(Thumbprint::parse(text), Some(Thumbprint::of(b"")));
        for odd in [
            "",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV",
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hS",
        ] {
            assert_eq!(Thumbprint::parse(odd), None, "{odd}");
        }
    }
}
