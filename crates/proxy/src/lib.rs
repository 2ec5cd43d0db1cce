//! What a proxy in front of the server says of its client, without I/O.
//!
//! There are two ways to say it, and one question that comes first: is the peer to be believed?
//!
//! | module | what it reads |
//! |---|---|
//! | [`header`] | the PROXY protocol, versions 1 and 2: bytes before the first request |
//! | [`forwarded`] | the fields `X-Forwarded-For`, `-Proto` and `-Host` of a request |
//! | [`trusted`] | who is believed: addresses, networks, Unix sockets |

#![forbid(unsafe_code)]

pub mod forwarded;
pub mod header;
pub mod trusted;
