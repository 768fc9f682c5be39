//! Text that somebody else wrote, made fit to be read: nothing invisible, nothing that turns the reading direction of what
//! stands beside it, and not longer than a page bears. The markup is escaped where the page is made.

use std::fmt::Write;

/// The longest name that is shown, in characters.
pub(super) const NAME_MAX: usize = 80;
/// The longest address or identifier that is shown.
pub(super) const ADDRESS_MAX: usize = 300;

/// The text, with odd characters spelled out and its end cut off.
pub(super) fn shown(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(4 * max));
    for (count, c) in text.trim().chars().enumerate() {
        if count == max {
            out.push('…');
            break;
        }
        if is_odd(c) {
            let _ = write!(out, "[U+{:04X}]", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that show nothing, or change how others are shown.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        for (text, wanted) in [
            ("Good\u{202e}kcilC", "Good[U+202E]kcilC"),
            ("a\nb\tc", "a[U+000A]b[U+0009]c"),
            ("pay\u{200b}pal", "pay[U+200B]pal"),
            ("\u{2066}x\u{2069}", "[U+2066]x[U+2069]"),
            ("\u{e0041}", "[U+E0041]"),
            ("\u{feff}x", "[U+FEFF]x"),
        ] {
            assert_eq!(shown(text, 80), wanted);
        }
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_and_plain_text_stays() {
        assert_eq!(shown(&"ä".repeat(81), 80), format!("{}…", "ä".repeat(80)));
        assert_eq!(shown(" Zoë's 客户端 ", 80), "Zoë's 客户端");
    }
}
