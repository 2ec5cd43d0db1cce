//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), without I/O.
//!
//! # Theory of operation
//!
//! The caller owns the socket, its buffers and the clock. A [`Codec`] is one end of a connection whose
//! handshake is over:
//!
//! ```text
//!   bytes received --> Codec::decode --> Event: a message, or a control frame to act upon
//!   a message -------> Codec::message -> bytes to send, appended to a buffer of the caller's
//! ```
//!
//! Below it are the parts, each of which can be had alone: [`FrameHeader`] (the 2 to 14 bytes before a payload),
//! [`mask()`], [`Utf8`] (text that arrives in pieces), [`deflate`] (the extension), [`close`] (the payload of a
//! closing frame) and [`handshake`] (keys).
//!
//! **Nothing is copied that need not be.** A message that arrives whole is unmasked where it is, in the caller's
//! buffer, and lent out from there; or it is copied to where the caller wants it, and unmasked on the way
//! ([`Codec::whole`]). Only what arrives in pieces is gathered.
//!
//! **Nothing is kept that need not be.** What a connection needs while it is idle is the size of [`Codec`], which
//! is a few hundred bytes. Buffers exist while a message is incomplete, and compression state from the first
//! compressed message on: until the end of that message, or of the connection if its context is to be kept.
//!
//! **Split invariance.** The decoder goes over the bytes once and may be suspended between any two of them. The
//! events, or the very error, depend on the bytes alone, and what can no longer become valid is refused at the
//! first byte that shows it: text in the middle of a frame, a length before the payload, a decompression bomb
//! while it inflates.

#![forbid(unsafe_code)]

pub mod close;
mod codec;
mod decoder;
pub mod deflate;
mod error;
mod extension;
mod frame;
pub mod handshake;
mod mask;
mod utf8;

pub use codec::{Codec, Phase};
pub use decoder::{Decoder, Event, Limits, MessageKind, RawFrame, Whole};
pub use error::Error;
pub use frame::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, Role};
pub use mask::mask;
pub use utf8::Utf8;
