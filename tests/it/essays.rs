//! Every source file says why it exists and stays of a readable length, and every stage answers its four questions.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are a stage. From the day on which `pipeline/` exists each has to be there.
const STAGES: &[&str] = &[
    "listener",
    "limits",
    "auth",
    "quota",
    "policy",
    "pipeline/screen",
    "upstream",
];
const FOUR_ANSWERS: [&str; 4] = ["Protects", "Assumes", "Hands on", "Refuses"];

const MAX_LINES: usize = 600;

/// One file below `src/`.
pub(crate) struct Source {
    /// Without `src/` and `.rs`, and without the `/mod` of a folder.
    pub(crate) place: String,
    pub(crate) is_mod: bool,
    pub(crate) text: String,
}

/// Every Rust file below `src/`, sorted.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = rust_files(&root);
    files.sort();
    let read = |path: PathBuf| {
        let place = path.strip_prefix(&root).unwrap().with_extension("");
        let place = place.to_str().unwrap().replace('\\', "/");
        let folder = place.strip_suffix("/mod");
        Source {
            is_mod: folder.is_some(),
            place: folder.unwrap_or(&place).to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        }
    };
    files.into_iter().map(read).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The first part of a place.
pub(crate) fn folder(place: &str) -> &str {
    place.split('/').next().unwrap_or(place)
}

#[test]
fn every_file_says_why_it_exists_and_stays_readable() {
    for Source { place, text, .. } in sources() {
        assert!(
            text.starts_with("//! "),
            "src/{place} does not open with //!"
        );
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "src/{place} has {lines} lines");
    }
}

#[test]
fn every_stage_gives_its_four_answers() {
    let sources = sources();
    let complete = sources
        .iter()
        .any(|source| folder(&source.place) == "pipeline");
    for stage in STAGES {
        let source = sources.iter().find(|source| source.place == *stage);
        let Some(source) = source else {
            assert!(!complete, "the stage src/{stage}/mod.rs is missing");
            continue;
        };
        let essay = source
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"));
        let essay: Vec<_> = essay.collect();
        for answer in FOUR_ANSWERS {
            let given = essay
                .iter()
                .any(|line| line.contains(&format!("**{answer}**")));
            assert!(given, "src/{stage}/mod.rs does not say what it {answer}");
        }
    }
}
