//! A PROXY header is the same in whatever pieces it comes, the same as to a second reader, and ends where it says: not a byte
//! behind it is taken off the connection. An entry is what a connection begins with.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use sallygate::listener::proxy::{HEADER_MAX_BYTES, Header, parse, read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime")
});
/// One connection for all entries: whatever takes too much or too little of one spoils the next as well.
static PAIR: LazyLock<Mutex<[TcpStream; 2]>> = LazyLock::new(|| {
    let pair = RUNTIME.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (ours, (theirs, _)) = (ours.expect("connected"), theirs.expect("accepted"));
        ours.set_nodelay(true).expect("no delay");
        [ours, theirs]
    });
    Mutex::new(pair)
});

fuzz_target!(|data: &[u8]| {
    let whole = verdict(data);
    let first = (1..=data.len().min(HEADER_MAX_BYTES + 1))
        .map(|end| verdict(&data[..end]))
        .find(|found| *found != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole, "pieces change it");
    match whole {
        Ok(Some(header)) => {
            assert!(header.length <= data.len().min(HEADER_MAX_BYTES));
            assert_eq!(second(&data[..header.length]), Some(header.caller));
            again(header.caller);
            let mut pair = PAIR.lock().expect("one thread");
            RUNTIME.block_on(taken(&mut pair, data, header));
        }
        Ok(None) => {
            assert!(data.len() < HEADER_MAX_BYTES, "without an end");
            assert_eq!(second(data), None, "waits for more");
        }
        Err(_) => {
            // What is refused is no header to the other reader either, wherever it is cut.
            let ends = data.iter().take(107).position(|byte| *byte == b'\n');
            let line = ends.map_or(&data[..0], |end| &data[..=end]);
            assert_eq!(second(line), None, "refused");
            let binary = &data[..data.len().min(HEADER_MAX_BYTES)];
            let length = binary.get(14..16).map_or(0, |at| 16 + number(at));
            let binary = binary.get(..length).unwrap_or_default();
            assert_eq!(second(binary), None, "refused");
        }
    }
});

fn verdict(bytes: &[u8]) -> Result<Option<Header>, String> {
    parse(bytes).map_err(|error| error.to_string())
}

/// Reads the header off a connection and looks at what is left there.
async fn taken([ours, theirs]: &mut [TcpStream; 2], data: &[u8], header: Header) {
    let behind = &data[header.length..];
    let behind = &behind[..behind.len().min(64)];
    let all = &data[..header.length + behind.len()];
    // In two pieces, of which the first is never all of it.
    let cut = usize::from(data[header.length - 1]) % header.length;
    let writing = async {
        ours.write_all(&all[..cut]).await.expect("written");
        tokio::task::yield_now().await;
        ours.write_all(&all[cut..]).await.expect("written");
    };
    let (caller, ()) = tokio::join!(read(theirs), writing);
    assert_eq!(caller.expect("a header"), header.caller, "read otherwise");
    let mut left = vec![0; behind.len()];
    theirs.read_exact(&mut left).await.expect("what is behind");
    assert_eq!(left, behind, "bytes behind the header were taken");
    let more = theirs.try_read(&mut [0]);
    assert!(more.is_err(), "bytes of the header were left: {more:?}");
}

/// A line about this caller is read as what it was made of.
fn again(caller: Option<SocketAddr>) {
    let line = match caller {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(caller) => {
            let (ip, port) = (caller.ip(), caller.port());
            let word = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {word} {ip} {ip} {port} {port}\r\n")
        }
    };
    let length = line.len();
    let expected = Header { length, caller };
    assert_eq!(verdict(line.as_bytes()), Ok(Some(expected)), "{line:?}");
}

/// The caller that these bytes tell of, if they are one header from the first to the last.
fn second(bytes: &[u8]) -> Option<Option<SocketAddr>> {
    match bytes.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        Some(rest) => binary(rest),
        None => line(std::str::from_utf8(bytes).ok()?),
    }
}

fn line(line: &str) -> Option<Option<SocketAddr>> {
    let line = line.strip_suffix("\r\n")?;
    if line.len() > 105 || line.contains(['\r', '\n']) {
        return None;
    }
    let words: Vec<&str> = line.split(' ').collect();
    let (read, rest): (fn(&str) -> Option<IpAddr>, _) = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Some(None),
        ["PROXY", "TCP4", ref rest @ ..] => (four, rest),
        ["PROXY", "TCP6", ref rest @ ..] => (six, rest),
        _ => return None,
    };
    let [from, to, from_port, to_port] = rest else {
        return None;
    };
    read(to)?;
    decimal(to_port, 65_535)?;
    let port = decimal(from_port, 65_535)?;
    let port = u16::try_from(port).ok()?;
    Some(Some(SocketAddr::new(read(from)?, port)))
}

/// Digits without a leading zero.
fn decimal(text: &str, most: u32) -> Option<u32> {
    let is_plain = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = text.len() > 1 && text.starts_with('0');
    let number = text.parse().ok().filter(|_| is_plain && !has_zero)?;
    (number <= most).then_some(number)
}

fn four(text: &str) -> Option<IpAddr> {
    let numbers: Option<Vec<u32>> = text.split('.').map(|part| decimal(part, 255)).collect();
    let [a, b, c, d] = numbers?[..] else {
        return None;
    };
    Some(Ipv4Addr::from(a << 24 | b << 16 | c << 8 | d).into())
}

fn six(text: &str) -> Option<IpAddr> {
    match url::Host::parse(&format!("[{text}]")) {
        Ok(url::Host::Ipv6(address)) => Some(plain(address.octets())),
        _ => None,
    }
}

/// An address of version 4 in the clothes of version 6 is the former.
fn plain(octets: [u8; 16]) -> IpAddr {
    match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        octets => Ipv6Addr::from(octets).into(),
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |all, byte| all * 256 + usize::from(*byte))
}

/// Version 2 behind its signature.
fn binary(rest: &[u8]) -> Option<Option<SocketAddr>> {
    let block = rest.get(4..)?;
    if block.len() != number(&rest[2..4]) || block.len() > HEADER_MAX_BYTES - 16 {
        return None;
    }
    let addresses = match (rest[0], rest[1]) {
        (0x20, _) => return Some(None),
        (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        _ => return None,
    };
    let mut at = addresses;
    while at < block.len() {
        at += 3 + number(block.get(at + 1..at + 3)?);
    }
    if at != block.len() {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Some(match addresses {
        12 => {
            let ip = <[u8; 4]>::try_from(&block[..4]).ok()?;
            Some(SocketAddr::new(ip.into(), port(8)))
        }
        36 => {
            let ip = <[u8; 16]>::try_from(&block[..16]).ok()?;
            Some(SocketAddr::new(plain(ip), port(32)))
        }
        _ => None,
    })
}
