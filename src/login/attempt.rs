//! One attempt to sign in, from sending the browser away to its coming back. The `state` is `nonce.payload.mac` (C01):
//! the nonce finds the record, the payload binds provider, redirect address, what waits, and the browser, and the MAC
//! covers both. Nothing secret is kept: PKCE verifier and OpenID nonce follow from the nonce and a key of ours.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::error::StateFault;
use crate::random::{self, NoRandomness};
use crate::secret::Secret;
use crate::store::{Record, Table};
use crate::web::cookie;

/// What happens once the user is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// They get a session with the gateway.
    Session,
    /// The authorization request of that id goes on.
    Authorize(String),
}

/// What is kept while the browser is away, under the hash of the nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The provider that it was sent to.
    pub(super) provider: String,
    /// What waits for it.
    pub(super) next: Next,
}

impl Record for Attempt {
    const TABLE: Table = Table::Login;
    const VERSION: u16 = 1;
}

/// What an attempt is bound to beside its nonce.
pub(super) struct Bound<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
}

impl Bound<'_> {
    fn digest(&self) -> [u8; HASH_BYTES] {
        let next = match &self.attempt.next {
            Next::Session => ["session", ""],
            Next::Authorize(id) => ["authorize", id.as_str()],
        };
        let mut digest = Sha256::new();
        let parts = [&self.attempt.provider, self.client_id, self.redirect_uri];
        for part in parts.into_iter().chain(next) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }
}

/// The key of all states, and the cookie that binds browsers.
pub(super) struct States {
    key: Hmac<Sha256>,
    secure: bool,
}

/// A `state` that was made by us, for the browser that shows it.
pub(super) struct State {
    nonce: String,
    bound: [u8; HASH_BYTES],
}

impl States {
    /// States under this key. Without TLS, which is the loopback of a laptop, the cookie goes without its protection.
    pub(super) fn new(key: &Secret<[u8; 32]>, secure: bool) -> Self {
        // A key shorter than the hash's block is filled up with zeros (RFC 2104 section 2).
        let mut block = [0; 64];
        block
            .iter_mut()
            .zip(key.expose())
            .for_each(|(to, from)| *to = *from);
        let key = Hmac::new(&block.into());
        block.zeroize();
        Self { key, secure }
    }

    /// The name of the cookie.
    pub(super) const fn cookie_name(&self) -> &'static str {
        if self.secure {
            COOKIE_SECURE
        } else {
            COOKIE_PLAIN
        }
    }

    /// The secret of a browser: the one that it has, so that two windows can sign in at a time, else a new one. Only a
    /// cookie that no other host can have planted is taken over.
    pub(super) fn browser(&self, shown: Option<&str>) -> Result<String, NoRandomness> {
        match shown {
            Some(known) if self.secure && is_hex(known, 2 * NONCE_BYTES) => Ok(known.to_owned()),
            _ => random::hex::<NONCE_BYTES>(),
        }
    }

    /// The header that gives a browser its secret.
    pub(super) fn set_cookie(&self, browser: &str, age: Duration) -> Option<http::HeaderValue> {
        cookie::set(self.cookie_name(), browser, age, self.secure)
    }

    /// A new state for this browser.
    pub(super) fn seal(
        &self,
        bound: &Bound<'_>,
        browser: &str,
    ) -> Result<(String, State), NoRandomness> {
        let nonce = random::hex::<NONCE_BYTES>()?;
        let state = State {
            nonce,
            bound: bound.digest(),
        };
        let payload = [state.bound, Sha256::digest(browser).into()].concat();
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let signed = format!("{}.{payload}", state.nonce);
        let mac = URL_SAFE_NO_PAD.encode(self.mac("state", &signed));
        Ok((format!("{signed}.{mac}"), state))
    }

    /// Opens a state that a browser shows.
    pub(super) fn open(&self, text: &str, browser: Option<&str>) -> Result<State, StateFault> {
        let (signed, mac) = text.rsplit_once('.').ok_or(StateFault::Altered)?;
        let (nonce, payload) = signed.split_once('.').ok_or(StateFault::Altered)?;
        if !is_hex(nonce, 2 * NONCE_BYTES) {
            return Err(StateFault::Altered);
        }
        let mac = decode::<HASH_BYTES>(mac).ok_or(StateFault::Altered)?;
        if !bool::from(self.mac("state", signed).ct_eq(&mac)) {
            return Err(StateFault::Altered);
        }
        let payload = decode::<{ 2 * HASH_BYTES }>(payload).ok_or(StateFault::Altered)?;
        let (bound, holder) = payload.split_at(HASH_BYTES);
        let browser = browser.ok_or(StateFault::OtherBrowser)?;
        if !bool::from(Sha256::digest(browser).as_slice().ct_eq(holder)) {
            return Err(StateFault::OtherBrowser);
        }
        Ok(State {
            nonce: nonce.to_owned(),
            bound: bound.try_into().map_err(|_| StateFault::Altered)?,
        })
    }

    /// The PKCE verifier of an attempt (RFC 7636 section 4.1): 43 characters that nobody without our key can tell.
    pub(super) fn verifier(&self, state: &State) -> String {
        URL_SAFE_NO_PAD.encode(self.mac("pkce", &state.nonce))
    }

    /// The OpenID nonce of an attempt.
    pub(super) fn nonce(&self, state: &State) -> String {
        URL_SAFE_NO_PAD.encode(self.mac("nonce", &state.nonce))
    }

    fn mac(&self, purpose: &str, text: &str) -> [u8; HASH_BYTES] {
        let mut mac = self.key.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl State {
    /// The id of its record. The nonce itself is not kept.
    pub(super) fn record_id(&self) -> String {
        random::to_hex(&Sha256::digest(&self.nonce))
    }

    /// Whether it was made for this.
    pub(super) fn is_bound_to(&self, bound: &Bound<'_>) -> bool {
        self.bound.ct_eq(&bound.digest()).into()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() > 2 * N {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// R336: 32 random bytes; R337: 64 hex digits.
const NONCE_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
const COOKIE_SECURE: &str = "__Host-sallygate-login";
const COOKIE_PLAIN: &str = "sallygate-login";

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> States {
        States::new(&Secret::new([7; 32]), true)
    }

    fn attempt() -> Attempt {
        Attempt {
            provider: "okta".into(),
            next: Next::Authorize("p1".into()),
        }
    }

    fn bound(attempt: &Attempt) -> Bound<'_> {
        Bound {
            attempt,
            client_id: "gw",
            redirect_uri: "https://gw.test/auth/callback",
        }
    }

    #[test]
    fn r017_any_altered_byte_of_the_state_is_refused() {
        let (text, _) = states().seal(&bound(&attempt()), "browser").unwrap();
        for at in 0..text.len() {
            for other in [b'0', b'A', b'.', b'_', b'%'] {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] == other {
                    continue;
                }
                bytes[at] = other;
                let altered = String::from_utf8(bytes).unwrap();
                let refused = states().open(&altered, Some("browser")).err();
                assert_eq!(refused, Some(StateFault::Altered), "{at} {altered}");
            }
        }
        for cut in 0..text.len() {
            let start = text.get(..cut).unwrap();
            assert!(states().open(start, Some("browser")).is_err());
        }
        for more in [format!("{text}A"), format!("{text}="), format!("a{text}")] {
            assert!(states().open(&more, Some("browser")).is_err());
        }
        let other = States::new(&Secret::new([8; 32]), true);
        assert!(other.open(&text, Some("browser")).is_err());
    }

    #[test]
    fn r017_every_covered_parameter_is_bound() {
        let one = attempt();
        let (text, _) = states().seal(&bound(&one), "browser").unwrap();
        let state = states().open(&text, Some("browser")).unwrap();
        let changed = [
            Attempt {
                provider: "google".into(),
                ..attempt()
            },
            Attempt {
                next: Next::Authorize("p2".into()),
                ..attempt()
            },
            Attempt {
                next: Next::Session,
                ..attempt()
            },
        ];
        for other in &changed {
            assert!(!state.is_bound_to(&bound(other)), "{other:?}");
        }
        let other_client = Bound {
            client_id: "gx",
            ..bound(&one)
        };
        let other_address = Bound {
            redirect_uri: "https://gw.test/auth/callback/",
            ..bound(&one)
        };
        assert!(!state.is_bound_to(&other_client) && !state.is_bound_to(&other_address));
        assert!(state.is_bound_to(&bound(&one)));
    }

    #[test]
    fn r018_another_browser_cannot_use_the_state() {
        let (text, _) = states().seal(&bound(&attempt()), "browser").unwrap();
        for browser in [None, Some("other"), Some("")] {
            let refused = states().open(&text, browser).err();
            assert_eq!(refused, Some(StateFault::OtherBrowser), "{browser:?}");
        }
    }

    #[test]
    fn r336_r337_the_nonce_is_64_hex_digits_and_never_the_same() {
        let draws: std::collections::BTreeSet<String> = (0..10_000)
            .map(|_| {
                let (text, _) = states().seal(&bound(&attempt()), "b").unwrap();
                let nonce = text.split('.').next().unwrap().to_owned();
                assert!(is_hex(&nonce, 64), "{nonce}");
                nonce
            })
            .collect();
        assert_eq!(draws.len(), 10_000);
    }

    #[test]
    fn rfc7636_s4_1_a_verifier_has_43_characters_and_is_not_the_nonce() {
        let (text, state) = states().seal(&bound(&attempt()), "b").unwrap();
        let verifier = states().verifier(&state);
        assert_eq!(verifier.len(), 43);
        assert_ne!(verifier, states().nonce(&state));
        assert!(!text.contains(&verifier));
        let again = states().open(&text, Some("b")).unwrap();
        assert_eq!(states().verifier(&again), verifier);
    }

    #[test]
    fn a_cookie_is_taken_over_only_where_no_other_host_can_have_planted_it() {
        let known = "ab".repeat(32);
        assert_eq!(states().browser(Some(&known)).unwrap(), known);
        let plain = States::new(&Secret::new([7; 32]), false);
        assert_ne!(plain.browser(Some(&known)).unwrap(), known);
        assert_ne!(states().browser(Some("x")).unwrap(), "x");
        let header = states()
            .set_cookie(&known, Duration::from_secs(300))
            .unwrap();
        let header = header.to_str().unwrap();
        assert!(header.starts_with("__Host-sallygate-login=") && header.ends_with("; Secure"));
    }
}
