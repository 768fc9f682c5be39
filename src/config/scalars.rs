//! Texts become what the schema says they are, within the bounds that it sets.

use serde_json::Value as Json;

use crate::units::{ByteSize, parse_duration};

/// The value, or what is wrong with it and what to do.
pub(in crate::config) type Read = Result<Json, (String, String)>;

pub(in crate::config) fn duration(text: &str, schema: &Json) -> Read {
    let value = parse_duration(text).map_err(|error| (error.to_string(), String::new()))?;
    let bound = |name| bound(schema, name).and_then(|text| parse_duration(text).ok());
    within(value, bound("x-min"), bound("x-max"), text, schema)
}

pub(in crate::config) fn size(text: &str, schema: &Json) -> Read {
    let value = ByteSize::parse(text).map_err(|error| (error.to_string(), String::new()))?;
    let bound = |name| bound(schema, name).and_then(|text| ByteSize::parse(text).ok());
    within(value, bound("x-min"), bound("x-max"), text, schema)
}

fn bound<'s>(schema: &'s Json, name: &str) -> Option<&'s str> {
    schema.get(name).and_then(Json::as_str)
}

fn within<T: PartialOrd>(
    value: T,
    min: Option<T>,
    max: Option<T>,
    text: &str,
    schema: &Json,
) -> Read {
    if min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max) {
        return Ok(Json::String(text.to_owned()));
    }
    let shown = |name| bound(schema, name).unwrap_or("any");
    Err((
        format!("`{text}` is out of range"),
        format!("use {} to {}", shown("x-min"), shown("x-max")),
    ))
}

pub(in crate::config) fn integer(text: &str, schema: &Json) -> Read {
    let (min, max) = range(schema);
    let help = || format!("use a whole number from {min} to {max}");
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number.into()),
        Ok(_) => Err((format!("`{text}` is out of range"), help())),
        Err(_) => Err((format!("`{text}` is not a whole number"), help())),
    }
}

/// The bounds of an integer setting.
pub(in crate::config) fn range(schema: &Json) -> (u64, u64) {
    let bound = |name| schema.get(name).and_then(Json::as_u64);
    (
        bound("minimum").unwrap_or(0),
        bound("maximum").unwrap_or(u32::MAX.into()),
    )
}

pub(in crate::config) fn boolean(text: &str, free: bool) -> Read {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true.into()),
        "false" => Ok(false.into()),
        "1" | "yes" if free => Ok(true.into()),
        "0" | "no" if free => Ok(false.into()),
        _ => Err((format!("`{text}` is neither true nor false"), String::new())),
    }
}

/// The words that a setting may have, where it has a closed list of them.
pub(in crate::config) fn options(schema: &Json) -> Option<Vec<String>> {
    let words = schema.get("enum")?.as_array()?;
    let word = |value: &Json| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    Some(words.iter().map(word).collect())
}

pub(in crate::config) fn one_of(text: &str, options: &[String]) -> Read {
    if options.iter().any(|option| option == text) {
        return Ok(Json::String(text.to_owned()));
    }
    let help = format!("use one of {}", options.join(", "));
    Err((format!("`{text}` is not known here"), help))
}
