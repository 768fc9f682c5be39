//! What the gateway publishes about a protected resource (RFC 9728 section 2): where tokens for it come from and how
//! they are sent.

use serde::Serialize;

use super::challenge::ResourceId;

/// The protected resource metadata document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceMetadata {
    /// The canonical URI of the resource.
    pub resource: String,
    /// The issuers whose tokens are accepted; MCP requires at least one.
    pub authorization_servers: Vec<String>,
    /// The scopes that policies know; never `offline_access`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// How tokens are sent: in the header, and in no other way (R400).
    pub bearer_methods_supported: Vec<&'static str>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Where people read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<String>,
}

impl ResourceMetadata {
    /// The document of one resource.
    pub fn new(
        resource: &ResourceId,
        authorization_servers: Vec<String>,
        scopes: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            resource: resource.as_str().to_owned(),
            authorization_servers,
            scopes_supported: scopes
                .into_iter()
                .filter(|scope| scope != "offline_access")
                .collect(),
            bearer_methods_supported: vec!["header"],
            resource_name: None,
            resource_documentation: None,
        }
    }

    /// Adds a name for people.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.resource_name = Some(name.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9728_s2_the_document_has_the_registered_members_and_no_empty_ones() {
        let resource = ResourceId::parse("https://gw.test/mcp/").unwrap();
        let scopes = ["mcp:read".to_owned(), "offline_access".to_owned()];
        let document =
            ResourceMetadata::new(&resource, vec!["https://idp.test".into()], scopes).named("Demo");
        assert_eq!(
            serde_json::to_value(&document).unwrap(),
            serde_json::json!({
                "resource": "https://gw.test/mcp",
                "authorization_servers": ["https://idp.test"],
                "scopes_supported": ["mcp:read"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Demo",
            })
        );
        let bare = ResourceMetadata::new(&resource, vec!["https://idp.test".into()], []);
        assert!(
            serde_json::to_value(&bare)
                .unwrap()
                .get("scopes_supported")
                .is_none()
        );
    }
}
