//! One protected MCP endpoint: its path, its identity as an OAuth resource, its policy and its upstream.

use std::sync::Arc;

use bytes::Bytes;

use super::memo::ListMemo;
use super::tasks::TaskOwners;
use super::workspace::Workspaces;
use crate::auth::{ResourceId, ResourceMetadata};
use crate::mcp::ToolHeaders;
use crate::policy::Policies;
use crate::telemetry::metrics;
use crate::upstream::Upstream;
use crate::upstream::breaker::Breaker;

/// What a route is made of.
pub struct RouteParts {
    /// Its name in logs, metrics and audit lines.
    pub name: String,
    /// Its path, such as `/mcp`.
    pub path: String,
    /// Its identity as an OAuth resource (RFC 8707).
    pub resource: ResourceId,
    /// Its protected resource metadata (RFC 9728).
    pub metadata: ResourceMetadata,
    /// The scopes that a challenge without a closer reason names.
    pub scopes: Vec<String>,
    /// What its principals may use.
    pub policies: Policies,
    /// The server behind it.
    pub upstream: Upstream,
    /// How much of an answer may be inspected.
    pub answers: Answers,
    /// What names a workspace in its calls, where anything does.
    pub workspaces: Option<Workspaces>,
    /// What leaves the server alone when it fails.
    pub breaker: Breaker,
    /// Its counters.
    pub meter: metrics::Route,
}

/// How much of an answer may be inspected.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// Bytes of a list.
    pub list_bytes: usize,
    /// Bytes of one event of a stream.
    pub event_bytes: usize,
}

/// One protected MCP endpoint.
pub struct Route {
    parts: RouteParts,
    metadata: Bytes,
    catalogue: ToolHeaders,
    tasks: TaskOwners,
    lists: ListMemo,
}

impl Route {
    /// Prepares what every request of the route shares.
    pub fn new(parts: RouteParts) -> Arc<Self> {
        let metadata = serde_json::to_vec(&parts.metadata)
            .unwrap_or_default()
            .into();
        Arc::new(Self {
            parts,
            metadata,
            catalogue: ToolHeaders::default(),
            tasks: TaskOwners::default(),
            lists: ListMemo::default(),
        })
    }

    /// Its name in logs, metrics and audit lines.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.parts.path
    }

    /// Its identity as an OAuth resource.
    pub const fn resource(&self) -> &ResourceId {
        &self.parts.resource
    }

    /// Its protected resource metadata, serialised.
    pub fn metadata(&self) -> Bytes {
        self.metadata.clone()
    }

    /// The scopes that a challenge without a closer reason names.
    pub fn scopes(&self) -> &[String] {
        &self.parts.scopes
    }

    /// What its principals may use.
    pub const fn policies(&self) -> &Policies {
        &self.parts.policies
    }

    /// The server behind it.
    pub const fn upstream(&self) -> &Upstream {
        &self.parts.upstream
    }

    /// How much of an answer may be inspected.
    pub const fn answers(&self) -> &Answers {
        &self.parts.answers
    }

    /// The `x-mcp-header` declarations that its lists have shown.
    pub const fn catalogue(&self) -> &ToolHeaders {
        &self.catalogue
    }

    /// The lists that were filtered lately.
    pub(super) const fn lists(&self) -> &ListMemo {
        &self.lists
    }

    /// What names a workspace in its calls, where anything does.
    pub const fn workspaces(&self) -> Option<&Workspaces> {
        self.parts.workspaces.as_ref()
    }

    /// Whose task is whose.
    pub const fn tasks(&self) -> &TaskOwners {
        &self.tasks
    }

    /// What leaves the server alone when it fails.
    pub const fn breaker(&self) -> &Breaker {
        &self.parts.breaker
    }

    /// Its counters.
    pub const fn meter(&self) -> &metrics::Route {
        &self.parts.meter
    }
}
