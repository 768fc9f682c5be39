//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): a proxy of the operator's that does not end TLS says
//! in front of the first byte for whom it connects. Read strictly, since what it says becomes the caller's address: one
//! spelling, a bounded length, and nothing of what follows is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header: what version 2 needs for its longest addresses, and room for the extensions that proxies send.
pub const HEADER_MAX_BYTES: usize = 536;

/// The longest line of version 1, its end included (section 2.1).
const LINE_MAX_BYTES: usize = 107;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with (section 2.1).
const PREFIX: &[u8; 6] = b"PROXY ";
/// Signature, command, family and length of version 2.
const FIXED_BYTES: usize = 16;

/// Why a header is refused.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Neither version begins like this.
    #[error("no PROXY header")]
    Absent,
    /// Longer than allowed.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A line of version 1 that is not of its grammar.
    #[error("the PROXY line is malformed")]
    Line,
    /// A part of version 2 that is not what it may be.
    #[error("the PROXY header has a malformed {0}")]
    Binary(&'static str),
    /// The connection broke off.
    #[error("the PROXY header did not arrive")]
    Io(#[from] io::Error),
}

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes.
    pub length: usize,
    /// The caller for whom the proxy connects; none where it connects for itself, to see whether we are well, or does not
    /// know.
    pub caller: Option<SocketAddr>,
}

/// Reads the header off a connection, and not a byte more.
///
/// # Errors
/// [`HeaderError`], also when the connection ends before the header does.
pub async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut bytes = Vec::with_capacity(HEADER_MAX_BYTES);
    let mut chunk = [0; HEADER_MAX_BYTES];
    loop {
        let room = HEADER_MAX_BYTES.saturating_sub(bytes.len());
        let window = chunk.get_mut(..room).unwrap_or_default();
        let seen = stream.peek(window).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = bytes.len();
        bytes.extend_from_slice(window.get(..seen).unwrap_or_default());
        let header = parse(&bytes)?;
        // What was seen is taken only as far as it belongs to the header: what follows is for TLS or HTTP.
        let taken = header.map_or(seen, |header| header.length.saturating_sub(before));
        let taken = window.get_mut(..taken).unwrap_or_default();
        stream.read_exact(taken).await?;
        if let Some(header) = header {
            return Ok(header.caller);
        }
    }
}

/// The header that these bytes begin with, once it is complete.
///
/// # Errors
/// [`HeaderError`] as soon as it cannot become one.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins(bytes, PREFIX) {
        line(bytes)
    } else if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else {
        Err(HeaderError::Absent)
    }
}

/// Do the bytes begin so, as far as there are any?
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(one, other)| one == other)
}

fn line(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < LINE_MAX_BYTES {
            true => Ok(None),
            false => Err(HeaderError::TooLong),
        };
    };
    let length = end.saturating_add(1);
    if length > LINE_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    let text = bytes
        .get(PREFIX.len()..length)
        .and_then(|line| line.strip_suffix(b"\r\n"))
        .and_then(|line| std::str::from_utf8(line).ok())
        .filter(|line| !line.contains('\r'))
        .ok_or(HeaderError::Line)?;
    let caller = told(text).ok_or(HeaderError::Line)?;
    Ok(Some(Header { length, caller }))
}

/// What stands after `PROXY `. After `UNKNOWN` anything may, and means nothing (section 2.1).
fn told(text: &str) -> Option<Option<SocketAddr>> {
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = text.split(' ');
    let caller = match words.next()? {
        "TCP4" => told_of::<Ipv4Addr>(&mut words)?,
        "TCP6" => told_of::<Ipv6Addr>(&mut words)?,
        _ => return None,
    };
    words.next().is_none().then_some(Some(caller))
}

/// Source and destination, then their ports; the destination must be right too, though nobody asks for it.
fn told_of<'a, A: FromStr + Into<IpAddr>>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let source: A = words.next()?.parse().ok()?;
    let _: A = words.next()?.parse().ok()?;
    let from = port(words.next()?)?;
    port(words.next()?)?;
    Some(SocketAddr::new(source.into().to_canonical(), from))
}

/// A port in its only spelling: no sign, no leading zero.
fn port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

fn binary(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(&[command, family, high, low]) = bytes
        .get(SIGNATURE.len()..FIXED_BYTES)
        .and_then(<[u8]>::first_chunk)
    else {
        return Ok(None);
    };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Binary("command")),
    };
    let Some(block) = bytes.get(FIXED_BYTES..length) else {
        return Ok(None);
    };
    // Whatever a proxy writes that connects for itself is to be passed over (section 2.2).
    let caller = if is_local {
        None
    } else {
        block_of(family, block)?
    };
    Ok(Some(Header { length, caller }))
}

/// The caller's address in the block of version 2, whose extensions must at least be whole.
fn block_of(family: u8, block: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let short = || HeaderError::Binary("address");
    let (caller, rest) = match family {
        0x00 => (None, block),
        0x11 => {
            let (at, rest) = block.split_first_chunk::<12>().ok_or_else(short)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *at;
            let port = u16::from_be_bytes([high, low]);
            (Some(SocketAddr::new([a, b, c, d].into(), port)), rest)
        }
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>().ok_or_else(short)?;
            let (rest, port) = rest
                .split_first_chunk::<16>()
                .and_then(|(_, rest)| rest.split_first_chunk::<4>())
                .map(|([high, low, _, _], rest)| (rest, u16::from_be_bytes([*high, *low])))
                .ok_or_else(short)?;
            let source = IpAddr::from(*source).to_canonical();
            (Some(SocketAddr::new(source, port)), rest)
        }
        0x31 => (None, block.split_first_chunk::<216>().ok_or_else(short)?.1),
        _ => return Err(HeaderError::Binary("family")),
    };
    extensions(rest)?;
    Ok(caller)
}

/// Type, length and value, up to the end (section 2.2).
fn extensions(mut rest: &[u8]) -> Result<(), HeaderError> {
    while !rest.is_empty() {
        rest = rest
            .split_first_chunk::<3>()
            .and_then(|([_, high, low], rest)| {
                rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)
            })
            .ok_or(HeaderError::Binary("extension"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    fn v4_block(more: &[u8]) -> Vec<u8> {
        [
            &[192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb][..],
            more,
        ]
        .concat()
    }

    #[test]
    fn what_begins_like_no_header_is_refused_at_the_first_byte_that_differs() {
        for bytes in [
            &b"G"[..],
            b"PROXX",
            b"PROXY\t",
            b"proxy TCP4",
            b" PROXY ",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\x16\x03\x01",
        ] {
            assert!(
                matches!(parse(bytes), Err(HeaderError::Absent)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn proxy_protocol_s2_1_a_line_has_one_spelling() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711  443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 04711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 x\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100 4711 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP6 [2001:db8::1] 2001:db8::2 4711 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP4\t192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWN \r \r\n",
        ] {
            let found = parse(line.as_bytes());
            assert!(
                matches!(found, Err(HeaderError::Line)),
                "{line:?} {found:?}"
            );
        }
        let invalid = parse(b"PROXY UNKNOWN \xff\r\n");
        assert!(matches!(invalid, Err(HeaderError::Line)), "{invalid:?}");
    }

    #[test]
    fn proxy_protocol_s2_1_a_line_is_no_longer_than_107_bytes() {
        let of = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert!(matches!(
            parse(of(108).as_bytes()),
            Err(HeaderError::TooLong)
        ));
        let endless = "PROXY UNKNOWN ".to_owned() + &"x".repeat(LINE_MAX_BYTES);
        assert!(matches!(
            parse(endless.as_bytes()),
            Err(HeaderError::TooLong)
        ));
        let longest = parse(of(107).as_bytes()).unwrap().unwrap();
        assert_eq!((longest.length, longest.caller), (107, None));
    }

    #[test]
    fn proxy_protocol_s2_2_parts_of_version_2_that_may_not_be_are_refused() {
        for (bytes, what) in [
            (v2(0x11, 0x11, &v4_block(&[])), "command"),
            (v2(0x31, 0x11, &v4_block(&[])), "command"),
            (v2(0x22, 0x11, &v4_block(&[])), "command"),
            (v2(0x21, 0x12, &v4_block(&[])), "family"),
            (v2(0x21, 0x01, &v4_block(&[])), "family"),
            (v2(0x21, 0x41, &v4_block(&[])), "family"),
            (v2(0x21, 0x13, &v4_block(&[])), "family"),
            (v2(0x21, 0x11, &v4_block(&[])[..11]), "address"),
            (v2(0x21, 0x11, &[]), "address"),
            (v2(0x21, 0x21, &[0; 35]), "address"),
            (v2(0x21, 0x31, &[0; 215]), "address"),
            (v2(0x21, 0x11, &v4_block(&[0x04])), "extension"),
            (v2(0x21, 0x11, &v4_block(&[0x04, 0, 2, 0])), "extension"),
            (v2(0x21, 0x00, &[0x04, 0xff, 0xff]), "extension"),
        ] {
            match parse(&bytes) {
                Err(HeaderError::Binary(part)) => assert_eq!(part, what, "{bytes:?}"),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        let long = v2(0x21, 0x11, &v4_block(&[0; 600]));
        assert!(matches!(parse(&long[..16]), Err(HeaderError::TooLong)));
    }

    #[test]
    fn the_caller_is_who_the_proxy_says() {
        let v6 = [
            &[0x20, 0x01, 0x0d, 0xb8][..],
            &[0; 28],
            &[0x12, 0x67, 1, 0xbb],
        ]
        .concat();
        let mapped = [
            &[0; 10][..],
            &[0xff, 0xff, 192, 0, 2, 1],
            &[0; 16],
            &[0x12, 0x67, 1, 0xbb],
        ]
        .concat();
        for (bytes, caller) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec(),
                Some("192.0.2.1:4711"),
            ),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n".to_vec(),
                Some("192.0.2.1:0"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 2001:DB8::2 4711 443\r\n".to_vec(),
                Some("[2001:db8::1]:4711"),
            ),
            (
                b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n".to_vec(),
                Some("192.0.2.1:4711"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN 192.0.2.1 and more\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4_block(&[])), Some("192.0.2.1:4711")),
            (
                v2(0x21, 0x11, &v4_block(&[0x04, 0, 1, 9, 0x20, 0, 0])),
                Some("192.0.2.1:4711"),
            ),
            (v2(0x21, 0x21, &v6), Some("[2001:db8::]:4711")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.1:4711")),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0xff, &[1, 2]), None),
        ] {
            let header = parse(&bytes).unwrap().unwrap();
            assert_eq!(header.length, bytes.len());
            let named = header.caller.map(|caller| caller.to_string());
            assert_eq!(named.as_deref(), caller, "{bytes:?}");
        }
    }

    /// A connection, and what is read off it.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn nothing_behind_the_header_is_taken() {
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec(),
            v2(0x21, 0x11, &v4_block(&[])),
        ] {
            let (mut ours, mut theirs) = pair().await;
            ours.write_all(&[&header[..], &header, b"GET /"].concat())
                .await
                .unwrap();
            for _ in 0..2 {
                let caller = read(&mut theirs).await.unwrap().unwrap();
                assert_eq!(caller, "192.0.2.1:4711".parse().unwrap());
            }
            let mut rest = [0; 5];
            theirs.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET /");
        }
    }

    #[tokio::test]
    async fn a_header_may_come_in_pieces_and_must_come_whole() {
        let header = b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n";
        let (mut ours, mut theirs) = pair().await;
        let reading = tokio::spawn(async move { read(&mut theirs).await });
        for byte in header {
            ours.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let caller = reading.await.unwrap().unwrap().unwrap();
        assert_eq!(caller, "[2001:db8::1]:4711".parse().unwrap());

        let (mut ours, mut theirs) = pair().await;
        ours.write_all(&header[..20]).await.unwrap();
        drop(ours);
        let broken = read(&mut theirs).await;
        assert!(matches!(broken, Err(HeaderError::Io(_))), "{broken:?}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_judged_alike_in_pieces_and_within_the_bound(
            start in prop_oneof![Just(&b""[..]), Just(&PREFIX[..]), Just(&SIGNATURE[..]),
                Just(&b"PROXY TCP4 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..])],
            rest in proptest::collection::vec(any::<u8>(), 0..700),
        ) {
            let bytes = [start, &rest].concat();
            let verdict = |bytes: &[u8]| match parse(bytes) {
                Ok(header) => Ok(header),
                Err(error) => Err(error.to_string()),
            };
            let first = (1..=bytes.len())
                .map(|end| verdict(&bytes[..end]))
                .find(|found| !matches!(found, Ok(None)));
            if let Some(Ok(Some(header))) = &first {
                prop_assert!(header.length <= HEADER_MAX_BYTES);
            }
            if !bytes.is_empty() {
                prop_assert_eq!(first.unwrap_or(Ok(None)), verdict(&bytes));
            }
            prop_assert!(bytes.len() < HEADER_MAX_BYTES || !matches!(verdict(&bytes), Ok(None)));
        }

        #[test]
        fn what_is_written_is_read_again(v4 in any::<[u8; 4]>(), v6 in any::<[u8; 16]>(), port in any::<u16>()) {
            for (word, address) in [("TCP4", IpAddr::from(v4)), ("TCP6", IpAddr::from(v6))] {
                let line = format!("PROXY {word} {address} {address} {port} {port}\r\n");
                let block = match address {
                    IpAddr::V4(ip) => v2(0x21, 0x11, &[&ip.octets()[..], &[0; 4], &port.to_be_bytes(), &[0; 2]].concat()),
                    IpAddr::V6(ip) => v2(0x21, 0x21, &[&ip.octets()[..], &[0; 16], &port.to_be_bytes(), &[0; 2]].concat()),
                };
                for bytes in [line.into_bytes(), block] {
                    let caller = parse(&bytes).unwrap().unwrap().caller;
                    prop_assert_eq!(caller, Some(SocketAddr::new(address.to_canonical(), port)));
                }
            }
        }
    }
}
