//! `docs/requirements.md`: which test proves which numbered requirement. It is made from the tests' own names, so it
//! cannot claim what no test does; this test fails while the file is stale, and `UPDATE_DOCS=1 cargo test --test it
//! requirements` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "docs/requirements.md";
/// Folders of the project that hold tests, and the ends of file names that are scripts.
const FOLDERS: [&str; 3] = ["src", "tests", ".ci"];
const SCRIPT_ENDS: [&str; 6] = ["sh", "py", "js", "mjs", "ts", ""];
/// Folders below these that hold other people's files.
const FOREIGN: [&str; 3] = ["target", "node_modules", "__pycache__"];

const LAST_REQUIREMENT: u16 = 636;
const LAST_CONTRADICTION: u16 = 60;
/// Names that begin like this prove a rule of a specification.
const SPECIFICATIONS: [&str; 3] = ["rfc", "mcp", "oauth"];

/// A number of the requirements list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Requirement(u16),
    Contradiction(u16),
}

impl Number {
    /// Reads `r017` or `c03`, in either case; three digits for requirements, two for contradictions.
    fn parse(word: &str) -> Option<Self> {
        let mut letters = word.chars();
        let kind = letters.next()?.to_ascii_lowercase();
        let digits = letters.as_str();
        let number = digits.parse().ok()?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        match (kind, digits.len()) {
            ('r', 3) if all_digits => Some(Self::Requirement(number)),
            ('c', 2) if all_digits => Some(Self::Contradiction(number)),
            _ => None,
        }
    }

    fn exists(self) -> bool {
        match self {
            Self::Requirement(number) => (1..=LAST_REQUIREMENT).contains(&number),
            Self::Contradiction(number) => (1..=LAST_CONTRADICTION).contains(&number),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let requirements = (1..=LAST_REQUIREMENT).map(Self::Requirement);
        requirements.chain((1..=LAST_CONTRADICTION).map(Self::Contradiction))
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requirement(number) => write!(f, "R{number:03}"),
            Self::Contradiction(number) => write!(f, "C{number:02}"),
        }
    }
}

/// What was found in the project.
#[derive(Debug, Default)]
struct Proofs {
    /// The places that prove a number, as `path: name`.
    numbered: BTreeMap<Number, BTreeSet<String>>,
    specified: BTreeSet<String>,
    /// Numbers that a test claims and the list does not have.
    unknown: BTreeSet<String>,
}

impl Proofs {
    fn of_the_project() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut proofs = Self::default();
        for folder in FOLDERS {
            for file in files(&root.join(folder)) {
                let path = file
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                let end = file.extension().map_or("", |end| end.to_str().unwrap());
                let Ok(text) = fs::read_to_string(&file) else {
                    continue;
                };
                if end == "rs" {
                    proofs.read_rust(&path, &text);
                } else if SCRIPT_ENDS.contains(&end) {
                    proofs.read_script(&path, &text);
                }
            }
        }
        proofs
    }

    /// Test functions: a `fn` below a `#[test]` or `#[tokio::test]` attribute, as also `proptest!` wants it.
    fn read_rust(&mut self, path: &str, text: &str) {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            }
            let signature = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ");
            if let Some(signature) = signature {
                if is_test {
                    let end = signature.find(['(', '<']).unwrap_or(signature.len());
                    self.read_name(path, &signature[..end]);
                }
                is_test = false;
            }
        }
    }

    fn read_name(&mut self, path: &str, name: &str) {
        let place = format!("`{path}`: `{name}`");
        if SPECIFICATIONS.iter().any(|start| name.starts_with(start)) {
            self.specified.insert(place.clone());
        }
        // Numbers stand at the beginning, or behind the name of a specification's place.
        for number in name.split('_').filter_map(Number::parse) {
            self.claim(number, place.clone());
        }
    }

    /// Scripts say it in a comment line of its own.
    fn read_script(&mut self, path: &str, text: &str) {
        let claims = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("# proves:"));
        for claim in claims {
            for word in claim.split(|c: char| !c.is_ascii_alphanumeric()) {
                if let Some(number) = Number::parse(word) {
                    self.claim(number, format!("`{path}`"));
                }
            }
        }
    }

    fn claim(&mut self, number: Number, place: String) {
        if number.exists() {
            self.numbered.entry(number).or_default().insert(place);
        } else {
            self.unknown.insert(format!("{number} in {place}"));
        }
    }

    fn document(&self) -> String {
        let mut text = String::from(HEADING);
        let (mut requirements, mut contradictions) = (0, 0);
        for number in self.numbered.keys() {
            match number {
                Number::Requirement(_) => requirements += 1,
                Number::Contradiction(_) => contradictions += 1,
            }
        }
        let _ = writeln!(
            text,
            "Proved by a test: {requirements} of {LAST_REQUIREMENT} requirements, {contradictions} of \
             {LAST_CONTRADICTION} resolved contradictions.\n"
        );
        text.push_str("## Numbers and their tests\n\n| number | proved by |\n| --- | --- |\n");
        for (number, places) in &self.numbered {
            let places: Vec<_> = places.iter().map(String::as_str).collect();
            let _ = writeln!(text, "| {number} | {} |", places.join("<br>"));
        }
        text.push_str("\n## Rules of specifications and their tests\n\n");
        for place in &self.specified {
            let _ = writeln!(text, "- {place}");
        }
        text.push_str("\n## Numbers that no test names yet\n\n");
        let missing = Number::all().filter(|number| !self.numbered.contains_key(number));
        let missing: Vec<_> = missing.map(|number| number.to_string()).collect();
        for row in missing.chunks(16) {
            let _ = writeln!(text, "{}", row.join(" "));
        }
        text
    }
}

const HEADING: &str = "# Requirements and their proofs

Made from the names of the tests by `tests/it/requirements.rs`; written anew by
`UPDATE_DOCS=1 cargo test --test it requirements`. A test carries the number of a requirement (R) or of a resolved
contradiction (C) in its name, a script in a line `# proves:`.

";

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !FOREIGN.contains(&name.as_str()) {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_test_claims_a_number_that_does_not_exist() {
    let unknown = Proofs::of_the_project().unknown;
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_table_of_requirements_is_fresh() {
    let wanted = Proofs::of_the_project().document();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{FILE} is stale; run `UPDATE_DOCS=1 cargo test --test it requirements`"
    );
}

#[test]
fn numbers_are_taken_from_the_names_of_tests_alone() {
    // Built from pieces, so that this file itself claims nothing.
    let attribute = ["#[te", "st]"].concat();
    let text = format!(
        "fn r001_not_a_test() {{}}\n{attribute}\nfn r002_c03_two(\n{attribute}\nfn helper_r4_c5() {{\n\
         {attribute}\nfn rfc9728_s5_r006_both() {{\nfn r007_behind_a_test() {{}}\n{attribute}\nfn r999_c99() {{"
    );
    let mut proofs = Proofs::default();
    proofs.read_rust("p", &text);
    proofs.read_script("s", "# proves: R008, c09\n# mentions R010\nproves: R011\n");
    let found: Vec<_> = proofs.numbered.keys().map(ToString::to_string).collect();
    assert_eq!(found, ["R002", "R006", "R008", "C03", "C09"]);
    assert_eq!(proofs.specified.len(), 1);
    assert_eq!(proofs.unknown.len(), 2);
}
