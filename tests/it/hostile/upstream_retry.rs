//! A call is never sent twice unless it is certain that nobody acted on the first: proved by upstreams that count.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::client::{Http, Reply};
use crate::harness::gateway::{Plan, Rig, Who};
use crate::harness::mcp::Mcp;
use crate::harness::saboteur::{Act, Saboteur, ok};
use crate::harness::saboteur_h2::{Frames, SaboteurH2};

use super::upstream_tls::Certificates;

/// A call with an id of its own.
async fn call(caller: &Mcp, id: &str) -> Reply {
    let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "echo", "arguments": {}}});
    caller.send(caller.legacy_body(&message)).await
}

/// How often each id arrived in full.
fn counted(received: Vec<Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in received {
        let id = message["id"].as_str().unwrap_or("none").to_owned();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn in_a_thousand_races_with_a_closing_connection_no_call_is_carried_out_twice() {
    let saboteur = Saboteur::start().await;
    let rig = Plan::new().url(&saboteur.url()).start().await;
    let mut outcomes = BTreeMap::new();
    let caller = rig.caller("alice");
    for number in 0..1000 {
        let act = match number % 4 {
            0..2 => Act::ServeAndClose,
            // A connection that is already in use goes away with the request.
            2 => Act::SayAndClose(vec![]),
            _ => Act::SayAndReset(vec![]),
        };
        saboteur.will(act);
        let id = format!("r{number}");
        let reply = call(&caller, &id).await;
        let status = reply.status.as_u16();
        assert_eq!(
            status,
            if number % 4 < 2 { 200 } else { 502 },
            "{number}: {reply:?}"
        );
        *outcomes.entry(status).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(200, 500), (502, 500)]));
    let counts = counted(saboteur.received());
    assert_eq!(counts.len(), 1000, "every call arrived");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[tokio::test]
async fn many_callers_at_once_on_connections_that_close_are_each_served_at_most_once() {
    let saboteur = Saboteur::start().await;
    let rig = Plan::new().url(&saboteur.url()).start().await;
    for _ in 0..1000 {
        saboteur.will(Act::ServeAndClose);
    }
    let callers = (0..8).map(|lane| {
        let caller = rig.caller_by(Http::Two, &Who::new(&format!("user{lane}")));
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            for number in 0..125 {
                let id = format!("{lane}-{number}");
                statuses.push((id.clone(), call(&caller, &id).await.status.as_u16()));
            }
            statuses
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut answered = BTreeMap::new();
    for caller in callers {
        answered.extend(caller.await.unwrap());
    }
    let counts = counted(saboteur.received());
    for (id, status) in answered {
        let count = counts.get(&id).copied().unwrap_or(0);
        match status {
            200 => assert_eq!(count, 1, "{id}"),
            502 => assert!(count <= 1, "{id}"),
            other => panic!("{id}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_call_on_a_connection_that_closed_before_it_is_served_on_another() {
    let saboteur = Saboteur::start().await;
    let rig = Plan::new().url(&saboteur.url()).start().await;
    let caller = rig.caller("alice");
    let good = |id: &str| {
        let body = json!({"jsonrpc": "2.0", "id": id, "result": {"content": [], "served": id}});
        ok("application/json", body.to_string())
    };
    for number in 0..50 {
        let id = format!("s{number}");
        saboteur.will(Act::SayAndClose(good(&id)));
        assert_eq!(call(&caller, &id).await.result()["served"], id.as_str());
    }
    assert_eq!(saboteur.connections(), 50);
    assert!(
        counted(saboteur.received())
            .values()
            .all(|count| *count == 1)
    );
}

/// A gateway in front of a saboteur that speaks HTTP/2.
async fn over_h2() -> (SaboteurH2, Rig) {
    let plan = Plan::new();
    let made = Certificates::new(plan.dir()).leaf("server", &["localhost"]);
    let saboteur = SaboteurH2::start(&made.cert, &made.key).await;
    let rig = plan
        .upstream(&format!("ca_file: {}", made.ca.display()))
        .upstream("first_byte_timeout: 5s")
        .url(&saboteur.url())
        .start()
        .await;
    (saboteur, rig)
}

#[tokio::test]
async fn rfc9113_s8_7_what_the_upstream_did_not_look_at_is_sent_once_more() {
    const REFUSED_STREAM: u32 = 7;
    for refusal in [Frames::Refuse(REFUSED_STREAM), Frames::GoAwayBefore] {
        let (saboteur, rig) = over_h2().await;
        let caller = rig.caller("alice");
        // On the first request of a connection as well as on a later one.
        for (number, acts) in [vec![refusal], vec![], vec![refusal]]
            .into_iter()
            .enumerate()
        {
            for act in acts {
                saboteur.will(act);
            }
            let id = format!("h{number}");
            let reply = call(&caller, &id).await;
            assert_eq!(reply.status, 200, "{refusal:?} {number}: {reply:?}");
            assert_eq!(reply.result()["served"], id.as_str());
        }
        // Once, and not for ever.
        saboteur.will(refusal).will(refusal);
        let reply = call(&caller, "twice").await;
        assert_eq!(reply.status, 502, "{refusal:?}: {reply:?}");
        assert_eq!(call(&caller, "next").await.status, 200);
        let counts = counted(saboteur.received());
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        assert!(!counts.contains_key("twice"), "{counts:?}");
    }
}

#[tokio::test]
async fn rfc9113_s6_8_what_the_upstream_may_have_acted_on_is_never_sent_again() {
    const INTERNAL_ERROR: u32 = 2;
    const CANCEL: u32 = 8;
    for frames in [
        Frames::ReceiveAndReset(INTERNAL_ERROR),
        Frames::ReceiveAndReset(CANCEL),
        Frames::Refuse(INTERNAL_ERROR),
        Frames::ReceiveAndGoAway,
    ] {
        let (saboteur, rig) = over_h2().await;
        let caller = rig.caller("alice");
        assert_eq!(call(&caller, "before").await.status, 200);
        saboteur.will(frames);
        let reply = call(&caller, "broken").await;
        assert_eq!(reply.status, 502, "{frames:?}: {reply:?}");
        assert_eq!(reply.json()["error"]["data"]["code"], "upstream_broken");
        assert_eq!(call(&caller, "after").await.result()["served"], "after");
        let counts = counted(saboteur.received());
        assert!(
            counts.values().all(|count| *count == 1),
            "{frames:?}: {counts:?}"
        );
    }
}

#[tokio::test]
async fn an_http2_upstream_that_goes_away_politely_fails_nobody() {
    for frames in [
        Frames::ServeAndGoAway,
        Frames::GoAwayAndServe,
        Frames::ServeAndClose,
        Frames::Interim(1000),
    ] {
        let (saboteur, rig) = over_h2().await;
        let caller = rig.caller("alice");
        for number in 0..10 {
            saboteur.will(frames);
            let id = format!("p{number}");
            let reply = call(&caller, &id).await;
            assert_eq!(reply.status, 200, "{frames:?} {number}: {reply:?}");
            assert_eq!(reply.result()["served"], id.as_str());
        }
        assert_eq!(saboteur.received().len(), 10, "{frames:?}");
        if !matches!(frames, Frames::Interim(_)) {
            assert!(saboteur.connections() >= 9, "{frames:?}");
        }
    }
}
