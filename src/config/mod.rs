//! The configuration: one YAML file, the environment, and what both together mean.
//!
//! Reading goes in steps, each in its own file: text to a tree with lines (`document`), overrides from the environment
//! (`overrides`), the tree against the schema (`shape`), the raw twin (`raw`), and last the meant form ([`Config`]),
//! which is plain data that cannot be wrong. Every step notes all its mistakes; a file with five mistakes says so once.

mod difference;
mod document;
mod environment;
mod lint;
mod meant;
mod mistake;
mod overrides;
mod raw;
mod reference;
mod scalars;
mod schema;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use document::{MAX_BYTES, MAX_DEPTH};
pub use environment::Environment;
pub use lint::LITERAL_SECRET;
/// The bytes of a key as people write it.
pub use meant::decode as key_bytes;
pub use meant::{
    Addresses, Allow, Audit, Auth, Breaker, Certificate, Claims, Client, ClientAuth,
    ClientDocuments, ClientIdentity, ClientProof, Config, Cors, Credential, CredentialKind,
    CredentialSubject, Door, Endpoint, Health, Issuer, Key, KeySource, Limits, Listen, LogFormat,
    Logs, Metrics, Mutual, Oauth, PerAddress, PerUser, Policy, PolicyDefault, Profile, Provider,
    ProviderKind, Quotas, Registration, Revocation, Route, RouteTools, Sessions, SigningKey, Store,
    Tier, Tls, TlsVersion, TokenEndpoint, ToolQuota, ToolRules, Transport, Upstream, UpstreamTls,
    UserQuota, Vault, VaultKdf, VaultMode, Wish,
};
pub use mistake::{Mistake, Mistakes, Origin, Warning};
pub use overrides::{CLICKUP, PREFIX, SHARED, SIGNING};
pub use reference::reference;
pub use schema::schema;

use document::{Entry, Node, Value};

/// The name of the configuration file that is looked for when none is named.
pub const DEFAULT_FILE: &str = "sallygate.yaml";

/// Reads a configuration file.
///
/// # Errors
/// Every mistake in the file and in the variables that override it.
pub fn load(file: &Path, env: &Environment) -> Result<(Config, Vec<Warning>), Mistakes> {
    let placed = |list| Mistakes {
        file: Some(file.to_owned()),
        list,
    };
    let text = read_bounded(file).map_err(|mistake| placed(vec![mistake]))?;
    let base = file.parent().unwrap_or(Path::new(""));
    read(&text, env, base).map_err(|mistakes| placed(mistakes.list))
}

/// Reads the text of a configuration. Files that it names are looked for from the folder `base`.
///
/// # Errors
/// Every mistake in the text and in the variables that override it.
pub fn read(
    text: &str,
    env: &Environment,
    base: &Path,
) -> Result<(Config, Vec<Warning>), Mistakes> {
    document::read(text)
        .and_then(|root| understand(root, env, base, Keys::Required))
        .map_err(|list| Mistakes { file: None, list })
}

/// A configuration for one MCP server, with nothing but defaults and the environment. It may hold no signing key; whoever
/// starts the gateway with it makes one.
///
/// # Errors
/// When the address or a variable is wrong.
pub fn from_upstream(url: &str, env: &Environment) -> Result<(Config, Vec<Warning>), Mistakes> {
    let origin = Origin::Option("--upstream");
    let entry = |key: &str, node| Entry {
        key: key.into(),
        origin: origin.clone(),
        node,
    };
    let table = |entry| Node {
        origin: origin.clone(),
        value: Value::Table(vec![entry]),
    };
    let upstream = table(entry("url", Node::text(origin.clone(), url)));
    let root = table(entry("upstream", upstream));
    understand(root, env, Path::new(""), Keys::MadeLater)
        .map_err(|list| Mistakes { file: None, list })
}

/// The folder for what the gateway keeps, also out of a configuration that has mistakes elsewhere: there the gateway that
/// runs with it can be found. `None` when the file cannot be read at all.
pub fn state_dir(file: &Path, env: &Environment) -> Option<PathBuf> {
    let root = document::read(&read_bounded(file).ok()?).ok()?;
    let written = env.value("SALLYGATE_STATE_DIR").map(str::to_owned);
    let named = written.or_else(|| scalar(&root, "state_dir"));
    let base = file.parent().unwrap_or(Path::new(""));
    Some(base.join(named.unwrap_or_else(raw::Config::standard_state_dir)))
}

fn scalar(root: &Node, key: &str) -> Option<String> {
    let Value::Table(entries) = &root.value else {
        return None;
    };
    let entry = entries.iter().find(|entry| entry.key == key)?;
    match &entry.node.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        Value::List(_) | Value::Table(_) => None,
    }
}

/// Whether a configuration without any key is complete.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Required,
    MadeLater,
}

fn understand(
    mut root: Node,
    env: &Environment,
    base: &Path,
    keys: Keys,
) -> Result<(Config, Vec<Warning>), Vec<Mistake>> {
    let schema = schema();
    let (mut mistakes, mut warnings) = overrides::apply(&mut root, env, &schema::sections(&schema));
    let shape = shape::check(&root, &schema, env);
    mistakes.extend(shape.mistakes);
    warnings.extend(shape.warnings);
    let told = |list| in_order(veiled(list, env, &shape.referred));
    let written = difference::Written::of(&shape.value);
    let raw: raw::Config = match serde_json::from_value(shape.value) {
        Ok(raw) => raw,
        Err(error) if mistakes.is_empty() => {
            return Err(told(vec![Mistake::new("", error.to_string())]));
        }
        Err(_) => return Err(told(mistakes)),
    };
    let mut review = meant::Review::new(base, shape.places);
    let config = meant::mean(raw, &mut review, keys == Keys::Required);
    warnings.extend(review.warnings);
    if mistakes.is_empty() {
        mistakes = review.mistakes;
    } else {
        // What a setting means can be judged beside a mistake elsewhere; what is missing cannot.
        let broken: Vec<String> = mistakes
            .iter()
            .map(|mistake| mistake.path.clone())
            .collect();
        let sound = |mistake: &Mistake| {
            let about = |path: &String| path.starts_with(&mistake.path);
            review.places.contains_key(&mistake.path) && !broken.iter().any(about)
        };
        mistakes.extend(review.mistakes.into_iter().filter(sound));
    }
    match config {
        Some(mut config) if mistakes.is_empty() => {
            config.written = written;
            Ok((config, told(warnings)))
        }
        _ => Err(told(mistakes)),
    }
}

/// Without the values of the variables that the file refers to.
fn veiled(mut list: Vec<Mistake>, env: &Environment, referred: &BTreeSet<String>) -> Vec<Mistake> {
    let value = |name| env.value(name).map(|value| (name, value));
    for mistake in &mut list {
        mistake.veil(referred.iter().map(String::as_str).filter_map(value));
    }
    list
}

/// In the order of the file, what comes from elsewhere first.
fn in_order(mut list: Vec<Mistake>) -> Vec<Mistake> {
    list.sort_by_key(Mistake::line);
    list
}

fn read_bounded(file: &Path) -> Result<String, Mistake> {
    let size = std::fs::metadata(file).map(|data| data.len());
    if size.is_ok_and(|size| size > MAX_BYTES as u64) {
        return Err(Mistake::new(
            "",
            format!("the file has more than {MAX_BYTES} bytes"),
        ));
    }
    std::fs::read_to_string(file).map_err(|error| {
        Mistake::new("", format!("cannot be read: {error}"))
            .help("`sallygate init` writes one to start from")
    })
}
