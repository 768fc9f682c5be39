//! The member names of all objects that are open while a document is scanned, kept so that a repeated one is found at a
//! cost that no body can make quadratic and with two allocations a document.

use super::fold::fold_into;
use super::view::unescape;

/// The names of all open objects, innermost last, kept as text in one buffer.
pub(super) struct Names {
    folded: String,
    spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    offset: usize,
}

impl Names {
    /// None yet, with room for those of an ordinary message.
    pub(super) fn with_room() -> Self {
        Self {
            folded: String::with_capacity(128),
            spans: Vec::with_capacity(16),
        }
    }

    /// How many names are noted.
    pub(super) const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Notes a name of the innermost open object; `inner` is what stands between its quotes.
    pub(super) fn note(&mut self, inner: &str, escaped: bool, offset: usize, fold: bool) {
        let start = self.folded.len();
        if !fold {
            self.folded.push_str(&unescape(inner));
        } else if escaped || !inner.is_ascii() {
            fold_into(unescape(inner).chars(), &mut self.folded);
        } else {
            self.folded.push_str(inner);
            if let Some(noted) = self.folded.get_mut(start..) {
                noted.make_ascii_lowercase();
            }
        }
        self.spans.push(Span {
            start,
            end: self.folded.len(),
            offset,
        });
    }

    /// An object ends: its names must all differ, else the place of the first repeated one is the error. Few names are
    /// compared in pairs; many are sorted, so that no body makes this quadratic.
    pub(super) fn close(&mut self, before: usize) -> Result<(), usize> {
        let text = &self.folded;
        let name = |span: &Span| text.get(span.start..span.end).unwrap_or_default();
        let spans = self.spans.get_mut(before..).unwrap_or_default();
        let begin = spans.first().map_or(text.len(), |span| span.start);
        let twice = if spans.len() <= FEW {
            first_pair(spans, name)
        } else {
            spans.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(a.offset.cmp(&b.offset)));
            spans
                .windows(2)
                .filter_map(|pair| match pair {
                    [a, b] if name(a) == name(b) => Some(b.offset),
                    _ => None,
                })
                .min()
        };
        if let Some(offset) = twice {
            return Err(offset);
        }
        self.spans.truncate(before);
        self.folded.truncate(begin);
        Ok(())
    }
}

const FEW: usize = 12;

fn first_pair<'t>(spans: &[Span], name: impl Fn(&Span) -> &'t str) -> Option<usize> {
    spans.iter().enumerate().find_map(|(index, later)| {
        spans
            .iter()
            .take(index)
            .any(|earlier| name(earlier) == name(later))
            .then_some(later.offset)
    })
}
