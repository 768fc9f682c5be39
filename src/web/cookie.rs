//! Cookies of the gateway's own pages (RFC 6265, C22): `__Host-`, so that no other host and no plain connection can plant one.

use std::time::Duration;

use http::HeaderValue;

/// What the names of our cookies begin with where TLS protects them (RFC 6265bis section 4.1.3.2).
pub const HOST_PREFIX: &str = "__Host-";

/// A cookie of this name; none if there are two of it.
pub(in crate::web) fn find<'a>(
    fields: impl Iterator<Item = &'a str>,
    name: &str,
) -> Option<&'a str> {
    let mut found = None;
    for field in fields {
        for pair in field.split(';') {
            let Some((known, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if known == name && found.replace(value).is_some() {
                return None;
            }
        }
    }
    found
}

/// `Set-Cookie` of a cookie that scripts cannot read and that other sites' requests carry only when a link is followed.
/// Over plain HTTP, which is the loopback of a laptop, `Secure` and the prefix would keep it from being stored.
pub fn set(name: &str, value: &str, max_age: Duration, secure: bool) -> Option<HeaderValue> {
    let age = max_age.as_secs();
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_is_there_twice_is_nobodys() {
        let find = |fields: &[&'static str]| find(fields.iter().copied(), "a");
        assert_eq!(find(&["a=1; a=2"]), None);
        assert_eq!(find(&["a=1", "b=2; a=1"]), None);
        assert_eq!(find(&["aa=1; ba=2; A=3"]), None);
        assert_eq!(find(&["b=2; a=1=x"]), Some("1=x"));
    }

    #[test]
    fn c22_a_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let header = set("__Host-a", "v", Duration::from_secs(300), true).unwrap();
        assert_eq!(
            header,
            "__Host-a=v; Path=/; Max-Age=300; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(set("a", "v\r\nx", Duration::ZERO, true), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_set_is_found_again_among_others(
            name in "[A-Za-z0-9_-]{1,20}",
            value in "[!#-+./-:<-~-]{1,200}",
            others in proptest::collection::vec(("x[a-z]{1,8}!", "[A-Za-z0-9=]{0,20}"), 0..8),
        ) {
            let header = set(&name, &value, Duration::from_secs(60), true).unwrap();
            let header = header.to_str().unwrap();
            let (pair, _) = header.split_once(';').unwrap();
            let mut pairs: Vec<_> = others.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.insert(pairs.len() / 2, pair.to_owned());
            let field = pairs.join("; ");
            proptest::prop_assert_eq!(find([field.as_str()].into_iter(), &name), Some(value.as_str()));
        }
    }
}
