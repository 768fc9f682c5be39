//! The member names of all objects that are open while a document is scanned, kept so that a repeated one is found at a
//! cost that no body can make quadratic and, for an ordinary message, without an allocation.

use smallvec::SmallVec;

use super::fold::fold_into;
use super::view::unescape;

/// The names of all open objects, innermost last. Most stand as they are in the document; only those that have to be unescaped
/// or folded are kept as text beside it.
pub(super) struct Names<'a> {
    document: &'a [u8],
    changed: String,
    spans: SmallVec<[Span; ORDINARY]>,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// Of the name's quote in the document.
    offset: usize,
    is_changed: bool,
}

impl<'a> Names<'a> {
    /// None yet of this document.
    pub(super) fn of(document: &'a [u8]) -> Self {
        Self {
            document,
            changed: String::new(),
            spans: SmallVec::new(),
        }
    }

    /// How many names are noted.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Notes a name of the innermost open object; `inner` is what stands between its quotes, the first of which is at `offset`.
    pub(super) fn note(&mut self, inner: &str, escaped: bool, offset: usize, fold: bool) {
        let folds = |b: u8| b.is_ascii_uppercase() || !b.is_ascii();
        let is_changed = escaped || (fold && inner.bytes().any(folds));
        let start = match is_changed {
            true => self.changed.len(),
            false => offset.saturating_add(1),
        };
        if is_changed && fold {
            fold_into(unescape(inner).chars(), &mut self.changed);
        } else if is_changed {
            self.changed.push_str(&unescape(inner));
        }
        let end = match is_changed {
            true => self.changed.len(),
            false => start.saturating_add(inner.len()),
        };
        self.spans.push(Span {
            start,
            end,
            offset,
            is_changed,
        });
    }

    /// An object ends: its names must all differ, else the place of the first repeated one is the error. Few names are
    /// compared in pairs; many are sorted, so that no body makes this quadratic.
    pub(super) fn close(&mut self, before: usize) -> Result<(), usize> {
        let (document, changed) = (self.document, self.changed.as_bytes());
        let name = |span: &Span| {
            let from = if span.is_changed { changed } else { document };
            from.get(span.start..span.end).unwrap_or_default()
        };
        let spans = self.spans.get_mut(before..).unwrap_or_default();
        let kept = spans.iter().find(|span| span.is_changed);
        let kept = kept.map_or(changed.len(), |span| span.start);
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
        self.changed.truncate(kept);
        Ok(())
    }
}

/// So many names are noted without an allocation.
const ORDINARY: usize = 16;
const FEW: usize = 12;

fn first_pair<'t>(spans: &[Span], name: impl Fn(&Span) -> &'t [u8]) -> Option<usize> {
    spans.iter().enumerate().find_map(|(index, later)| {
        spans
            .iter()
            .take(index)
            .any(|earlier| name(earlier) == name(later))
            .then_some(later.offset)
    })
}
