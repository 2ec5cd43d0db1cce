//! The server side of HTTP/1.1 (RFC 9112) without I/O.
//!
//! # Theory of operation
//!
//! The caller owns one growable read buffer per connection and every socket. This crate looks at
//! bytes and answers questions about them:
//!
//! ```text
//!            buffer                          what to ask
//!   +------------------------+
//!   | GET / HTTP/1.1 ...     |   HeadParser::parse   -> None (read more) | length of the head
//!   |------------------------|
//!   | 5\r\nhello\r\n0\r\n... |   BodyDecoder::decode -> consumed, data within the input, finished
//!   |------------------------|
//!   | GET /next ...          |   the next request: reset the parser, start over
//!   +------------------------+
//! ```
//!
//! Nothing is copied: a [`Head`] is a set of [`Span`]s into the buffer, decoded body data is a range
//! of the caller's input. Nothing is allocated once the vector of header fields has grown to what
//! the client sends.
//!
//! There is one parser and no lenient mode. A message that two implementations could frame in two
//! ways is refused ([`RequestError`]), because a proxy in front of the server that chooses the
//! other way turns the difference into request smuggling (RFC 9112 section 11.2). What an operator
//! may relax ([`Rules`]) are refusals that the RFC does not demand, or demands of the client.
//!
//! **Split invariance.** Every parser here is a state machine that goes over the bytes once, from
//! left to right, and that may be suspended between any two of them. Limits are positions in the
//! stream, not properties of what one `read` happened to return. Hence the outcome (the head, the
//! data, or the very error) depends on the bytes alone, a message that trickles in costs no more
//! than one that arrives at once, and a message that can no longer become valid is refused at the
//! first byte that shows it.
//!
//! The [`response`] module is the other direction: it checks what an application wants to send,
//! decides how the message is framed, and appends the bytes to a caller's vector.

#![forbid(unsafe_code)]

mod body;
mod error;
mod limits;
mod request;
pub mod response;
mod syntax;

pub use body::{BodyDecoder, Decoded};
pub use error::RequestError;
pub use limits::{Limits, Rules};
pub use request::{
    BodyLength, FieldKind, Head, HeadParser, HeaderField, Span, TargetForm, Version,
};
