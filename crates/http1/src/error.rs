//! Why a request is refused, and with which status.
//!
//! Each variant is one rule. After any of them the position of the next message in the stream is
//! unknown (RFC 9112 section 9.6), so the only thing left to do is to answer with
//! [`RequestError::status`] and to close the connection.

use thiserror::Error;

/// A rule of RFC 9112 or RFC 9110, or a limit, that a request broke.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// A CR that no LF follows. RFC 9112 section 2.2: invalid anywhere in the protocol elements.
    #[error("CR without LF")]
    BareCr,
    /// An LF that no CR precedes. RFC 9112 section 2.2 allows a recipient to take it for a line
    /// end; those that do and those that do not disagree on where a message ends.
    #[error("LF without CR")]
    BareLf,
    /// A body longer than [`Limits::body`](crate::Limits). RFC 9110 section 15.5.14.
    #[error("request body too large")]
    BodyTooLarge,
    /// More bytes of chunk extensions than [`Limits::chunk_extensions`](crate::Limits).
    /// RFC 9112 section 7.1.1: a server ought to limit their total length.
    #[error("chunk extensions too long")]
    ChunkExtensionsTooLong,
    /// A chunk line longer than [`Limits::chunk_line`](crate::Limits). RFC 9112 section 7.1.1.
    #[error("chunk line too long")]
    ChunkLineTooLong,
    /// Content-Length beside Transfer-Encoding. RFC 9112 section 6.1: it ought to be handled as an
    /// attempt at request smuggling.
    #[error("both Content-Length and Transfer-Encoding")]
    ContentLengthWithTransferEncoding,
    /// More than one Content-Length. RFC 9112 section 6.3, item 5 would allow equal values.
    #[error("more than one Content-Length")]
    DuplicateContentLength,
    /// More than one Host. RFC 9112 section 3.2.
    #[error("more than one Host")]
    DuplicateHost,
    /// More than one Transfer-Encoding, or `chunked` more than once. RFC 9112 section 6.1: a sender
    /// must not apply the chunked coding twice.
    #[error("Transfer-Encoding given twice")]
    DuplicateTransferEncoding,
    /// The head as a whole is longer than [`Limits::head`](crate::Limits). RFC 6585 section 5.
    #[error("request head too large")]
    HeadTooLarge,
    /// A field line longer than [`Limits::header_line`](crate::Limits). RFC 6585 section 5.
    #[error("header field too large")]
    HeaderLineTooLong,
    /// The data of a chunk is not followed by CRLF. RFC 9112 section 7.1.
    #[error("chunk data does not end with CRLF")]
    InvalidChunkEnd,
    /// A control character in a chunk extension, or something that is not an extension after the
    /// size. RFC 9112 section 7.1.1.
    #[error("invalid chunk extension")]
    InvalidChunkExtension,
    /// A chunk size that is not hexadecimal digits only, or that 64 bits cannot hold.
    /// RFC 9112 section 7.1: recipients must prevent parsing errors due to integer overflow.
    #[error("invalid chunk size")]
    InvalidChunkSize,
    /// A Content-Length that is not decimal digits only, or that 64 bits cannot hold.
    /// RFC 9112 section 6.3, item 5 and RFC 9110 section 8.6.
    #[error("invalid Content-Length")]
    InvalidContentLength,
    /// A field name that is not a token, or a field line without a colon. RFC 9112 section 5.
    #[error("invalid header field name")]
    InvalidFieldName,
    /// A control character other than HTAB in a field value. RFC 9110 section 5.5.
    #[error("invalid header field value")]
    InvalidFieldValue,
    /// A Host that is not `uri-host [":" port]`. RFC 9112 section 3.2.
    #[error("invalid Host")]
    InvalidHost,
    /// Bytes that cannot begin a request line: no token where the method is due.
    /// RFC 9112 section 3.1.
    #[error("invalid request method")]
    InvalidMethod,
    /// A request line that is not three words with one space between them; that includes the
    /// two words of HTTP/0.9. RFC 9112 section 3.
    #[error("invalid request line")]
    InvalidRequestLine,
    /// A request target with a control character or a fragment, in none of the four forms, or in a
    /// form that the method excludes. RFC 9112 section 3.2.
    #[error("invalid request target")]
    InvalidTarget,
    /// A Transfer-Encoding that is not a list of codings, or in which `chunked` is not the last.
    /// RFC 9112 section 6.3, item 4.
    #[error("invalid Transfer-Encoding")]
    InvalidTransferEncoding,
    /// Not `HTTP/`, digit, dot, digit. RFC 9112 section 2.3.
    #[error("invalid HTTP version")]
    InvalidVersion,
    /// A method longer than any that exists. RFC 9112 section 3 asks for 501.
    #[error("request method too long")]
    MethodTooLong,
    /// An HTTP/1.1 request without Host. RFC 9112 section 3.2.
    #[error("missing Host")]
    MissingHost,
    /// A line of a header section that begins with a space or a tab: a folded value, or space
    /// before the first field. RFC 9112 sections 5.2 and 2.2.
    #[error("header line begins with white space")]
    ObsoleteFold,
    /// The request line is longer than [`Limits::request_line`](crate::Limits).
    /// RFC 9112 section 3 and RFC 9110 section 15.5.15.
    #[error("request line too long")]
    RequestLineTooLong,
    /// White space between a field name and its colon. RFC 9112 section 5.1: must be refused.
    #[error("white space before the colon of a header field")]
    SpaceBeforeColon,
    /// Too many empty lines before the request line. RFC 9112 section 2.2 wants one ignored.
    #[error("too many empty lines before the request")]
    TooManyEmptyLines,
    /// More field lines than [`Limits::header_count`](crate::Limits). RFC 6585 section 5.
    #[error("too many header fields")]
    TooManyHeaders,
    /// A trailer section longer than [`Limits::trailers`](crate::Limits). RFC 9112 section 7.1.2.
    #[error("trailer section too large")]
    TrailersTooLarge,
    /// Transfer-Encoding in an HTTP/1.0 message. RFC 9112 section 6.1: the framing is faulty.
    #[error("Transfer-Encoding in HTTP/1.0")]
    TransferEncodingInHttp10,
    /// An expectation other than `100-continue`. RFC 9110 section 10.1.1.
    #[error("unknown expectation")]
    UnknownExpectation,
    /// A transfer coding other than `chunked`. RFC 9112 section 6.1.
    #[error("unknown transfer coding")]
    UnknownTransferCoding,
    /// A well-formed version that is neither 1.0 nor 1.1. RFC 9110 section 15.6.6.
    #[error("HTTP version not supported")]
    UnsupportedVersion,
}

impl RequestError {
    /// The status code to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::RequestLineTooLong => 414,
            Self::UnknownExpectation => 417,
            Self::HeadTooLarge
            | Self::HeaderLineTooLong
            | Self::TooManyHeaders
            | Self::TrailersTooLarge => 431,
            Self::MethodTooLong | Self::UnknownTransferCoding => 501,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// The reason phrase that goes with [`RequestError::status`]. What is wrong in particular is
    /// the `Display` text.
    pub fn reason(self) -> &'static str {
        match self.status() {
            413 => "Content Too Large",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        }
    }
}
