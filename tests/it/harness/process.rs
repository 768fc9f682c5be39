//! The binary itself, as people start it: in a folder of its own, with an environment of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::wait;

/// A command of the binary, to be started or run to its end.
pub(crate) fn sallygate(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallygate"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null());
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a verb of the binary to its end, with an empty environment.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Ended {
    ended(&mut sallygate(dir, arguments, &[]))
}

/// A process that serves. It is killed with the test.
pub(crate) struct Program {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Program {
    /// Starts a command; what it says goes to files in `logs`, which are made new.
    pub(crate) fn start(logs: &Path, command: &mut Command) -> Self {
        fs::create_dir_all(logs).unwrap();
        let (out, err) = (logs.join("out"), logs.join("err"));
        let child = command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err }
    }

    /// What it printed so far.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// What it logged so far.
    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Waits until it has printed this text, and answers everything that it printed.
    pub(crate) async fn printed(&mut self, text: &str) -> String {
        self.said(text, Self::out).await
    }

    /// Waits until it has logged this text, and answers everything that it logged.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.said(text, Self::err).await
    }

    async fn said(&mut self, text: &str, read: fn(&Self) -> String) -> String {
        wait::until(text, async || {
            let said = read(self);
            if said.contains(text) {
                return Some(said);
            }
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "{over:?} without {text:?}: {}", self.err());
            None
        })
        .await
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let (order, id) = (format!("kill -{name} \"$0\""), self.child.id().to_string());
        let sent = Command::new("sh")
            .args(["-c", &order, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        wait::until("the program to end", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or it ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
