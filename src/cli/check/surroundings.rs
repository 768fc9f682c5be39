//! Who else on this machine can read secrets, and what could end up in version control.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Findings;
use crate::cli::init::not_ignored;
use crate::config::{Config, LITERAL_SECRET, Mistake};

const GROUP: u32 = 0o070;
const OTHERS: u32 = 0o007;
/// Where container runtimes put secrets, with modes that nobody can change (R488).
const HANDED_OVER: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Files that hold secrets are for their owner only.
pub(super) fn look_at_key_files(config: &Config, findings: &mut Findings) {
    for (path, file) in &config.secret_files {
        if HANDED_OVER.iter().any(|folder| file.starts_with(folder)) {
            continue;
        }
        if let Ok(data) = fs::metadata(file)
            && let Some(who) = others_may_enter(&data)
        {
            findings.error(
                Mistake::new(path, format!("{} can be read by {who}", file.display()))
                    .at(config.origin(path))
                    .help(format!("chmod 600 {}", file.display())),
            );
        }
    }
}

/// A configuration with secrets in it is a file with secrets.
pub(super) fn look_at_file(file: &Path, findings: &mut Findings) {
    let secrets = findings
        .warnings
        .iter()
        .any(|warning| warning.message == LITERAL_SECRET);
    if let Ok(data) = fs::metadata(file)
        && let Some(who) = others_may_enter(&data)
        && secrets
    {
        findings.error(
            Mistake::new(
                "",
                format!("the file holds secrets and can be read by {who}"),
            )
            .help(format!(
                "chmod 600 {}, or move the secrets out",
                file.display()
            )),
        );
    }
}

/// What the gateway keeps is for its owner only.
pub(super) fn look_at_state(config: &Config, findings: &mut Findings) {
    let dir = &config.state_dir;
    if let Ok(data) = fs::metadata(dir)
        && let Some(who) = others_may_enter(&data)
    {
        findings.warning(
            Mistake::new(
                "state_dir",
                format!("{} can be entered by {who}", dir.display()),
            )
            .at(config.origin("state_dir"))
            .help(format!("chmod 700 {}", dir.display())),
        );
    }
}

/// What lies beside the configuration: a `.env` that others can read (R486, R598), a `.gitignore` with gaps.
pub(super) fn look_beside(file: &Path, findings: &mut Findings) {
    let here = file
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let dotenv = here.join(".env");
    if let Ok(data) = fs::metadata(&dotenv)
        && let Some(who) = others_may_enter(&data)
    {
        findings.warning(
            Mistake::new("", format!("{} can be read by {who}", dotenv.display()))
                .help(format!("chmod 600 {}", dotenv.display())),
        );
    }
    if let Some(root) = work_tree(here) {
        look_at_gitignore(here, &root, findings);
    }
}

fn look_at_gitignore(here: &Path, root: &Path, findings: &mut Findings) {
    let mut text = String::new();
    for folder in [root, here] {
        text.push_str(&fs::read_to_string(folder.join(".gitignore")).unwrap_or_default());
        text.push('\n');
    }
    let missing = not_ignored(&text);
    if !missing.is_empty() {
        let file = root.join(".gitignore");
        findings.warning(
            Mistake::new(
                "",
                format!("{} does not name {}", file.display(), missing.join(", ")),
            )
            .help("add them, so that no secret is committed"),
        );
    }
}

/// The git work tree that a folder lies in.
fn work_tree(here: &Path) -> Option<PathBuf> {
    let here = here.canonicalize().ok()?;
    here.ancestors()
        .find(|dir| dir.join(".git").exists())
        .map(Path::to_owned)
}

/// Who besides the owner has any right. A file of root that a group may read is how orchestrators hand secrets to a
/// program that is not root: that group counts as the owner.
fn others_may_enter(data: &Metadata) -> Option<&'static str> {
    let mode = data.permissions().mode();
    let ours = fs::metadata("/proc/self").map(|own| own.uid()).unwrap_or(0);
    if mode & OTHERS != 0 {
        Some("everybody")
    } else if mode & GROUP != 0 && !(data.uid() == 0 && ours != 0) {
        Some("its group")
    } else {
        None
    }
}
