//! What the authorization server says about itself (RFC 8414 section 2), also where older clients look for it (OpenID Connect
//! Discovery). Only what is true: there are no ID tokens here, and the members about them are empty lists, which readers of the
//! OpenID form insist on.

use http::StatusCode;
use serde::Serialize;

use super::Server;
use crate::routes;
use crate::web::Reply;

/// The document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    scopes_supported: Vec<&'a str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 3],
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 5],
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
    client_id_metadata_document_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    claims_parameter_supported: bool,
    prompt_values_supported: [&'static str; 4],
    protected_resources: Vec<&'a str>,
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 0],
}

/// How clients prove who they are.
const METHODS: [&str; 4] = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];
/// With what they sign.
const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

impl Server {
    /// Whether a path is one of the metadata's.
    pub(super) fn is_metadata(&self, path: &str) -> bool {
        let suffix = path
            .strip_prefix(routes::SERVER_METADATA)
            .or_else(|| path.strip_prefix(routes::OPENID_METADATA))
            .or_else(|| path.strip_suffix(routes::OPENID_METADATA));
        suffix.is_some_and(|suffix| {
            let of_route = |resource: &super::Resource| resource.id.path() == suffix;
            suffix.is_empty() || self.resources.iter().any(of_route)
        })
    }

    /// The document.
    pub(super) fn metadata(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.settings.public_url);
        let [_, provable @ ..] = METHODS;
        let document = Document {
            issuer: &self.settings.issuer,
            authorization_endpoint: at(routes::oauth::AUTHORIZE),
            token_endpoint: at(routes::oauth::TOKEN),
            registration_endpoint: self
                .clients
                .registration()
                .map(|_| at(routes::oauth::REGISTER)),
            revocation_endpoint: at(routes::oauth::REVOKE),
            introspection_endpoint: at(routes::oauth::INTROSPECT),
            jwks_uri: at(routes::oauth::JWKS),
            scopes_supported: self.scopes.names(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token", "client_credentials"],
            token_endpoint_auth_methods_supported: METHODS,
            token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
            revocation_endpoint_auth_methods_supported: METHODS,
            introspection_endpoint_auth_methods_supported: provable,
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: self.clients.documents().is_some(),
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            claims_parameter_supported: false,
            prompt_values_supported: ["none", "login", "consent", "select_account"],
            protected_resources: self
                .resources
                .iter()
                .map(|resource| resource.id.as_str())
                .collect(),
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [],
        };
        Reply::json(StatusCode::OK, &document)
    }

    /// Our public keys. There are none: our tokens are signed with a secret of ours, and only we verify them (C03).
    pub(super) fn jwks() -> Reply {
        let document = serde_json::json!({ "keys": [] });
        Reply::json(StatusCode::OK, &document)
    }
}
