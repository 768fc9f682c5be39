//! Reads what the gateway leaves in folders: audit lines, plain or compressed, and planted canaries that should be
//! nowhere.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::wait;

/// Every audit line below a folder, file by file in the order of their names, as far as the lines are complete.
pub(crate) fn lines(dir: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in files(dir) {
        let name = file.to_string_lossy().into_owned();
        if !name.contains(".jsonl") && !name.contains(".log") {
            continue;
        }
        let text = String::from_utf8(content(&file)).unwrap();
        // The last line may be half written while the gateway runs.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in complete.lines() {
            let read = serde_json::from_str(line);
            lines.push(read.unwrap_or_else(|error| panic!("{error} in {name}: {line}")));
        }
    }
    lines
}

/// Waits until there are at least so many audit lines.
pub(crate) async fn wait_for(dir: &Path, count: usize) -> Vec<Value> {
    wait::until("audit lines", async || {
        let lines = lines(dir);
        (lines.len() >= count).then_some(lines)
    })
    .await
}

/// Waits for the one audit line that this is true of.
pub(crate) async fn line_of(dir: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut found = wait::until("an audit line", async || {
        let mut lines = lines(dir);
        lines.retain(&wanted);
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Waits until so many audit lines hold this text, and gives them. Checkpoints and lines of other requests do not count.
pub(crate) async fn wait_for_those_with(dir: &Path, text: &str, count: usize) -> Vec<Value> {
    wait::until("audit lines", async || {
        let mut lines = lines(dir);
        lines.retain(|line| line.to_string().contains(text));
        (lines.len() >= count).then_some(lines)
    })
    .await
}

/// The files below a folder that hold this text, also inside compressed ones.
pub(crate) fn files_with(dir: &Path, canary: &str) -> Vec<PathBuf> {
    let holds = |file: &PathBuf| {
        let content = content(file);
        content
            .windows(canary.len())
            .any(|part| part == canary.as_bytes())
    };
    files(dir).into_iter().filter(holds).collect()
}

fn content(file: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let mut source = File::open(file).unwrap();
    if file.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(source)
            .read_to_end(&mut content)
            .unwrap();
    } else {
        source.read_to_end(&mut content).unwrap();
    }
    content
}

/// Every plain file below a folder, sorted.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}
