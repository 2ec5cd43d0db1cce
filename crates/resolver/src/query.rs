//! What can be asked, and what the answer may be.

use std::ffi::{CString, c_int};
use std::net::{IpAddr, SocketAddr};

/// A question. Two that are equal have the same answer at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// The addresses of a host and a service, as `getaddrinfo(3)` finds them.
    Addresses {
        /// A name or a numeric address.
        host: Option<CString>,
        /// The name of a service, or the number of a port.
        service: Option<CString>,
        /// What kind of addresses are wanted.
        hints: Hints,
    },
    /// The entry of a name, as `gethostbyname(3)` finds it: with IPv4 addresses alone.
    HostByName(CString),
    /// The entry of an address, as `gethostbyaddr(3)` finds it.
    HostByAddress(IpAddr),
    /// The names of a host and a service, as `getnameinfo(3)` finds them.
    Name {
        /// The address and the port.
        address: SocketAddr,
        /// `NI_NUMERICHOST` and its kind.
        flags: c_int,
    },
}

/// What `getaddrinfo(3)` is told about the addresses that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// `AF_INET` and its kind; 0 for any.
    pub family: c_int,
    /// `SOCK_STREAM` and its kind; 0 for any.
    pub socket_type: c_int,
    /// `IPPROTO_TCP` and its kind; 0 for any.
    pub protocol: c_int,
    /// `AI_PASSIVE` and its kind.
    pub flags: c_int,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Addresses`].
    Addresses(Vec<AddressInfo>),
    /// To [`Query::HostByName`] and [`Query::HostByAddress`].
    Host(HostEntry),
    /// To [`Query::Name`]: the host and the service.
    Name(CString, CString),
}

/// One address of a host, and what kind of socket reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// `AF_INET` or `AF_INET6`.
    pub family: c_int,
    /// `SOCK_STREAM` and its kind.
    pub socket_type: c_int,
    /// `IPPROTO_TCP` and its kind.
    pub protocol: c_int,
    /// The host's proper name: with `AI_CANONNAME`, in the first one.
    pub canonical_name: Option<CString>,
    /// Where it is.
    pub address: SocketAddr,
}

/// What is known about a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// Its proper name.
    pub name: CString,
    /// Its other names.
    pub aliases: Vec<CString>,
    /// Its addresses, all of one family.
    pub addresses: Vec<IpAddr>,
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `EAI_NONAME` and its kind, from `getaddrinfo(3)` or `getnameinfo(3)`.
    Address(c_int),
    /// `HOST_NOT_FOUND` and its kind, from `gethostbyname(3)` or `gethostbyaddr(3)`.
    Host(c_int),
    /// An errno.
    System(c_int),
}

/// How a lookup went.
pub type Outcome = Result<Answer, Failure>;
