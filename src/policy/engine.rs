//! The rules of one route, compiled, and the one place that asks Cedar. Rules are kept in two sets: those that need no
//! arguments decide once for all calls of a caller's class, and those that read arguments are asked with every call that
//! they could apply to. Cedar skips a rule whose evaluation fails; here any such failure refuses, since the rule that
//! failed may be the one that forbids.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    Policy, PolicyId, PolicySet, Request, RestrictedExpression,
};

use super::files::{self, PolicyMistake};
use super::house;
use super::names::Names;
use super::pattern::NamePattern;
use super::reads;
use super::settings::{PolicyFile, Settings};
use super::shape;
use super::{Ask, Kind};
use crate::auth::Principal;

const BASE: &str = include_str!("../../policies/base.cedar");
const ALLOW_ALL: &str = include_str!("../../policies/allow-all.cedar");
const LISTED_TOOLS: &str = include_str!("../../policies/listed-tools.cedar");
const NO_TOOLS: &str = "no rule permits a tool, so every tool is hidden: with a policy file, or denying by default, only what is named is permitted";
const ALLOW_ALL_METHODS: &str = "allow-all-methods";

/// The name of a rule, as decisions and audit lines give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// What decided when no rule spoke.
    pub(super) fn default_deny() -> Self {
        Self("default-deny".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a set of rules says.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Forbidden {
        rule: RuleName,
        for_scopes_only: bool,
    },
    Permitted(RuleName),
    Silent,
    Failed {
        rule: RuleName,
        message: Arc<str>,
    },
}

/// Which rules that read arguments could apply.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) any: bool,
    pub(super) permits: bool,
}

/// What a rule is, besides its text.
struct Rule {
    name: RuleName,
    effect: Effect,
    asks_for_scopes: bool,
}

/// The compiled rules.
pub(super) struct Engine {
    authorizer: Authorizer,
    plain: PolicySet,
    reading: PolicySet,
    /// The rules of `reading` as permits without the parts that read arguments, under the same names.
    may_apply: PolicySet,
    rules: HashMap<PolicyId, Rule>,
    words: Words,
    route: String,
    read_only: Vec<NamePattern>,
    pub(super) reads_identity: bool,
    /// The arguments that rules read.
    pub(super) names: Names,
    permits_tools: bool,
    pub(super) warnings: Vec<PolicyMistake>,
}

/// Names of the schema, parsed once.
struct Words {
    user: EntityTypeName,
    kinds: HashMap<Kind, (EntityTypeName, EntityUid)>,
}

impl Words {
    fn parse() -> Result<Self, String> {
        let entity_type = |name: &str| {
            name.parse::<EntityTypeName>()
                .map_err(|error| error.to_string())
        };
        let mut kinds = HashMap::new();
        for kind in Kind::ALL {
            let (entity, verb) = kind.words();
            let verb =
                EntityUid::from_type_name_and_id(entity_type("Action")?, EntityId::new(verb));
            kinds.insert(kind, (entity_type(entity)?, verb));
        }
        Ok(Self {
            user: entity_type("User")?,
            kinds,
        })
    }
}

impl Engine {
    pub(super) fn compile(settings: &Settings) -> Result<Self, Vec<PolicyMistake>> {
        let own = |error: &dyn fmt::Display| PolicyMistake::of_configuration(error.to_string());
        let mut engine = Self {
            authorizer: Authorizer::new(),
            plain: PolicySet::new(),
            reading: PolicySet::new(),
            may_apply: PolicySet::new(),
            rules: HashMap::new(),
            words: Words::parse().map_err(|error| vec![own(&error)])?,
            route: settings.route.clone(),
            read_only: house::read_only_tools(settings),
            reads_identity: false,
            names: Names::default(),
            permits_tools: false,
            warnings: Vec::new(),
        };
        let mut mistakes = Vec::new();
        for file in built_in(settings) {
            let rules = files::parse(&file);
            let wanted = |rule: &Policy| {
                settings.is_unconfigured() || rule.annotation("id") != Some(ALLOW_ALL_METHODS)
            };
            engine.add_rules(&file, rules, wanted, &mut mistakes);
        }
        for file in &settings.files {
            let rules = files::read(file, &mut engine.warnings);
            engine.add_rules(file, rules, |_| true, &mut mistakes);
        }
        for rule in house::rules(settings) {
            let added = Policy::from_json(Some(PolicyId::new(&rule.name)), rule.tree)
                .map_err(|error| error.to_string())
                .and_then(|policy| engine.add(policy, rule.asks_for_scopes));
            mistakes.extend(added.err().map(|error| own(&error)));
        }
        if !engine.permits_tools {
            engine.warnings.push(own(&NO_TOOLS));
        }
        if mistakes.is_empty() {
            Ok(engine)
        } else {
            Err(mistakes)
        }
    }

    fn add_rules(
        &mut self,
        file: &PolicyFile,
        rules: Result<Vec<(Policy, usize)>, Vec<PolicyMistake>>,
        wanted: impl Fn(&Policy) -> bool,
        mistakes: &mut Vec<PolicyMistake>,
    ) {
        let rules = match rules {
            Ok(rules) => rules,
            Err(found) => return mistakes.extend(found),
        };
        for (rule, line) in rules.into_iter().filter(|(rule, _)| wanted(rule)) {
            if let Err(message) = self.add(rule, false) {
                mistakes.push(PolicyMistake {
                    file: file.name.clone(),
                    line,
                    message,
                });
            }
        }
    }

    fn add(&mut self, policy: Policy, asks_for_scopes: bool) -> Result<(), String> {
        let id = policy.id().clone();
        let name = RuleName(id.to_string().into());
        if self.rules.contains_key(&id) || name == RuleName::default_deny() {
            return Err(format!("the name `{id}` is taken by another rule"));
        }
        let tree = policy.to_json().map_err(|error| error.to_string())?;
        let rule = Rule {
            name,
            effect: policy.effect(),
            asks_for_scopes,
        };
        self.reads_identity |= reads::reads_identity(&tree);
        self.permits_tools |= rule.effect == Effect::Permit && reads::is_about(&tree, "call_tool");
        self.rules.insert(id.clone(), rule);
        if !reads::reads_arguments(&tree) {
            return self.plain.add(policy).map_err(|error| error.to_string());
        }
        if let Ok(arguments) = shape::of_arguments(&tree) {
            self.names.add(&arguments);
        }
        let skeleton = Policy::from_json(Some(id), reads::without_arguments(&tree))
            .map_err(|error| error.to_string())?;
        self.may_apply
            .add(skeleton)
            .map_err(|error| error.to_string())?;
        self.reading.add(policy).map_err(|error| error.to_string())
    }

    /// How many rules there are.
    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// What the rules say that need no arguments, and which of the others could apply, for these scopes.
    pub(super) fn ask_plain(
        &self,
        principal: &Principal,
        scopes: &BTreeSet<String>,
        ask: Ask<'_>,
    ) -> (Outcome, Pending) {
        let asked = match self.question(principal, scopes, ask, None) {
            Ok(asked) => asked,
            Err(message) => return (failed(message), Pending::default()),
        };
        let outcome = self.judge(&self.plain, &asked);
        if self.may_apply.is_empty() {
            return (outcome, Pending::default());
        }
        let response =
            self.authorizer
                .is_authorized(&asked.request, &self.may_apply, &asked.entities);
        let permits = response.diagnostics().reason().any(|id| {
            self.rules
                .get(id)
                .is_none_or(|rule| rule.effect == Effect::Permit)
        });
        let any = response.diagnostics().reason().next().is_some()
            || response.diagnostics().errors().next().is_some();
        (outcome, Pending { any, permits })
    }

    /// What the rules say that read arguments.
    pub(super) fn ask_reading(
        &self,
        principal: &Principal,
        scopes: &BTreeSet<String>,
        ask: Ask<'_>,
        arguments: RestrictedExpression,
    ) -> Outcome {
        match self.question(principal, scopes, ask, Some(arguments)) {
            Ok(asked) => self.judge(&self.reading, &asked),
            Err(message) => failed(message),
        }
    }

    fn judge(&self, set: &PolicySet, asked: &Question) -> Outcome {
        let response = self
            .authorizer
            .is_authorized(&asked.request, set, &asked.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            return Outcome::Failed {
                rule: self.name_of(error.policy_id()),
                message: error.inner().to_string().into(),
            };
        }
        let mut reasons = response.diagnostics().reason();
        let Some(first) = reasons.next() else {
            return Outcome::Silent;
        };
        let rule = reasons.min().map_or(first, |other| first.min(other));
        match response.decision() {
            Decision::Allow => Outcome::Permitted(self.name_of(rule)),
            Decision::Deny => Outcome::Forbidden {
                rule: self.name_of(rule),
                for_scopes_only: response
                    .diagnostics()
                    .reason()
                    .all(|id| self.asks_for_scopes(id)),
            },
        }
    }

    fn name_of(&self, id: &PolicyId) -> RuleName {
        self.rules
            .get(id)
            .map_or_else(RuleName::default_deny, |rule| rule.name.clone())
    }

    fn asks_for_scopes(&self, id: &PolicyId) -> bool {
        self.rules.get(id).is_some_and(|rule| rule.asks_for_scopes)
    }

    fn question(
        &self,
        principal: &Principal,
        scopes: &BTreeSet<String>,
        ask: Ask<'_>,
        arguments: Option<RestrictedExpression>,
    ) -> Result<Question, String> {
        let (kind, name) = ask.target();
        let (of_type, verb) = self
            .words
            .kinds
            .get(&kind)
            .ok_or("an action without a name")?;
        let user = entity(
            &self.words.user,
            principal.user().as_str(),
            facts(principal, scopes),
        )?;
        let mut attributes = HashMap::from([
            (kind.name_attribute().to_owned(), text(name)),
            ("route".to_owned(), text(&self.route)),
        ]);
        if kind == Kind::Tool {
            let read_only = self.read_only.iter().any(|pattern| pattern.matches(name));
            attributes.insert(
                "read_only".to_owned(),
                RestrictedExpression::new_bool(read_only),
            );
        }
        let resource = entity(of_type, name, attributes)?;
        let mut context = vec![("route".to_owned(), text(&self.route))];
        context.extend(arguments.map(|arguments| ("arguments".to_owned(), arguments)));
        let context = Context::from_pairs(context).map_err(|error| error.to_string())?;
        let request = Request::new(user.uid(), verb.clone(), resource.uid(), context, None);
        Ok(Question {
            request: request.map_err(|error| error.to_string())?,
            entities: Entities::from_entities([user, resource], None)
                .map_err(|error| error.to_string())?,
        })
    }
}

/// One request to the engine, with the entities that it speaks of.
struct Question {
    request: Request,
    entities: Entities,
}

/// The rules that are part of the program. They are known to fit the schema, so a start need not prove it again.
fn built_in(settings: &Settings) -> Vec<PolicyFile> {
    let file = |name: &str, text: &str| PolicyFile {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let mut files = vec![file("base.cedar", BASE)];
    if !settings.files.is_empty() {
        return files;
    }
    if !settings.deny_by_default {
        files.push(file("allow-all.cedar", ALLOW_ALL));
    } else if settings.names_tools() {
        files.push(file("listed-tools.cedar", LISTED_TOOLS));
    }
    files
}

fn failed(message: String) -> Outcome {
    Outcome::Failed {
        rule: RuleName::default_deny(),
        message: message.into(),
    }
}

fn entity(
    of_type: &EntityTypeName,
    id: &str,
    attributes: HashMap<String, RestrictedExpression>,
) -> Result<Entity, String> {
    let uid = EntityUid::from_type_name_and_id(of_type.clone(), EntityId::new(id));
    Entity::new(uid, attributes, HashSet::new()).map_err(|error| error.to_string())
}

fn facts(
    principal: &Principal,
    scopes: &BTreeSet<String>,
) -> HashMap<String, RestrictedExpression> {
    let mut facts = HashMap::from([
        ("tier".to_owned(), text(principal.tier())),
        ("issuer".to_owned(), text(principal.issuer())),
        ("scopes".to_owned(), texts(scopes)),
        ("roles".to_owned(), texts(principal.roles())),
    ]);
    facts.extend(principal.team().map(|team| ("team".to_owned(), text(team))));
    if let Some(shown) = principal.certificate() {
        let thumbprint = shown.thumbprint().to_string();
        let members = [
            ("name", shown.name()),
            ("kind", shown.kind().name()),
            ("thumbprint", &thumbprint),
        ]
        .map(|(name, value)| (name.to_owned(), text(value)));
        facts.extend(
            RestrictedExpression::new_record(members)
                .ok()
                .map(|record| ("client_certificate".to_owned(), record)),
        );
    }
    facts
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value)))
}
