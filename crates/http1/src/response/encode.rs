//! The bytes of a response, appended to the caller's vector.
//!
//! Nothing is checked here: names, values and reasons have been through
//! [`Status::parse`](super::Status::parse) and [`AppHeaders::note`](super::AppHeaders::note).
//!
//! ```text
//!   status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF      RFC 9112 section 4
//!   field-line  = field-name ":" OWS field-value OWS CRLF                    RFC 9112 section 5
//!   chunk       = chunk-size CRLF chunk-data CRLF                            RFC 9112 section 7.1
//! ```

use std::num::NonZeroUsize;

use super::{BodyFraming, ConnectionHeader, Framing, Status};
use crate::Version;

/// The interim response that asks for a body (RFC 9110 section 15.2.1), complete.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What ends a head, a line, and the data of a chunk.
pub const CRLF: &[u8] = b"\r\n";

/// What ends a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends a status line.
pub fn status_line(out: &mut Vec<u8>, version: Version, status: Status<'_>) {
    if let (Version::Http11, 200, b"OK") = (version, status.code, status.reason) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(version.as_str().as_bytes());
    let code = status.code;
    out.extend_from_slice(&[b' ', digit(code / 100), digit(code / 10), digit(code), b' ']);
    out.extend_from_slice(status.reason);
    out.extend_from_slice(CRLF);
}

/// Appends a header line.
pub fn header_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(CRLF);
}

/// Appends a header line with its name in the form `Content-Type`: the letters that begin a word
/// in upper case, all others in lower case. Words are separated by `-` only.
pub fn header_line_capitalized(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = out.len();
    header_line(out, name, value);
    let mut begins = true;
    for byte in &mut out[start..start + name.len()] {
        *byte = if begins {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        };
        begins = *byte == b'-';
    }
}

/// Appends the header lines that the server itself is responsible for: Content-Length,
/// Transfer-Encoding and Connection.
pub fn framing_lines(out: &mut Vec<u8>, framing: &Framing) {
    if let Some(length) = framing.add_content_length {
        content_length(out, length);
    }
    if framing.body == BodyFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(match framing.connection_header {
        ConnectionHeader::Close => b"Connection: close\r\n",
        ConnectionHeader::KeepAlive => b"Connection: keep-alive\r\n",
        ConnectionHeader::AsGiven | ConnectionHeader::Omit => b"",
    });
}

/// Appends a Content-Length line.
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    decimal(out, length);
    out.extend_from_slice(CRLF);
}

/// Appends a number in decimal.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends `data` as one chunk. Nothing if it is empty: a chunk of size zero ends the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if let Some(size) = NonZeroUsize::new(data.len()) {
        out.extend_from_slice(ChunkSize::new(size).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(CRLF);
    }
}

/// The line that announces a chunk, for a vectored write around the application's own bytes:
/// the line, the data, [`CRLF`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkSize {
    line: [u8; Self::LONGEST],
    start: u8,
}

impl ChunkSize {
    /// Sixteen hexadecimal digits and CRLF.
    const LONGEST: usize = 18;

    /// The line for a chunk of `size` bytes.
    pub fn new(size: NonZeroUsize) -> Self {
        let mut line = [0; Self::LONGEST];
        let mut start = Self::LONGEST - CRLF.len();
        line[start..].copy_from_slice(CRLF);
        let mut rest = size.get();
        while rest > 0 {
            start -= 1;
            line[start] = b"0123456789abcdef"[rest % 16];
            rest /= 16;
        }
        Self {
            line,
            start: start as u8,
        }
    }

    /// The bytes of the line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[usize::from(self.start)..]
    }
}

fn digit(number: u16) -> u8 {
    b'0' + (number % 10) as u8
}
