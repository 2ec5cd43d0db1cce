//! What the C library says of addresses that need no network, and of the names of this machine.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use eventlet_resolver::query::{Answer, Failure, Hints, Query};
use eventlet_resolver::system::answer;

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn addresses(host: &str, service: &str, hints: Hints) -> Query {
    Query::Addresses {
        host: Some(text(host)),
        service: Some(text(service)),
        hints,
    }
}

#[test]
fn numbers() {
    let stream = Hints {
        socket_type: libc::SOCK_STREAM,
        ..Hints::default()
    };
    for written in ["192.0.2.1:80", "[2001:db8::1]:443"] {
        let expected: SocketAddr = written.parse().expect("an address");
        let host = expected.ip().to_string();
        let port = expected.port().to_string();
        let Ok(Answer::Addresses(found)) = answer(&addresses(&host, &port, stream)) else {
            panic!("no addresses");
        };
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, expected);
        assert_eq!(found[0].socket_type, libc::SOCK_STREAM);
        assert_eq!(found[0].protocol, libc::IPPROTO_TCP);
        assert_eq!(found[0].canonical_name, None);
        let family = if expected.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        assert_eq!(found[0].family, family);
    }
}

#[test]
fn canonical_names() {
    let hints = Hints {
        flags: libc::AI_CANONNAME | libc::AI_NUMERICHOST,
        ..stream_hints()
    };
    let Ok(Answer::Addresses(found)) = answer(&addresses("192.0.2.1", "1", hints)) else {
        panic!("no addresses");
    };
    assert_eq!(found[0].canonical_name, Some(text("192.0.2.1")));
}

fn stream_hints() -> Hints {
    Hints {
        socket_type: libc::SOCK_STREAM,
        ..Hints::default()
    }
}

#[test]
fn failures_of_addresses() {
    let numeric = Hints {
        flags: libc::AI_NUMERICHOST,
        ..Hints::default()
    };
    assert_eq!(
        answer(&addresses("host.invalid", "80", numeric)),
        Err(Failure::Address(libc::EAI_NONAME))
    );
    assert_eq!(
        answer(&addresses("192.0.2.1", "no-such-service", stream_hints())),
        Err(Failure::Address(libc::EAI_SERVICE))
    );
}

#[test]
fn this_machine() {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let Ok(Answer::Host(found)) = answer(&Query::HostByName(text("localhost"))) else {
        panic!("localhost has no entry");
    };
    assert!(!found.name.is_empty());
    assert_eq!(found.addresses.first(), Some(&local));
    let Ok(Answer::Host(found)) = answer(&Query::HostByAddress(local)) else {
        panic!("127.0.0.1 has no entry");
    };
    assert!(!found.name.is_empty());
    assert_eq!(found.addresses, [local]);
}

#[test]
fn names_of_numbers() {
    for address in ["192.0.2.1:8", "[2001:db8::1]:8"] {
        let address: SocketAddr = address.parse().expect("an address");
        let flags = libc::NI_NUMERICHOST | libc::NI_NUMERICSERV;
        let host = text(&address.ip().to_string());
        assert_eq!(
            answer(&Query::Name { address, flags }),
            Ok(Answer::Name(host, text("8")))
        );
    }
}

#[test]
fn failures_of_names() {
    let query = Query::Name {
        address: "192.0.2.1:8".parse().expect("an address"),
        flags: -1,
    };
    assert_eq!(answer(&query), Err(Failure::Address(libc::EAI_BADFLAGS)));
}
