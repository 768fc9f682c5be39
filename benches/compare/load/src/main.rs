//! The load generator and the MCP server of the comparison with other proxies (`benches/compare/run`). One thread each: they
//! share a core, and the proxy has another one to itself.

mod drive;
mod hold;
mod one;
mod process;
mod server;
mod tally;
mod tls;
mod two;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::drive::{Aim, Effort, Protocol};
use crate::work::Work;

/// Anything that goes wrong ends the program or is counted; nobody tells one from the other.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serves MCP on a port of the loopback.
    Server {
        #[arg(long)]
        port: u16,
        /// Certificate chain; without one there is no TLS.
        #[arg(long, requires = "key")]
        cert: Option<PathBuf>,
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Asks again and again and counts.
    Drive {
        #[command(flatten)]
        target: Target,
        #[arg(long, value_enum, default_value = "h1")]
        protocol: Protocol,
        #[arg(long, default_value_t = 32)]
        callers: usize,
        /// Connections that the callers share in HTTP/2.
        #[arg(long, default_value_t = 4)]
        connections: usize,
        #[arg(long, default_value_t = 1.0)]
        warmup: f64,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// The process whose cost is measured, with its children.
        #[arg(long)]
        pid: Option<u32>,
    },
    /// Opens connections and keeps them until a line comes in.
    Hold {
        #[command(flatten)]
        target: Target,
        #[arg(long)]
        count: usize,
        /// Send a request over every connection first.
        #[arg(long)]
        ask: bool,
    },
    /// Waits for a line and then for the first answer.
    First {
        #[command(flatten)]
        target: Target,
        #[arg(long, default_value_t = 20.0)]
        within: f64,
    },
    /// Prints the bytes of the first caller's request.
    Request {
        #[command(flatten)]
        target: Target,
    },
    /// Says how much CPU and memory a process and its children have used.
    Usage { pid: u32 },
}

#[derive(Args)]
struct Target {
    #[arg(long)]
    port: u16,
    /// The authority that signed the certificate.
    #[arg(long)]
    ca: PathBuf,
    #[arg(long, default_value = "/mcp")]
    path: String,
    #[arg(long, value_enum, default_value = "call")]
    work: Work,
    /// File with one token a line; callers use them in turns.
    #[arg(long)]
    tokens: Option<PathBuf>,
    /// How many bytes the body of every answer has.
    #[arg(long)]
    expect: Option<usize>,
}

impl Target {
    fn aim(self, protocol: &[u8]) -> Result<Aim, Failure> {
        let tokens = match self.tokens {
            Some(file) => std::fs::read_to_string(file)?,
            None => String::new(),
        };
        Ok(Aim {
            tls: tls::connector(&self.ca, protocol)?,
            port: self.port,
            path: self.path,
            work: self.work,
            tokens: tokens.lines().map(String::from).collect(),
            expect: self.expect,
        })
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<String, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, act(verb))
}

async fn act(verb: Verb) -> Result<String, Failure> {
    let said = match verb {
        Verb::Server { port, cert, key } => {
            let tls = cert.zip(key).map(|(cert, key)| tls::acceptor(&cert, &key));
            server::serve(port, tls.transpose()?).await?;
            Value::Null
        }
        Verb::Drive {
            target,
            protocol,
            callers,
            connections,
            warmup,
            seconds,
            pid,
        } => {
            let alpn: &[u8] = match protocol {
                Protocol::H2 => b"h2",
                Protocol::H1 | Protocol::Churn => b"http/1.1",
            };
            let effort = Effort {
                protocol,
                callers,
                connections,
                warmup: Duration::try_from_secs_f64(warmup)?,
                window: Duration::try_from_secs_f64(seconds)?,
                pid,
            };
            drive::drive(target.aim(alpn)?, effort).await
        }
        Verb::Hold { target, count, ask } => {
            hold::hold(&target.aim(b"http/1.1")?, count, ask).await?
        }
        Verb::First { target, within } => {
            let within = Duration::try_from_secs_f64(within)?;
            hold::first(&target.aim(b"http/1.1")?, within).await?
        }
        Verb::Usage { pid } => {
            let usage = process::usage(pid);
            json!({
                "cpu_us": usage.cpu_micros,
                "resident": usage.resident,
                "proportional": usage.proportional,
            })
        }
        Verb::Request { target } => {
            let request = target.aim(b"http/1.1")?.request(0);
            return Ok(String::from_utf8(request)?);
        }
    };
    Ok(format!("{said}\n"))
}
