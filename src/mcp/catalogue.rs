//! What the tools of one upstream declare about headers. A tool may mark an argument with `x-mcp-header: X`; a modern
//! client then repeats its value in `Mcp-Param-X`, and whoever reads the body must check that both agree. The marks are
//! learnt from the tool lists that pass by. Reading takes no lock, and what one upstream can make us remember is bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::header::HeaderName;

use super::lists::Answer;
use super::view::Json;

/// What an upstream may make us remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueLimits {
    /// Tools with marked arguments. Further ones are left to the upstream's own check.
    pub tools: usize,
    /// Marked arguments of one tool. A tool with more is treated as having none.
    pub arguments: usize,
    /// Bytes of one argument's path and header name. A tool with a longer one is treated as having none.
    pub path: usize,
}

impl Default for CatalogueLimits {
    fn default() -> Self {
        Self {
            tools: 4096,
            arguments: 32,
            path: 256,
        }
    }
}

/// One argument that a client repeats in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `mcp-param-...`
    pub header: HeaderName,
    /// The way to it through nested objects, outermost name first.
    pub path: Box<[Box<str>]>,
}

type Tools = HashMap<Box<str>, Arc<[Mirror]>>;

/// The marked arguments of every tool seen so far, by tool name.
#[derive(Debug, Default)]
pub struct ToolHeaders {
    limits: CatalogueLimits,
    tools: ArcSwap<Tools>,
    learnt: AtomicU64,
}

impl ToolHeaders {
    /// An empty memory.
    pub fn new(limits: CatalogueLimits) -> Self {
        Self {
            limits,
            tools: ArcSwap::default(),
            learnt: AtomicU64::new(0),
        }
    }

    /// Learns from one page of a tool list, before anything is filtered out of it. A tool that appears again is learnt
    /// anew; nothing is copied when the page says what is known already.
    pub fn learn(&self, page: &Answer<'_>) {
        let seen: Vec<_> = page
            .tools()
            .map(|tool| (Box::<str>::from(tool.name), mirrors(tool.json, self.limits)))
            .collect();
        if agrees(&self.tools.load(), &seen) {
            return;
        }
        // Before and after: what was read in between is known by a number that comes never again.
        self.learnt.fetch_add(1, Ordering::AcqRel);
        self.tools.rcu(|known| {
            let mut tools = Tools::clone(known);
            for (name, mirrors) in &seen {
                if mirrors.is_empty() {
                    tools.remove(name);
                } else if tools.contains_key(name) || tools.len() < self.limits.tools {
                    tools.insert(name.clone(), mirrors.as_slice().into());
                }
            }
            tools
        });
        self.learnt.fetch_add(1, Ordering::AcqRel);
    }

    /// How often something new was learnt.
    pub fn learnt(&self) -> u64 {
        self.learnt.load(Ordering::Acquire)
    }

    /// The marked arguments of a tool; none for one that is unknown or marks nothing.
    pub fn of(&self, tool: &str) -> Option<Arc<[Mirror]>> {
        self.tools.load().get(tool).cloned()
    }

    /// How many tools are remembered.
    pub fn len(&self) -> usize {
        self.tools.load().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn agrees(known: &Tools, seen: &[(Box<str>, Vec<Mirror>)]) -> bool {
    seen.iter().all(|(name, mirrors)| match known.get(name) {
        Some(known) => **known == **mirrors,
        None => mirrors.is_empty(),
    })
}

/// The valid marks of one tool. One that is invalid makes clients drop the tool (MCP 2026-07-28, tools), so it has none.
fn mirrors(tool: Json<'_>, limits: CatalogueLimits) -> Vec<Mirror> {
    let mut walk = Walk {
        limits,
        path: Vec::new(),
        found: Vec::new(),
    };
    let walked = tool
        .member("inputSchema")
        .map(|schema| walk.schema(schema))
        .unwrap_or(Some(()));
    walked.map(|()| walk.found).unwrap_or_default()
}

/// Objects inside each other in which marked arguments are looked for.
const DEPTH: usize = 8;

/// A walk over an input schema along `properties` only, which is where marks may stand.
struct Walk {
    limits: CatalogueLimits,
    path: Vec<Box<str>>,
    found: Vec<Mirror>,
}

impl Walk {
    /// None as soon as a mark is invalid. Marks below [`DEPTH`] are left to the upstream's own check, which bounds the
    /// recursion and the time that a hostile schema can take.
    fn schema(&mut self, schema: Json<'_>) -> Option<()> {
        let properties = schema.member("properties");
        let Some(properties) = properties.filter(|_| self.path.len() < DEPTH) else {
            return Some(());
        };
        for property in properties.members() {
            self.path.push(property.name.into());
            if let Some(mark) = property.value.member("x-mcp-header") {
                self.mark(mark, property.value)?;
            }
            self.schema(property.value)?;
            self.path.pop();
        }
        Some(())
    }

    fn mark(&mut self, mark: Json<'_>, property: Json<'_>) -> Option<()> {
        let mark = mark.text()?;
        let kind = property.member("type")?.text()?;
        if mark.is_empty() || !matches!(kind.as_ref(), "string" | "integer" | "boolean") {
            return None;
        }
        let length = mark.len() + self.path.iter().map(|p| p.len()).sum::<usize>();
        if length > self.limits.path || self.found.len() >= self.limits.arguments {
            return None;
        }
        let header = HeaderName::from_bytes(format!("mcp-param-{mark}").as_bytes()).ok()?;
        if self.found.iter().any(|known| known.header == header) {
            return None;
        }
        self.found.push(Mirror {
            header,
            path: self.path.as_slice().into(),
        });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learns a list of tools given as name and properties.
    fn learn(catalogue: &ToolHeaders, tools: &[(&str, &str)]) {
        let tools: Vec<_> = tools
            .iter()
            .map(|(name, properties)| {
                format!(
                    r#"{{"name":"{name}","inputSchema":{{"type":"object","properties":{properties}}}}}"#
                )
            })
            .collect();
        let body = format!(r#"{{"result":{{"tools":[{}]}}}}"#, tools.join(","));
        catalogue.learn(&Answer::read(body.as_bytes()).unwrap());
    }

    const MARKED: &str = r#"{"region":{"type":"string","x-mcp-header":"Region"}}"#;

    #[test]
    fn mcp_2026_07_28_a_tool_with_an_invalid_mark_has_none() {
        let catalogue = ToolHeaders::default();
        for property in [
            r#"{"type":"string","x-mcp-header":"a b"}"#,
            r#"{"type":"string","x-mcp-header":""}"#,
            r#"{"type":"string","x-mcp-header":"ä"}"#,
            r#"{"type":"string","x-mcp-header":"a:b"}"#,
            r#"{"type":"string","x-mcp-header":7}"#,
            r#"{"type":"string","x-mcp-header":null}"#,
            r#"{"type":"number","x-mcp-header":"A"}"#,
            r#"{"type":"object","x-mcp-header":"A"}"#,
            r#"{"type":"array","x-mcp-header":"A"}"#,
            r#"{"type":["string","null"],"x-mcp-header":"A"}"#,
            r#"{"x-mcp-header":"A"}"#,
            r#"{"type":"string","x-mcp-header":"REGION"}"#,
            r#"{"type":"object","properties":{"b":{"type":"string","x-mcp-header":"region"}}}"#,
        ] {
            let properties =
                format!(r#"{{"r":{{"type":"string","x-mcp-header":"Region"}},"x":{property}}}"#);
            learn(&catalogue, &[("t", &properties)]);
            assert_eq!(catalogue.of("t"), None, "{property}");
        }
    }

    #[test]
    fn marks_elsewhere_than_in_properties_do_not_count() {
        let catalogue = ToolHeaders::default();
        learn(
            &catalogue,
            &[(
                "t",
                r#"{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}"#,
            )],
        );
        assert!(catalogue.is_empty());
    }

    #[test]
    fn marks_are_learnt_with_their_path() {
        let catalogue = ToolHeaders::default();
        let nested = r#"{"n":{"type":"integer","x-mcp-header":"N"},"o":{"type":"object","properties":{"b":{"type":"boolean","x-mcp-header":"Flag-B"}}},"plain":{"type":"string"}}"#;
        learn(&catalogue, &[("plain", "{}"), ("t", nested)]);
        let mirrors = catalogue.of("t").unwrap();
        let seen: Vec<_> = mirrors
            .iter()
            .map(|m| (m.header.as_str(), m.path.join(".")))
            .collect();
        assert_eq!(
            seen,
            [
                ("mcp-param-n", "n".into()),
                ("mcp-param-flag-b", "o.b".into())
            ]
        );
        assert_eq!(catalogue.of("plain"), None);
        assert_eq!(catalogue.of("T"), None);
    }

    #[test]
    fn a_later_list_replaces_what_was_known_of_its_tools_only() {
        let catalogue = ToolHeaders::default();
        learn(&catalogue, &[("a", MARKED), ("b", MARKED)]);
        let before = catalogue.tools.load_full();
        learn(&catalogue, &[("a", MARKED)]);
        assert!(Arc::ptr_eq(&before, &catalogue.tools.load_full()));
        learn(&catalogue, &[("a", "{}")]);
        assert_eq!(catalogue.of("a"), None);
        assert!(catalogue.of("b").is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let catalogue = ToolHeaders::new(CatalogueLimits {
            tools: 2,
            arguments: 1,
            path: 16,
        });
        learn(&catalogue, &[("a", MARKED), ("b", MARKED), ("c", MARKED)]);
        assert_eq!(catalogue.len(), 2);
        assert_eq!(catalogue.of("c"), None);
        let two = r#"{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"B"}}"#;
        learn(&catalogue, &[("a", two)]);
        assert_eq!(catalogue.of("a"), None);
        let long = r#"{"a_very_long_name_it_is":{"type":"string","x-mcp-header":"A"}}"#;
        learn(&catalogue, &[("b", long)]);
        assert!(catalogue.is_empty());
    }

    #[test]
    fn marks_far_down_are_left_to_the_upstream() {
        for (depth, known) in [(7, true), (8, false), (60, false)] {
            let catalogue = ToolHeaders::default();
            let open = r#"{"":{"type":"object","properties":"#.repeat(depth);
            let close = "}}".repeat(depth);
            learn(&catalogue, &[("t", &format!("{open}{MARKED}{close}"))]);
            assert_eq!(catalogue.of("t").is_some(), known, "{depth}");
        }
    }
}
