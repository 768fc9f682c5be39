//! Where the linker can do it, the functions that run in a start and in a call stand beside each other in the program
//! (`functions`, written by `record`). The kernel maps a program in blocks of sixteen pages; scattered among everything else, the
//! quarter of the code that is used brings most of the rest along. Names that are not found any more do no harm.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const LIST: &str = "benches/layout/functions";

fn main() -> io::Result<()> {
    let mut cargo = io::stdout();
    writeln!(cargo, "cargo::rerun-if-changed=benches/layout")?;
    if !is_release() || !is_understood()? {
        return Ok(());
    }
    let list = Path::new(&variable("CARGO_MANIFEST_DIR")).join(LIST);
    for option in [&format!("--symbol-ordering-file={}", list.display()), QUIET] {
        writeln!(cargo, "cargo::rustc-link-arg-bins=-Wl,{option}")?;
    }
    Ok(())
}

/// A linker that knows this option, which is LLVM's, knows the other.
const QUIET: &str = "--no-warn-symbol-ordering";

fn is_release() -> bool {
    variable("PROFILE") == "release" && variable("CARGO_CFG_TARGET_OS") == "linux"
}

/// Asks by linking the least program in the way in which the gateway will be linked.
fn is_understood() -> io::Result<bool> {
    let folder = variable("OUT_DIR");
    let probe = Path::new(&folder).join("probe.rs");
    fs::write(&probe, "fn main() {}\n")?;
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg(&probe).arg("--out-dir").arg(&folder);
    rustc.arg("--target").arg(variable("TARGET"));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(joined("linker=", &linker));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.arg("-C").arg(format!("link-arg=-Wl,{QUIET}"));
    let ended = rustc.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(ended.is_ok_and(|status| status.success()))
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_default()
}

fn joined(before: &str, value: &OsString) -> OsString {
    let mut both = OsString::from(before);
    both.push(value);
    both
}
