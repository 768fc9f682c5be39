//! What an operator can configure about policy, as plain data. It compiles to Cedar like the policy files do, so that
//! there is one engine, one order of precedence and one name for the rule that decided.

use std::collections::BTreeMap;

/// Everything that decides about one route.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The name of the route, which policies see as `context.route`.
    pub route: String,
    /// Policy files. As soon as there is one, only what a file permits is permitted, and the rules below narrow it.
    pub files: Vec<PolicyFile>,
    /// Rules for all routes.
    pub everywhere: Rules,
    /// Rules for this route. Both must agree: a list here cannot widen one for all routes.
    pub here: Rules,
    /// Without a policy file, permit only what an `enabled` list names. Otherwise all is permitted that nothing forbids.
    pub deny_by_default: bool,
    /// Bounds of what is read and remembered.
    pub bounds: Bounds,
}

/// One policy file, already read.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// The name that mistakes are reported with.
    pub name: String,
    /// The Cedar text.
    pub text: String,
}

/// Lists and switches. Tool names may contain `*`.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Lists for everybody (R027, R028).
    pub tools: ToolLists,
    /// Lists by tier. If any tier has an `enabled` list, a tier that is not named here may call nothing (C49).
    pub tiers: BTreeMap<String, ToolLists>,
    /// Which scopes a tool needs, all of them. A tool named by several patterns needs the scopes of each (C25).
    pub scopes: BTreeMap<String, Vec<String>>,
    /// Scopes without which nothing can be done at all.
    pub required_scopes: Vec<String>,
    /// Only tools named in `read_only_tools` may be called.
    pub read_only: bool,
    /// The tools that the operator declares to be read-only.
    pub read_only_tools: Vec<String>,
}

/// Which tools are enabled, which are disabled. A tool in both is disabled (C47).
#[derive(Clone, Debug, Default)]
pub struct ToolLists {
    /// `None`: no list was written. An empty list enables nothing (C49).
    pub enabled: Option<Vec<String>>,
    /// These are never callable.
    pub disabled: Vec<String>,
}

/// Bounds of what policy reads from outside and remembers.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of arguments that rules may look into; a call with more is refused if a rule must look.
    pub argument_bytes: usize,
    /// How deep arguments may nest, which bounds the work per byte.
    pub argument_depth: usize,
    /// Decisions remembered; a few hundred bytes each.
    pub remembered: usize,
    /// A name longer than this is decided each time, so that callers cannot fill the memory with long names.
    pub remembered_name_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            argument_bytes: 256 * 1024,
            argument_depth: 32,
            remembered: 10_000,
            remembered_name_bytes: 256,
        }
    }
}

impl Settings {
    /// Is there nothing at all to enforce?
    pub(super) fn is_unconfigured(&self) -> bool {
        self.files.is_empty()
            && self.everywhere.is_empty()
            && self.here.is_empty()
            && !self.deny_by_default
    }

    /// Does any list say by name which tools may be called, for every caller?
    pub(super) fn names_tools(&self) -> bool {
        self.everywhere.names_tools() || self.here.names_tools()
    }
}

impl Rules {
    fn names_tools(&self) -> bool {
        let of_tiers =
            !self.tiers.is_empty() && self.tiers.values().all(|lists| lists.enabled.is_some());
        self.tools.enabled.is_some() || self.read_only || of_tiers
    }

    fn is_empty(&self) -> bool {
        self.tools.is_empty()
            && self.tiers.is_empty()
            && self.scopes.is_empty()
            && self.required_scopes.is_empty()
            && !self.read_only
    }
}

impl ToolLists {
    fn is_empty(&self) -> bool {
        self.enabled.is_none() && self.disabled.is_empty()
    }
}
