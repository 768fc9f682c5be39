//! The parameters of a request on which the gateway decides: what is called, read, completed, listened to or asked of a
//! task. For those methods their shape is part of the reading, because a server that is more lenient than we are would
//! otherwise act on something that we did not see.

use super::decode::{Fault, refuse_imitation, within};
use super::message::{Limits, Subject};
use super::view::Json;

/// The members of `params` on which a server acts.
const PARAMS: [&str; 23] = [
    "_meta",
    "name",
    "arguments",
    "uri",
    "cursor",
    "taskId",
    "task",
    "ref",
    "argument",
    "context",
    "requestState",
    "inputResponses",
    "notifications",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "level",
    "requestId",
    "reason",
    "progressToken",
    "progress",
    "total",
    "message",
];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The protocol's own keys of `params._meta`.
const META: [&str; 10] = [
    META_VERSION,
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/subscriptionId",
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
];

/// The parameters on which the gateway decides.
pub(super) struct Params<'a> {
    limits: &'a Limits,
    name: Option<Json<'a>>,
    arguments: Option<Json<'a>>,
    uri: Option<Json<'a>>,
    task_id: Option<Json<'a>>,
    reference: Option<Json<'a>>,
    notifications: Option<Json<'a>>,
    meta: Option<Json<'a>>,
}

impl<'a> Params<'a> {
    /// Finds them in `params`.
    pub(super) fn read(json: Option<Json<'a>>, limits: &'a Limits) -> Result<Self, Fault> {
        let mut params = Self {
            limits,
            name: None,
            arguments: None,
            uri: None,
            task_id: None,
            reference: None,
            notifications: None,
            meta: None,
        };
        for member in json.into_iter().flat_map(Json::members) {
            let slot = match member.name.as_ref() {
                "name" => &mut params.name,
                "arguments" => &mut params.arguments,
                "uri" => &mut params.uri,
                "taskId" => &mut params.task_id,
                "ref" => &mut params.reference,
                "notifications" => &mut params.notifications,
                "_meta" => &mut params.meta,
                other => {
                    refuse_imitation(other, &PARAMS)?;
                    continue;
                }
            };
            *slot = Some(member.value);
        }
        Ok(params)
    }

    /// What `method` asks for with them.
    pub(super) fn subject(&self, method: &str) -> Result<Subject, Fault> {
        Ok(match method {
            "tools/call" => Subject::Tool(self.name()?, self.arguments()?),
            "prompts/get" => Subject::Prompt(self.name()?, self.arguments()?),
            "resources/read" => Subject::Read(self.uri()?),
            // Revision 2026-07-28 removed these two, and its servers owe "method not found" to whoever still asks, with
            // whatever parameters. Naming no resource, such a request can reveal none.
            "resources/subscribe" | "resources/unsubscribe" if self.uri.is_none() => Subject::Other,
            "resources/subscribe" => Subject::Subscribe(self.uri()?),
            "resources/unsubscribe" => Subject::Unsubscribe(self.uri()?),
            "completion/complete" => self.completion()?,
            "tools/list" => Subject::ListTools,
            "prompts/list" => Subject::ListPrompts,
            "resources/list" => Subject::ListResources,
            "resources/templates/list" => Subject::ListTemplates,
            "initialize" => Subject::Initialize,
            "server/discover" => Subject::Discover,
            "subscriptions/listen" => Subject::Listen(self.listened()?),
            "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel" => {
                Subject::Task(Some(self.task_id()?))
            }
            task if task.starts_with("tasks/") => {
                Subject::Task(self.task_id.map(|_| self.task_id()).transpose()?)
            }
            _ => Subject::Other,
        })
    }

    fn name(&self) -> Result<Box<str>, Fault> {
        text(self.name, "name", self.limits.name)
    }

    fn uri(&self) -> Result<Box<str>, Fault> {
        text(self.uri, "uri", self.limits.uri)
    }

    fn task_id(&self) -> Result<Box<str>, Fault> {
        text(self.task_id, "taskId", self.limits.name)
    }

    fn arguments(&self) -> Result<Option<std::ops::Range<usize>>, Fault> {
        let arguments = object(self.arguments, "arguments")?;
        Ok(arguments.map(Json::range))
    }

    fn completion(&self) -> Result<Subject, Fault> {
        let wanted = Fault::Parameter {
            member: "ref",
            wanted: "a reference to a prompt or a resource",
        };
        let reference = object(self.reference, "ref")?.ok_or(wanted.clone())?;
        for member in reference.members() {
            refuse_imitation(&member.name, &["type", "name", "uri"])?;
        }
        let kind = reference.member("type").and_then(Json::text);
        match kind.as_deref() {
            Some("ref/prompt") => {
                let name = text(reference.member("name"), "ref.name", self.limits.name)?;
                Ok(Subject::CompletePrompt(name))
            }
            Some("ref/resource") => {
                let uri = text(reference.member("uri"), "ref.uri", self.limits.uri)?;
                Ok(Subject::CompleteResource(uri))
            }
            _ => Err(wanted),
        }
    }

    fn listened(&self) -> Result<Vec<Box<str>>, Fault> {
        const MEMBER: &str = "notifications.resourceSubscriptions";
        let notifications = object(self.notifications, "notifications")?;
        let mut uris = None;
        for member in notifications.into_iter().flat_map(Json::members) {
            refuse_imitation(&member.name, &["resourceSubscriptions"])?;
            if member.name == "resourceSubscriptions" {
                uris = Some(member.value);
            }
        }
        let Some(uris) = uris else {
            return Ok(Vec::new());
        };
        if !uris.is_array() {
            return Err(Fault::Parameter {
                member: MEMBER,
                wanted: "an array",
            });
        }
        let count = uris.elements().take(self.limits.listened + 1).count();
        within(count, self.limits.listened, MEMBER)?;
        uris.elements()
            .map(|uri| text(Some(uri), MEMBER, self.limits.uri))
            .collect()
    }

    /// The revision that `_meta` names.
    pub(super) fn meta_version(&self) -> Result<Option<Box<str>>, Fault> {
        let mut version = None;
        for member in object(self.meta, "_meta")?
            .into_iter()
            .flat_map(Json::members)
        {
            if member.name == META_VERSION {
                let limit = self.limits.name;
                version = Some(text(Some(member.value), "_meta.protocolVersion", limit)?);
            } else {
                refuse_imitation(&member.name, &META)?;
            }
        }
        Ok(version)
    }
}

fn object<'a>(value: Option<Json<'a>>, member: &'static str) -> Result<Option<Json<'a>>, Fault> {
    match value {
        Some(value) if !value.is_object() => Err(Fault::Parameter {
            member,
            wanted: "an object",
        }),
        other => Ok(other),
    }
}

fn text(value: Option<Json<'_>>, member: &'static str, limit: usize) -> Result<Box<str>, Fault> {
    let text = value.and_then(Json::text).ok_or(Fault::Parameter {
        member,
        wanted: "a string",
    })?;
    within(text.len(), limit, member)?;
    Ok(text.into())
}
