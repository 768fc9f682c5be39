//! Imports point down the floors. A new arrow between floors is an entry in a table here, so that it is reviewed as what
//! it is.

use std::collections::BTreeSet;

use crate::essays::{Source, folder, sources};

/// The floor of every path below `src/`; the longest prefix that ends at a `/` or at the end of the path decides.
const FLOORS: &[(&str, u8)] = &[
    ("clock", 0),
    ("random", 0),
    ("secret", 0),
    ("stage", 0),
    ("units", 0),
    ("mcp", 1),
    ("policy", 1),
    ("quota", 1),
    ("quota/shared", 3),
    ("redact", 1),
    ("routes", 1),
    ("auth/principal", 1),
    ("auth/bearer", 1),
    ("auth/certificate", 1),
    ("auth/claims", 1),
    ("auth/challenge", 1),
    ("auth/error", 1),
    ("auth/header", 1),
    ("auth/identity", 1),
    ("auth/metadata", 1),
    ("auth/revoked", 1),
    ("auth/settings", 1),
    ("auth/strict", 1),
    ("audit/chain", 1),
    ("audit/details", 1),
    ("audit/event", 1),
    ("audit/record", 1),
    ("config", 2),
    ("listener", 3),
    ("limits", 3),
    ("upstream", 3),
    ("telemetry", 3),
    ("trust", 3),
    ("users", 3),
    ("grants", 3),
    ("web", 3),
    ("devcert", 3),
    ("fetch", 3),
    ("keyfile", 3),
    ("login", 3),
    ("revocation", 3),
    ("session", 3),
    ("store", 3),
    ("vault", 3),
    ("auth/assertion", 3),
    ("auth/keys", 3),
    ("auth/jwks", 3),
    ("auth/discovery", 3),
    ("auth/id_token", 3),
    ("auth/jwk", 3),
    ("auth/mint", 3),
    ("auth/token_key", 3),
    ("auth/verifier", 3),
    ("audit/sink", 3),
    ("audit/disk", 3),
    ("audit/files", 3),
    ("audit/keeper", 3),
    ("audit/lane", 3),
    ("audit/verify", 3),
    ("audit/query", 3),
    ("audit/reader", 3),
    ("audit/resume", 3),
    ("audit/writer", 3),
    ("account", 4),
    ("demo", 4),
    ("oauth", 4),
    ("pipeline", 5),
    ("gateway", 6),
    ("cli", 6),
    ("control", 6),
    ("main", 6),
    ("lib", 6),
];

/// Arrows across folders of one pure floor, or through a folder that spans two: from, to, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "policy",
        "auth/principal",
        "a policy decides about a principal",
    ),
    (
        "policy/names",
        "mcp/fold",
        "names are folded in one way everywhere",
    ),
    ("quota", "auth/principal", "a quota counts for a principal"),
    (
        "redact",
        "auth/principal",
        "what is hidden depends on who reads",
    ),
    (
        "audit/record",
        "auth/principal",
        "a record names the principal",
    ),
    (
        "audit/details",
        "mcp",
        "what a line says of arguments is read from a message",
    ),
    (
        "audit/details",
        "redact",
        "what is kept of arguments is what a rule lets pass",
    ),
    (
        "screen",
        "auth/principal",
        "a list is filtered for a principal",
    ),
    ("policy", "mcp", "a policy decides about an operation"),
    ("quota", "mcp", "a quota counts operations"),
    ("screen", "mcp", "a screen reads messages"),
    ("redact", "mcp", "what is redacted are messages"),
    ("audit/record", "mcp", "a record names the operation"),
    (
        "screen",
        "policy",
        "a list is filtered by what may be called",
    ),
];

/// Floors from this one up may import each other's folders.
const FIRST_FREE_FLOOR: u8 = 3;

/// Does `place` lie at or below `prefix`?
fn lies_in(place: &str, prefix: &str) -> bool {
    place
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn floor(place: &str) -> Option<u8> {
    FLOORS
        .iter()
        .filter(|(prefix, _)| lies_in(place, prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, floor)| *floor)
}

/// The modules that a file names by `crate::` or `super::`, in imports or in running code, as places: in `auth/x`,
/// `crate::quota::{a, b::C}` is `quota/a` and `quota/b/C`, and `super::D` is `auth/D`. Test modules may import what they
/// like.
fn imports(place: &str, text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut found = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        if begins_path(&code[..at]) {
            expand("", &code[at + word.len()..], &mut found);
        }
    }
    for (at, _) in code.match_indices("super::") {
        if begins_path(&code[..at]) {
            let (mut base, mut rest) = (place, &code[at..]);
            while let Some(further) = rest.strip_prefix("super::") {
                base = base.rsplit_once('/').map_or("", |(parent, _)| parent);
                rest = further;
            }
            expand(base, rest, &mut found);
        }
    }
    // A glob over one's own folder names nothing in particular.
    found.remove(folder(place));
    found
}

/// Does a path begin behind this code? Not within a word or a longer path, nor where `pub(in ...)` only says who sees.
fn begins_path(before: &str) -> bool {
    let last = before.chars().next_back();
    let inside = last.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | ':'));
    !inside && !before.ends_with("pub(in ")
}

/// Follows one path, and every branch of its braces.
fn expand(prefix: &str, rest: &str, found: &mut BTreeSet<String>) {
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let (word, rest) = rest.split_at(end);
    let path = match (prefix, word) {
        (prefix, "" | "self") => prefix.to_owned(),
        ("", word) => word.to_owned(),
        (prefix, word) => format!("{prefix}/{word}"),
    };
    if let Some(rest) = rest.strip_prefix("::") {
        return expand(&path, rest, found);
    }
    let Some(inside) = rest.strip_prefix('{').filter(|_| word.is_empty()) else {
        if !path.is_empty() {
            found.insert(path);
        }
        return;
    };
    for branch in branches(inside) {
        expand(&path, branch.trim_start(), found);
    }
}

/// The parts between the commas of a brace's own level, up to its end.
fn branches(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                parts.push(&inside[start..at]);
                break;
            }
            ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A place of the table for an import: `auth/Principal`, re-exported by a folder that spans floors, is looked up in the
/// folder's own `pub use`.
fn resolve(import: &str, sources: &[Source]) -> String {
    if floor(import).is_some() {
        return import.to_owned();
    }
    let Some((folder, name)) = import.split_once('/') else {
        return import.to_owned();
    };
    let name = name.split('/').next().unwrap_or(name);
    let source = sources
        .iter()
        .find(|source| source.is_mod && source.place == folder);
    let exported = source.into_iter().flat_map(|source| {
        source
            .text
            .match_indices("pub use ")
            .flat_map(|(at, word)| {
                let mut paths = BTreeSet::new();
                expand("", &source.text[at + word.len()..], &mut paths);
                paths
            })
    });
    for path in exported {
        let path = path.strip_prefix("crate/").unwrap_or(&path).to_owned();
        if let Some((module, last)) = path.rsplit_once('/')
            && last == name
        {
            return format!("{folder}/{module}");
        }
    }
    import.to_owned()
}

/// Why `from` may not import `to`, if it may not.
fn objection(from: &str, to: &str) -> Option<String> {
    let Some(mine) = floor(from) else {
        return Some(format!(
            "src/{from} stands on no floor: add it to the table"
        ));
    };
    // An item of a floor's own module needs no entry; an unknown module does.
    let Some(theirs) = floor(to) else {
        return Some(format!("src/{from} imports {to}, which stands on no floor"));
    };
    let same_folder = folder(from) == folder(to);
    let excepted = EXCEPTIONS
        .iter()
        .any(|(upper, lower, _)| lies_in(from, upper) && lies_in(to, lower));
    let allowed = match theirs.cmp(&mine) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => same_folder || mine >= FIRST_FREE_FLOOR || excepted,
        std::cmp::Ordering::Greater => false,
    };
    (!allowed).then(|| format!("src/{from} (floor {mine}) imports {to} (floor {theirs})"))
}

/// A folder that spans floors has a `mod.rs` without a floor: it may declare and re-export, and nothing else.
fn only_declares(text: &str) -> bool {
    let mut rest = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("#["));
    let mut in_use = false;
    rest.all(|line| {
        let fits = in_use
            || [
                "mod ",
                "pub mod ",
                "pub(crate) mod ",
                "pub use ",
                "pub(crate) use ",
            ]
            .iter()
            .any(|start| line.starts_with(start));
        let is_use = in_use || line.contains("use ");
        in_use = is_use && !line.ends_with(';');
        fits && (is_use || line.ends_with(';'))
    })
}

#[test]
fn imports_point_down() {
    let sources = sources();
    let mut objections = Vec::new();
    for source in &sources {
        // Tests may look at everything that the code which they test may be joined with.
        let is_test = source
            .place
            .split('/')
            .any(|part| part == "tests" || part.ends_with("_tests"));
        if is_test || (source.is_mod && only_declares(&source.text)) {
            continue;
        }
        for import in imports(&source.place, &source.text) {
            objections.extend(objection(&source.place, &resolve(&import, &sources)));
        }
        if floor(&source.place).is_none() {
            objections.push(format!("src/{} stands on no floor", source.place));
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn imports_are_found_in_every_spelling() {
    let text = "\
        use crate::clock::{Clock, Timestamp};\n\
        use crate::{quota::{self, Admission, bucket::Level}, units};\n\
        use super::{claims::Claims};\n\
        use super::*;\n\
        /// [`crate::ignored::InComments`]\n\
        pub(in crate::ignored) fn f(x: crate::stage::Stage) { mycrate::no(); super::super::random::hex() }\n\
        #[cfg(test)]\nmod tests { use crate::cli; }\n";
    let wanted = [
        "auth/claims/Claims",
        "clock/Clock",
        "clock/Timestamp",
        "quota",
        "quota/Admission",
        "quota/bucket/Level",
        "random/hex",
        "stage/Stage",
        "units",
    ];
    let found = imports("auth/bearer", text);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

#[test]
fn arrows_that_point_up_or_across_are_refused() {
    for (from, to) in [
        ("clock", "mcp/message"),
        ("policy/compile", "config/raw"),
        ("auth/bearer", "auth/jwks"),
        ("mcp/json", "quota/bucket"),
        ("quota", "policy/decide"),
        ("listener/tls", "pipeline"),
        ("demo/http", "gateway"),
        ("newcomer", "clock"),
        ("clock", "newcomer"),
    ] {
        assert!(objection(from, to).is_some(), "{from} -> {to}");
    }
    for (from, to) in [
        ("mcp/json", "clock/Clock"),
        ("mcp/json", "mcp/message"),
        ("policy/decide", "auth/principal/Principal"),
        ("config", "policy/Settings"),
        ("auth/jwks", "auth/claims"),
        ("upstream/http", "listener/tls"),
        ("lib", "pipeline"),
    ] {
        assert_eq!(objection(from, to), None, "{from} -> {to}");
    }
}

#[test]
fn a_folders_file_is_exempt_only_while_it_just_declares() {
    assert!(only_declares(
        "//! Why.\n\npub mod a;\n#[cfg(test)]\nmod b;\npub use a::{\n    C,\n};\n"
    ));
    for more in [
        "pub struct S;",
        "fn f() {}",
        "use crate::clock::Clock;",
        "const X: u8 = 1;",
    ] {
        assert!(
            !only_declares(&format!("//! Why.\npub mod a;\n{more}\n")),
            "{more}"
        );
    }
}

#[test]
fn re_exports_are_traced_to_the_file_they_come_from() {
    let auth = Source {
        place: "auth".into(),
        is_mod: true,
        text: "pub mod principal;\npub use principal::{Principal, UserId};\n".into(),
    };
    assert_eq!(resolve("auth/UserId", &[auth]), "auth/principal");
}
