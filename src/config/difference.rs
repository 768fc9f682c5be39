//! What differs between two readings of a configuration: the names of the settings, never what they say. A setting is kept
//! as the digest of its text, so that secrets can be compared long after they were put where they belong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

type Print = [u8; 32];

/// Every setting that was written, in the file or the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Written(BTreeMap<String, Print>);

impl Written {
    /// The settings of a tree in which every reference has been replaced.
    pub(in crate::config) fn of(root: &Value) -> Self {
        let mut written = BTreeMap::new();
        gather(root, String::new(), &mut written);
        Self(written)
    }

    /// The settings that are here and not there, there and not here, or not the same.
    pub(in crate::config) fn changed_since(&self, before: &Self) -> BTreeSet<String> {
        let names = self.0.keys().chain(before.0.keys());
        names
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .cloned()
            .collect()
    }
}

fn gather(value: &Value, at: String, written: &mut BTreeMap<String, Print>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let name = match at.as_str() {
                    "" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                gather(member, name, written);
            }
        }
        // A list is one setting: what was put in at its front moves everything behind it. Only routes, issuers and their
        // like, whose items are tables, are gone into.
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                gather(item, format!("{at}[{index}]"), written);
            }
        }
        _ if at.is_empty() => {}
        leaf => {
            written.insert(at, Sha256::digest(leaf.to_string()).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(before: &Value, after: &Value) -> Vec<String> {
        let changed = Written::of(after).changed_since(&Written::of(before));
        changed.into_iter().collect()
    }

    #[test]
    fn r201_changes_are_told_by_the_names_of_settings() {
        let secret = |text| json!({"auth": {"keys": [{"kid": "a", "secret": text}]}});
        let one = json!({"a": 1, "list": ["x"], "routes": [{"path": "/a"}]});
        let canary = "canary-not-a-real-secret";
        for (before, after, names) in [
            (one.clone(), one.clone(), vec![]),
            (json!({}), one.clone(), vec!["a", "list", "routes[0].path"]),
            (one.clone(), json!({}), vec!["a", "list", "routes[0].path"]),
            (
                one,
                json!({"a": "1", "list": ["w", "x"], "routes": [{"path": "/b"}, {"path": "/a"}]}),
                vec!["a", "list", "routes[0].path", "routes[1].path"],
            ),
            (secret("other"), secret(canary), vec!["auth.keys[0].secret"]),
        ] {
            assert_eq!(changed(&before, &after), names);
        }
        assert!(!format!("{:?}", Written::of(&secret(canary))).contains(canary));
    }
}
