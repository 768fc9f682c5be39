//! A closed loop: so many callers, each of which asks again as soon as it has its answer. Every answer is checked.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::one::{self, Answer, Wire};
use crate::process::{Usage, usage};
use crate::tally::Tally;
use crate::two::{self, Ask};
use crate::work::Work;

/// How callers reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// One HTTP/1.1 connection for each caller.
    H1,
    /// HTTP/2, callers share connections.
    H2,
    /// HTTP/1.1 and a new connection for every request.
    Churn,
}

/// Whom to ask what.
pub(crate) struct Aim {
    pub(crate) port: u16,
    pub(crate) tls: TlsConnector,
    pub(crate) path: String,
    pub(crate) work: Work,
    pub(crate) tokens: Vec<String>,
    /// The length that an answer has to have.
    pub(crate) expect: Option<usize>,
}

/// How hard and how long.
pub(crate) struct Effort {
    pub(crate) protocol: Protocol,
    pub(crate) callers: usize,
    pub(crate) connections: usize,
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    /// The process that is measured.
    pub(crate) pid: Option<u32>,
}

impl Aim {
    /// The authority of every request.
    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// A connection, ready for the first request.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
        socket.set_nodelay(true)?;
        let name = "localhost".try_into()?;
        Ok(self.tls.connect(name, socket).await?)
    }

    /// The bytes of caller number n's request in HTTP/1.1.
    pub(crate) fn request(&self, caller: usize) -> Vec<u8> {
        one::request(self.work, &self.authority(), &self.path, self.token(caller))
    }

    /// Whether an answer is what was expected.
    pub(crate) fn check(&self, answer: &Answer) -> Result<(), Failure> {
        if answer.status != 200 {
            return Err(format!("status {} ({} bytes)", answer.status, answer.bytes).into());
        }
        match self.expect {
            Some(wanted) if wanted != answer.bytes => {
                Err(format!("{} bytes instead of {wanted}", answer.bytes).into())
            }
            _ => Ok(()),
        }
    }

    fn token(&self, caller: usize) -> &str {
        let at = caller.checked_rem(self.tokens.len()).unwrap_or(0);
        self.tokens.get(at).map_or("none", String::as_str)
    }
}

/// Drives until the time is over and says what came of it.
pub(crate) async fn drive(aim: Aim, effort: Effort) -> Value {
    let (aim, tally) = (Rc::new(aim), Rc::new(Tally::default()));
    let callers = start(&aim, &tally, &effort);
    sleep(effort.warmup).await;
    let before = spent(&effort);
    let began = Instant::now();
    tally.open.set(true);
    sleep(effort.window).await;
    tally.open.set(false);
    let lasted = began.elapsed();
    let after = spent(&effort);
    tally.over.set(true);
    for caller in callers {
        caller.abort();
    }
    report(&tally, lasted, before, after)
}

fn spent(effort: &Effort) -> Usage {
    effort.pid.map(usage).unwrap_or_default()
}

fn report(tally: &Tally, lasted: Duration, before: Usage, after: Usage) -> Value {
    let answers = tally.answers();
    let cpu = after.cpu_micros.saturating_sub(before.cpu_micros) as f64;
    json!({
        "answers": answers,
        "errors": tally.errors(),
        "first_error": tally.first_error(),
        "seconds": lasted.as_secs_f64(),
        "per_second": answers as f64 / lasted.as_secs_f64(),
        "p50_us": tally.within(0.5),
        "p90_us": tally.within(0.9),
        "p99_us": tally.within(0.99),
        "p999_us": tally.within(0.999),
        "cpu_us": cpu / answers.max(1) as f64,
        "cpu_share": cpu / 1e6 / lasted.as_secs_f64(),
        "resident": after.resident,
        "proportional": after.proportional,
    })
}

fn start(aim: &Rc<Aim>, tally: &Rc<Tally>, effort: &Effort) -> Vec<JoinHandle<()>> {
    if effort.protocol == Protocol::H2 {
        let each = effort.callers.div_ceil(effort.connections.max(1));
        return (0..effort.connections)
            .map(|connection| {
                let callers = (connection * each)..((connection + 1) * each).min(effort.callers);
                tokio::task::spawn_local(share(aim.clone(), tally.clone(), callers))
            })
            .collect();
    }
    (0..effort.callers)
        .map(|caller| {
            let (aim, tally) = (aim.clone(), tally.clone());
            match effort.protocol {
                Protocol::Churn => tokio::task::spawn_local(churn(aim, tally, caller)),
                _ => tokio::task::spawn_local(keep(aim, tally, caller)),
            }
        })
        .collect()
}

/// A caller with a connection of its own. After a failure it begins anew.
async fn keep(aim: Rc<Aim>, tally: Rc<Tally>, caller: usize) {
    let request = aim.request(caller);
    while !tally.over.get() {
        if let Err(failure) = on_one_connection(&aim, &tally, &request).await {
            tally.failed(failure);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn on_one_connection(aim: &Aim, tally: &Tally, request: &[u8]) -> Result<(), Failure> {
    let mut wire = Wire::new(aim.connect().await?);
    while !tally.over.get() {
        let began = Instant::now();
        let answer = wire.exchange(request).await?;
        aim.check(&answer)?;
        tally.answered(began.elapsed());
    }
    Ok(())
}

/// A caller who connects for every request.
async fn churn(aim: Rc<Aim>, tally: Rc<Tally>, caller: usize) {
    let request = aim.request(caller);
    while !tally.over.get() {
        let began = Instant::now();
        match once(&aim, &request).await {
            Ok(()) => tally.answered(began.elapsed()),
            Err(failure) => {
                tally.failed(failure);
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn once(aim: &Aim, request: &[u8]) -> Result<(), Failure> {
    let mut wire = Wire::new(aim.connect().await?);
    let answer = wire.exchange(request).await?;
    aim.check(&answer)?;
    wire.close().await;
    Ok(())
}

/// Callers who share one HTTP/2 connection.
async fn share(aim: Rc<Aim>, tally: Rc<Tally>, callers: std::ops::Range<usize>) {
    let opened = match aim.connect().await {
        Ok(stream) => two::open(stream).await,
        Err(failure) => Err(failure),
    };
    let sender = match opened {
        Ok(sender) => sender,
        Err(failure) => return tally.failed(failure),
    };
    for caller in callers {
        let (aim, tally, sender) = (aim.clone(), tally.clone(), sender.clone());
        tokio::task::spawn_local(async move {
            let ask = match Ask::new(aim.work, &aim.authority(), &aim.path, aim.token(caller)) {
                Ok(ask) => ask,
                Err(failure) => return tally.failed(failure),
            };
            while !tally.over.get() {
                let began = Instant::now();
                let answer = two::exchange(&sender, &ask).await;
                match answer.and_then(|answer| aim.check(&answer)) {
                    Ok(()) => tally.answered(began.elapsed()),
                    // The connection may be gone, and with it everybody's.
                    Err(failure) => return tally.failed(failure),
                }
            }
        });
    }
}
