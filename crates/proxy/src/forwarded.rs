//! `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
//!
//! Each proxy on the way appends the address that it was reached from, so the list is to be read from
//! its end: the peer is believed, hence what it appended is true; if that names another trusted proxy,
//! what this one appended is true as well; and so on. The first address that is not a trusted proxy's
//! is the client. What stands before it may be the client's invention.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str;

use crate::trusted::Trusted;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// The port, which few proxies tell.
    pub port: Option<u16>,
}

/// The client that the lines of `X-Forwarded-For` name, in the order received.
///
/// `None` if the last member of the list is no address, or if there is no list: then the peer is all
/// there is to know. A member further to the front that is no address ends the search, too: the proxy
/// that appended it is the best answer.
pub fn client<'a, I>(lines: I, trusted: &Trusted) -> Option<Client>
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: DoubleEndedIterator,
{
    let mut best = None;
    for line in lines.into_iter().rev() {
        for member in line.rsplit(|&byte| byte == b',') {
            let Some(found) = parse(member.trim_ascii()) else {
                return best;
            };
            best = Some(found);
            if !trusted.lists(found.address) {
                return best;
            }
        }
    }
    best
}

/// The last member of a list over several lines, which is what the nearest proxy says; not empty.
pub fn last<'a, I>(lines: I) -> Option<&'a [u8]>
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: DoubleEndedIterator,
{
    let line = lines.into_iter().next_back()?;
    let member = line.rsplit(|&byte| byte == b',').next()?.trim_ascii();
    (!member.is_empty()).then_some(member)
}

/// Host and port of a `host[:port]`; the brackets of an IPv6 address are not part of the host.
///
/// `None` if it is neither a name, nor an address: nothing in it can end a line, a field or a URL's
/// authority.
pub fn host(value: &[u8]) -> Option<(&str, Option<u16>)> {
    let text = str::from_utf8(value).ok()?;
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        let port = match rest {
            "" => None,
            _ => Some(rest.strip_prefix(':')?),
        };
        (address, port)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        (name, port)
    };
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(number(port)?))),
    }
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`.
fn parse(member: &[u8]) -> Option<Client> {
    let text = str::from_utf8(member).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Client {
            address,
            port: None,
        });
    }
    if let Ok(found) = text.parse::<SocketAddr>() {
        return Some(Client {
            address: found.ip(),
            port: Some(found.port()),
        });
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(Client {
        address: IpAddr::V6(inner.parse().ok()?),
        port: None,
    })
}

/// A port number: decimal digits only.
fn number(digits: &str) -> Option<u16> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str], proxies: &[&str]) -> Option<String> {
        let trusted = Trusted::new(proxies.iter().copied()).expect("entries");
        let client = client(lines.iter().map(|line| line.as_bytes()), &trusted)?;
        Some(match client.port {
            None => client.address.to_string(),
            Some(port) => format!("{} {port}", client.address),
        })
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let proxies = ["10.0.0.0/8"];
        for (lines, expected) in [
            (&["192.0.2.1"][..], Some("192.0.2.1")),
            (&["1.1.1.1, 192.0.2.1"], Some("192.0.2.1")),
            (&["1.1.1.1, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
            (&["192.0.2.1,10.0.0.2,10.0.0.3"], Some("192.0.2.1")),
            (&["1.1.1.1", "192.0.2.1", "10.0.0.2"], Some("192.0.2.1")),
            (&["10.0.0.9, 10.0.0.2"], Some("10.0.0.9")),
            (&["192.0.2.1:4711"], Some("192.0.2.1 4711")),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["[2001:db8::1]:80"], Some("2001:db8::1 80")),
            (&["unknown"], None),
            (&["unknown, 10.0.0.2"], Some("10.0.0.2")),
            (&["1.1.1.1, , 10.0.0.2"], Some("10.0.0.2")),
            (&[""], None),
            (&[], None),
            (&["1.1.1.1\u{e9}"], None),
            (&["127.1"], None),
            (&["1.1.1.1:99999"], None),
        ] {
            assert_eq!(found(lines, &proxies).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn whoever_trusts_every_peer_believes_the_last_address_only() {
        assert_eq!(
            found(&["1.1.1.1, 2.2.2.2"], &["*"]).as_deref(),
            Some("2.2.2.2")
        );
    }

    #[test]
    fn the_last_member() {
        let all = |lines: &[&'static str]| last(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(all(&["https"]), Some(&b"https"[..]));
        assert_eq!(all(&["https, http "]), Some(&b"http"[..]));
        assert_eq!(all(&["https", "http"]), Some(&b"http"[..]));
        assert_eq!(all(&["https,"]), None);
        assert_eq!(all(&[""]), None);
        assert_eq!(all(&[]), None);
    }

    #[test]
    fn hosts() {
        for (text, expected) in [
            ("example.com", Some(("example.com", None))),
            ("example.com:8443", Some(("example.com", Some(8443)))),
            ("192.0.2.1:80", Some(("192.0.2.1", Some(80)))),
            ("[::1]", Some(("::1", None))),
            ("[::1]:80", Some(("::1", Some(80)))),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:+8", None),
            ("a:65536", None),
            ("a:8:8", None),
            ("a b", None),
            ("a/b", None),
            ("a@b", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[g]", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(host(text.as_bytes()), expected, "{text}");
        }
    }
}
