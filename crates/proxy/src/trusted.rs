//! Which peers are believed.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// The other end of a connection, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this machine, over a Unix socket.
    Unix,
    /// A machine.
    Ip(IpAddr),
}

/// The peers that are believed; nobody by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    everybody: bool,
    unix: bool,
    networks: Vec<Network>,
}

/// What is neither an address, nor a network, nor `unix`, nor `*`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not an address, a network, 'unix' or '*': {0:?}")]
pub struct BadEntry(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    /// The bits of the address, those of IPv4 as the last 32.
    bits: u128,
    /// The bits that count.
    mask: u128,
    is_v4: bool,
}

impl Trusted {
    /// Those that the entries name: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`, `unix`, `*` for everybody.
    ///
    /// # Errors
    ///
    /// For anything else, among it a network whose address has bits beyond its prefix.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BadEntry> {
        let mut trusted = Self::default();
        for entry in entries {
            match entry {
                "*" => trusted.everybody = true,
                "unix" => trusted.unix = true,
                _ => trusted.networks.push(entry.parse()?),
            }
        }
        Ok(trusted)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        !self.everybody && !self.unix && self.networks.is_empty()
    }

    /// Whether a peer is believed.
    pub fn believes(&self, peer: Peer) -> bool {
        self.everybody
            || match peer {
                Peer::Unix => self.unix,
                Peer::Ip(address) => self.lists(address),
            }
    }

    /// Whether an address is one of those listed, or in one of the networks; `*` lists none.
    pub fn lists(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address);
        self.networks
            .iter()
            .any(|network| network.is_v4 == is_v4 && bits & network.mask == network.bits)
    }
}

impl FromStr for Network {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let refused = || BadEntry(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let (bits, is_v4) = bits(address);
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u32>().map_err(|_| refused())?
            }
            Some(_) => return Err(refused()),
        };
        if length > width {
            return Err(refused());
        }
        // The bits of `::ffff:0:0/96` are IPv4's own: a prefix of such an address counts from there.
        let length = if is_v4 && width == 128 {
            length.checked_sub(96).ok_or_else(refused)?
        } else {
            length
        };
        let width = if is_v4 { 32 } else { 128 };
        let all = u128::MAX >> (128 - width);
        let mask = if length == 0 {
            0
        } else {
            all & (u128::MAX << (width - length))
        };
        if bits & !mask != 0 {
            return Err(refused());
        }
        Ok(Self { bits, mask, is_v4 })
    }
}

/// The bits of an address, and whether it is one of IPv4, in IPv6 clothes or not.
fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn believes(entries: &[&str], address: &str) -> bool {
        let trusted = Trusted::new(entries.iter().copied()).expect("entries");
        trusted.believes(Peer::Ip(address.parse().expect("address")))
    }

    #[test]
    fn addresses_and_networks() {
        assert!(believes(&["10.0.0.1"], "10.0.0.1"));
        assert!(!believes(&["10.0.0.1"], "10.0.0.2"));
        assert!(believes(&["10.0.0.0/8"], "10.255.1.2"));
        assert!(!believes(&["10.0.0.0/8"], "11.0.0.0"));
        assert!(believes(&["192.0.2.128/25"], "192.0.2.129"));
        assert!(!believes(&["192.0.2.128/25"], "192.0.2.127"));
        assert!(believes(&["0.0.0.0/0"], "8.8.8.8"));
        assert!(!believes(&["0.0.0.0/0"], "::1"));
        assert!(believes(&["fd00::/8"], "fd12::1"));
        assert!(!believes(&["fd00::/8"], "fe80::1"));
        assert!(believes(&["::/0"], "::1"));
        assert!(!believes(&["::/0"], "127.0.0.1"));
        assert!(believes(&["::1", "10.0.0.1/32"], "10.0.0.1"));
    }

    #[test]
    fn ipv4_in_ipv6_clothes_is_ipv4() {
        assert!(believes(&["127.0.0.1"], "::ffff:127.0.0.1"));
        assert!(believes(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(!believes(&["::ffff:10.0.0.0/104"], "11.1.2.3"));
    }

    #[test]
    fn everybody_and_nobody() {
        assert!(believes(&["*"], "8.8.8.8"));
        assert!(!believes(&[], "127.0.0.1"));
        assert!(!believes(&["unix"], "127.0.0.1"));
        let unix = Trusted::new(["unix"]).expect("entries");
        assert!(unix.believes(Peer::Unix));
        assert!(
            !Trusted::new(["::/0"])
                .expect("entries")
                .believes(Peer::Unix)
        );
        assert!(Trusted::new(["*"]).expect("entries").believes(Peer::Unix));
        assert!(Trusted::default().is_empty());
        assert!(!unix.is_empty());
    }

    #[test]
    fn what_is_no_entry() {
        for text in [
            "",
            "localhost",
            "10.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "::1/129",
            "::1/64",
            "10.0.0.0/8/8",
            " 10.0.0.1",
            "1.2.3.4:80",
            "::ffff:10.0.0.0/95",
            "10.0.0.0/0008",
        ] {
            let refused = Trusted::new([text]).expect_err(text);
            assert_eq!(refused, BadEntry(text.to_owned()));
        }
    }
}
