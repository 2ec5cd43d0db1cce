//! The PROXY protocol: what a proxy sends before the first byte of its client.
//!
//! Version 1 is a line of text, version 2 is binary; which of the two it is shows in the first bytes,
//! as neither can begin a request or a TLS record. The specification is `proxy-protocol.txt` of
//! `HAProxy`.
//!
//! [`parse`] looks at the whole header each time, which is cheap: it is short. Its outcome depends on
//! the bytes alone: once it has found a header or an error, more bytes do not change that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use thiserror::Error;

/// Which versions are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// Both.
    #[default]
    Any,
    /// The line of text only.
    V1,
    /// The binary one only.
    V2,
}

/// What a header says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing: the proxy speaks for itself (as for a health check), or it does not know.
    Nothing,
    /// The client's address, and the one that it has connected to.
    Addresses {
        /// The client.
        source: SocketAddr,
        /// Where the client has connected to.
        destination: SocketAddr,
    },
    /// The client is on the proxy's machine.
    Unix,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The header goes on; at least so many bytes of it are missing. To read no more than those is to
    /// read nothing beyond the header.
    Incomplete(usize),
    /// A header of so many bytes.
    Complete(usize, Said),
}

/// Why bytes are not a header.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither version begins like this, or it is not the one asked for.
    #[error("not a PROXY header")]
    Absent,
    /// The addresses are not what the header says they are, or not separated as they must be.
    #[error("malformed PROXY header")]
    Malformed,
    /// Longer than the specification, or [`MAX_V2`], allows.
    #[error("PROXY header too long")]
    TooLong,
    /// A version, command or protocol that is not for connections like this.
    #[error("unsupported PROXY header")]
    Unsupported,
}

/// The longest header of version 2 that is taken, in bytes.
///
/// Its length is 16 bits wide; what follows the addresses is skipped: extensions such as the names in a
/// client's certificate.
pub const MAX_V2: usize = 4096;

/// Looks for a header at the start of `buf`, which holds everything received so far.
///
/// # Errors
///
/// For what is no header, and cannot become one. They are final.
pub fn parse(buf: &[u8], versions: Versions) -> Result<Progress, HeaderError> {
    let is_v1 = versions != Versions::V2 && begins(buf, SIGNATURE_V1);
    let is_v2 = versions != Versions::V1 && begins(buf, SIGNATURE_V2);
    if is_v1 && buf.len() >= SIGNATURE_V1.len() {
        parse_v1(buf)
    } else if is_v2 && buf.len() >= SIGNATURE_V2.len() {
        parse_v2(buf)
    } else if is_v1 || is_v2 {
        // The shortest of all is a line that says no more than that.
        let shortest = if is_v1 { UNKNOWN.len() } else { FIXED_V2 };
        Ok(Progress::Incomplete(shortest - buf.len()))
    } else {
        Err(HeaderError::Absent)
    }
}

/// Whether `buf` begins with the signature, as far as it goes.
fn begins(buf: &[u8], signature: &[u8]) -> bool {
    let length = buf.len().min(signature.len());
    buf[..length] == signature[..length]
}

fn parse_v1(buf: &[u8]) -> Result<Progress, HeaderError> {
    let window = &buf[..buf.len().min(MAX_V1 - 1)];
    let end = window.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(end) = end else {
        if window.len() == MAX_V1 - 1 {
            return Err(HeaderError::TooLong);
        }
        let shortest = UNKNOWN.len().saturating_sub(buf.len());
        return Ok(Progress::Incomplete(shortest.max(CRLF.len())));
    };
    if window[end] == b'\n' {
        return Err(HeaderError::Malformed);
    }
    match buf.get(end + 1) {
        None => Ok(Progress::Incomplete(1)),
        Some(b'\n') => {
            let said = line(&buf[SIGNATURE_V1.len()..end]).ok_or(HeaderError::Malformed)?;
            Ok(Progress::Complete(end + CRLF.len(), said))
        }
        Some(_) => Err(HeaderError::Malformed),
    }
}

/// What stands between `PROXY` and the end of the line.
fn line(rest: &[u8]) -> Option<Said> {
    let text = str::from_utf8(rest).ok()?;
    let mut words = text.split(' ');
    let protocol = words.next()?;
    if protocol == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Said::Nothing);
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match protocol {
            "TCP4" => Some(IpAddr::V4(word.parse().ok()?)),
            "TCP6" => Some(IpAddr::V6(word.parse().ok()?)),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Said::Addresses {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Decimal digits without a leading zero.
fn port(word: &str) -> Option<u16> {
    let is_canonical = word == "0" || !word.starts_with('0');
    if !is_canonical || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    word.parse().ok()
}

fn parse_v2(buf: &[u8]) -> Result<Progress, HeaderError> {
    if let Some(command) = buf.get(12)
        && !matches!(command, 0x20 | 0x21)
    {
        return Err(HeaderError::Unsupported);
    }
    let Some(fixed) = buf.first_chunk::<FIXED_V2>() else {
        return Ok(Progress::Incomplete(FIXED_V2 - buf.len()));
    };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let is_local = fixed[12] == 0x20;
    let needed = match fixed[13] {
        _ if is_local => 0,
        // "Unspecified": the receiver is to use what it knows itself.
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(HeaderError::Unsupported),
    };
    if length < FIXED_V2 + needed {
        return Err(HeaderError::Malformed);
    }
    if length > MAX_V2 {
        return Err(HeaderError::TooLong);
    }
    let Some(header) = buf.get(..length) else {
        return Ok(Progress::Incomplete(length - buf.len()));
    };
    let said = match (fixed[13], &header[FIXED_V2..]) {
        _ if needed == 0 => Said::Nothing,
        (0x11, rest) => addresses::<4>(rest, |bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
        (0x21, rest) => addresses::<16>(rest, |bytes| IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => Said::Unix,
    };
    Ok(Progress::Complete(length, said))
}

/// Two addresses of so many bytes each, then two ports. The caller has seen that they are there.
fn addresses<const SIZE: usize>(bytes: &[u8], address: impl Fn([u8; SIZE]) -> IpAddr) -> Said {
    let at = |start: usize| {
        let mut found = [0; SIZE];
        found.copy_from_slice(&bytes[start..start + SIZE]);
        address(found)
    };
    let port = |start: usize| u16::from_be_bytes([bytes[start], bytes[start + 1]]);
    Said::Addresses {
        source: SocketAddr::new(at(0), port(2 * SIZE)),
        destination: SocketAddr::new(at(SIZE), port(2 * SIZE + 2)),
    }
}

const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header of version 1.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

const CRLF: &[u8] = b"\r\n";

/// The longest header of version 1, which the specification sets.
const MAX_V1: usize = 107;

/// The part of version 2 before the addresses.
const FIXED_V2: usize = 16;
