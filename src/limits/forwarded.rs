//! Who called, where proxies of the operator's stand in between: each of them adds the address that it saw to the end of
//! `X-Forwarded-For`. What stands further to the left was written by somebody else and is not believed.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the caller behind `hops` proxies; the one that connected where there are none, or where the header does
/// not say it.
pub fn caller(connected: IpAddr, headers: &HeaderMap, hops: usize) -> IpAddr {
    let Some(skipped) = hops.checked_sub(1) else {
        return connected;
    };
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','))
        .nth(skipped)
        .and_then(|text| address(text.trim()))
        .unwrap_or(connected)
}

/// An address, which some proxies write with its port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|found| found.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller_of(lines: &[&'static str], hops: usize) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        caller(IpAddr::from([10, 0, 0, 1]), &headers, hops).to_string()
    }

    #[test]
    fn what_callers_write_themselves_is_not_believed() {
        let forged = ["6.6.6.6", "7.7.7.7, 192.0.2.1"];
        assert_eq!(caller_of(&forged, 0), "10.0.0.1");
        assert_eq!(caller_of(&forged, 1), "192.0.2.1");
        assert_eq!(caller_of(&["6.6.6.6, 192.0.2.1, 10.0.0.2"], 2), "192.0.2.1");
    }

    #[test]
    fn a_header_that_does_not_say_it_leaves_the_address_that_connected() {
        for lines in [
            &[][..],
            &[""],
            &["unknown"],
            &["192.0.2.1,"],
            &["192.0.2.1, _hidden"],
            &["192.0.2.999"],
        ] {
            assert_eq!(caller_of(lines, 1), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(caller_of(&["192.0.2.1"], 2), "10.0.0.1");
    }

    #[test]
    fn every_way_to_write_an_address_is_read() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
        ] {
            assert_eq!(caller_of(&[text], 1), address);
        }
    }
}
