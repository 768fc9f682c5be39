//! Two names that some reader takes for one. Several JSON libraries match member names without regard to case, Go's
//! among them, and Go folds by Unicode: `ſ` (U+017F) is `s` there and the Kelvin sign (U+212A) is `k`. What we decide on
//! must be what every reader behind us reads, so names are compared here in the widest of those readings.

use std::borrow::Cow;

/// The widest reading of a name: lower, upper, lower, character by character. The first step brings letters such as `ẞ`
/// to the form from which the other two reach one spelling for all letters that any simple case folding equates.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return Cow::Borrowed(name);
    }
    let mut folded = String::with_capacity(name.len());
    fold_into(name.chars(), &mut folded);
    Cow::Owned(folded)
}

/// Appends the folded form of `name` to `out`, which spares an allocation for each name of a large document.
pub(super) fn fold_into(name: impl Iterator<Item = char>, out: &mut String) {
    for c in name {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
            continue;
        }
        for lower in c.to_lowercase() {
            for upper in lower.to_uppercase() {
                out.extend(upper.to_lowercase());
            }
        }
    }
}

/// The first of `known` that `name` imitates: equal to it when folded, or up to a NUL at which a reader written in C
/// would stop, but not equal as it stands.
pub fn imitated(name: &str, known: &[&'static str]) -> Option<&'static str> {
    if known.contains(&name) {
        return None;
    }
    let seen = name.split('\0').next().unwrap_or(name);
    if seen.is_ascii() {
        return known.iter().copied().find(|k| k.eq_ignore_ascii_case(seen));
    }
    let folded = fold(seen);
    known
        .iter()
        .copied()
        .find(|k| k.eq_ignore_ascii_case(&folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_any_simple_folding_equates_fold_to_one_form() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            let own = fold(&c.to_string()).into_owned();
            let upper: String = c.to_uppercase().collect();
            let lower: String = c.to_lowercase().collect();
            assert_eq!(own, fold(&upper), "{c:?} and its upper case");
            assert_eq!(own, fold(&lower), "{c:?} and its lower case");
        }
    }

    #[test]
    fn the_long_s_and_the_kelvin_sign_are_s_and_k() {
        assert_eq!(fold("argument\u{17f}"), "arguments");
        assert_eq!(fold("to\u{212a}en"), "token");
        assert_eq!(fold("STRASSE"), fold("stra\u{1e9e}e"));
    }

    #[test]
    fn an_imitation_is_named_and_the_name_itself_is_none() {
        let known = ["name", "arguments", "taskId"];
        for (name, of) in [
            ("Name", "name"),
            ("NAME", "name"),
            ("argument\u{17f}", "arguments"),
            ("tas\u{212a}Id", "taskId"),
            ("taskid", "taskId"),
            ("name\0", "name"),
            ("name\0x", "name"),
        ] {
            assert_eq!(imitated(name, &known), Some(of), "{name:?}");
        }
        for name in ["name", "arguments", "names", "", "nam", "x\0name"] {
            assert_eq!(imitated(name, &known), None, "{name:?}");
        }
    }
}
