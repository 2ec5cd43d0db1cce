//! The uwsgi protocol, as nginx speaks it to an application server (`uwsgi_pass`), without I/O.
//!
//! A request is a packet of variables, followed by the body, whose length the variable
//! `CONTENT_LENGTH` tells:
//!
//! ```text
//!   modifier1  size (16 bits)  modifier2 | (size (16 bits) name  size (16 bits) value)* | body
//! ```
//!
//! All numbers are little-endian. `modifier1` is 0 for WSGI; the other numbers stand for what is no
//! business of ours. The response is that of HTTP, and ends with the connection.
//!
//! The variables are those of CGI: nginx has parsed the request, and decided where its body ends. So what
//! has to be watched is only that a packet means one thing.

#![forbid(unsafe_code)]

use thiserror::Error;

/// How much of a packet is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest packet, its four bytes of header not counted. The protocol allows 65535.
    pub size: usize,
    /// The most variables.
    pub count: usize,
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PacketError {
    /// `CONTENT_LENGTH` is given twice, or is not decimal digits that 64 bits can hold.
    #[error("invalid CONTENT_LENGTH")]
    ContentLength,
    /// A name or a value goes beyond the end of the packet.
    #[error("malformed uwsgi packet")]
    Malformed,
    /// The first byte says that it is no request for an application.
    #[error("not a WSGI request")]
    Modifier,
    /// More variables than [`Limits::count`].
    #[error("too many variables")]
    TooMany,
    /// Larger than [`Limits::size`].
    #[error("uwsgi packet too large")]
    TooLarge,
}

/// Looks for a packet at the start of `buf`, which holds everything received so far.
///
/// Returns its length, header included, or `None` if more bytes are needed.
///
/// # Errors
///
/// What is wrong with it; more bytes do not change that.
pub fn parse(buf: &[u8], limits: &Limits) -> Result<Option<usize>, PacketError> {
    if buf.first().is_some_and(|&modifier| modifier != 0) {
        return Err(PacketError::Modifier);
    }
    let Some(header) = buf.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let size = usize::from(u16::from_le_bytes([header[1], header[2]]));
    if size > limits.size {
        return Err(PacketError::TooLarge);
    }
    let Some(packet) = buf.get(..HEADER + size) else {
        return Ok(None);
    };
    let mut vars = vars(packet);
    if vars.by_ref().count() > limits.count {
        return Err(PacketError::TooMany);
    }
    if !vars.rest.is_empty() {
        return Err(PacketError::Malformed);
    }
    content_length(packet)?;
    Ok(Some(packet.len()))
}

/// The variables of a packet that [`parse`] has found, names and values, in order.
pub fn vars(packet: &[u8]) -> Vars<'_> {
    Vars {
        rest: packet.get(HEADER..).unwrap_or_default(),
    }
}

/// The length of the body that follows a packet. There is none without `CONTENT_LENGTH`, or if that is
/// empty.
///
/// # Errors
///
/// [`PacketError::ContentLength`]; not for a packet that [`parse`] has found.
pub fn content_length(packet: &[u8]) -> Result<u64, PacketError> {
    let mut given = vars(packet).filter(|(name, _)| *name == b"CONTENT_LENGTH");
    let digits = given.next().map_or(&b""[..], |(_, value)| value);
    if given.next().is_some() {
        return Err(PacketError::ContentLength);
    }
    digits
        .iter()
        .try_fold(0_u64, |value, &byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })
        .ok_or(PacketError::ContentLength)
}

/// Goes over the variables of a packet. It stops at what is none, and leaves that as its rest.
#[derive(Clone, Debug)]
pub struct Vars<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Vars<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = string(self.rest)?;
        let (value, rest) = string(rest)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// The string that `bytes` begin with, and what comes after it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*size)))
}

/// Modifiers and size.
const HEADER: usize = 4;
