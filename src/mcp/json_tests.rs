//! The strict reading of JSON, against serde_json and against damage.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn error(text: &str) -> JsonError {
    check(text.as_bytes(), Rules::REQUEST).expect_err(text)
}

#[test]
fn texts_that_are_no_json_are_refused_where_they_go_wrong() {
    use JsonError::*;
    for (text, expected) in [
        ("", Empty),
        (" \t\r\n", Empty),
        ("\u{feff}{}", ByteOrderMark),
        ("{", Unfinished { offset: 1 }),
        ("[1,", Unfinished { offset: 3 }),
        ("\"a", Unfinished { offset: 2 }),
        ("\"a\\", Unfinished { offset: 3 }),
        ("tru", Unfinished { offset: 3 }),
        ("[1,]", Unexpected { offset: 3 }),
        ("{\"a\":1,}", Unexpected { offset: 7 }),
        ("{\"a\" 1}", Unexpected { offset: 5 }),
        ("{a:1}", Unexpected { offset: 1 }),
        ("{'a':1}", Unexpected { offset: 1 }),
        ("[1 2]", Unexpected { offset: 3 }),
        ("[}", Unexpected { offset: 1 }),
        ("{]", Unexpected { offset: 1 }),
        ("[1}", Unexpected { offset: 2 }),
        ("]", Unexpected { offset: 0 }),
        ("True", Unexpected { offset: 0 }),
        ("NaN", Unexpected { offset: 0 }),
        ("Infinity", Unexpected { offset: 0 }),
        ("+1", Unexpected { offset: 0 }),
        (".5", Unexpected { offset: 0 }),
        ("/*c*/1", Unexpected { offset: 0 }),
        ("\u{a0}1", Unexpected { offset: 0 }),
        ("\0", Unexpected { offset: 0 }),
        ("{}{}", Trailing { offset: 2 }),
        ("1 2", Trailing { offset: 2 }),
        ("{}\0", Trailing { offset: 2 }),
        ("{}\n{}", Trailing { offset: 3 }),
        ("0x10", Trailing { offset: 1 }),
        ("1_000", Trailing { offset: 1 }),
        ("01", BadNumber { offset: 0 }),
        ("-01", BadNumber { offset: 0 }),
        ("1.", BadNumber { offset: 0 }),
        ("-", BadNumber { offset: 0 }),
        ("1e", BadNumber { offset: 0 }),
        ("1e+", BadNumber { offset: 0 }),
        ("[-.5]", BadNumber { offset: 1 }),
        ("\"\\x41\"", BadEscape { offset: 1 }),
        ("\"\\u12\"", BadEscape { offset: 1 }),
        ("\"\\u12g4\"", BadEscape { offset: 1 }),
        ("\"\\u+123\"", BadEscape { offset: 1 }),
        ("\"a\nb\"", ControlCharacter { offset: 2 }),
        ("\"\0\"", ControlCharacter { offset: 1 }),
        ("{\"a\tb\":1}", ControlCharacter { offset: 3 }),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
        assert!(!expected.is_ambiguity());
    }
}

#[test]
fn bytes_that_are_no_utf8_are_refused() {
    for (bytes, offset) in [
        (&b"{\"a\":\"\xff\"}"[..], 6),
        (b"\"\xc0\xaf\"", 1),
        (b"\"\xed\xa0\x80\"", 1),
        (b"\xff\xfe{\0}\0", 0),
        (b"\"\xf4\x90\x80\x80\"", 1),
    ] {
        assert_eq!(
            check(bytes, Rules::REQUEST).unwrap_err(),
            JsonError::NotUtf8 { offset }
        );
    }
    for bytes in [&b"{\0\"\0a\0"[..], b"\0{\0}"] {
        assert!(check(bytes, Rules::REQUEST).is_err(), "UTF-16 without mark");
    }
}

#[test]
fn names_that_some_reader_takes_for_one_are_refused_at_any_depth() {
    for (text, offset) in [
        (r#"{"a":1,"a":2}"#, 7),
        (r#"{"a":1,"b":2,"a":1}"#, 13),
        (r#"{"a":1,"\u0061":2}"#, 7),
        (r#"{"":1,"":2}"#, 6),
        (r#"{"name":1,"Name":2}"#, 10),
        (r#"{"arguments":1,"argumentſ":2}"#, 15),
        (r#"{"key":1,"\u212aey":2}"#, 9),
        (r#"{"é":1,"É":2}"#, 8),
        (r#"{"x":[{"y":{"a":1,"A":2}}]}"#, 18),
        (r#"[{"a":{}},{"a":1,"b":{"a":1},"a":2}]"#, 29),
        (r#"{"\/":1,"/":2}"#, 8),
    ] {
        assert_eq!(error(text), JsonError::EqualNames { offset }, "{text}");
        assert!(error(text).is_ambiguity());
    }
}

#[test]
fn the_same_name_in_different_objects_is_fine() {
    for text in [
        r#"{"a":{"a":{"a":1}}}"#,
        r#"[{"a":1},{"a":2},{"A":3}]"#,
        r#"{"a":{"b":1},"b":{"a":1}}"#,
        r#"{"a":1,"a ":2,"ab":3}"#,
    ] {
        assert!(check(text.as_bytes(), Rules::REQUEST).is_ok(), "{text}");
    }
}

#[test]
fn answers_may_differ_by_case_but_not_repeat() {
    assert!(check(br#"{"a":1,"A":2}"#, Rules::ANSWER).is_ok());
    for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#] {
        assert!(check(text.as_bytes(), Rules::ANSWER).is_err(), "{text}");
    }
}

#[test]
fn many_names_are_compared_too_and_the_repeated_one_is_found() {
    let mut names: Vec<_> = (0..20_000).map(|n| format!("\"n{n}\":{n}")).collect();
    let good = format!("{{{}}}", names.join(","));
    assert!(check(good.as_bytes(), Rules::REQUEST).is_ok());
    names.push("\"N777\":0".into());
    let bad = format!("{{{}}}", names.join(","));
    let offset = bad.len() - "\"N777\":0}".len();
    assert_eq!(error(&bad), JsonError::EqualNames { offset });
}

#[test]
fn nesting_is_limited_and_the_deepest_input_answers_cleanly() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(check(nested(64).as_bytes(), Rules::REQUEST).is_ok());
    let limit = JsonError::TooDeep {
        limit: 64,
        offset: 64,
    };
    for depth in [65, 100_000] {
        assert_eq!(error(&nested(depth)), limit);
        assert_eq!(error(&"[".repeat(depth)), limit);
    }
    assert!(matches!(
        error(&"{\"a\":".repeat(100_000)),
        JsonError::TooDeep { .. }
    ));
    let wide = format!("[{}0]", "[[[]]],".repeat(50_000));
    assert!(check(wide.as_bytes(), Rules::REQUEST).is_ok());
}

#[test]
fn lone_surrogates_are_refused_and_pairs_are_not() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\udc00\ud800""#,
        r#"{"\udfff":1}"#,
    ] {
        assert!(
            matches!(error(text), JsonError::LoneSurrogate { .. }),
            "{text}"
        );
    }
    assert!(check(br#""\uD83D\uDE00""#, Rules::REQUEST).is_ok());
}

#[test]
fn numbers_beyond_a_double_are_refused_and_long_ones_keep_their_digits() {
    let huge = "9".repeat(400);
    for text in ["1e309", "-1e400", "1E+999999999999", &huge] {
        assert_eq!(error(text), JsonError::NumberOutOfRange { offset: 0 });
    }
    let long = "9".repeat(300);
    for text in [
        "9007199254740993",
        "123456789012345678901234567890",
        "1e308",
        "1e-999",
        "-0",
        "0.10",
        "0e5",
        &long,
    ] {
        let json = check(text.as_bytes(), Rules::REQUEST).unwrap();
        assert_eq!(json.raw(), text);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| {
                let numbered = members
                    .into_iter()
                    .enumerate()
                    .map(|(n, (name, value))| (format!("{n}{name}"), value));
                Value::Object(numbered.collect())
            }),
        ]
    })
}

/// The value again, read through our own view.
fn reread(json: Json<'_>) -> Value {
    if json.is_object() {
        return json
            .members()
            .map(|m| (m.name.into_owned(), reread(m.value)))
            .collect();
    }
    if json.is_array() {
        return json.elements().map(reread).collect();
    }
    match json.text() {
        Some(text) => Value::from(text.into_owned()),
        None => serde_json::from_str(json.raw()).unwrap(),
    }
}

/// Every place where an object of the text begins, outside strings.
fn objects(json: Json<'_>, found: &mut Vec<std::ops::Range<usize>>) {
    if json.is_object() {
        found.push(json.range());
    }
    json.members().for_each(|m| objects(m.value, found));
    json.elements().for_each(|e| objects(e, found));
}

proptest! {
    #[test]
    fn every_document_of_another_writer_is_read_with_the_same_meaning(
        value in any_json(),
        pretty in any::<bool>(),
    ) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let json = check(text.as_bytes(), Rules::REQUEST).unwrap();
        prop_assert_eq!(reread(json), serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn a_damaged_document_is_judged_as_another_reader_judges_it(
        value in any_json(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"{}[]\",:\\0e.-+ \n\x01u\xffa".as_slice()),
        cut in any::<bool>(),
    ) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut {
            bytes.remove(at);
        } else {
            bytes[at] = with;
        }
        let ours = check(&bytes, Rules::REQUEST);
        let theirs = serde_json::from_slice::<Value>(&bytes);
        match ours {
            Ok(_) => prop_assert!(theirs.is_ok()),
            Err(error) => prop_assert!(theirs.is_err() || error.is_ambiguity(), "{error}"),
        }
    }

    #[test]
    fn a_repeated_name_injected_anywhere_is_refused(
        value in any_json(),
        name in "[a-zA-Z\u{e9}\u{17f}\u{212a}]{1,6}",
        place in any::<prop::sample::Index>(),
        upper in any::<bool>(),
    ) {
        let text = Value::Array(vec![value, serde_json::json!({})]).to_string();
        let mut found = Vec::new();
        objects(check(text.as_bytes(), Rules::REQUEST).unwrap(), &mut found);
        let object = found[place.index(found.len())].clone();
        let twin = if upper { name.to_uppercase() } else { name.clone() };
        let comma = if text.as_bytes()[object.start + 1] == b'}' { "" } else { "," };
        let (before, after) = text.split_at(object.start + 1);
        let twice = format!("{before}\"{name}\":1,\"{twin}\":2{comma}{after}");
        let error = check(twice.as_bytes(), Rules::REQUEST).unwrap_err();
        prop_assert!(matches!(error, JsonError::EqualNames { .. }), "{error}");
    }
}
