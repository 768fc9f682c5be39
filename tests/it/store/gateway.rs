//! A gateway over its store on disk, killed a hundred times while codes are exchanged and refresh tokens are renewed. What its
//! clients were answered stays true: no code is good twice, and every login goes on, as exactly one family of tokens.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use sallygate::random;
use serde_json::{Value, json};

use crate::attacks::town::{Fields, REDIRECT, VERIFIER, challenge, encoded, fields, of_query};
use crate::harness::audit;
use crate::harness::browser::{Arrived, Browser};
use crate::harness::client::{Client, Reply};
use crate::harness::gateway::PUBLIC;
use crate::harness::provider::{CLIENT_SECRET, TOKEN};
use crate::harness::station::{SIGNING, Station};

const KILLS: u8 = 100;
/// Logins that last, and are renewed without a pause.
const FAMILIES: usize = 3;
/// Codes that are exchanged before each kill.
const CODES: usize = 2;
const SEALING: &str = "99112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";

/// The honest client, as it reaches one process of the gateway.
#[derive(Clone)]
struct Visitor {
    client: Client,
    provider: String,
    id: String,
}

impl Visitor {
    /// From an address of its own, so that what it may do in a minute does not end with the test before it.
    fn new(station: &Station, round: u8, number: u8, id: &str) -> Self {
        Self {
            client: station.client(Ipv4Addr::new(127, 1, round, number + 1)),
            provider: format!("http://{}", station.clickup.address),
            id: id.to_owned(),
        }
    }

    async fn registered(&self) -> String {
        let body = json!({"client_name": "Honest", "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "none"});
        let request = Request::post(format!("{PUBLIC}/oauth/register"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let reply = self.client.send(request).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        reply.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// A code, by way of a login and of the consent page.
    async fn code(&self) -> String {
        let asked = fields(&[
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &challenge(VERIFIER)),
            ("code_challenge_method", "S256"),
            ("resource", &format!("{PUBLIC}/mcp")),
            ("scope", "mcp:read"),
        ]);
        let mut browser = Browser::new(self.client.clone(), &[PUBLIC, &self.provider]);
        let url = format!("{PUBLIC}/oauth/authorize?{}", encoded(&asked));
        let back = match browser.open(&url).await {
            Arrived::Left(back) => back,
            Arrived::At(at, page) => browser.press(&at, &page, "allow").await.outside(),
        };
        of_query(&back, "code").unwrap_or_else(|| panic!("no code in {back}"))
    }

    /// The answer to a code, if it arrives.
    async fn exchange(&self, code: &str) -> Option<Answer> {
        self.token(&fields(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", &self.id),
            ("code_verifier", VERIFIER),
        ]))
        .await
    }

    /// The answer to a refresh token, if it arrives.
    async fn refresh(&self, token: &str) -> Option<Answer> {
        self.token(&fields(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", &self.id),
        ]))
        .await
    }

    async fn token(&self, form: &Fields) -> Option<Answer> {
        let request = Request::post(format!("{PUBLIC}/oauth/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(encoded(form))))
            .unwrap();
        self.client.answered(request).await.map(Answer::of)
    }

    /// The answer to a refresh token, which has to be good.
    async fn renewed(&self, token: &str) -> String {
        match self.refresh(token).await {
            Some(Answer::Token(token)) => token,
            other => panic!("a refresh token that has to be good: {other:?}"),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Answer {
    /// The refresh token of a good answer.
    Token(String),
    /// `invalid_grant`.
    Refused,
}

impl Answer {
    fn of(reply: Reply) -> Self {
        let body = reply.json();
        match (reply.status, body["error"].as_str()) {
            (StatusCode::OK, None) => Self::Token(body["refresh_token"].as_str().unwrap().into()),
            (StatusCode::BAD_REQUEST, Some("invalid_grant")) => Self::Refused,
            _ => panic!("{} {body}", reply.status),
        }
    }
}

/// A login that lasts, as its client knows it.
#[derive(Clone)]
struct Family {
    token: String,
    /// The token was sent, and no answer came.
    unanswered: bool,
    /// Answers that came.
    renewed: usize,
}

impl Family {
    /// Renews without a pause until the gateway is gone.
    async fn renew(mut self, visitor: Visitor) -> Self {
        self.unanswered = true;
        while let Some(answer) = visitor.refresh(&self.token).await {
            let Answer::Token(token) = answer else {
                panic!(
                    "a token that was answered was lost after {} renewals",
                    self.renewed
                );
            };
            self.token = token;
            self.renewed += 1;
        }
        self
    }

    /// Goes on at the next process: a token whose answer did not come leads to one successor, however often it is asked for.
    async fn go_on(&mut self, visitor: &Visitor) {
        let next = visitor.renewed(&self.token).await;
        if self.unanswered {
            assert_eq!(visitor.renewed(&self.token).await, next, "two families");
        }
        self.token = visitor.renewed(&next).await;
        self.unanswered = false;
    }
}

/// What became of codes, over all rounds.
#[derive(Debug, Default)]
struct Fates {
    answered: usize,
    /// No answer, and the code was still good afterwards.
    untouched: usize,
    /// No answer, and the code was spent.
    spent: usize,
}

impl Fates {
    /// Holds a code against what is true of every code: it is good once, and coming again it ends what it was good for.
    async fn settle(&mut self, visitor: &Visitor, code: &str, answer: Option<Answer>) {
        let token = match (answer, visitor.exchange(code).await) {
            (Some(Answer::Token(token)), Some(Answer::Refused)) => {
                self.answered += 1;
                Some(token)
            }
            (None, Some(Answer::Token(token))) => {
                self.untouched += 1;
                let next = visitor.renewed(&token).await;
                assert_eq!(
                    visitor.exchange(code).await,
                    Some(Answer::Refused),
                    "a code was good twice"
                );
                Some(next)
            }
            (None, Some(Answer::Refused)) => {
                self.spent += 1;
                assert_eq!(visitor.exchange(code).await, Some(Answer::Refused));
                None
            }
            other => panic!("a code: {other:?}"),
        };
        if let Some(token) = token {
            let ended = visitor.refresh(&token).await;
            assert_eq!(
                ended,
                Some(Answer::Refused),
                "a code came again and ended nothing"
            );
        }
    }
}

/// What is told of secrets to whoever reads folders.
#[derive(Default)]
struct Planted(Vec<String>);

impl Planted {
    fn add<'a>(&mut self, secrets: impl IntoIterator<Item = &'a String>) {
        self.0.extend(secrets.into_iter().cloned());
    }

    fn is_nowhere(&self, folders: &[std::path::PathBuf]) {
        assert!(self.0.len() > 50, "too little was planted");
        for secret in &self.0 {
            // The end of a token gives it away as well as the whole.
            let part = &secret[secret.len().saturating_sub(20)..];
            for folder in folders {
                let found = audit::files_with(folder, part);
                assert!(found.is_empty(), "{part} in {found:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c20_killed_a_hundred_times_no_code_is_good_twice_and_no_login_is_lost() {
    let mut station = Station::new(&[("ENCRYPTION_KEY", SEALING), ("LOG_LEVEL", "debug")]).await;
    station.start().await;
    let id = Visitor::new(&station, 0, 0, "").registered().await;
    let first = Visitor::new(&station, 0, 1, &id);
    let mut families = Vec::new();
    for _ in 0..FAMILIES {
        let Some(Answer::Token(token)) = first.exchange(&first.code().await).await else {
            panic!("no token");
        };
        let (unanswered, renewed) = (false, 0);
        families.push(Family {
            token,
            unanswered,
            renewed,
        });
    }
    let (mut fates, mut planted) = (Fates::default(), Planted::default());
    for round in 1..=KILLS {
        let visitor = Visitor::new(&station, round, 1, &id);
        let codes = join_all((0..CODES).map(|_| visitor.code())).await;
        let renewing = families
            .drain(..)
            .map(|family| tokio::spawn(family.renew(visitor.clone())));
        let renewing: Vec<_> = renewing.collect();
        let exchanging = codes.iter().cloned().map(|code| {
            let visitor = visitor.clone();
            tokio::spawn(async move { visitor.exchange(&code).await })
        });
        let exchanging: Vec<_> = exchanging.collect();
        // Anywhere between the first byte of a request and the twentieth renewal; nobody chose where.
        let chosen = u64::from(random::bytes::<1>().unwrap()[0]);
        tokio::time::sleep(Duration::from_micros(chosen * 300)).await;
        station.kill();
        for family in join_all(renewing).await {
            families.push(family.unwrap());
        }
        let answers = join_all(exchanging).await;

        station.start().await;
        let visitor = Visitor::new(&station, round, 2, &id);
        join_all(families.iter_mut().map(|family| family.go_on(&visitor))).await;
        for (code, answer) in codes.iter().zip(answers) {
            fates.settle(&visitor, code, answer.unwrap()).await;
        }
        if round % 10 == 0 {
            planted.add(&codes);
            planted.add(families.iter().map(|family| &family.token));
        }
    }
    let renewed: usize = families.iter().map(|family| family.renewed).sum();
    println!("{KILLS} kills, {renewed} renewals, {fates:?}");
    assert!(
        renewed > 100 && fates.answered > 0,
        "too little was proven: {renewed} {fates:?}"
    );
    one_family_each(&station).await;
    let (provider, signing) = (format!("{TOKEN}12345"), SIGNING.to_owned());
    planted.add(&[
        provider,
        signing,
        SEALING.to_owned(),
        CLIENT_SECRET.to_owned(),
    ]);
    planted.is_nowhere(&[station.state(), station.dir().join("said")]);
}

/// The gateway itself says which sessions there are, and saves its store while it runs.
async fn one_family_each(station: &Station) {
    let shown = station.verb(&["user", "show", "12345", "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(
        shown["sessions"].as_array().unwrap().len(),
        FAMILIES,
        "{shown}"
    );
    let saved = station.verb(&["store", "backup", ".sallygate/saved.ndjson"]);
    assert_eq!(saved.code, 0, "{saved:?}");
    let status = station.verb(&["store", "status"]);
    assert!(
        status.out.contains(&format!("grant {FAMILIES}\n")),
        "{status:?}"
    );
}
