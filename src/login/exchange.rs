//! Our side of the authorization code flow, by the `oauth2` library over our own bounded fetcher: where the browser is
//! sent, and the code that it brings back exchanged for tokens. A missing lifetime stays missing (C26).

use std::future::Future;
use std::pin::Pin;

use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{HeaderMap, StatusCode};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, Scope, StandardRevocableToken, TokenUrl,
};
use serde_json::Value;
use url::Url;

use super::tokens::{Answer, Granted, granted, refusal};
use crate::clock::Timestamp;
use crate::fetch::{Address, Ask, FetchError, Fetcher};
use crate::secret::Secret;

/// Why a provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no whole answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer other than the one that must be.
    #[error("the answer of `{0}` cannot be read")]
    Unreadable(String),
    /// The provider's description of itself cannot be used.
    #[error("the metadata of the provider cannot be used: {0}")]
    Metadata(&'static str),
    /// The keys that the provider signs with cannot be had.
    #[error(transparent)]
    Keys(#[from] crate::auth::discovery::JwksError),
    /// Our client id or secret is not the provider's (R423, R440).
    #[error("the provider does not know us")]
    Client,
    /// The redirect address is not registered at the provider (R424).
    #[error("our redirect address is not registered at the provider")]
    Redirect,
    /// The code or refresh token is not good, or no longer.
    #[error("the provider does not accept the grant")]
    Grant,
    /// Any other refusal.
    #[error("the provider refused")]
    Refused,
}

impl ExchangeError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::TimedOut(_)) => "provider_timeout",
            Self::Fetch(_) => "provider_unreachable",
            Self::Unreadable(_) => "provider_unreadable",
            Self::Metadata(_) => "provider_metadata",
            Self::Keys(_) => "provider_keys",
            Self::Client => "invalid_client",
            Self::Redirect => "redirect_mismatch",
            Self::Grant => "invalid_grant",
            Self::Refused => "provider_refused",
        }
    }

    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::TimedOut(_)) => "network_timeout",
            Self::Client => "invalid_client",
            Self::Redirect => "invalid_request",
            Self::Grant => "invalid_grant",
            _ => "provider_error",
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Fetch(FetchError::TimedOut(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Grant => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    pub(super) const fn message(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::TimedOut(_)) => "Request timed out",
            Self::Fetch(_) => "The login provider cannot be reached",
            Self::Client => "Client authentication failed",
            Self::Redirect => "The redirect address is not registered at the login provider",
            Self::Grant => "The login provider does not accept the code",
            Self::Refused => "The login provider refused",
            Self::Unreadable(_) | Self::Metadata(_) | Self::Keys(_) => {
                "The login provider's answer cannot be read"
            }
        }
    }

    pub(super) const fn is_flat(&self) -> bool {
        matches!(self, Self::Client | Self::Redirect | Self::Grant)
    }
}

/// What a browser carries to the provider.
pub(super) struct Departure<'a> {
    pub(super) state: &'a str,
    pub(super) scopes: &'a [String],
    /// The PKCE verifier, where the provider knows PKCE.
    pub(super) verifier: Option<&'a str>,
    pub(super) extra: &'a [(&'static str, &'a str)],
}

/// Us, as one provider knows us.
pub(super) struct Party {
    client_id: String,
    client_secret: Option<Secret<String>>,
    redirect_uri: String,
    pub(super) fetcher: Fetcher,
}

type Client<Auth, Token> = oauth2::Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Token,
>;

impl Party {
    pub(super) const fn new(
        client_id: String,
        client_secret: Option<Secret<String>>,
        redirect_uri: String,
        fetcher: Fetcher,
    ) -> Self {
        Self {
            client_id,
            client_secret,
            redirect_uri,
            fetcher,
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where the browser is sent (R341-R345).
    pub(super) fn authorize(
        &self,
        page: &Address,
        departure: &Departure<'_>,
    ) -> Result<Url, ExchangeError> {
        let client = self
            .client()?
            .set_auth_uri(AuthUrl::from_url(page.url().clone()));
        let state = departure.state.to_owned();
        let mut request = client.authorize_url(|| CsrfToken::new(state));
        for scope in departure.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if let Some(verifier) = departure.verifier {
            let verifier = PkceCodeVerifier::new(verifier.to_owned());
            let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
            request = request.set_pkce_challenge(challenge);
        }
        for (name, value) in departure.extra {
            request = request.add_extra_param(*name, (*value).to_owned());
        }
        Ok(request.url().0)
    }

    /// The code for tokens (R357-R365).
    pub(super) async fn exchange(
        &self,
        endpoint: &Address,
        style: AuthType,
        code: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<Granted, ExchangeError> {
        let client = self.for_tokens(endpoint, style)?;
        let mut request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        if let Some(verifier) = verifier {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()));
        }
        let http = self.http();
        let answer = request.request_async(&http).await;
        granted(answer.map_err(|error| refusal(error, endpoint))?, now)
    }

    /// A refresh token for new tokens (R414).
    pub(super) async fn renew(
        &self,
        endpoint: &Address,
        style: AuthType,
        refresh_token: &Secret<String>,
        now: Timestamp,
    ) -> Result<Granted, ExchangeError> {
        let client = self.for_tokens(endpoint, style)?;
        let token = RefreshToken::new(refresh_token.expose().clone());
        let http = self.http();
        let answer = client.exchange_refresh_token(&token).request_async(&http);
        granted(answer.await.map_err(|error| refusal(error, endpoint))?, now)
    }

    /// A JSON document of the provider's API.
    pub(super) async fn read(
        &self,
        address: &Address,
        authorization: &str,
        accept: &'static str,
    ) -> Result<Value, ExchangeError> {
        let unreadable = || ExchangeError::Unreadable(address.to_string());
        let mut line = HeaderValue::from_str(authorization).map_err(|_| unreadable())?;
        line.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, line);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let ask = Ask {
            headers,
            ..Ask::get()
        };
        let answered = self.fetcher.ask(address, ask).await?;
        match answered.status {
            StatusCode::OK => serde_json::from_slice(&answered.body).map_err(|_| unreadable()),
            StatusCode::UNAUTHORIZED => Err(ExchangeError::Grant),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(ExchangeError::Refused),
            _ => Err(unreadable()),
        }
    }

    fn client(&self) -> Result<Client<EndpointNotSet, EndpointNotSet>, ExchangeError> {
        let redirect =
            RedirectUrl::new(self.redirect_uri.clone()).map_err(|_| ExchangeError::Redirect)?;
        let client = Client::new(ClientId::new(self.client_id.clone())).set_redirect_uri(redirect);
        Ok(match &self.client_secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().clone())),
            None => client,
        })
    }

    fn for_tokens(
        &self,
        endpoint: &Address,
        style: AuthType,
    ) -> Result<Client<EndpointNotSet, EndpointSet>, ExchangeError> {
        let endpoint = TokenUrl::from_url(endpoint.url().clone());
        Ok(self.client()?.set_auth_type(style).set_token_uri(endpoint))
    }

    /// How the library sends requests: bounded like all others of ours.
    fn http(&self) -> impl Fn(HttpRequest) -> Sent + use<> {
        let fetcher = self.fetcher.clone();
        move |request| Box::pin(send(fetcher.clone(), request))
    }
}

/// A request under way.
type Sent = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send>>;

async fn send(fetcher: Fetcher, request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let (mut head, body) = request.into_parts();
    let address = Address::parse(&head.uri.to_string())?;
    head.headers
        .insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let ask = Ask {
        method: head.method,
        headers: head.headers,
        body: body.into(),
    };
    let answered = fetcher.ask(&address, ask).await?;
    let mut response = HttpResponse::new(answered.body.into());
    *response.status_mut() = answered.status;
    *response.headers_mut() = answered.headers;
    Ok(response)
}

/// GitHub answers nobody who does not name himself.
const AGENT: &str = "sallygate";
