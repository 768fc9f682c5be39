//! No forbidden name stands in an answer that was let through, whichever reader looks for it, and nothing else is lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::mcp::ListShape;
use sallygate::mcp::lists::{self, Filtered};
use sallygate_fuzz::readers::{Members, elements, fold, string};

fuzz_target!(|data: &[u8]| {
    let mut shown = Vec::new();
    let mut keep = |item: &lists::Item<'_>| {
        let keeps = !item.name.starts_with("hidden");
        if keeps {
            shown.push((
                item.shape,
                item.name.clone().into_owned(),
                item.json.raw().to_owned(),
            ));
        }
        keeps
    };
    let modern = data.len() % 2 == 0;
    let Ok(filtered) = lists::filter(data, &mut keep, modern) else {
        return;
    };
    let body = match filtered {
        Filtered::Unchanged => data.to_vec(),
        Filtered::Rewritten { body, .. } => body.to_vec(),
    };
    let text = String::from_utf8(body).expect("UTF-8 in, UTF-8 out");
    let message = Members::of(&text).expect("a message in, a message out");
    let mut seen = Vec::new();
    for (_, result) in message.0.iter().filter(|(name, _)| fold(name) == "result") {
        let Some(result) = Members::of(result) else {
            continue;
        };
        for (name, list) in &result.0 {
            let shape = ListShape::ALL
                .into_iter()
                .find(|shape| fold(shape.member()) == fold(name));
            if let Some(shape) = shape {
                look(shape, list, &mut seen);
            }
        }
        if seen.is_empty() {
            continue;
        }
        let scope = result.agreed("cacheScope").and_then(string);
        if modern || scope.is_some() {
            assert_eq!(scope.as_deref(), Some("private"), "a cache may share it");
        }
    }
    shown.sort_by_key(|(shape, ..)| shape.member());
    seen.sort_by_key(|(shape, ..)| shape.member());
    assert_eq!(
        shown, seen,
        "what was kept is what stands there, byte for byte"
    );
});

fn look(shape: ListShape, list: &str, seen: &mut Vec<(ListShape, String, String)>) {
    for element in elements(list).expect("a list") {
        let members = Members::of(element).expect("an entry");
        for (name, value) in &members.0 {
            if fold(name) == fold(shape.key()) {
                let called = string(value).expect("a name");
                assert!(!called.starts_with("hidden"), "{called:?} is shown");
            }
        }
        let name = members
            .agreed(shape.key())
            .and_then(string)
            .expect("a name");
        seen.push((shape, name, element.to_owned()));
    }
}
