//! What an application hands to `start_response`, checked before a byte goes out.
//!
//! PEP 3333 forbids control characters in the status, in names and in values; RFC 9112 section 4 and
//! RFC 9110 section 5 say the same as grammar. A CR or an LF that got through would let whoever
//! controls a value write headers, or whole responses, of their own.

use thiserror::Error;

use crate::syntax::{decimal, is_token, list, value_end};

/// Why a status or a header of an application is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseError {
    /// Two Content-Length headers. RFC 9110 section 8.6.
    #[error("more than one Content-Length")]
    DuplicateContentLength,
    /// A Content-Length that is not decimal digits within 64 bits. RFC 9110 section 8.6.
    #[error("Content-Length is not a number")]
    InvalidContentLength,
    /// A header name that is empty, or has a character in it that is none of a token's nor above
    /// 127. RFC 9110 section 5.1.
    #[error("header name is not a token")]
    InvalidHeaderName,
    /// A control character other than HTAB in a header value. RFC 9110 section 5.5.
    #[error("control character in a header value")]
    InvalidHeaderValue,
    /// A status that is not three digits from 100 on, then a space and a reason without control
    /// characters. RFC 9112 section 4.
    #[error("status is not a three-digit code and a reason")]
    InvalidStatus,
    /// A transfer coding other than `chunked`, which the server would have to apply.
    #[error("transfer coding cannot be applied")]
    UnknownTransferCoding,
}

/// A status such as `200 OK`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The code, 100 to 999.
    pub code: u16,
    /// The reason phrase, possibly empty.
    pub reason: &'a [u8],
}

impl<'a> Status<'a> {
    /// Checks a status. The reason may be missing, and its space with it.
    pub fn parse(status: &'a [u8]) -> Result<Self, ResponseError> {
        let (digits, reason) = match status {
            [_, _, _] => (status, &b""[..]),
            [_, _, _, b' ', reason @ ..] => (&status[..3], reason),
            _ => return Err(ResponseError::InvalidStatus),
        };
        let code = decimal(digits).filter(|&code| code >= 100);
        if value_end(reason, 0) < reason.len() {
            return Err(ResponseError::InvalidStatus);
        }
        let code = code.ok_or(ResponseError::InvalidStatus)? as u16;
        Ok(Self { code, reason })
    }
}

/// Checks one header: the name is a token, the value has no control character but HTAB.
///
/// Bytes above 127 are let through in a name, too: there are applications that have them, and they
/// end neither a name nor a line for anybody.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
    let is_name = is_token(name)
        || (!name.is_empty()
            && name
                .split(|byte| !byte.is_ascii())
                .all(|part| part.is_empty() || is_token(part)));
    if !is_name {
        return Err(ResponseError::InvalidHeaderName);
    }
    if value_end(value, 0) < value.len() {
        return Err(ResponseError::InvalidHeaderValue);
    }
    Ok(())
}

/// What to do with a header of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderRole {
    /// `Connection`: send it only if [`Framing::connection_header`](super::Framing) says so.
    Connection,
    /// `Content-Length`: send it unless
    /// [`Framing::drop_content_length`](super::Framing::drop_content_length).
    ContentLength,
    /// `Date`: send it, and add none.
    Date,
    /// Send it.
    Plain,
    /// `Transfer-Encoding`: never send it; the server writes its own.
    TransferEncoding,
}

/// What the headers of an application say about framing and the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
pub struct AppHeaders {
    /// The Content-Length.
    pub content_length: Option<u64>,
    /// There is a Transfer-Encoding.
    pub transfer_encoding: bool,
    /// `Connection: close`.
    pub close: bool,
    /// A Connection option other than `close` and `keep-alive`, such as `Upgrade`.
    pub connection_options: bool,
    /// There is a Date.
    pub date: bool,
}

impl AppHeaders {
    /// Checks one header and takes in what it says.
    pub fn note(&mut self, name: &[u8], value: &[u8]) -> Result<HeaderRole, ResponseError> {
        check_header(name, value)?;
        let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
        match name.len() {
            4 if is(b"date") => {
                self.date = true;
                Ok(HeaderRole::Date)
            }
            10 if is(b"connection") => {
                self.note_connection(value);
                Ok(HeaderRole::Connection)
            }
            14 if is(b"content-length") => {
                let length = decimal(value).ok_or(ResponseError::InvalidContentLength)?;
                if self.content_length.replace(length).is_some() {
                    return Err(ResponseError::DuplicateContentLength);
                }
                Ok(HeaderRole::ContentLength)
            }
            17 if is(b"transfer-encoding") => {
                if !list(value).all(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
                    return Err(ResponseError::UnknownTransferCoding);
                }
                self.transfer_encoding = true;
                Ok(HeaderRole::TransferEncoding)
            }
            _ => Ok(HeaderRole::Plain),
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"keep-alive") {
                self.connection_options = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_code_and_reason() {
        let parsed = |status: &'static [u8]| Status::parse(status).map(|s| (s.code, s.reason));
        assert_eq!(parsed(b"200 OK"), Ok((200, &b"OK"[..])));
        assert_eq!(parsed(b"404 Not Found"), Ok((404, &b"Not Found"[..])));
        assert_eq!(parsed(b"200"), Ok((200, &b""[..])));
        assert_eq!(parsed(b"200 "), Ok((200, &b""[..])));
        assert_eq!(parsed(b"999 \xe9t\xe9"), Ok((999, &b"\xe9t\xe9"[..])));
        for bad in [
            &b""[..],
            b"20",
            b"2000 OK",
            b"099 x",
            b"+20 x",
            b" 200",
            b"abc OK",
            b"200\tOK",
            b"200-OK",
            b"200 O\rK",
            b"200 OK\n",
            b"200 \0",
            b"200 OK\r\nX: y",
            b"200 \x7f",
        ] {
            assert_eq!(
                Status::parse(bad),
                Err(ResponseError::InvalidStatus),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn headers_are_checked() {
        for name in [
            &b""[..],
            b"a b",
            b"a:",
            b"a\r",
            b"a\n",
            b"\xe9 ",
            b"a\0",
            b" a",
        ] {
            assert_eq!(
                check_header(name, b"v"),
                Err(ResponseError::InvalidHeaderName)
            );
        }
        for value in [
            &b"a\rb"[..],
            b"a\nb",
            b"a\0",
            b"\x7f",
            b"a\r\nSet-Cookie: x",
            b"\x1b[0m",
        ] {
            assert_eq!(
                check_header(b"n", value),
                Err(ResponseError::InvalidHeaderValue)
            );
        }
        for value in [&b""[..], b"a\tb", b"\xe9", b"W/\"x\""] {
            assert_eq!(check_header(b"n", value), Ok(()));
        }
        assert_eq!(check_header(b"\xe9-\xff", b""), Ok(()));
    }

    #[test]
    fn headers_are_noted() {
        let mut app = AppHeaders::default();
        assert_eq!(
            app.note(b"Content-Type", b"text/plain"),
            Ok(HeaderRole::Plain)
        );
        assert_eq!(app.note(b"DATE", b"now"), Ok(HeaderRole::Date));
        assert_eq!(
            app.note(b"content-Length", b"12"),
            Ok(HeaderRole::ContentLength)
        );
        assert_eq!(
            app.note(b"Connection", b"Upgrade, CLOSE"),
            Ok(HeaderRole::Connection)
        );
        assert_eq!(
            app.note(b"Transfer-Encoding", b"Chunked"),
            Ok(HeaderRole::TransferEncoding)
        );
        let expected = AppHeaders {
            content_length: Some(12),
            transfer_encoding: true,
            close: true,
            connection_options: true,
            date: true,
        };
        assert_eq!(app, expected);
        assert_eq!(
            app.note(b"Content-Length", b"12"),
            Err(ResponseError::DuplicateContentLength)
        );
        for bad in [&b""[..], b"-1", b"1 ", b"1,1", b"0x1"] {
            let noted = AppHeaders::default().note(b"Content-Length", bad);
            assert_eq!(noted, Err(ResponseError::InvalidContentLength));
        }
        let noted = AppHeaders::default().note(b"Transfer-Encoding", b"gzip, chunked");
        assert_eq!(noted, Err(ResponseError::UnknownTransferCoding));
    }
}
