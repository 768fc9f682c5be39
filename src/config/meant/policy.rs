//! What `policy` and the `tools` of a route mean: which tools may be used, and which policy files there are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Review;
use super::quotas::Quotas;
use crate::config::raw;

/// Which tools may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRules {
    /// Only these, or all.
    pub enabled: Option<Vec<String>>,
    /// Never these.
    pub disabled: Vec<String>,
}

/// Which tools of one server may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTools {
    /// By name.
    pub rules: ToolRules,
    /// Only those that change nothing.
    pub read_only: bool,
    /// Those that change nothing.
    pub read_only_tools: Vec<String>,
    /// Scopes that a tool needs.
    pub scopes: BTreeMap<String, Vec<String>>,
}

/// Which tools may be used, on every route.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Cedar policy files, each readable when the configuration was read; patterns are resolved, in order of name.
    pub files: Vec<PathBuf>,
    /// For everybody.
    pub tools: ToolRules,
    /// By tier.
    pub tiers: BTreeMap<String, ToolRules>,
    /// Only tools that a route lists as read-only.
    pub read_only: bool,
    /// What happens without a rule.
    pub default: PolicyDefault,
}

/// What happens to a call that no rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDefault {
    /// Refused as soon as any rule is written.
    DenyWhenConfigured,
    /// Refused.
    Deny,
}

pub(super) fn route_tools(at: &str, raw: &raw::RouteTools, review: &mut Review) -> RouteTools {
    RouteTools {
        rules: rules(at, raw.enabled.as_ref(), &raw.disabled, review),
        read_only: raw.read_only,
        read_only_tools: raw.read_only_tools.clone(),
        scopes: raw.scopes.clone(),
    }
}

/// Both lists may be written; what is in both is disabled (C47).
fn rules(
    at: &str,
    enabled: Option<&Vec<String>>,
    disabled: &[String],
    review: &mut Review,
) -> ToolRules {
    if enabled.is_some() && !disabled.is_empty() {
        let help = "a tool in both is disabled; keep one list to be clear";
        review.warn(
            &format!("{at}.disabled"),
            "is written beside `enabled`",
            help,
        );
    }
    if enabled.is_some_and(Vec::is_empty) {
        let help = "remove it to enable all";
        review.warn(
            &format!("{at}.enabled"),
            "is empty, so no tool may be used",
            help,
        );
    }
    ToolRules {
        enabled: enabled.cloned(),
        disabled: disabled.to_vec(),
    }
}

pub(super) fn mean(raw: &raw::Policy, quotas: &Quotas, review: &mut Review) -> Policy {
    let mut files = Vec::new();
    for (index, name) in raw.files.iter().enumerate() {
        files.extend(policy_files(
            &format!("policy.files[{index}]"),
            name,
            review,
        ));
    }
    let tiers = raw.tiers.iter().map(|(tier, written)| {
        let at = format!("policy.tiers.{tier}");
        quotas.knows_tier(&at, tier, review);
        let tools = &written.tools;
        let rules = rules(
            &format!("{at}.tools"),
            tools.enabled.as_ref(),
            &tools.disabled,
            review,
        );
        (tier.clone(), rules)
    });
    let tiers = tiers.collect();
    let tools = &raw.tools;
    Policy {
        files,
        tools: rules(
            "policy.tools",
            tools.enabled.as_ref(),
            &tools.disabled,
            review,
        ),
        tiers,
        read_only: raw.read_only,
        default: match raw.default {
            raw::PolicyDefault::DenyWhenConfigured => PolicyDefault::DenyWhenConfigured,
            raw::PolicyDefault::Deny => PolicyDefault::Deny,
        },
    }
}

/// The files that a name with one `*` in its last part stands for. A pattern without a file is a mistake: a policy that
/// is not there must not look like permission.
fn policy_files(at: &str, name: &str, review: &mut Review) -> Vec<PathBuf> {
    let pattern = review.file(name);
    let last = pattern
        .file_name()
        .and_then(|last| last.to_str())
        .unwrap_or_default();
    let Some((start, end)) = last.split_once('*') else {
        return vec![review.existing(at, name)];
    };
    let folder = pattern.parent().map(PathBuf::from).unwrap_or_default();
    let folder = if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder
    };
    let fits = |file: &PathBuf| {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(fits)
        .collect();
    files.sort();
    review.depends_on(at, &folder);
    for file in &files {
        review.depends_on(at, file);
    }
    if files.is_empty() {
        let message = format!("no file in {} fits `{last}`", folder.display());
        review.mistake(at, message, "put policies there, or remove the pattern");
    }
    files
}
