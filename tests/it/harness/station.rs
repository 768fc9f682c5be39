//! A gateway as a process of its own, with a ClickUp to sign in with and a store on disk, which can be killed at any moment
//! and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::client::Client;
use super::gateway::PUBLIC;
use super::process::{Ended, Program, ended, sallygate};
use super::provider::FakeClickUp;

/// The key of the gateway's own tokens. It protects nothing.
pub(crate) const SIGNING: &str = "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";
/// Where it says that it serves, and on which address.
const SERVING: &str = "serving";

/// The place of the gateway, and the gateway while it runs.
pub(crate) struct Station {
    pub(crate) clickup: FakeClickUp,
    folder: TempDir,
    env: Vec<(String, String)>,
    running: Option<(Program, SocketAddr)>,
    starts: usize,
}

impl Station {
    /// A place without a gateway yet; the variables are those of its every process.
    pub(crate) async fn new(env: &[(&str, &str)]) -> Self {
        let clickup = FakeClickUp::start().await;
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "upstream: {{ url: \"http://127.0.0.1:1/mcp\" }}
listen: {{ address: \"127.0.0.1:0\", public_url: \"{PUBLIC}\" }}
metrics: {{ address: \"127.0.0.1:0\" }}
login: {{ providers: [ {} ] }}
",
            clickup.settings()
        );
        std::fs::write(folder.path().join("sallygate.yaml"), settings).unwrap();
        let own = [("JWT_SECRET", SIGNING)];
        let env = own.iter().chain(env);
        Self {
            clickup,
            folder,
            env: env
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            running: None,
            starts: 0,
        }
    }

    /// The folder of the configuration.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of what the gateway keeps.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir().join(".sallygate")
    }

    /// The file of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.state().join("store.redb")
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let env = self.env.iter();
        let env: Vec<_> = env.map(|(name, value)| (&**name, &**value)).collect();
        sallygate(self.dir(), words, &env)
    }

    /// Runs a verb to its end.
    pub(crate) fn verb(&self, words: &[&str]) -> Ended {
        ended(&mut self.command(words))
    }

    /// Begins a verb.
    pub(crate) fn begin(&self, name: &str, words: &[&str]) -> Program {
        Program::start(
            &self.dir().join("said").join(name),
            &mut self.command(words),
        )
    }

    /// Starts the gateway, which has to come up.
    pub(crate) async fn start(&mut self) {
        self.starts += 1;
        let name = format!("run-{}", self.starts);
        let mut program = self.begin(&name, &["run"]);
        let said = program.logged(SERVING).await;
        let address = address(&said).unwrap_or_else(|| panic!("no address in {said}"));
        self.running = Some((program, address));
    }

    /// Ends the gateway as a crash would.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(&mut self) {
        let (mut program, _) = self.running.take().expect("it runs");
        program.terminate();
        let ended = program.ended().await;
        assert!(ended.success(), "{ended:?}: {}", program.err());
    }

    /// A caller from this address, for as long as the gateway lives.
    pub(crate) fn client(&self, source: Ipv4Addr) -> Client {
        let (_, address) = self.running.as_ref().expect("it runs");
        Client::from(source, *address, &self.state().join("ca.pem"))
    }
}

/// The address that the log names where it says that it serves.
fn address(said: &str) -> Option<SocketAddr> {
    let line = said.lines().find(|line| line.contains(SERVING))?;
    let at = line.split("address").nth(1)?;
    let digits = at.find(|c: char| c.is_ascii_digit())?;
    let rest = &at[digits..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    rest[..end.unwrap_or(rest.len())].parse().ok()
}
