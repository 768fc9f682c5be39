//! One opaque string has one spelling: whatever is read as ours is what we would write. An entry is a text; its bytes are
//! also written and read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sallygate::grants::opaque::{self, CLIENT, CLIENT_SECRET, CODE, REFRESH};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for prefix in [CODE, REFRESH, CLIENT_SECRET, CLIENT] {
        for count in [16, 32, 68] {
            if let Some(bytes) = opaque::read(prefix, &text, count) {
                assert_eq!(bytes.expose().len(), count);
                assert_eq!(
                    opaque::write(prefix, bytes.expose()).expose(),
                    &*text,
                    "a second spelling"
                );
            }
        }
    }
    let bytes = data.get(..32).unwrap_or(data);
    let written = opaque::write(REFRESH, bytes);
    let read = opaque::read(REFRESH, written.expose(), bytes.len());
    assert_eq!(
        read.as_ref().map(|read| read.expose().as_slice()),
        Some(bytes)
    );
    assert!(opaque::read(CODE, written.expose(), bytes.len()).is_none());
    if let Some(change) = data.get(32) {
        let mut damaged = written.expose().clone().into_bytes();
        let place = usize::from(data.len() as u8) % damaged.len();
        damaged[place] = *change;
        let damaged = String::from_utf8_lossy(&damaged);
        if damaged != *written.expose() {
            assert!(
                opaque::read(REFRESH, &damaged, bytes.len()).is_none(),
                "damaged"
            );
        }
    }
});
