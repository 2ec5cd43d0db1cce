//! The fields that decide where a message ends and what becomes of the connection.
//!
//! Each is interpreted when its line has been read, in the order received, so that a head is refused
//! at the first line that spoils it. What can only be known at the empty line (is there a Host? is
//! there a body to continue with?) is settled by [`Facts::conclude`].

use super::head::{BodyLength, Head, Span, Version};
use super::host;
use crate::syntax::{decimal, is_token, list, trim};
use crate::{Limits, RequestError, Rules};

/// The fields that matter to the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Expect`.
    Expect,
    /// `Host`.
    Host,
    /// Any other.
    #[default]
    Other,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
}

impl FieldKind {
    /// Recognises a field name. The length alone rules out nearly all of them.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Self {
        let (text, kind): (&[u8], Self) = match name.len() {
            4 => (b"host", Self::Host),
            6 => (b"expect", Self::Expect),
            7 => (b"upgrade", Self::Upgrade),
            10 => (b"connection", Self::Connection),
            14 => (b"content-length", Self::ContentLength),
            17 => (b"transfer-encoding", Self::TransferEncoding),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(text) {
            kind
        } else {
            Self::Other
        }
    }
}

/// What the fields seen so far say.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
pub(super) struct Facts {
    host: Option<Span>,
    body: BodyLength,
    close: bool,
    keep_alive: bool,
    names_upgrade: bool,
    has_upgrade: bool,
    expect_continue: bool,
}

impl Facts {
    /// Takes in one field line.
    pub(super) fn note(
        &mut self,
        kind: FieldKind,
        value: Span,
        buf: &[u8],
        version: Version,
        rules: Rules,
    ) -> Result<(), RequestError> {
        match kind {
            FieldKind::Other => Ok(()),
            FieldKind::Host => self.note_host(value, buf),
            FieldKind::Connection => {
                self.note_connection(value.of(buf));
                Ok(())
            }
            FieldKind::ContentLength => self.note_content_length(value.of(buf), rules),
            FieldKind::TransferEncoding => {
                self.note_transfer_encoding(value.of(buf), version, rules)
            }
            FieldKind::Expect => self.note_expect(value.of(buf)),
            FieldKind::Upgrade => {
                self.has_upgrade = true;
                Ok(())
            }
        }
    }

    /// Settles the head at the end of its header section.
    pub(super) fn conclude(self, head: &mut Head, limits: &Limits) -> Result<(), RequestError> {
        let http11 = head.version == Version::Http11;
        if http11 && self.host.is_none() && limits.rules.require_host {
            return Err(RequestError::MissingHost);
        }
        if matches!(self.body, BodyLength::Length(length) if length > limits.body) {
            return Err(RequestError::BodyTooLarge);
        }
        let has_body = !matches!(self.body, BodyLength::None | BodyLength::Length(0));
        head.host = self.host;
        head.body = self.body;
        head.keep_alive = !self.close && (http11 || self.keep_alive);
        head.keep_alive_asked = self.keep_alive;
        head.upgrade = http11 && self.names_upgrade && self.has_upgrade;
        head.expect_continue = http11 && self.expect_continue && has_body;
        head.may_withhold_body = self.expect_continue && has_body;
        Ok(())
    }

    /// RFC 9112 section 3.2. An empty value is what a client sends for a URI without authority.
    fn note_host(&mut self, value: Span, buf: &[u8]) -> Result<(), RequestError> {
        if self.host.is_some() {
            return Err(RequestError::DuplicateHost);
        }
        match host::parse(value.of(buf)) {
            Some(found) if found.has_host || value.is_empty() => {
                self.host = Some(value);
                Ok(())
            }
            _ => Err(RequestError::InvalidHost),
        }
    }

    /// RFC 9112 section 9.6 and RFC 9110 section 7.6.1: a list of options, over several lines;
    /// unknown ones mean nothing to us.
    fn note_connection(&mut self, value: &[u8]) {
        for option in list(value) {
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.names_upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    /// RFC 9112 section 6.3, item 5.
    fn note_content_length(&mut self, value: &[u8], rules: Rules) -> Result<(), RequestError> {
        match self.body {
            BodyLength::Length(_) => return Err(RequestError::DuplicateContentLength),
            BodyLength::Chunked if rules.refuse_both_lengths => {
                return Err(RequestError::ContentLengthWithTransferEncoding);
            }
            BodyLength::None | BodyLength::Chunked => {}
        }
        let length = decimal(value).ok_or(RequestError::InvalidContentLength)?;
        if self.body == BodyLength::Chunked {
            self.close = true;
        } else {
            self.body = BodyLength::Length(length);
        }
        Ok(())
    }

    /// RFC 9112 sections 6.1 and 6.3, item 4: `chunked`, and nothing else.
    fn note_transfer_encoding(
        &mut self,
        value: &[u8],
        version: Version,
        rules: Rules,
    ) -> Result<(), RequestError> {
        if version == Version::Http10 {
            if rules.refuse_http10_chunked {
                return Err(RequestError::TransferEncodingInHttp10);
            }
            self.close = true;
        }
        match self.body {
            BodyLength::None => {}
            BodyLength::Length(_) if rules.refuse_both_lengths => {
                return Err(RequestError::ContentLengthWithTransferEncoding);
            }
            BodyLength::Length(_) => self.close = true,
            BodyLength::Chunked => return Err(RequestError::DuplicateTransferEncoding),
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(refuse_codings(value));
        }
        self.body = BodyLength::Chunked;
        Ok(())
    }

    /// RFC 9110 section 10.1.1.
    fn note_expect(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if !list(value).all(|member| member.eq_ignore_ascii_case(b"100-continue")) {
            return Err(RequestError::UnknownExpectation);
        }
        self.expect_continue = true;
        Ok(())
    }
}

/// Why a list of transfer codings other than `chunked` is refused: 501 for a coding that might be
/// meant well, 400 for what is wrong whoever reads it.
#[cold]
fn refuse_codings(value: &[u8]) -> RequestError {
    let mut chunked = false;
    for member in list(value) {
        let name = member.split(|&byte| byte == b';').next().map(trim);
        let name = name.unwrap_or_default();
        if !is_token(name) {
            return RequestError::InvalidTransferEncoding;
        }
        let is_chunked = name.eq_ignore_ascii_case(b"chunked");
        if chunked {
            return if is_chunked {
                RequestError::DuplicateTransferEncoding
            } else {
                RequestError::InvalidTransferEncoding
            };
        }
        if !is_chunked {
            return RequestError::UnknownTransferCoding;
        }
        chunked = true;
    }
    // `chunked` with parameters: RFC 9112 section 7.1 defines none.
    RequestError::InvalidTransferEncoding
}
