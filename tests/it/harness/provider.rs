//! A ClickUp that signs in whoever a test names: its login page sends the browser straight back with a code, its token
//! endpoint and its API answer in the shapes of the real one (`access_token` without an expiry, `ECODE`s, workspaces).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The `client_id` under which it knows the gateway.
pub(crate) const CLIENT_ID: &str = "clickup-client";
/// The secret that belongs to it.
pub(crate) const CLIENT_SECRET: &str = "canary-not-a-real-clickup-client-secret";
/// What every token that it gives out begins with.
pub(crate) const TOKEN: &str = "canary_not_a_real_clickup_token_";

/// A running ClickUp. It ends with the value.
pub(crate) struct FakeClickUp {
    /// Where it is.
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Who sits in front of the browser.
    user: u64,
    teams: Vec<(String, String)>,
    codes: BTreeMap<String, u64>,
    issued: u64,
    denies: bool,
    token_answer: Option<(StatusCode, Value)>,
}

impl FakeClickUp {
    /// One at which user 12345 of workspace 67890 is signed in.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            user: 12345,
            teams: vec![("67890".into(), "Acme".into())],
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// The login section of a configuration with this provider.
    pub(crate) fn settings(&self) -> String {
        self.settings_named("clickup")
    }

    /// The same under another name.
    pub(crate) fn settings_named(&self, name: &str) -> String {
        let base = format!("http://{}", self.address);
        format!(
            "{{ name: {name}, kind: clickup, client_id: {CLIENT_ID}, client_secret: {CLIENT_SECRET}, \
             authorize_url: \"{base}/authorize\", token_url: \"{base}/api/v2/oauth/token\", api_url: \"{base}/api\" }}"
        )
    }

    /// Somebody else sits down in front of the browser.
    pub(crate) fn sign_in(&self, user: u64) {
        self.state.lock().unwrap().user = user;
    }

    /// From now on its user says no.
    pub(crate) fn deny(&self) {
        self.state.lock().unwrap().denies = true;
    }

    /// What its token endpoint answers from now on, whatever it is asked.
    pub(crate) fn answer_tokens_with(&self, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).unwrap();
        self.state.lock().unwrap().token_answer = Some((status, body));
    }
}

impl Drop for FakeClickUp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let mut state = state.lock().unwrap();
    let bearer = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    Ok(match head.uri.path() {
        "/authorize" => authorize(&mut state, head.uri.query().unwrap_or_default()),
        "/api/v2/oauth/token" => token(&mut state, &body),
        "/api/v2/user" => api(bearer, |user| {
            json!({"user": {"id": user, "username": format!("User {user}"),
                "email": format!("user{user}@example.com"), "color": null, "profilePicture": null}})
        }),
        "/api/v2/team" => {
            let teams: Vec<_> = state
                .teams
                .iter()
                .map(
                    |(id, name)| json!({"id": id, "name": name, "color": "#000000", "members": []}),
                )
                .collect();
            api(bearer, |_| json!({"teams": teams}))
        }
        _ => json_answer(StatusCode::NOT_FOUND, &json!({"err": "Route not found"})),
    })
}

fn pairs(text: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn authorize(state: &mut State, query: &str) -> Response<Full<Bytes>> {
    let asked = pairs(query.as_bytes());
    let (Some(back), Some(nonce)) = (asked.get("redirect_uri"), asked.get("state")) else {
        return json_answer(StatusCode::BAD_REQUEST, &json!({"err": "redirect_uri"}));
    };
    let mut to = url::Url::parse(back).unwrap();
    if state.denies {
        to.query_pairs_mut().append_pair("error", "access_denied");
    } else {
        state.issued += 1;
        let code = format!("CODE{}", state.issued);
        let user = state.user;
        state.codes.insert(code.clone(), user);
        to.query_pairs_mut().append_pair("code", &code);
    }
    to.query_pairs_mut().append_pair("state", nonce);
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    response
        .headers_mut()
        .insert(LOCATION, to.as_str().parse().unwrap());
    response
}

fn token(state: &mut State, body: &[u8]) -> Response<Full<Bytes>> {
    if let Some((status, body)) = &state.token_answer {
        return json_answer(*status, body);
    }
    // The real one takes the three in the query, in a form and in JSON.
    let asked =
        serde_json::from_slice::<BTreeMap<String, String>>(body).unwrap_or_else(|_| pairs(body));
    let is = |name: &str, value: &str| asked.get(name).is_some_and(|found| found == value);
    if !is("client_id", CLIENT_ID) || !is("client_secret", CLIENT_SECRET) {
        let body = json!({"err": "Client not found", "ECODE": "OAUTH_010"});
        return json_answer(StatusCode::UNAUTHORIZED, &body);
    }
    match asked.get("code").and_then(|code| state.codes.remove(code)) {
        Some(user) => json_answer(
            StatusCode::OK,
            &json!({"access_token": format!("{TOKEN}{user}"), "token_type": "Bearer"}),
        ),
        None => json_answer(
            StatusCode::BAD_REQUEST,
            &json!({"err": "Code already used", "ECODE": "OAUTH_014"}),
        ),
    }
}

fn api(bearer: &str, body: impl FnOnce(u64) -> Value) -> Response<Full<Bytes>> {
    let token = bearer.strip_prefix("Bearer ").unwrap_or(bearer);
    match token.strip_prefix(TOKEN).and_then(|user| user.parse().ok()) {
        Some(user) => json_answer(StatusCode::OK, &body(user)),
        None => json_answer(
            StatusCode::UNAUTHORIZED,
            &json!({"err": "Token invalid", "ECODE": "OAUTH_025"}),
        ),
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().unwrap());
    response
}
