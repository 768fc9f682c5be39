//! Stage 5: may this caller use this tool, prompt, resource or method, with these arguments?
//!
//! - **Protects** the upstream from callers who are known but not entitled.
//! - **Assumes** a verified [`Principal`] and a message that can be read in one way only.
//! - **Hands on** a [`Permit`], which names the rule that allowed it and can be made nowhere else.
//! - **Refuses** what no rule permits, what any rule forbids, and whatever it cannot decide.
//!
//! Rules are written in Cedar. The lists and switches of the configuration become Cedar rules too, so there is one
//! engine: forbidding wins over permitting, and silence forbids. Listing and calling are two questions: a thing is listed
//! unless no arguments could make it callable, and a call is decided with its real arguments.

mod arguments;
mod engine;
mod files;
mod house;
mod memory;
mod names;
mod pattern;
mod reads;
mod settings;
mod shape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use arguments::ArgumentsError;
pub use engine::RuleName;
pub use files::PolicyMistake;
pub use pattern::NamePattern;
pub use settings::{Bounds, PolicyFile, Rules, Settings, ToolLists};

use crate::auth::Principal;
use engine::{Engine, Outcome};
use house::ScopeTable;
use memory::{Memory, Verdict};

/// What a caller asks to use.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// `tools/call`.
    Tool {
        /// The name of the tool.
        name: &'a str,
        /// The raw JSON of the arguments, if the call has any. Lists do not look at them.
        arguments: Option<&'a str>,
    },
    /// `prompts/get`.
    Prompt {
        /// The name of the prompt.
        name: &'a str,
    },
    /// `resources/read`.
    Resource {
        /// The URI of the resource.
        uri: &'a str,
    },
    /// Any other request or notification.
    Method {
        /// The name of the method.
        name: &'a str,
    },
}

/// The kind of a thing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Tool,
    Prompt,
    Resource,
    Method,
}

impl<'a> Ask<'a> {
    const fn target(self) -> (Kind, &'a str) {
        match self {
            Self::Tool { name, .. } => (Kind::Tool, name),
            Self::Prompt { name } => (Kind::Prompt, name),
            Self::Resource { uri } => (Kind::Resource, uri),
            Self::Method { name } => (Kind::Method, name),
        }
    }

    const fn arguments(self) -> Option<&'a str> {
        match self {
            Self::Tool { arguments, .. } => arguments,
            Self::Prompt { .. } | Self::Resource { .. } | Self::Method { .. } => None,
        }
    }
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Method];

    /// The entity type and the action of the schema.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Tool => ("Tool", "call_tool"),
            Self::Prompt => ("Prompt", "get_prompt"),
            Self::Resource => ("Resource", "read_resource"),
            Self::Method => ("Method", "use_method"),
        }
    }

    const fn name_attribute(self) -> &'static str {
        match self {
            Self::Resource => "uri",
            Self::Tool | Self::Prompt | Self::Method => "name",
        }
    }
}

/// The proof that policy allowed a call. Made only by [`Policies::decide`].
#[derive(Debug)]
#[must_use]
pub struct Permit {
    rule: RuleName,
}

impl Permit {
    /// The rule that allowed it.
    pub const fn rule(&self) -> &RuleName {
        &self.rule
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PolicyError {
    /// The caller must not even learn that it exists: answer as for an unknown name.
    #[error("hidden by rule `{rule}`")]
    Hidden {
        /// The rule that decided.
        rule: RuleName,
    },
    /// The caller sees it in lists and may use it, but not with these arguments.
    #[error("these arguments are refused by rule `{rule}`")]
    ArgumentsRefused {
        /// The rule that decided.
        rule: RuleName,
    },
    /// Nothing but missing scopes stands in the way.
    #[error("the token lacks some of the scopes {needed:?}")]
    InsufficientScope {
        /// Every scope of the operation, held or not, as a challenge must name them.
        needed: Arc<[String]>,
    },
    /// This method is not for this caller.
    #[error("method refused by rule `{rule}`")]
    MethodNotAllowed {
        /// The rule that decided.
        rule: RuleName,
    },
    /// A rule must look into the arguments and cannot.
    #[error("the arguments cannot be judged")]
    Unreadable(#[from] ArgumentsError),
    /// A rule could not be evaluated; since it may be one that forbids, the call is refused.
    #[error("rule `{rule}` could not be evaluated: {message}")]
    EngineFailure {
        /// The rule that failed.
        rule: RuleName,
        /// What the engine says.
        message: Arc<str>,
    },
}

impl PolicyError {
    /// The rule that refused, if it was one rule.
    pub const fn rule(&self) -> Option<&RuleName> {
        match self {
            Self::Hidden { rule }
            | Self::ArgumentsRefused { rule }
            | Self::MethodNotAllowed { rule }
            | Self::EngineFailure { rule, .. } => Some(rule),
            Self::InsufficientScope { .. } | Self::Unreadable(_) => None,
        }
    }
}

/// The compiled policy of one route.
pub struct Policies {
    engine: Engine,
    scopes: ScopeTable,
    memory: Memory,
    bounds: Bounds,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("rules", &self.engine.len())
            .finish_non_exhaustive()
    }
}

impl Policies {
    /// Compiles and checks everything that is configured for a route.
    ///
    /// # Errors
    /// Every mistake, with its file and line.
    pub fn compile(settings: &Settings) -> Result<Self, Vec<PolicyMistake>> {
        let engine = Engine::compile(settings)?;
        Ok(Self {
            memory: Memory::new(&settings.bounds, engine.reads_identity),
            scopes: ScopeTable::of(settings),
            bounds: settings.bounds,
            engine,
        })
    }

    /// What is odd but no mistake, such as a rule that can never apply, or files that permit no tool.
    pub fn warnings(&self) -> &[PolicyMistake] {
        &self.engine.warnings
    }

    /// Decides about a call, with its real arguments.
    ///
    /// # Errors
    /// [`PolicyError`] when it is refused.
    pub fn decide(&self, principal: &Principal, ask: Ask<'_>) -> Result<Permit, PolicyError> {
        let verdict = self.verdict(principal, ask);
        let permit = self.permit(principal, ask, &verdict)?;
        match &verdict.lacking {
            Some(needed) => Err(PolicyError::InsufficientScope {
                needed: Arc::clone(needed),
            }),
            None => Ok(permit),
        }
    }

    /// Whether some rule asks who exactly is calling, so that two callers of one class may be judged differently.
    pub const fn tells_users_apart(&self) -> bool {
        self.engine.reads_identity
    }

    /// Does this belong on the caller's lists? Yes, unless no arguments could make it callable. What only lacks scopes is
    /// listed, so that the caller can ask for them.
    pub fn lists(&self, principal: &Principal, ask: Ask<'_>) -> bool {
        self.verdict(principal, ask).is_listed()
    }

    fn verdict(&self, principal: &Principal, ask: Ask<'_>) -> Arc<Verdict> {
        let (kind, name) = ask.target();
        self.memory
            .verdict(principal, kind, name, || self.judge(principal, ask))
    }

    fn judge(&self, principal: &Principal, ask: Ask<'_>) -> Verdict {
        let (outcome, pending) = self.engine.ask_plain(principal, principal.scopes(), ask);
        let scopes_would_help = matches!(
            outcome,
            Outcome::Forbidden {
                for_scopes_only: true,
                ..
            }
        );
        if !scopes_would_help {
            return Verdict {
                outcome,
                pending,
                lacking: None,
            };
        }
        let (kind, name) = ask.target();
        let needed = self.scopes.needed((kind == Kind::Tool).then_some(name));
        let (outcome, pending) =
            self.engine
                .ask_plain(principal, &granted(principal, &needed), ask);
        Verdict {
            outcome,
            pending,
            lacking: Some(needed),
        }
    }

    /// What the verdict comes to with the real arguments, scopes aside.
    fn permit(
        &self,
        principal: &Principal,
        ask: Ask<'_>,
        verdict: &Verdict,
    ) -> Result<Permit, PolicyError> {
        let kind = ask.target().0;
        let plain = match &verdict.outcome {
            Outcome::Forbidden { rule, .. } => return Err(refusal(kind, rule.clone())),
            Outcome::Failed { rule, message } => return Err(failure(rule, message)),
            Outcome::Permitted(rule) => Some(rule),
            Outcome::Silent => None,
        };
        if verdict.pending.any {
            let arguments = arguments::record(ask.arguments(), &self.bounds)?;
            self.engine.names.refuse_imitations(ask.arguments())?;
            let scopes = match &verdict.lacking {
                Some(needed) => Cow::Owned(granted(principal, needed)),
                None => Cow::Borrowed(principal.scopes()),
            };
            match self.engine.ask_reading(principal, &scopes, ask, arguments) {
                Outcome::Failed { rule, message } => return Err(failure(&rule, &message)),
                Outcome::Forbidden { rule, .. } => return Err(verdict.argument_refusal(kind, rule)),
                Outcome::Permitted(rule) if plain.is_none() => return Ok(Permit { rule }),
                Outcome::Permitted(_) | Outcome::Silent => {}
            }
        }
        match plain {
            Some(rule) => Ok(Permit { rule: rule.clone() }),
            None => Err(verdict.argument_refusal(kind, RuleName::default_deny())),
        }
    }
}

impl Verdict {
    const fn is_listed(&self) -> bool {
        match self.outcome {
            Outcome::Permitted(_) => true,
            Outcome::Silent => self.pending.permits,
            Outcome::Forbidden { .. } | Outcome::Failed { .. } => false,
        }
    }

    fn argument_refusal(&self, kind: Kind, rule: RuleName) -> PolicyError {
        if kind == Kind::Tool && self.is_listed() {
            PolicyError::ArgumentsRefused { rule }
        } else {
            refusal(kind, rule)
        }
    }
}

const fn refusal(kind: Kind, rule: RuleName) -> PolicyError {
    match kind {
        Kind::Method => PolicyError::MethodNotAllowed { rule },
        Kind::Tool | Kind::Prompt | Kind::Resource => PolicyError::Hidden { rule },
    }
}

fn failure(rule: &RuleName, message: &Arc<str>) -> PolicyError {
    PolicyError::EngineFailure {
        rule: rule.clone(),
        message: Arc::clone(message),
    }
}

fn granted(principal: &Principal, needed: &[String]) -> BTreeSet<String> {
    principal.scopes().iter().chain(needed).cloned().collect()
}
