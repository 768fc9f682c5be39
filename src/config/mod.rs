//! The configuration: one YAML file, the environment, and what both together mean.
//!
//! Reading goes in steps, each in its own file: text to a tree with lines (`document`), overrides from the environment
//! (`overrides`), the tree against the schema (`shape`), the raw twin (`raw`), and last the meant form ([`Config`]),
//! which is plain data that cannot be wrong. Every step notes all its mistakes; a file with five mistakes says so once.

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

use std::path::Path;

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
    let raw: raw::Config = match serde_json::from_value(shape.value) {
        Ok(raw) => raw,
        Err(error) if mistakes.is_empty() => return Err(vec![Mistake::new("", error.to_string())]),
        Err(_) => return Err(in_order(mistakes)),
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
        Some(config) if mistakes.is_empty() => Ok((config, in_order(warnings))),
        _ => Err(in_order(mistakes)),
    }
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
