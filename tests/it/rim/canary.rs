//! The sweep: secrets, visibly fake, in every place where secrets travel, through every way a request can end, with the log
//! turned up as far as it goes. Afterwards no nine characters of any of them may be anywhere that outlives the request, or
//! in any answer. Runs the binary, because the log belongs to the process.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use sallygate::auth::{Grant, Mint, ResourceId};
use sallygate::clock::Clock;
use sallygate::config::{self, Environment};
use sallygate::gateway;
use serde_json::{Value, json};

use crate::harness::client::{Client, Http, Reply};
use crate::harness::mcp::{Mcp, set};
use crate::harness::process::{Program, sallygate};
use crate::harness::upstream::{Answer, FakeUpstream};
use crate::harness::{audit, raw, tokens};

const KEY: &str = "CanaryNotReal1uVwXyZ01q2w3e4r5t6yAbCdEf";
const OTHER_KEY: &[u8] = b"CanaryNotReal9OoPpAaSsDdFf22GgHhJjKkLl";
const UPSTREAM_KEY: &str = "CanaryNotReal2QqWwEeRrTt99ZzPpLm";
const ARGUMENT: &str = "CanaryNotReal3ZzXxCcVv77BbNnMmKk";
const COOKIE: &str = "CanaryNotReal4AaSsDdFfGg55HhJjKk";
const QUERY: &str = "CanaryNotReal5PpOoIiUuYy33TtRrEe";
const BASIC: &str = "CanaryNotReal6LlKkJjHhGg11FfDdSs";
const INSIDE: &str = "CanaryNotReal7NnMmBbVvCc88XxZzAa";
const SESSION: &str = "CanaryNotReal8QaWsEdRfTg66YhUjIk";
/// Agents are recorded, with what looks like a credential taken out.
const AGENT: &str = "ghp_CanaryNotReal0GgTtRrFfVvBbHhYy44";

/// Every nine characters of all secrets, in any case.
struct Canaries {
    parts: HashSet<Vec<u8>>,
    /// How a part may begin: most of what is searched is passed over by a look in here.
    begins: Vec<bool>,
}

fn begin(part: &[u8]) -> usize {
    usize::from(part[0]) << 8 | usize::from(part[1])
}

impl Canaries {
    fn of(secrets: &[&str]) -> Self {
        let lower: Vec<_> = secrets.iter().map(|secret| secret.to_lowercase()).collect();
        let parts = lower.iter().flat_map(|secret| secret.as_bytes().windows(9));
        let parts: HashSet<_> = parts.map(<[u8]>::to_vec).collect();
        let mut begins = vec![false; 1 << 16];
        for part in &parts {
            begins[begin(part)] = true;
        }
        Self { parts, begins }
    }

    fn sing_nowhere_in(&self, place: &str, bytes: &[u8]) {
        let lower = bytes.to_ascii_lowercase();
        for (at, part) in lower.windows(9).enumerate() {
            if self.begins[begin(part)] && self.parts.contains(part) {
                let around = &bytes[at.saturating_sub(120)..(at + 60).min(bytes.len())];
                panic!("a secret in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

struct Stage {
    program: Program,
    folder: tempfile::TempDir,
    upstream: FakeUpstream,
    client: [Client; 2],
    url: String,
    address: std::net::SocketAddr,
    ops: String,
    /// Good, expired, forged.
    tokens: [String; 3],
    answers: Vec<Reply>,
}

impl Stage {
    async fn set(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = FakeUpstream::start().await;
        let port = super::free_port();
        let file = folder.path().join("sallygate.yaml");
        fs::write(folder.path().join("signing.key"), KEY).unwrap();
        fs::write(&file, yaml(port, &upstream.url(), format)).unwrap();
        let env = [("API_KEY", UPSTREAM_KEY)];
        let mut command = sallygate(folder.path(), &["run", "--config", "sallygate.yaml"], &env);
        let mut program = Program::start(&folder.path().join("said"), &mut command);
        let said = program.logged("serving").await;
        let ops = said.split("ops").nth(1).unwrap();
        let ops = ops.trim_start_matches(['=', '"', ':', ' ']);
        let end = ops.find(['"', ' ', '\n', ',']).unwrap();
        let ca = folder.path().join("state/ca.pem");
        let client = [Http::One, Http::Two].map(|http| Client::trusting(&ca, http));
        Self {
            ops: format!("http://{}/metrics", &ops[..end]),
            url: format!("https://127.0.0.1:{port}/mcp"),
            address: ([127, 0, 0, 1], port).into(),
            tokens: tokens_for(&file),
            program,
            folder,
            upstream,
            client,
            answers: Vec::new(),
        }
    }

    fn caller(&self, http: usize, token: usize) -> Mcp {
        Mcp::at(&self.client[http], &self.url).with_token(&self.tokens[token])
    }

    /// One call that carries every secret that a caller can carry.
    async fn call(&mut self, http: usize, token: usize, tool: &str) {
        let caller = self.caller(http, token);
        let arguments =
            json!({"password": ARGUMENT, "text": ARGUMENT, "deep": [{"api_key": ARGUMENT}]});
        let params = json!({"name": tool, "arguments": arguments});
        let mut draft = caller.modern_draft("tools/call", params);
        set(&mut draft, "cookie", &format!("sid={COOKIE}"));
        set(&mut draft, "user-agent", &format!("probe/1 {AGENT}"));
        set(&mut draft, "x-api-key", ARGUMENT);
        *draft.uri_mut() = format!("{}?code={QUERY}", self.url).parse().unwrap();
        self.answers.push(caller.send(draft).await);
    }

    /// Every way that a request can end.
    async fn drive(&mut self) {
        let upstream = [
            Answer::json(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})),
            Answer::bytes(INSIDE).with_status(500),
            Answer::status(401).header("www-authenticate", &format!("Bearer realm=\"{INSIDE}\"")),
            Answer::redirect(&format!("https://elsewhere.test/?{INSIDE}")),
            Answer::bytes(format!("{{\"jsonrpc\": {INSIDE}")).header("content-encoding", "gzip"),
            Answer::json(&json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}))
                .header("set-cookie", &format!("sid={INSIDE}"))
                .header("x-internal", INSIDE),
        ];
        let count = upstream.len();
        for answer in upstream {
            self.upstream.will(answer);
        }
        for n in 0..count {
            self.call(n % 2, 0, "echo").await;
        }
        assert_eq!(self.upstream.seen().len(), count);
        for http in 0..2 {
            self.call(http, 0, "forbidden").await;
            self.call(http, 1, "echo").await;
            self.call(http, 2, "echo").await;
            self.odd(http).await;
        }
        self.session().await;
        self.raw().await;
    }

    async fn odd(&mut self, http: usize) {
        let good = self.caller(http, 0);
        let draft = || {
            good.modern_draft(
                "tools/call",
                json!({"name": "echo", "arguments": {"text": ARGUMENT}}),
            )
        };
        let mut drafts = Vec::new();
        for (name, value) in [
            (
                "origin",
                format!("https://{}.test", ARGUMENT.to_lowercase()),
            ),
            ("content-type", format!("text/{ARGUMENT}")),
            ("content-encoding", ARGUMENT.into()),
            ("mcp-name", ARGUMENT.into()),
            ("mcp-method", ARGUMENT.into()),
            ("authorization", format!("Basic {BASIC}")),
            ("authorization", format!("Bearer {BASIC}")),
            ("authorization", BASIC.into()),
        ] {
            let mut draft = draft();
            set(&mut draft, name, &value);
            drafts.push(draft);
        }
        for body in [
            format!("{{\"jsonrpc\": \"2.0\", \"{ARGUMENT}"),
            format!("[\"{ARGUMENT}\"]"),
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7,\"params\":{{\"a\":\"{ARGUMENT}\"}}}}"
            ),
        ] {
            let mut draft = draft();
            *draft.body_mut() = Full::new(Bytes::from(body));
            drafts.push(draft);
        }
        for path in [
            format!("?access_token={}", self.tokens[0]),
            format!("/{}", self.tokens[0]),
            format!("/x?key={QUERY}"),
        ] {
            let mut draft = draft();
            *draft.uri_mut() = format!("{}{path}", self.url).parse().unwrap();
            drafts.push(draft);
        }
        let mut twice = draft();
        let second = format!("Bearer {}", self.tokens[1]).parse().unwrap();
        twice.headers_mut().append("authorization", second);
        drafts.push(twice);
        for draft in drafts {
            self.answers.push(good.send(draft).await);
        }
    }

    /// A session of the upstream, and one that nobody opened.
    async fn session(&mut self) {
        let result = json!({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": "2025-11-25",
            "capabilities": {}, "serverInfo": {"name": "x", "version": "0"}}});
        self.upstream
            .will(Answer::json(&result).header("mcp-session-id", SESSION))
            .will(Answer::status(202))
            .will(Answer::status(200));
        let mut caller = self.caller(0, 0);
        let opened = caller.initialize().await;
        self.answers.push(opened);
        let ended = caller.send(caller.legacy_bare(Method::DELETE)).await;
        self.answers.push(ended);
        let foreign = self.caller(0, 0).in_session(SESSION);
        let refused = foreign.legacy("tools/list", json!({})).await;
        assert_eq!(refused.status, 404);
        self.answers.push(refused);
    }

    /// What never becomes a request.
    async fn raw(&self) {
        let ca = self.folder.path().join("state/ca.pem");
        let token = &self.tokens[0];
        for bytes in [
            format!("POST /mcp HTTP/1.1\r\nAuthorization : Bearer {token}\r\n\r\n"),
            format!("POST /mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\n folded\r\n\r\n"),
            format!("{token} / HTTP/1.1\r\nCookie: {COOKIE}\r\nConnection: close\r\n\r\n"),
        ] {
            let mut connection = raw::Connection::open_tls(self.address, &ca).await;
            connection.send(&bytes).await;
            let said = connection.rest().await;
            let secrets = Canaries::of(&[token, COOKIE]);
            secrets.sing_nowhere_in("an answer to odd bytes", &said);
        }
    }
}

fn yaml(port: u16, upstream: &str, format: &str) -> String {
    format!(
        "listen: {{ address: \"127.0.0.1:{port}\" }}
metrics: {{ address: \"127.0.0.1:0\" }}
state_dir: state
logs: {{ level: trace, format: {format} }}
auth: {{ keys: [ {{ kid: proof, secret_file: signing.key }} ] }}
quotas: {{ tiers: {{ free: {{ per_minute: 100000 }} }} }}
policy: {{ tools: {{ disabled: [forbidden] }} }}
upstream:
  url: {upstream}
  headers: {{ X-Api-Key: \"${{API_KEY}}\" }}
"
    )
}

fn tokens_for(file: &Path) -> [String; 3] {
    let env: Environment = [("API_KEY", UPSTREAM_KEY)].into_iter().collect();
    let (config, _) = config::load(file, &env).unwrap();
    let resource = ResourceId::parse(&config.routes[0].resource).unwrap();
    let grant = Grant {
        user: "alice".into(),
        team: "team-1".into(),
        tier: "free".into(),
        email: None,
        scopes: vec!["mcp:read".into()],
        audiences: vec![resource.clone()],
        ..Grant::default()
    };
    let mint = Mint::new(&gateway::own_tokens(&config).unwrap(), Clock::system()).unwrap();
    let good = mint.mint(&grant).unwrap().token.expose().clone();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "proof"});
    let claims: Value = json!({"iss": config.auth.issuer, "sub": "user_alice", "aud": resource.as_str(),
        "exp": 1_700_000_000, "iat": 1_699_990_000, "jti": "j", "team_id": "1", "tier": "free"});
    let expired = tokens::signed(&header, &claims, KEY.as_bytes());
    [good, expired, tokens::signed(&header, &claims, OTHER_KEY)]
}

async fn sweep(format: &str) {
    let mut stage = Stage::set(format).await;
    stage.drive().await;
    let metrics = Client::plain().get(&stage.ops).await;
    stage.program.terminate();
    assert_eq!(stage.program.ended().await.code(), Some(0));

    // The secrets were really there, and there is really something to search.
    let seen = stage.upstream.seen();
    assert!(seen.iter().all(|seen| seen.mentions(UPSTREAM_KEY)));
    assert!(seen[0].mentions(ARGUMENT));
    assert!(!seen.iter().any(|seen| seen.mentions(&stage.tokens[0])));
    assert!(stage.answers.len() > 40, "{}", stage.answers.len());
    let log = stage.program.err();
    assert!(
        log.contains("TRACE") && log.matches("refused").count() > 20,
        "{}",
        log.len()
    );

    let [good, expired, forged] = &stage.tokens;
    let other = std::str::from_utf8(OTHER_KEY).unwrap();
    let canaries = Canaries::of(&[
        good,
        expired,
        forged,
        KEY,
        other,
        UPSTREAM_KEY,
        ARGUMENT,
        COOKIE,
        QUERY,
        BASIC,
        INSIDE,
        SESSION,
        AGENT,
    ]);
    canaries.sing_nowhere_in("the log", log.as_bytes());
    canaries.sing_nowhere_in("standard output", stage.program.out().as_bytes());
    canaries.sing_nowhere_in("the metrics", metrics.text().as_bytes());
    let trail = stage.folder.path().join("state/audit-logs");
    let lines = audit::lines(&trail);
    assert!(lines.len() >= stage.answers.len(), "{}", lines.len());
    for file in audit::files(&trail) {
        canaries.sing_nowhere_in(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    for answer in &stage.answers {
        let mut text = String::new();
        for (name, value) in &answer.headers {
            // Sealed session ids are the one secret that is meant for the caller.
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        text.push_str(answer.text());
        canaries.sing_nowhere_in("an answer", text.as_bytes());
    }
}

#[tokio::test]
async fn r004_r005_r124_r401_r448_r508_r633_no_secret_is_left_anywhere_with_logs_as_json() {
    sweep("json").await;
}

#[tokio::test]
async fn r004_r005_r124_r401_r448_r508_r633_no_secret_is_left_anywhere_with_logs_as_text() {
    sweep("text").await;
}
