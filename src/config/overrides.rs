//! Environment variables that override the file. `SALLYGATE_LISTEN__ADDRESS` is `listen.address`: two underscores go one
//! level down, numbers count list items from 0. The short names that MCP servers share (`ENABLED_TOOLS`, `JWT_SECRET`
//! and so on) are read too; where both speak of one setting, the `SALLYGATE_` name wins.

use super::document::{Entry, Node, Value};
use super::environment::Environment;
use super::mistake::{Mistake, Origin, Warning, nearest};

/// The prefix of every override.
pub const PREFIX: &str = "SALLYGATE_";

/// Shared names and the settings that they stand for.
pub const SHARED: [(&str, &str); 16] = [
    ("ENABLED_TOOLS", "policy.tools.enabled"),
    ("DISABLED_TOOLS", "policy.tools.disabled"),
    ("MAX_REQUESTS_PER_MINUTE", "quotas.tiers.free.per_minute"),
    ("MAX_CONCURRENT_REQUESTS", "quotas.concurrency"),
    ("MAX_PAYLOAD_SIZE", "limits.body_bytes"),
    ("JWT_EXPIRY", "auth.token_lifetime"),
    ("ENCRYPTION_KEY", "encryption_key"),
    ("ENCRYPTION_KEY_FILE", "encryption_key_file"),
    ("ENCRYPTION_KEY_PREVIOUS", "encryption_key_previous"),
    (
        "ENCRYPTION_KEY_PREVIOUS_FILE",
        "encryption_key_previous_file",
    ),
    ("OAUTH_REDIRECT_URI", "login.redirect_uri"),
    ("ENABLE_AUDIT_LOGGING", "audit.enabled"),
    ("LOG_FORMAT", "logs.format"),
    ("LOG_LEVEL", "logs.level"),
    ("CORS_ORIGINS", "cors.allowed_origins"),
    ("NODE_EXTRA_CA_CERTS", "extra_ca_file"),
];

/// Variables that carry the signing keys; the first signs, both verify.
pub const SIGNING: [&str; 2] = ["JWT_SECRET", "JWT_SECRET_PREVIOUS"];

/// Variables that make ClickUp a login provider (R275).
pub const CLICKUP: [&str; 2] = ["CLICKUP_CLIENT_ID", "CLICKUP_CLIENT_SECRET"];

/// Writes every override into the tree.
pub(in crate::config) fn apply(
    root: &mut Node,
    env: &Environment,
    sections: &[&str],
) -> (Vec<Mistake>, Vec<Warning>) {
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let origins = [("ALLOWED_ORIGINS", "cors.allowed_origins")];
    for (name, path) in SHARED.iter().chain(&origins) {
        if let Some(value) = env.value(name) {
            let value = if name.starts_with("LOG_") {
                &value.to_ascii_lowercase()
            } else {
                value
            };
            let segments: Vec<&str> = path.split('.').collect();
            mistakes.extend(write(root, &segments, name, value).err());
        }
    }
    mistakes.extend(signing_keys(root, env).err());
    mistakes.extend(clickup(root, env).err());
    for (name, value) in env.iter() {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let rest = rest.to_ascii_lowercase();
        let segments: Vec<&str> = rest.split("__").collect();
        if segments.len() > 1 || sections.contains(&rest.as_str()) {
            mistakes.extend(write(root, &segments, name, value).err());
        } else if !set_by_others(&rest) {
            warnings.push(ignored(name, &rest, sections));
        }
    }
    (mistakes, warnings)
}

/// Names that belong to the command line, or that Kubernetes sets in every pod when a Service is called `sallygate`.
fn set_by_others(rest: &str) -> bool {
    ["config", "cache", "port"].contains(&rest)
        || rest.starts_with("port_")
        || rest.starts_with("service_")
}

fn ignored(name: &str, rest: &str, sections: &[&str]) -> Warning {
    let section = sections
        .iter()
        .find(|section| rest.starts_with(&format!("{section}_")));
    let help = match section {
        Some(section) => format!(
            "levels are parted by two underscores: {PREFIX}{}__...",
            section.to_ascii_uppercase()
        ),
        None => match nearest(rest, sections.iter().copied()) {
            Some(near) => format!("did you mean {PREFIX}{}?", near.to_ascii_uppercase()),
            None => "unset it".to_owned(),
        },
    };
    Mistake::new("", "names no setting and is ignored")
        .at(Origin::Variable(name.into()))
        .help(help)
}

fn write(root: &mut Node, segments: &[&str], name: &str, value: &str) -> Result<(), Mistake> {
    let origin = Origin::Variable(name.into());
    if value.trim().is_empty() {
        return Err(Mistake::new(segments.join("."), "is set but empty")
            .at(origin)
            .help("unset it or give it a value"));
    }
    let mut node = root;
    for segment in segments {
        node = step(node, segment, &origin).ok_or_else(|| {
            Mistake::new(segments.join("."), format!("`{segment}` leads nowhere"))
                .at(origin.clone())
                .help(
                    "name the levels as the file does; list items are counted from 0 without gaps",
                )
        })?;
    }
    *node = Node::text(origin, value.trim());
    Ok(())
}

/// The child of a node, made if it is not there yet.
fn step<'n>(node: &'n mut Node, segment: &str, origin: &Origin) -> Option<&'n mut Node> {
    let index = segment.parse::<usize>().ok();
    if let (Value::Table(entries), Some(_)) = (&node.value, index)
        && entries.is_empty()
    {
        node.value = Value::List(Vec::new());
    }
    match &mut node.value {
        Value::Scalar { .. } => None,
        Value::List(items) => {
            let index = index.filter(|index| *index <= items.len())?;
            if index == items.len() {
                items.push(Node::table(origin.clone()));
            }
            items.get_mut(index)
        }
        Value::Table(entries) => {
            let same = |entry: &Entry| entry.key.eq_ignore_ascii_case(segment);
            let at = entries.iter().position(same).unwrap_or(entries.len());
            if at == entries.len() {
                entries.push(Entry {
                    key: segment.into(),
                    origin: origin.clone(),
                    node: Node::table(origin.clone()),
                });
            }
            entries.get_mut(at).map(|entry| &mut entry.node)
        }
    }
}

/// `JWT_SECRET` signs; `JWT_SECRET_PREVIOUS` still verifies while tokens made with it live.
fn signing_keys(root: &mut Node, env: &Environment) -> Result<(), Mistake> {
    let mut keys = Vec::new();
    for name in SIGNING {
        let file = format!("{name}_FILE");
        let (name, key, value) = match (env.value(name), env.value(&file)) {
            (Some(_), Some(_)) => {
                return Err(Mistake::new("auth.keys", format!("{file} is set as well"))
                    .at(Origin::Variable(name.into()))
                    .help("unset one of the two"));
            }
            (Some(value), None) => (name, "secret", value),
            (None, Some(value)) => (file.as_str(), "secret_file", value),
            (None, None) => continue,
        };
        let mut node = Node::table(Origin::Variable(name.into()));
        write(&mut node, &[key], name, value).map_err(|mut mistake| {
            mistake.path = format!("auth.keys.{key}");
            mistake
        })?;
        keys.push(node);
    }
    if keys.is_empty() {
        return Ok(());
    }
    let origin = Origin::Variable(SIGNING[0].into());
    let slot = step(root, "auth", &origin).and_then(|auth| step(auth, "keys", &origin));
    let Some(slot) = slot else {
        return Ok(()); // the shape check says what is wrong with `auth`
    };
    match &mut slot.value {
        Value::List(written) => keys.append(written),
        Value::Table(entries) if entries.is_empty() => {}
        Value::Table(_) | Value::Scalar { .. } => return Ok(()),
    }
    slot.value = Value::List(keys);
    Ok(())
}

/// ClickUp as a login provider, unless the file names one of that name already; then it says everything about it.
fn clickup(root: &mut Node, env: &Environment) -> Result<(), Mistake> {
    let [id_name, secret_name] = CLICKUP;
    let (id, secret) = match (env.value(id_name), env.value(secret_name)) {
        (None, None) => return Ok(()),
        (Some(id), Some(secret)) => (id, secret),
        (id, _) => {
            let missing = if id.is_some() { secret_name } else { id_name };
            let origin = Origin::Variable(if id.is_some() { id_name } else { secret_name }.into());
            return Err(
                Mistake::new("login.providers", format!("{missing} is not set"))
                    .at(origin)
                    .help("set both, or neither"),
            );
        }
    };
    let origin = Origin::Variable(id_name.into());
    let mut node = Node::table(origin.clone());
    for (key, name, value) in [
        ("name", id_name, "clickup"),
        ("kind", id_name, "clickup"),
        ("label", id_name, "ClickUp"),
        ("client_id", id_name, id),
        ("client_secret", secret_name, secret),
    ] {
        write(&mut node, &[key], name, value)?;
    }
    let slot = step(root, "login", &origin).and_then(|login| step(login, "providers", &origin));
    let Some(slot) = slot else {
        return Ok(()); // the shape check says what is wrong with `login`
    };
    match &mut slot.value {
        Value::List(written) if !written.iter().any(is_named_clickup) => written.push(node),
        Value::Table(entries) if entries.is_empty() => slot.value = Value::List(vec![node]),
        _ => {}
    }
    Ok(())
}

fn is_named_clickup(provider: &Node) -> bool {
    let Value::Table(entries) = &provider.value else {
        return false;
    };
    entries.iter().any(|entry| {
        entry.key == "name"
            && matches!(&entry.node.value, Value::Scalar { text, .. } if text == "clickup")
    })
}
