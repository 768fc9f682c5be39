//! From `upstream.credential` to what shows it.

use crate::config::{self, Config};
use crate::upstream::credential::{
    ClientAuth, EndpointSettings, Form, KeySettings, Kind, PerUser, Scheme, Settings, Subject, Wish,
};

/// What an upstream is shown, where anything is.
pub(crate) fn settings(config: &Config, given: &config::Upstream) -> Option<Settings> {
    let given = given.credential.as_ref()?;
    let kind = match &given.kind {
        config::CredentialKind::Static(value) => Kind::Static(value.clone()),
        config::CredentialKind::PerUser(one) => Kind::PerUser(per_user(config, one)),
        config::CredentialKind::TokenExchange {
            endpoint: at,
            subject: by,
            wish: what,
        } => Kind::Exchange {
            endpoint: endpoint(config, at),
            subject: subject(config, by),
            wish: wish(what),
        },
        config::CredentialKind::ClientCredentials {
            endpoint: at,
            wish: what,
        } => Kind::ClientCredentials {
            endpoint: endpoint(config, at),
            wish: wish(what),
        },
    };
    let scheme = match given.scheme.as_deref() {
        None => Scheme::Auto,
        Some("") => Scheme::Bare,
        Some(word) => Scheme::Word(word.to_owned()),
    };
    Some(Settings {
        form: Form {
            header: given.header.clone(),
            scheme,
        },
        ..Settings::new(kind)
    })
}

fn per_user(config: &Config, given: &config::PerUser) -> PerUser {
    let base = config.listen.public_url.trim_end_matches('/');
    PerUser {
        provider: given.provider.clone(),
        sign_in: Some(format!("{base}/auth/login?provider={}", given.provider)),
        renewal: given.renewal.as_ref().map(|one| endpoint(config, one)),
    }
}

fn subject(config: &Config, given: &config::CredentialSubject) -> Subject {
    match given {
        config::CredentialSubject::Stored(one) => Subject::Stored(per_user(config, one)),
        config::CredentialSubject::Assertion { issuer, key } => Subject::Asserted {
            issuer: issuer
                .clone()
                .unwrap_or_else(|| config.listen.public_url.clone()),
            key: signing(key),
        },
    }
}

fn endpoint(config: &Config, given: &config::TokenEndpoint) -> EndpointSettings {
    let client_auth = match &given.client_auth {
        config::ClientAuth::None => ClientAuth::None,
        config::ClientAuth::Basic(secret) => ClientAuth::Basic(secret.clone()),
        config::ClientAuth::Post(secret) => ClientAuth::Post(secret.clone()),
        config::ClientAuth::Signed(key) => ClientAuth::Signed(signing(key)),
    };
    EndpointSettings {
        ca_file: given.ca_file.clone(),
        extra_ca_file: config.extra_ca_file.clone(),
        timeout: given.timeout,
        ..EndpointSettings::new(given.url.as_str(), &given.client_id, client_auth)
    }
}

fn signing(given: &config::SigningKey) -> KeySettings {
    KeySettings {
        file: given.file.clone(),
        id: given.id.clone(),
    }
}

fn wish(given: &config::Wish) -> Wish {
    Wish {
        audience: given.audience.clone(),
        resource: given.resource.clone(),
        scope: given.scope.clone(),
    }
}
