//! A parsed head, as positions in the caller's buffer.
//!
//! Accessors that return bytes take the buffer that [`HeadParser::parse`](crate::HeadParser::parse)
//! was given. It may have grown or moved since, but its bytes must not have been shifted.

use std::ops::Range;

use super::fields::FieldKind;
use super::target::TargetForm;
use crate::response::RequestInfo;

/// Part of the caller's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Index after the last byte.
    pub end: u32,
}

impl Span {
    /// A span from two indices. Indices of a head fit: its limit is capped at 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes of `buf` that the span covers.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.range()]
    }

    /// The span as a range of indices.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// True if the span covers nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The version of a request. No other is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Version {
    /// The version as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// How the body of a request is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// Neither Content-Length nor Transfer-Encoding: no body.
    #[default]
    None,
    /// Content-Length.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderField {
    /// The name, as received.
    pub name: Span,
    /// The value, without the white space around it.
    pub value: Span,
    /// Which of the fields it is that matter to the protocol.
    pub kind: FieldKind,
}

/// A request line and its header section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "each is one fact, and `is_head` is about the method of that name"
)]
pub struct Head {
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) form: TargetForm,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    pub(super) version: Version,
    pub(super) fields: Vec<HeaderField>,
    pub(super) host: Option<Span>,
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) keep_alive_asked: bool,
    pub(super) expect_continue: bool,
    pub(super) may_withhold_body: bool,
    pub(super) upgrade: bool,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
}

impl Head {
    /// The method, as received: methods are case-sensitive.
    pub fn method<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.method.of(buf)
    }

    /// The whole request target, as received.
    pub fn target<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.target.of(buf)
    }

    /// The request line, as received, without its CRLF.
    pub fn request_line<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        let version = Version::Http11.as_str().len();
        &buf[self.method.start as usize..self.target.end as usize + 1 + version]
    }

    /// The form of the request target.
    pub fn form(&self) -> TargetForm {
        self.form
    }

    /// The path, still percent-encoded, without the query; never empty.
    ///
    /// `http://host` has the path `/` (RFC 9110 section 4.2.3). In the asterisk form it is `*`, in
    /// the authority form the whole target.
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        if self.path.is_empty() {
            b"/"
        } else {
            self.path.of(buf)
        }
    }

    /// What follows the first `?` of the target; `None` if there is none.
    pub fn query<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        self.query.map(|span| span.of(buf))
    }

    /// The `host[:port]` in a target of absolute or authority form.
    pub fn authority<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        self.authority.map(|span| span.of(buf))
    }

    /// The `host[:port]` the request is for: that of the target if it has one, whatever the Host
    /// field says (RFC 9112 section 3.2.2), otherwise the Host field. May be empty.
    pub fn host<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        self.authority.or(self.host).map(|span| span.of(buf))
    }

    /// The version of the request.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The field lines in the order received.
    pub fn fields(&self) -> &[HeaderField] {
        &self.fields
    }

    /// Names and values of the field lines in the order received.
    pub fn headers<'b>(&self, buf: &'b [u8]) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.of(buf), field.value.of(buf)))
    }

    /// How the body is delimited.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// True if the client lets the connection persist after this request (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// True if the client sent `Connection: keep-alive` itself, and may like to see it confirmed.
    pub fn keep_alive_asked(&self) -> bool {
        self.keep_alive_asked
    }

    /// True if the client may wait for a 100 response before it sends the body. False where that
    /// response must not be sent: in HTTP/1.0 and for a request without a body
    /// (RFC 9110 section 10.1.1).
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// True if the client may not send the body unless it is told to: like
    /// [`expect_continue`](Self::expect_continue), but also where it cannot be told, in HTTP/1.0.
    pub fn may_withhold_body(&self) -> bool {
        self.may_withhold_body
    }

    /// True if the client offers to switch protocols: an Upgrade field, named by the Connection
    /// field, in HTTP/1.1 (RFC 9110 section 7.8).
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// True if the method is HEAD.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// True if the method is CONNECT.
    pub fn is_connect(&self) -> bool {
        self.is_connect
    }

    /// What the framing of the response depends on.
    pub fn request_info(&self) -> RequestInfo {
        RequestInfo {
            version: self.version,
            is_head: self.is_head,
            is_connect: self.is_connect,
            keep_alive: self.keep_alive,
            keep_alive_asked: self.keep_alive_asked,
        }
    }
}
