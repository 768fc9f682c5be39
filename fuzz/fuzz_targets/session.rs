//! Nobody opens what was not sealed for them, and what was sealed comes back. An entry is the upstream's id, a rule, and
//! what a stranger presents.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sallygate::auth::Principal;
use sallygate::secret::Secret;
use sallygate::session::SessionSeal;
use sallygate_fuzz::{callers, parts};

static PEOPLE: LazyLock<[Arc<Principal>; 2]> =
    LazyLock::new(|| ["alice", "bob"].map(|name| callers::principal(name, "free", &[])));
static SEAL: LazyLock<SessionSeal> = LazyLock::new(|| {
    SessionSeal::new(&Secret::new(vec![7; 32]), Duration::from_secs(3600)).expect("a key")
});

fuzz_target!(|data: &[u8]| {
    let (id, forged) = parts(data);
    let [alice, bob] = &*PEOPLE;
    let now = callers::NOW;
    assert!(SEAL.open(forged, alice, "mcp", now).is_err(), "forged");
    let Ok(sealed) = SEAL.seal(id, alice, "mcp", now) else {
        assert!(id.is_empty() || id.len() > 1024 || !id.iter().all(u8::is_ascii_graphic));
        return;
    };
    assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()));
    let open = |who, route, at| SEAL.open(sealed.as_bytes(), who, route, at);
    assert_eq!(open(alice, "mcp", now).as_deref(), Ok(id));
    assert!(open(bob, "mcp", now).is_err());
    assert!(open(alice, "mc", now).is_err());
    assert!(open(alice, "mcp", now.plus(Duration::from_secs(3600))).is_err());
    // What the stranger presents also says where to damage the good one.
    if let [place, change, ..] = forged {
        let mut damaged = sealed.into_bytes();
        let place = usize::from(*place) % damaged.len();
        damaged[place] ^= change;
        if *change != 0 {
            assert!(SEAL.open(&damaged, alice, "mcp", now).is_err(), "damaged");
        }
    }
});
