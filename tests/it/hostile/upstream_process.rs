//! The saboteur as a process of its own, for scripts that run a gateway for a long time:
//! `SABOTEUR_ADDRESS=127.0.0.1:3999 cargo test --test it -- --ignored serve_as_a_saboteur`.

use std::time::Duration;

use sallygate::random;

use crate::harness::saboteur::{Act, Saboteur, ok};

/// Serves, and commits a fault now and then, until somebody ends it. `SABOTEUR_PERCENT` says how often, by default 5: so many
/// of a hundred times a second.
#[tokio::test]
#[ignore = "a server for scripts, which end it"]
async fn serve_as_a_saboteur() {
    let address = std::env::var("SABOTEUR_ADDRESS").expect("SABOTEUR_ADDRESS says where");
    let percent = std::env::var("SABOTEUR_PERCENT").ok();
    let percent: u8 = percent.map_or(5, |text| text.parse().unwrap());
    let saboteur = Saboteur::at(&address).await;
    loop {
        let [dice, which] = random::bytes::<2>().unwrap();
        if dice % 100 < percent && saboteur.has_nothing_to_do() {
            saboteur.will(fault(which));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn fault(which: u8) -> Act {
    let foreign = r#"{"jsonrpc":"2.0","id":"nobody","result":{"content":[],"canary":1}}"#;
    let half = ok("application/json", "{}").repeat(2);
    match which % 8 {
        0 => Act::SayAndReset(vec![]),
        1 => Act::SayAndClose(vec![]),
        2 => Act::SayAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()),
        3 => Act::Say(ok("text/html", "canary")),
        4 => Act::Say(ok("application/json", foreign)),
        5 => Act::Say(half),
        6 => Act::Drip(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"
                .to_vec(),
            b" ".to_vec(),
            Duration::from_millis(100),
        ),
        _ => Act::ServeAndClose,
    }
}
