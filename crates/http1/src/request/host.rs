//! `uri-host [":" port]`: the value of Host and the authority of a request target.
//!
//! RFC 9112 section 3.2 refuses a Host "with an invalid field value". The grammar is that of
//! RFC 3986 section 3.2.2, without what must not occur here: user information (RFC 9110 section
//! 4.2.4: treat as an error), `IPvFuture` (nothing is registered) and zone identifiers (local to the
//! client).

use std::net::Ipv6Addr;
use std::str;

use crate::syntax::{decimal, is_host};

/// A checked authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// The host is not the empty string.
    pub(super) has_host: bool,
    /// There is a port and it is not the empty string.
    pub(super) has_port: bool,
}

/// Checks `bytes` against the grammar; `None` if they do not match.
pub(super) fn parse(bytes: &[u8]) -> Option<Authority> {
    let host = match bytes {
        [b'[', ..] => ip_literal(bytes)?,
        _ => reg_name(bytes)?,
    };
    let has_port = match &bytes[host..] {
        [] | [b':'] => false,
        [b':', digits @ ..] => port(digits)?,
        _ => return None,
    };
    Some(Authority {
        has_host: host > 0,
        has_port,
    })
}

/// The length of the registered name (or IPv4 address) that `bytes` starts with.
fn reg_name(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at).filter(|&&byte| is_host(byte)) {
        at += match byte {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(3)?
            }
            _ => 1,
        };
    }
    Some(at)
}

/// The length of the bracketed IPv6 address that `bytes` starts with.
fn ip_literal(bytes: &[u8]) -> Option<usize> {
    let close = bytes.iter().position(|&byte| byte == b']')?;
    let address = str::from_utf8(&bytes[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

/// `Some(true)` if `digits` is a port number.
fn port(digits: &[u8]) -> Option<bool> {
    let value = decimal(digits).filter(|_| digits.len() <= 5)?;
    u16::try_from(value).is_ok().then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_grammar_has() {
        for (text, has_host, has_port) in [
            ("", false, false),
            ("localhost", true, false),
            ("example.com:80", true, true),
            ("example.com:", true, false),
            ("127.0.0.1:65535", true, true),
            ("[::1]", true, false),
            ("[2001:db8::192.0.2.1]:443", true, true),
            ("a_b-c.d~e", true, false),
            ("%41%7a", true, false),
            ("it's,(ok)", true, false),
        ] {
            let expected = Authority { has_host, has_port };
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "a b",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a\\b",
            "a:b",
            "a:80:80",
            "a:-1",
            "a:+80",
            "a:65536",
            "a:000080",
            "[::1",
            "::1",
            "[::1]x",
            "[::g]",
            "[]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "%4",
            "%4g",
            "%",
            "a\"b",
            "<a>",
            "h\u{e9}",
            "a,b c",
            "[127.0.0.1]",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
