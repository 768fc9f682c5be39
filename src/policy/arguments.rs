//! Turns the JSON arguments of a call into a Cedar record. Numbers keep their exact value, however they are written:
//! `1000`, `1e3` and `1000.0` are the same Long, so that no spelling slips past a rule. Nulls are dropped, as if the
//! member had not been sent.

use std::fmt;

use cedar_policy::RestrictedExpression;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::settings::Bounds;

/// Why the arguments cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// More bytes than rules may look into.
    #[error("the arguments have {bytes} bytes, more than {limit}")]
    TooLarge {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Nested deeper than rules may look.
    #[error("the arguments are nested deeper than {limit}")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
    /// A name that only looks like one that a rule reads.
    #[error("the argument `{0}` imitates one that a rule reads")]
    Imitation(String),
    /// The arguments are no object.
    #[error("the arguments are not an object")]
    NotAnObject,
    /// The text is no JSON, or not one that can only be read in one way.
    #[error("the arguments are not readable: {0}")]
    Unreadable(String),
}

/// The arguments as a Cedar record. None sent is an empty record.
pub(super) fn record(
    raw: Option<&str>,
    bounds: &Bounds,
) -> Result<RestrictedExpression, ArgumentsError> {
    let raw = raw.unwrap_or("{}").trim();
    if raw.len() > bounds.argument_bytes {
        return Err(ArgumentsError::TooLarge {
            bytes: raw.len(),
            limit: bounds.argument_bytes,
        });
    }
    if !raw.starts_with('{') {
        return Err(ArgumentsError::NotAnObject);
    }
    let depth = Depth {
        left: bounds.argument_depth,
        limit: bounds.argument_depth,
    };
    object(raw, depth)
}

/// How many more levels may follow.
#[derive(Clone, Copy)]
struct Depth {
    left: usize,
    limit: usize,
}

impl Depth {
    fn deeper(self) -> Result<Self, ArgumentsError> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(ArgumentsError::TooDeep { limit: self.limit }),
        }
    }
}

fn unreadable(error: impl ToString) -> ArgumentsError {
    ArgumentsError::Unreadable(error.to_string())
}

fn value(raw: &str, depth: Depth) -> Result<Option<RestrictedExpression>, ArgumentsError> {
    Ok(Some(match raw.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't') => RestrictedExpression::new_bool(true),
        Some(b'f') => RestrictedExpression::new_bool(false),
        Some(b'"') => {
            RestrictedExpression::new_string(serde_json::from_str(raw).map_err(unreadable)?)
        }
        Some(b'{') => object(raw, depth)?,
        Some(b'[') => array(raw, depth)?,
        _ => number(raw),
    }))
}

fn object(raw: &str, depth: Depth) -> Result<RestrictedExpression, ArgumentsError> {
    let depth = depth.deeper()?;
    let Members(members) = serde_json::from_str(raw).map_err(unreadable)?;
    let mut fields = Vec::with_capacity(members.len());
    for (name, member) in members {
        if let Some(field) = value(member.get(), depth)? {
            fields.push((name, field));
        }
    }
    RestrictedExpression::new_record(fields).map_err(unreadable)
}

fn array(raw: &str, depth: Depth) -> Result<RestrictedExpression, ArgumentsError> {
    let depth = depth.deeper()?;
    let items: Vec<&RawValue> = serde_json::from_str(raw).map_err(unreadable)?;
    let mut elements = Vec::with_capacity(items.len());
    for item in items {
        elements.extend(value(item.get(), depth)?);
    }
    Ok(RestrictedExpression::new_set(elements))
}

/// A whole number that fits is a Long, one with up to four decimal places that fits is a decimal, and any other is the
/// string as it was written: nothing is rounded.
fn number(raw: &str) -> RestrictedExpression {
    match scaled(raw) {
        Some((whole, 0)) => RestrictedExpression::new_long(whole),
        Some((scaled, places)) => {
            let (sign, digits) = (if scaled < 0 { "-" } else { "" }, scaled.unsigned_abs());
            let unit = 10_u64.pow(places);
            let width = usize::try_from(places).unwrap_or_default();
            let text = format!("{sign}{}.{:0width$}", digits / unit, digits % unit);
            RestrictedExpression::new_decimal(text)
        }
        None => RestrictedExpression::new_string(raw.to_owned()),
    }
}

/// A JSON number as `value / 10^places` with at most four places, if it is exactly that and what Cedar can hold.
fn scaled(raw: &str) -> Option<(i64, u32)> {
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant
        .trim_start_matches('-')
        .trim_start_matches('0')
        .is_empty()
    {
        return Some((0, 0));
    }
    let trailing = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent = exponent
        .parse::<i64>()
        .ok()?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(trailing)?;
    let significant: i64 = significant.parse().ok()?;
    if exponent >= 0 {
        let factor = 10_i64.checked_pow(u32::try_from(exponent).ok()?)?;
        return Some((significant.checked_mul(factor)?, 0));
    }
    let places = u32::try_from(exponent.unsigned_abs())
        .ok()
        .filter(|places| *places <= 4)?;
    // Cedar keeps a decimal as a count of ten-thousandths.
    significant.checked_mul(10_i64.pow(4 - places))?;
    Some((significant, places))
}

/// The members of an object in their order, twins and all: the record refuses twins.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, EvalResult};

    use super::*;

    /// What Cedar makes of a record.
    fn meaning(record: RestrictedExpression) -> EvalResult {
        let context = Context::from_pairs([("it".to_owned(), record)]).unwrap();
        context.get("it").unwrap()
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let bounds = Bounds {
            argument_bytes: 64,
            argument_depth: 3,
            ..Bounds::default()
        };
        for (raw, expected) in [
            ("[]", "not an object"),
            ("null", "not an object"),
            ("", "not an object"),
            ("{\"a\":1,\"a\":2}", "not readable"),
            ("{\"a\":1,\"\\u0061\":2}", "not readable"),
            ("{\"a\":{\"b\":1,\"b\":1}}", "not readable"),
            ("{\"a\":", "not readable"),
            ("{\"a\":1} {}", "not readable"),
            ("{\"a\":[[[1]]]}", "deeper than 3"),
            (
                "{\"a\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
                "more than 64",
            ),
        ] {
            let error = record(Some(raw), &bounds)
                .err()
                .map(|error| error.to_string());
            assert!(
                error.as_ref().is_some_and(|error| error.contains(expected)),
                "{raw}: {error:?}"
            );
        }
    }

    #[test]
    fn values_keep_their_meaning_however_they_are_written() {
        for (raw, expected) in [
            ("{\"a\":1000}", "{a: 1000}"),
            ("{\"a\":1e3}", "{a: 1000}"),
            ("{\"a\":1000.0}", "{a: 1000}"),
            ("{\"a\":0.1E+4}", "{a: 1000}"),
            ("{\"a\":10000e-1}", "{a: 1000}"),
            ("{\"a\":-0}", "{a: 0}"),
            ("{\"a\":0e99999999999999999999}", "{a: 0}"),
            ("{\"a\":9007199254740993}", "{a: 9007199254740993}"),
            (
                "{\"a\":-9223372036854775808}",
                "{a: (-9223372036854775808)}",
            ),
            (
                "{\"a\":9223372036854775808}",
                "{a: \"9223372036854775808\"}",
            ),
            ("{\"a\":1e999999999999}", "{a: \"1e999999999999\"}"),
            ("{\"a\":1.5}", "{a: decimal(\"1.5\")}"),
            ("{\"a\":-0.0250}", "{a: decimal(\"-0.025\")}"),
            ("{\"a\":0.00001}", "{a: \"0.00001\"}"),
            (
                "{\"a\":922337203685477.5808}",
                "{a: \"922337203685477.5808\"}",
            ),
            ("{\"a\":null,\"b\":[null,true]}", "{b: [true]}"),
            ("{\"a\":{\"b\":\"x\\n\"}}", "{a: {b: \"x\\n\"}}"),
            (" {} ", "{}"),
        ] {
            let expected: RestrictedExpression = expected.parse().unwrap();
            let read = record(Some(raw), &Bounds::default()).unwrap();
            assert_eq!(meaning(read), meaning(expected), "{raw}");
        }
        assert!(record(None, &Bounds::default()).is_ok());
    }
}
