//! Connections that do nothing, to see what they cost, and the first answer of a proxy that starts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::drive::Aim;
use crate::one::Wire;

/// How often a proxy that starts is tried.
const POLL: Duration = Duration::from_millis(1);

/// Opens so many connections one after the other, with a request each if `ask`, says so, keeps them until a line comes in,
/// and then asks over every one of them whether it is still there.
pub(crate) async fn hold(aim: &Aim, count: usize, ask: bool) -> Result<Value, Failure> {
    let mut held: Vec<Wire<TlsStream<TcpStream>>> = Vec::with_capacity(count);
    for caller in 0..count {
        let mut wire = Wire::small(aim.connect().await?);
        if ask {
            aim.check(&wire.exchange(&aim.request(caller)).await?)?;
            wire.shrink();
        }
        held.push(wire);
    }
    println!("{}", json!({"held": held.len()}));
    line().await?;
    let mut alive = 0;
    for (caller, mut wire) in held.into_iter().enumerate() {
        let answer = wire.exchange(&aim.request(caller)).await;
        if answer.and_then(|answer| aim.check(&answer)).is_ok() {
            alive += 1;
        }
    }
    Ok(json!({"alive": alive}))
}

/// Waits for a line, and then for the first right answer; says how long that took.
pub(crate) async fn first(aim: &Aim, within: Duration) -> Result<Value, Failure> {
    let request = aim.request(0);
    line().await?;
    let began = Instant::now();
    loop {
        let failure = match once(aim, &request).await {
            Ok(()) => return Ok(json!({"first_answer_ms": began.elapsed().as_secs_f64() * 1e3})),
            Err(failure) => failure,
        };
        if began.elapsed() > within {
            return Err(failure);
        }
        sleep(POLL).await;
    }
}

async fn once(aim: &Aim, request: &[u8]) -> Result<(), Failure> {
    let mut wire = Wire::new(aim.connect().await?);
    aim.check(&wire.exchange(request).await?)
}

async fn line() -> Result<(), Failure> {
    let mut line = String::new();
    BufReader::new(stdin()).read_line(&mut line).await?;
    Ok(())
}
