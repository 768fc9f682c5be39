//! YAML text becomes a tree that remembers where everything was written. Only the plain part of YAML is read: what could
//! make two readers see two documents (repeated keys, anchors, tags, several documents) is refused.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::mistake::{Mistake, Origin};

/// The largest configuration that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting that is read. The settings themselves need seven levels.
pub const MAX_DEPTH: usize = 16;

/// A value and the place where it was written.
#[derive(Clone, Debug)]
pub(in crate::config) struct Node {
    pub(in crate::config) origin: Origin,
    pub(in crate::config) value: Value,
}

/// What a [`Node`] holds. Scalars stay text until the schema says what they should be, so `on` or `007` mean what
/// they say where a text is wanted.
#[derive(Clone, Debug)]
pub(in crate::config) enum Value {
    Scalar { text: String, quoted: bool },
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Clone, Debug)]
pub(in crate::config) struct Entry {
    pub(in crate::config) key: String,
    pub(in crate::config) origin: Origin,
    pub(in crate::config) node: Node,
}

impl Node {
    /// A text that was not written in the file.
    pub(in crate::config) fn text(origin: Origin, text: &str) -> Self {
        Self {
            origin,
            value: Value::Scalar {
                text: text.into(),
                quoted: false,
            },
        }
    }

    /// A table without keys.
    pub(in crate::config) const fn table(origin: Origin) -> Self {
        Self {
            origin,
            value: Value::Table(Vec::new()),
        }
    }
}

/// Reads a whole document; an empty one is an empty table.
pub(in crate::config) fn read(text: &str) -> Result<Node, Vec<Mistake>> {
    if text.len() > MAX_BYTES {
        return Err(vec![
            Mistake::new("", format!("the file has more than {MAX_BYTES} bytes"))
                .help("move long lists into policy files"),
        ]);
    }
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        last: text.split(['\r', '\n']).count(),
        mistakes: Vec::new(),
    };
    match reader.document() {
        Ok(root) if reader.mistakes.is_empty() => Ok(root),
        Ok(_) => Err(reader.mistakes),
        Err(stop) => {
            reader.mistakes.push(stop);
            Err(reader.mistakes)
        }
    }
}

struct Reader<'a, I: saphyr_parser::Input> {
    events: Parser<'a, I>,
    /// The number of the last line.
    last: usize,
    mistakes: Vec<Mistake>,
}

impl<'a, I: saphyr_parser::Input> Reader<'a, I> {
    fn document(&mut self) -> Result<Node, Mistake> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(Mistake::new("", "the file holds more than one document")
                        .at(self.line(&span.start))
                        .help("keep one and remove the `---` between them"));
                }
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
        let empty = |node: &Node| matches!(&node.value, Value::Scalar { text, quoted: false } if text.is_empty());
        Ok(root
            .filter(|node| !empty(node))
            .unwrap_or(Node::table(Origin::Line(1))))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Mistake> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Mistake::new("", format!("not YAML: {}", error.info()))
                .at(self.line(error.marker()))),
            None => Err(Mistake::new("", "the document ends too early")),
        }
    }

    /// What is missing at the end the parser finds behind the last line.
    fn line(&self, marker: &Marker) -> Origin {
        Origin::Line(marker.line().min(self.last))
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Mistake> {
        let origin = self.line(&span.start);
        if depth > MAX_DEPTH {
            return Err(Mistake::new("", format!("nested more than {MAX_DEPTH} deep")).at(origin));
        }
        let (value, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain;
                let text = text.into_owned();
                (Value::Scalar { text, quoted }, anchor, tag.is_some())
            }
            Event::SequenceStart(anchor, tag) => (self.list(depth)?, anchor, tag.is_some()),
            Event::MappingStart(anchor, tag) => (self.table(depth)?, anchor, tag.is_some()),
            Event::Alias(_) => return Err(no_reuse("alias (`*name`)", origin)),
            _ => return Err(Mistake::new("", "not YAML: value expected").at(origin)),
        };
        if anchor != 0 {
            self.mistakes
                .push(no_reuse("anchor (`&name`)", origin.clone()));
        }
        if tagged {
            self.mistakes.push(
                Mistake::new("", "tags (`!name`) are not read")
                    .at(origin.clone())
                    .help("remove it"),
            );
        }
        Ok(Node { origin, value })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Table(entries));
            }
            let (key, origin) = self.key(event, &span, depth)?;
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => {
                    let already = format!("`{key}` was already written ({})", at(&first.origin));
                    self.mistakes.push(
                        Mistake::new("", already)
                            .at(origin)
                            .help("keep one of the two"),
                    );
                }
                None => entries.push(Entry { key, origin, node }),
            }
        }
    }

    fn key(
        &mut self,
        event: Event<'a>,
        span: &Span,
        depth: usize,
    ) -> Result<(String, Origin), Mistake> {
        let node = self.node(event, span, depth + 1)?;
        match node.value {
            Value::Scalar { text, quoted } => {
                if text == "<<" && !quoted {
                    self.mistakes
                        .push(no_reuse("merge key (`<<`)", node.origin.clone()));
                }
                Ok((text, node.origin))
            }
            Value::List(_) | Value::Table(_) => {
                Err(Mistake::new("", "a key must be a plain word").at(node.origin))
            }
        }
    }
}

fn at(origin: &Origin) -> String {
    origin.to_string().trim_end_matches(": ").to_owned()
}

fn no_reuse(what: &str, origin: Origin) -> Mistake {
    Mistake::new("", format!("YAML {what} is not read"))
        .at(origin)
        .help("write the value out where it is used")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        read(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused_with_its_line() {
        for (text, said) in [
            (
                "a: 1\nb: 2\na: 3\n",
                "line 3: `a` was already written (line 1); keep one of the two",
            ),
            (
                "a: &x 1\n",
                "line 1: YAML anchor (`&name`) is not read; write the value out where it is used",
            ),
            (
                "a:\n  <<: {b: 1}\n",
                "line 2: YAML merge key (`<<`) is not read; write the value out where it is used",
            ),
            (
                "a: !!str 1\n",
                "line 1: tags (`!name`) are not read; remove it",
            ),
            (
                "a: 1\n---\nb: 2\n",
                "line 3: the file holds more than one document; keep one and remove the `---` between them",
            ),
            ("{[a]: 1}\n", "line 1: a key must be a plain word"),
        ] {
            assert_eq!(mistakes(text), [said], "{text}");
        }
        let alias = mistakes("a: &x 1\nb: *x\n");
        assert!(
            alias
                .iter()
                .any(|said| said.starts_with("line 2: YAML alias")),
            "{alias:?}"
        );
    }

    #[test]
    fn size_and_depth_are_capped_and_broken_text_has_a_line() {
        assert!(mistakes(&"#".repeat(MAX_BYTES + 1))[0].contains("more than 1048576 bytes"));
        let deep = format!("a: {}{}", "[".repeat(64), "]".repeat(64));
        assert_eq!(mistakes(&deep), ["line 1: nested more than 16 deep"]);
        assert!(mistakes("a: 1\nb: [1, 2\n")[0].starts_with("line "));
    }

    #[test]
    fn an_empty_file_is_an_empty_table() {
        for text in ["", "\n\n", "# only words\n", "---\n"] {
            let root = read(text).unwrap();
            assert!(
                matches!(root.value, Value::Table(entries) if entries.is_empty()),
                "{text:?}"
            );
        }
    }
}
