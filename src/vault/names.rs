//! The ids of records: `user/name`, each part with everything but plain characters escaped, so that no user and no name can
//! reach into another's place whatever characters they have (R064).

use std::fmt::Write;

use super::error::VaultError;

/// The longest user id. Escaped it may be three times as long and still fit a record's id.
pub const USER_MAX_BYTES: usize = 120;
/// The longest name of a secret.
pub const NAME_MAX_BYTES: usize = 48;

/// The id of a user's data key.
pub(in crate::vault) fn user_id(user: &str) -> Result<String, VaultError> {
    checked("user", user, USER_MAX_BYTES).map(escaped)
}

/// The id of a secret.
pub(in crate::vault) fn secret_id(user: &str, name: &str) -> Result<String, VaultError> {
    let name = checked("name", name, NAME_MAX_BYTES)?;
    Ok(format!("{}{}", secrets_of(user)?, escaped(name)))
}

/// What the ids of all secrets of a user begin with.
pub(in crate::vault) fn secrets_of(user: &str) -> Result<String, VaultError> {
    user_id(user).map(|id| id + "/")
}

/// The user and the name behind the id of a secret.
pub(in crate::vault) fn parse(id: &str) -> Option<(String, String)> {
    let (user, name) = id.split_once('/')?;
    Some((unescaped(user)?, unescaped(name)?))
}

/// The user behind the id of a data key.
pub(in crate::vault) fn parse_user(id: &str) -> Option<String> {
    unescaped(id)
}

fn checked<'t>(what: &'static str, text: &'t str, most: usize) -> Result<&'t str, VaultError> {
    match text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        true => Err(VaultError::BadName { what, most }),
        false => Ok(text),
    }
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'~')
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::ID_MAX_BYTES;

    #[test]
    fn r064_no_characters_reach_into_another_users_place() {
        let ids = [
            ("a", "b"),
            ("a/b", "c"),
            ("a", "b/c"),
            ("a%2Fb", "c"),
            ("a:b", "c"),
            ("github.x", "token"),
            ("idp|x", "token"),
            ("\u{e4}", "\u{1f511}"),
        ]
        .map(|(user, name)| secret_id(user, name).unwrap());
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(id.matches('/').count(), 1, "{id}");
            assert!(!ids[..index].contains(id), "{id}");
        }
        assert_eq!(ids[1], "a%2Fb/c");
    }

    #[test]
    fn names_without_end_or_with_control_characters_are_refused() {
        for (user, name) in [
            ("", "n"),
            ("u", ""),
            ("u\n", "n"),
            ("u", "n\0"),
            (&"u".repeat(USER_MAX_BYTES + 1), "n"),
            ("u", &"n".repeat(NAME_MAX_BYTES + 1)),
        ] {
            let refused = secret_id(user, name);
            assert!(matches!(refused, Err(VaultError::BadName { .. })));
        }
        let longest = secret_id(&"/".repeat(USER_MAX_BYTES), &"/".repeat(NAME_MAX_BYTES));
        assert!(longest.unwrap().len() <= ID_MAX_BYTES);
    }

    proptest! {
        #[test]
        fn an_id_leads_back_to_its_user_and_name(user in "\\PC{1,30}", name in "\\PC{1,12}") {
            let id = secret_id(&user, &name).unwrap();
            prop_assert_eq!(parse(&id), Some((user, name)));
        }
    }
}
