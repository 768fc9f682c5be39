//! Follows the frames of one direction of an HTTP/2 connection (RFC 9113 section 4.1) by their nine-octet heads, however the
//! bytes are cut into pieces. Payloads are skipped by their length; only a reset's and a farewell's error code is read.

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Octets of payload.
    pub length: u32,
    /// Its kind; see [`kind`].
    pub kind: u8,
    /// Its flags; see [`flag`].
    pub flags: u8,
    /// Its stream, 0 for the connection.
    pub stream: u32,
    /// The error code of RST_STREAM and GOAWAY, 0 for others.
    pub code: u32,
}

/// Kinds of frames (RFC 9113 section 6).
#[expect(missing_docs, reason = "the names of the standard")]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames (RFC 9113 section 6).
#[expect(missing_docs, reason = "the names of the standard")]
pub mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Octets of a frame's head.
pub const HEAD: usize = 9;
/// The head and the longest payload that is looked at: the eight octets with which GOAWAY begins.
const LONGEST: usize = HEAD + 8;

/// One direction of a connection.
#[derive(Debug)]
pub struct Walker {
    head: [u8; LONGEST],
    have: usize,
    skip: usize,
}

impl Walker {
    /// Begins so many octets before the first frame.
    pub const fn before(skip: usize) -> Self {
        Self {
            head: [0; LONGEST],
            have: 0,
            skip,
        }
    }

    /// Whether the last byte was the last of a frame.
    pub const fn at_boundary(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    /// Goes on to the end of the frame under way, as far as there are bytes.
    pub fn finish(&mut self, bytes: &mut &[u8]) {
        let here = self.skip.min(bytes.len());
        *bytes = bytes.get(here..).unwrap_or_default();
        self.skip -= here;
    }

    /// Goes on to the next head and answers it; nothing once the bytes are used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.finish(bytes);
        if self.skip > 0 {
            return None;
        }
        let mut wanted = self.wanted();
        while self.have < wanted {
            let (byte, rest) = bytes.split_first()?;
            *self.head.get_mut(self.have)? = *byte;
            self.have += 1;
            *bytes = rest;
            wanted = self.wanted();
        }
        let frame = self.read();
        self.skip = (frame.length as usize).saturating_sub(self.have - HEAD);
        self.have = 0;
        Some(frame)
    }

    /// How many octets have to be seen to know all that is asked about the frame under way.
    fn wanted(&self) -> usize {
        if self.have < HEAD {
            return HEAD;
        }
        let [a, b, c, kind, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        HEAD + match kind {
            kind::RST_STREAM => length.min(4),
            kind::GOAWAY => length.min(8),
            _ => 0,
        }
    }

    fn read(&self) -> Frame {
        let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = self.head;
        let [p, q, r, s, t, u, v, w] = rest;
        let length = u32::from_be_bytes([0, a, b, c]);
        let code = match kind {
            kind::RST_STREAM if length >= 4 => u32::from_be_bytes([p, q, r, s]),
            kind::GOAWAY if length >= 8 => u32::from_be_bytes([t, u, v, w]),
            _ => 0,
        };
        Frame {
            length,
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
            code,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn walk(walker: &mut Walker, mut bytes: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| walker.next(&mut bytes)).collect()
    }

    #[test]
    fn a_frame_without_its_whole_payload_is_no_boundary() {
        let mut walker = Walker::before(0);
        let ping = bytes(kind::PING, 0, 0, &[0; 8]);
        assert_eq!(walk(&mut walker, &ping[..HEAD - 1]).len(), 0);
        assert!(!walker.at_boundary());
        assert_eq!(walk(&mut walker, &ping[HEAD - 1..HEAD]).len(), 1);
        assert!(!walker.at_boundary());
        let mut rest = [&ping[HEAD..], b"next"].concat();
        walker.finish(&mut rest.as_slice());
        assert!(walker.at_boundary());
        rest.truncate(0);
        assert!(walker.next(&mut rest.as_slice()).is_none());
    }

    #[test]
    fn rfc9113_s4_1_the_reserved_bit_of_a_stream_id_is_ignored() {
        let walked = walk(
            &mut Walker::before(0),
            &bytes(kind::DATA, 0, 0x8000_0003, b""),
        );
        assert_eq!(walked[0].stream, 3);
    }

    #[test]
    fn codes_are_read_from_resets_and_farewells_alone() {
        let stream = [
            bytes(kind::RST_STREAM, 0, 1, &[0, 0, 0, 7]),
            bytes(kind::GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 11, b'?']),
            bytes(kind::PING, 0, 0, &[1; 8]),
            bytes(kind::RST_STREAM, 0, 1, &[0, 7]),
            bytes(kind::GOAWAY, 0, 0, &[]),
        ]
        .concat();
        let mut walker = Walker::before(0);
        let codes: Vec<_> = walk(&mut walker, &stream).iter().map(|f| f.code).collect();
        assert_eq!(codes, [7, 11, 0, 0, 0]);
        assert!(walker.at_boundary());
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_frames_are_the_same(
            frames in prop::collection::vec((0_u8..12, any::<u8>(), any::<u32>(), 0_usize..40), 0..12),
            cuts in prop::collection::vec(1_usize..20, 1..60),
        ) {
            let stream: Vec<u8> = [b"preface".to_vec()]
                .into_iter()
                .chain(frames.iter().map(|(kind, flags, id, size)| bytes(*kind, *flags, *id, &vec![7; *size])))
                .flatten()
                .collect();
            let whole = walk(&mut Walker::before(7), &stream);
            prop_assert_eq!(whole.len(), frames.len());
            let mut walker = Walker::before(7);
            let (mut rest, mut pieces, mut cuts) = (stream.as_slice(), Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                pieces.extend(walk(&mut walker, piece));
                rest = more;
            }
            walker.finish(&mut &b""[..]);
            prop_assert_eq!(pieces, whole);
        }
    }
}
