//! What `upstream.credential` means: one of four kinds, with everything that the kind needs and nothing that it does not.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::{Review, urls};
use crate::config::raw;
use crate::config::raw::{CredentialKind as Raw, Literal};
use crate::secret::Secret;

/// The credential that an MCP server is shown.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The header that it stands in.
    pub header: HeaderName,
    /// What stands before it; `None` where its form decides, empty for nothing.
    pub scheme: Option<String>,
    /// What it is.
    pub kind: CredentialKind,
}

/// What kind of credential it is.
#[derive(Clone, Debug)]
pub enum CredentialKind {
    /// The same for everybody.
    Static(Secret<String>),
    /// Each user's own.
    PerUser(PerUser),
    /// A token for each user.
    TokenExchange {
        /// Who gives it.
        endpoint: TokenEndpoint,
        /// What proves the user.
        subject: CredentialSubject,
        /// What it is for.
        wish: Wish,
    },
    /// A token for the gateway.
    ClientCredentials {
        /// Who gives it.
        endpoint: TokenEndpoint,
        /// What it is for.
        wish: Wish,
    },
}

/// Each user's own credential.
#[derive(Clone, Debug)]
pub struct PerUser {
    /// Whose credential.
    pub provider: String,
    /// Who renews it.
    pub renewal: Option<TokenEndpoint>,
}

/// What proves the user.
#[derive(Clone, Debug)]
pub enum CredentialSubject {
    /// The user's own credential.
    Stored(PerUser),
    /// A token that the gateway signs.
    Assertion {
        /// Who signs.
        issuer: Option<String>,
        /// With which key.
        key: SigningKey,
    },
}

/// A token endpoint and the gateway's name there.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    /// Its address.
    pub url: Url,
    /// The gateway's name.
    pub client_id: String,
    /// How it is proved.
    pub client_auth: ClientAuth,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// How the gateway proves its name.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// Not at all.
    None,
    /// By a secret in a header.
    Basic(Secret<String>),
    /// By a secret in the form.
    Post(Secret<String>),
    /// By a signature.
    Signed(SigningKey),
}

/// A private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// PEM file.
    pub file: PathBuf,
    /// Its name.
    pub id: Option<String>,
}

/// What a token is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// `audience`.
    pub audience: Option<String>,
    /// `resource`.
    pub resource: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
}

/// The settings in the making.
struct Reader<'a> {
    at: &'a str,
    raw: &'a raw::Credential,
    review: &'a mut Review,
}

pub(super) fn mean(
    at: &str,
    raw: &raw::Credential,
    header: Option<HeaderName>,
    review: &mut Review,
) -> Option<Credential> {
    let mut reader = Reader { at, raw, review };
    reader.unused();
    let scheme = reader.scheme();
    let kind = reader.kind();
    Some(Credential {
        header: header?,
        scheme: scheme?,
        kind: kind?,
    })
}

impl Reader<'_> {
    fn mistake(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let at = format!("{}.{key}", self.at);
        self.review.mistake(&at, message, help);
    }

    /// A setting that this kind does not know is a misunderstanding, and with credentials those are expensive.
    fn unused(&mut self) {
        let raw = self.raw;
        let user = matches!(raw.kind, Raw::PerUser)
            || (raw.kind == Raw::TokenExchange && raw.subject == raw::CredentialSubject::Stored);
        let asserts =
            raw.kind == Raw::TokenExchange && raw.subject == raw::CredentialSubject::Assertion;
        let endpoint = raw.kind != Raw::Static;
        let wishes = matches!(raw.kind, Raw::TokenExchange | Raw::ClientCredentials);
        let signs = asserts || (endpoint && raw.client_auth == raw::ClientAuth::PrivateKeyJwt);
        for (key, written, used) in [
            ("value", raw.value.is_some(), raw.kind == Raw::Static),
            (
                "value_file",
                raw.value_file.is_some(),
                raw.kind == Raw::Static,
            ),
            ("provider", raw.provider.is_some(), user),
            ("token_url", raw.token_url.is_some(), endpoint),
            ("client_id", raw.client_id.is_some(), endpoint),
            ("client_secret", raw.client_secret.is_some(), endpoint),
            (
                "client_secret_file",
                raw.client_secret_file.is_some(),
                endpoint,
            ),
            ("key_file", raw.key_file.is_some(), signs),
            ("key_id", raw.key_id.is_some(), signs),
            ("issuer", raw.issuer.is_some(), asserts),
            ("audience", raw.audience.is_some(), wishes),
            ("resource", raw.resource.is_some(), wishes),
            ("scope", raw.scope.is_some(), wishes),
            ("ca_file", raw.ca_file.is_some(), endpoint),
        ] {
            if written && !used {
                let help = "remove it, or choose the kind that it belongs to";
                self.mistake(key, "means nothing for this kind of credential", help);
            }
        }
    }

    fn scheme(&mut self) -> Option<Option<String>> {
        match self.raw.scheme.as_str() {
            "auto" => Some(None),
            "none" => Some(Some(String::new())),
            word if HeaderName::from_bytes(word.as_bytes()).is_ok() => Some(Some(word.to_owned())),
            _ => {
                let help = "write `auto`, `none`, or a word such as `Token`";
                self.mistake("scheme", "is not one word", help);
                None
            }
        }
    }

    fn kind(&mut self) -> Option<CredentialKind> {
        Some(match self.raw.kind {
            Raw::Static => CredentialKind::Static(self.secret("value")?),
            Raw::PerUser => CredentialKind::PerUser(self.per_user(true)?),
            Raw::ClientCredentials => CredentialKind::ClientCredentials {
                endpoint: self.endpoint()?,
                wish: self.wish(),
            },
            Raw::TokenExchange => {
                let (endpoint, subject) = (self.endpoint(), self.subject());
                CredentialKind::TokenExchange {
                    endpoint: endpoint?,
                    subject: subject?,
                    wish: self.wish(),
                }
            }
        })
    }

    fn subject(&mut self) -> Option<CredentialSubject> {
        match self.raw.subject {
            raw::CredentialSubject::Stored => self.per_user(false).map(CredentialSubject::Stored),
            raw::CredentialSubject::Assertion => Some(CredentialSubject::Assertion {
                issuer: self.raw.issuer.clone(),
                key: self.key()?,
            }),
        }
    }

    fn per_user(&mut self, renews: bool) -> Option<PerUser> {
        let renewal = match self.raw.token_url {
            Some(_) if renews => Some(self.endpoint()?),
            _ => None,
        };
        let Some(provider) = &self.raw.provider else {
            let help = "such as `clickup`: users' credentials are kept under its name";
            self.mistake("provider", "is missing", help);
            return None;
        };
        let at = format!("{}.provider", self.at);
        super::routes::name(&at, provider, &mut Default::default(), self.review);
        Some(PerUser {
            provider: provider.clone(),
            renewal,
        })
    }

    fn wish(&self) -> Wish {
        Wish {
            audience: self.raw.audience.clone(),
            resource: self.raw.resource.clone(),
            scope: self.raw.scope.clone(),
        }
    }

    fn endpoint(&mut self) -> Option<TokenEndpoint> {
        let url = self.url();
        let client_id = self.raw.client_id.clone();
        if client_id.is_none() {
            let help = "it is the name that the token endpoint knows the gateway by";
            self.mistake("client_id", "is missing", help);
        }
        let client_auth = self.client_auth();
        let ca_file = self
            .raw
            .ca_file
            .as_ref()
            .map(|name| self.review.existing(&format!("{}.ca_file", self.at), name));
        Some(TokenEndpoint {
            url: url?,
            client_id: client_id?,
            client_auth: client_auth?,
            ca_file,
            timeout: self.raw.timeout.0,
        })
    }

    fn client_auth(&mut self) -> Option<ClientAuth> {
        Some(match self.raw.client_auth {
            raw::ClientAuth::None => ClientAuth::None,
            raw::ClientAuth::ClientSecretBasic => ClientAuth::Basic(self.secret("client_secret")?),
            raw::ClientAuth::ClientSecretPost => ClientAuth::Post(self.secret("client_secret")?),
            raw::ClientAuth::PrivateKeyJwt => ClientAuth::Signed(self.key()?),
        })
    }

    /// Secrets and users' tokens are sent there, and what it answers is believed.
    fn url(&mut self) -> Option<Url> {
        let Some(text) = &self.raw.token_url else {
            let help = "write the address of the token endpoint";
            self.mistake("token_url", "is missing", help);
            return None;
        };
        match urls::web(text) {
            Err(error) => self.mistake("token_url", error.to_string(), error.help()),
            Ok(url) if urls::exposed(&url) => {
                let help = "secrets are sent there, and what it answers is believed";
                self.mistake("token_url", "must be https", help);
            }
            Ok(url) => return Some(url),
        }
        None
    }

    fn key(&mut self) -> Option<SigningKey> {
        let Some(name) = &self.raw.key_file else {
            let help = "name a PEM file with a private key";
            self.mistake("key_file", "is missing", help);
            return None;
        };
        let at = format!("{}.key_file", self.at);
        let file = self.review.existing(&at, name);
        self.review.secret_files.push((at, file.clone()));
        Some(SigningKey {
            file,
            id: self.raw.key_id.clone(),
        })
    }

    fn secret(&mut self, key: &str) -> Option<Secret<String>> {
        let (literal, file): (&Option<Literal>, _) = match key {
            "value" => (&self.raw.value, &self.raw.value_file),
            _ => (&self.raw.client_secret, &self.raw.client_secret_file),
        };
        let at = format!("{}.{key}", self.at);
        let secret = match (literal, file) {
            (Some(Literal(text)), None) => text.clone(),
            (None, Some(name)) => {
                let at = format!("{at}_file");
                self.review.secret_file(&at, name)?
            }
            (None, None) => {
                self.mistake(key, "is missing", format!("write {key} or {key}_file"));
                return None;
            }
            (Some(_), Some(_)) => {
                let both = format!("`{key}` is written as well");
                self.mistake(&format!("{key}_file"), both, "keep one of the two");
                return None;
            }
        };
        let plain = |byte: u8| byte.is_ascii_graphic();
        if secret.expose().is_empty() || !secret.expose().bytes().all(plain) {
            self.mistake(
                key,
                "is not one word of visible characters",
                "write the secret alone; what stands before it is `scheme`",
            );
            return None;
        }
        Some(secret)
    }
}
