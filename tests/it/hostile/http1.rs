//! HTTP/1 under attack, as octets over real connections: whatever two readers could cut in different places is refused, its
//! connection ends, nothing of it reaches the upstream, the trail has one line for it, and whoever stands beside is served.

use serde_json::json;

use super::http1_rows::{CALL, HIDDEN, Row, malformed, oddities, post};
use crate::harness::audit;
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::raw::{self, Connection};
use crate::harness::wait;

/// How the octets of a row are delivered.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    TwoPieces,
    OneByOne,
}

async fn rig(plan: Plan) -> (Rig, String) {
    let rig = plan.start().await;
    rig.upstream
        .always(&json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let token = rig.token(&Who::new("mallory"));
    (rig, token)
}

/// A connection as this gateway wants it.
async fn open(rig: &Rig) -> Connection {
    if rig.ca_file.as_os_str().is_empty() {
        Connection::open(rig.address).await
    } else {
        Connection::open_tls(rig.address, &rig.ca_file).await
    }
}

async fn deliver(rig: &Rig, row: &Row, how: Delivery, seed: usize) -> String {
    let mut connection = open(rig).await;
    let octets = &row.octets;
    match how {
        Delivery::Whole => connection.send(octets).await,
        Delivery::TwoPieces => {
            // Anywhere, but always at the same place.
            let at = seed.wrapping_mul(2_654_435_761) % (octets.len() + 1);
            connection.send(&octets[..at]).await;
            connection.send(&octets[at..]).await;
        }
        Delivery::OneByOne => {
            for octet in octets.chunks(1) {
                connection.send(octet).await;
            }
        }
    }
    if row.ends {
        connection.finish().await;
    }
    String::from_utf8_lossy(&connection.rest().await).into_owned()
}

/// The row is answered once and with its status, and its connection ends. Gives the id of the answer.
fn is_refused(row: &Row, said: &str) -> String {
    let what = &row.what;
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{what}: {said}");
    assert_eq!(raw::status(said.as_bytes()), row.status, "{what}: {said}");
    assert!(
        said.to_lowercase().contains("\r\nconnection: close\r\n"),
        "{what}: {said}"
    );
    let (_, body) = said.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error} in {said}"));
    assert!(body["error"]["code"].is_string(), "{what}: {said}");
    body["request_id"].as_str().unwrap().to_owned()
}

/// A good caller beside the attacker, on a connection of its own.
struct Neighbour {
    connection: Connection,
    request: String,
    calls: usize,
}

impl Neighbour {
    async fn beside(rig: &Rig) -> Self {
        Self {
            connection: open(rig).await,
            request: post(&rig.token(&Who::new("neighbour")), CALL),
            calls: 0,
        }
    }

    /// Is served as ever, and is the only one whom the upstream knows.
    async fn goes_on(&mut self, rig: &Rig, what: &str) {
        self.connection.send(&self.request).await;
        let said = self.connection.read_to("\"result\":{}}").await;
        assert!(said.contains(" 200 OK\r\n"), "{what}: {said}");
        self.calls += 1;
        assert_eq!(rig.upstream.seen().len(), self.calls, "{what}");
    }
}

/// Every row in these deliveries, and then the trail.
async fn suffers(rig: &Rig, rows: impl Iterator<Item = (Row, Vec<Delivery>)>) -> usize {
    let mut neighbour = Neighbour::beside(rig).await;
    let mut expected = Vec::new();
    for (seed, (row, deliveries)) in rows.enumerate() {
        for how in deliveries {
            let said = deliver(rig, &row, how, seed).await;
            expected.push((is_refused(&row, &said), row.reason, row.what.clone()));
            neighbour.goes_on(rig, &row.what).await;
        }
    }
    for seen in rig.upstream.seen() {
        assert_eq!(seen.body, CALL, "nothing that was hidden");
    }
    let lines = audit::wait_for_those_with(
        rig.audit_dir(),
        "\"event_type\":\"request_refused\"",
        expected.len(),
    )
    .await;
    assert_eq!(lines.len(), expected.len(), "one line each");
    for (id, reason, what) in &expected {
        let line = lines.iter().find(|line| line["request_id"] == **id);
        let line = line.unwrap_or_else(|| panic!("no line for {what}"));
        assert_eq!(line["reason"], *reason, "{what}");
        assert_eq!(line["stage"], "limits", "{what}");
        assert_eq!(line["ip_address"], "127.0.0.1", "{what}");
    }
    expected.len()
}

#[tokio::test]
async fn rfc9112_s11_more_than_180_malformed_exchanges_are_refused_and_nothing_is_smuggled() {
    let (rig, token) = rig(Plan::new()).await;
    let rows = malformed(&token);
    assert!(rows.len() >= 180, "{}", rows.len());
    let deliveries = |(at, row): (usize, Row)| {
        let mut deliveries = vec![Delivery::Whole, Delivery::TwoPieces];
        if at % 10 == 0 && row.octets.len() < 2048 {
            deliveries.push(Delivery::OneByOne);
        }
        (row, deliveries)
    };
    let count = suffers(&rig, rows.into_iter().enumerate().map(deliveries)).await;
    let metrics = rig.metrics().await;
    let counted: usize = metrics
        .lines()
        .filter(|line| {
            line.starts_with("sallygate_denials_total{") && line.contains("stage=\"limits\"")
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(counted, count, "each is counted once: {metrics}");
}

#[tokio::test]
async fn rfc9112_s11_plain_http_behind_a_proxy_is_read_as_strictly() {
    let (rig, token) = rig(Plan::new().listen("behind_tls_proxy: true")).await;
    let rows = malformed(&token).into_iter().step_by(5);
    let deliveries = |row: Row| (row, vec![Delivery::Whole]);
    assert!(suffers(&rig, rows.map(deliveries)).await >= 40);
}

#[tokio::test]
async fn what_is_odd_but_good_is_served() {
    let (rig, token) = rig(Plan::new()).await;
    let oddities = oddities(&token);
    assert!(oddities.len() >= 30, "{}", oddities.len());
    let mut calls = 0;
    for odd in &oddities {
        let mut connection = open(&rig).await;
        connection.send(&odd.octets).await;
        let said = connection.rest().await;
        let said = String::from_utf8_lossy(&said);
        let finals: Vec<_> = said
            .match_indices("HTTP/1.")
            .map(|(at, _)| raw::status(&said.as_bytes()[at..]))
            .filter(|status| *status != 100)
            .collect();
        assert_eq!(
            finals,
            vec![odd.status; odd.calls.max(1)],
            "{}: {said}",
            odd.what
        );
        calls += odd.calls;
        let seen = rig.upstream.seen();
        assert_eq!(seen.len(), calls, "{}", odd.what);
        assert!(seen.iter().all(|seen| seen.body == CALL), "{}", odd.what);
    }
}

/// An offer of HTTP/2 that some clients make over plain HTTP at every first request is overlooked, not taken up.
#[tokio::test]
async fn rfc9110_s7_8_an_offer_of_h2c_over_plain_http_is_overlooked() {
    let (rig, token) = rig(Plan::new().listen("behind_tls_proxy: true")).await;
    let offer = "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Type";
    let request = post(&token, CALL).replacen("Content-Type", offer, 1);
    let said = raw::exchange(rig.address, request).await;
    let said = String::from_utf8_lossy(&said);
    assert_eq!(raw::status(said.as_bytes()), 200, "{said}");
    assert_eq!(rig.upstream.only_request().header("upgrade"), None);
}

#[tokio::test]
async fn rfc9112_s9_3_2_pipelined_requests_are_answered_in_order_up_to_the_first_malformed_one() {
    let (rig, token) = rig(Plan::new()).await;
    let good = post(&token, CALL);
    let spoilt = post(&token, HIDDEN).replacen("Host: localhost\r\n", "Host: localhost\n", 1);
    let hidden = post(&token, HIDDEN);
    for pieces in [
        vec![format!("{good}{good}{spoilt}{hidden}")],
        vec![good.clone(), good.clone(), spoilt.clone(), hidden.clone()],
    ] {
        let before = rig.upstream.seen().len();
        let mut connection = open(&rig).await;
        for piece in pieces {
            connection.send(piece).await;
        }
        let said = connection.rest().await;
        let said = String::from_utf8_lossy(&said);
        let statuses: Vec<_> = said
            .match_indices("HTTP/1.1 ")
            .map(|(at, _)| raw::status(&said.as_bytes()[at..]))
            .collect();
        assert_eq!(statuses, [200, 200, 400], "{said}");
        let seen = rig.upstream.seen();
        assert_eq!(seen.len(), before + 2);
        assert!(seen.iter().all(|seen| seen.body == CALL));
    }
}

/// The mark that stands for a refused head inside is nothing that can be sent.
#[tokio::test]
async fn the_mark_of_a_refused_head_cannot_be_forged() {
    let (rig, _) = rig(Plan::new()).await;
    let forged = "OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n";
    let said = raw::exchange_tls(rig.address, &rig.ca_file, forged).await;
    assert_eq!(raw::status(&said), 400);
    let line = audit::line_of(rig.audit_dir(), |line| {
        line["event_type"] == "request_refused"
    })
    .await;
    assert_eq!(line["reason"], "request_target");
    rig.upstream.saw_nothing();
}

/// A peer that goes on sending gets to read why it was refused, and does not keep its connection by sending more.
#[tokio::test]
async fn rfc9112_s9_6_the_answer_is_not_lost_to_a_peer_that_is_still_sending() {
    let (rig, token) = rig(Plan::new()).await;
    let mut connection = open(&rig).await;
    let spoilt = post(&token, HIDDEN).replacen("Host: localhost\r\n", "Host : localhost\r\n", 1);
    connection.send(spoilt).await;
    let chunk = vec![b'a'; 64 * 1024];
    for _ in 0..16 {
        connection.send(&chunk).await;
    }
    let said = connection.rest().await;
    assert_eq!(raw::status(&said), 400);
    rig.upstream.saw_nothing();
}

/// No line, no service: where the trail cannot be written, not even a refusal is explained.
#[tokio::test]
async fn malformed_octets_are_answered_503_while_no_line_can_be_written() {
    let (rig, token) = rig(Plan::new()).await;
    let dir = rig.audit_dir().to_owned();
    let good = post(&token, CALL).replacen("Content-Type", "Connection: close\r\nContent-Type", 1);
    assert_eq!(
        raw::status(&raw::exchange_tls(rig.address, &rig.ca_file, &good).await),
        200
    );
    std::fs::rename(&dir, dir.with_extension("aside")).unwrap();
    // A file where the folder was: nobody can write there, not even the superuser.
    std::fs::write(&dir, "").unwrap();
    let spoilt = post(&token, HIDDEN).replacen("Host: localhost\r\n", "Host: localhost\n", 1);
    let said = wait::until("a refusal that needs no line", async || {
        let said = raw::exchange_tls(rig.address, &rig.ca_file, &spoilt).await;
        (raw::status(&said) == 503).then_some(said)
    })
    .await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("audit_unavailable"), "{said}");
    assert!(
        said.to_lowercase().contains("\r\nconnection: close\r\n"),
        "{said}"
    );
    rig.upstream.only_request();
}
