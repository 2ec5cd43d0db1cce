//! The head of a request, read in one pass.
//!
//! # Theory of operation
//!
//! RFC 9112 section 2.1, with the spaces made explicit and one way to end a line:
//!
//! ```text
//!   head         = *2( CRLF ) request-line *( field-line ) CRLF
//!   request-line = method SP request-target SP HTTP-version CRLF
//!   field-line   = field-name ":" OWS field-value OWS CRLF
//! ```
//!
//! A [`State`] is a place between two bytes of that grammar, `pos` is the next byte to look at. A
//! state runs over its characters and either finds the byte that leads to the next state, or a byte
//! that leads nowhere (an error), or the end of the *window*; then it leaves `pos` there and is
//! entered again with more input.
//!
//! The window is the buffer cut at the nearest limit. A state that reaches the end of the window
//! asks [`HeadParser::starved`] whether that was the end of the input or of the patience.
//!
//! ```text
//!   Start -> Method -> Path -> [Query] -> Version -> FieldStart -> Name -> Space -> Value -> ValueLf
//!     ^ |                                              |    ^                                  |
//!     | v                                              |    +----------------------------------+
//!   StartLf                                            +-> EndLf -> Done
//! ```

use super::fields::{Facts, FieldKind};
use super::head::{Head, HeaderField, Span, Version};
use super::target;
use crate::syntax::{path_end, target_end, token_end, value_end};
use crate::{Limits, RequestError, Rules};

/// Reads the heads of one connection, one after the other.
///
/// The buffer given to [`parse`](Self::parse) starts at the first byte of the request and holds
/// everything received since; only its end changes from call to call. When a head is complete, use
/// [`head`](Self::head), read the body, drop the bytes of both from the buffer, and
/// [`reset`](Self::reset).
#[derive(Clone, Debug, Default)]
pub struct HeadParser {
    head: Head,
    facts: Facts,
    state: State,
    /// The next byte to look at.
    pos: usize,
    /// The first byte of the current line.
    line: usize,
    /// The first byte of the element that the state is in.
    mark: usize,
    /// The name of the field whose value is being read.
    name: Span,
    /// The first `?` of the target.
    question: Option<u32>,
    /// Empty lines before the request line.
    empty_lines: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the request line.
    #[default]
    Start,
    /// After the CR of an empty line before the request line.
    StartLf,
    Method,
    /// In the target, before any `?`.
    Path,
    /// In the target, after a `?`.
    Query,
    /// From the first byte of the version to the end of the request line.
    Version,
    /// At the first byte of a field line, or of the empty line.
    FieldStart,
    Name,
    /// In the white space before a value.
    Space,
    Value,
    /// After the CR of a field line.
    ValueLf,
    /// After the CR of the empty line.
    EndLf,
    Done,
    Failed(RequestError),
}

impl HeadParser {
    /// A parser at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gets ready for the next request. Memory for fields is kept, unless one request had unusually
    /// many.
    pub fn reset(&mut self) {
        let mut fields = std::mem::take(&mut self.head.fields);
        fields.clear();
        fields.shrink_to(RETAINED_FIELDS);
        *self = Self::default();
        self.head.fields = fields;
    }

    /// Looks at what has arrived since the last call.
    ///
    /// Returns the length of the head, the empty line and any empty lines before the request
    /// included, or `None` if more input is needed. Both outcomes other than `None` are final: they
    /// are returned again until [`reset`](Self::reset).
    pub fn parse(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        self.advance(buf, limits).inspect_err(|&error| {
            self.state = State::Failed(error);
        })
    }

    /// The head. Complete once [`parse`](Self::parse) has returned its length.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// True while no byte of a request line has been seen: a connection that ends now ends between
    /// two requests, not within one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Start | State::StartLf)
    }

    fn advance(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        loop {
            let progress = match self.state {
                State::Start => self.start(buf, limits),
                State::StartLf => self.start_lf(buf, limits),
                State::Method => self.method(buf, limits),
                State::Path | State::Query => self.target(buf, limits),
                State::Version => self.version(buf, limits),
                State::FieldStart
                | State::Name
                | State::Space
                | State::Value
                | State::ValueLf
                | State::EndLf => self.fields(buf, limits),
                State::Done => return Ok(Some(self.pos)),
                State::Failed(error) => return Err(error),
            };
            if !progress? {
                return Ok(None);
            }
        }
    }

    /// RFC 9112 section 2.2: an empty line before the request line is ignored.
    fn start(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let window = self.line_window(buf, limits, Line::Request);
        match window.get(self.pos) {
            None => return self.starved(window, limits, Line::Request),
            Some(b'\r') => {
                self.pos += 1;
                self.state = State::StartLf;
            }
            Some(b'\n') => return Err(RequestError::BareLf),
            Some(_) => {
                self.line = self.pos;
                self.state = State::Method;
            }
        }
        Ok(true)
    }

    fn start_lf(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let window = self.line_window(buf, limits, Line::Request);
        match window.get(self.pos) {
            None => return self.starved(window, limits, Line::Request),
            Some(b'\n') if self.empty_lines < MAX_EMPTY_LINES => {
                self.pos += 1;
                self.line = self.pos;
                self.empty_lines += 1;
                self.state = State::Start;
            }
            Some(b'\n') => return Err(RequestError::TooManyEmptyLines),
            Some(_) => return Err(RequestError::BareCr),
        }
        Ok(true)
    }

    fn method(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let window = self.line_window(buf, limits, Line::Request);
        self.pos = token_end(window, self.pos);
        if self.pos - self.line > MAX_METHOD {
            return Err(RequestError::MethodTooLong);
        }
        match window.get(self.pos) {
            None => self.starved(window, limits, Line::Request),
            Some(b' ') if self.pos > self.line => {
                self.head.method = Span::new(self.line, self.pos);
                self.pos += 1;
                self.mark = self.pos;
                self.state = State::Path;
                Ok(true)
            }
            Some(b'\r' | b'\n') if self.pos > self.line => Err(RequestError::InvalidRequestLine),
            Some(_) => Err(RequestError::InvalidMethod),
        }
    }

    fn target(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let window = self.line_window(buf, limits, Line::Request);
        if self.state == State::Path {
            self.pos = path_end(window, self.pos);
            if window.get(self.pos) == Some(&b'?') {
                self.question = Some(self.pos as u32);
                self.state = State::Query;
            }
        }
        if self.state == State::Query {
            self.pos = target_end(window, self.pos);
        }
        match window.get(self.pos) {
            None => self.starved(window, limits, Line::Request),
            Some(b' ') if self.pos > self.mark => {
                self.head.target = Span::new(self.mark, self.pos);
                self.pos += 1;
                self.state = State::Version;
                Ok(true)
            }
            Some(b' ' | b'\r' | b'\n') => Err(RequestError::InvalidRequestLine),
            Some(_) => Err(RequestError::InvalidTarget),
        }
    }

    /// `HTTP/1.1` and CRLF are ten bytes: they are compared anew when some were missing.
    fn version(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let window = self.line_window(buf, limits, Line::Request);
        let rest = window.get(self.pos..).unwrap_or_default();
        let version = match rest.first_chunk::<10>() {
            Some(b"HTTP/1.1\r\n") => Version::Http11,
            Some(b"HTTP/1.0\r\n") => Version::Http10,
            _ => {
                refuse_version(rest)?;
                return self.starved(window, limits, Line::Request);
            }
        };
        self.pos += 10;
        self.line = self.pos;
        self.state = State::FieldStart;

        let method = self.head.method(buf);
        let parts = target::split(buf, method, self.head.target, self.question)?;
        self.head.is_head = method == b"HEAD";
        self.head.is_connect = method == b"CONNECT";
        self.head.form = parts.form;
        self.head.authority = parts.authority;
        self.head.path = parts.path;
        self.head.query = parts.query;
        self.head.version = version;
        Ok(true)
    }

    /// The header section. The states of a field line follow one another in a loop of their own:
    /// this is where a head is read, the others happen once.
    fn fields(&mut self, buf: &[u8], limits: &Limits) -> Result<bool, RequestError> {
        let mut window = self.line_window(buf, limits, Line::Field);
        loop {
            if self.state == State::FieldStart {
                match window.get(self.pos) {
                    None => return self.starved(window, limits, Line::Field),
                    Some(b'\r') => {
                        self.pos += 1;
                        self.state = State::EndLf;
                    }
                    Some(b'\n') => return Err(RequestError::BareLf),
                    Some(b' ' | b'\t') => return Err(RequestError::ObsoleteFold),
                    Some(_) if self.head.fields.len() >= limits.header_count => {
                        return Err(RequestError::TooManyHeaders);
                    }
                    Some(_) => self.state = State::Name,
                }
            }
            if self.state == State::Name {
                self.pos = token_end(window, self.pos);
                match window.get(self.pos) {
                    None => return self.starved(window, limits, Line::Field),
                    Some(b':') if self.pos > self.line => {
                        self.name = Span::new(self.line, self.pos);
                        self.pos += 1;
                        self.state = State::Space;
                    }
                    Some(b' ' | b'\t') => return Err(RequestError::SpaceBeforeColon),
                    Some(_) => return Err(RequestError::InvalidFieldName),
                }
            }
            if self.state == State::Space {
                while let Some(b' ' | b'\t') = window.get(self.pos) {
                    self.pos += 1;
                }
                if self.pos == window.len() {
                    return self.starved(window, limits, Line::Field);
                }
                self.mark = self.pos;
                self.state = State::Value;
            }
            if self.state == State::Value {
                self.pos = value_end(window, self.pos);
                match window.get(self.pos) {
                    None => return self.starved(window, limits, Line::Field),
                    Some(b'\r') => {
                        self.pos += 1;
                        self.state = State::ValueLf;
                    }
                    Some(b'\n') => return Err(RequestError::BareLf),
                    Some(_) => return Err(RequestError::InvalidFieldValue),
                }
            }
            match window.get(self.pos) {
                None => return self.starved(window, limits, Line::Field),
                Some(b'\n') => self.pos += 1,
                Some(_) => return Err(RequestError::BareCr),
            }
            if self.state == State::EndLf {
                self.facts.conclude(&mut self.head, limits)?;
                self.state = State::Done;
                return Ok(true);
            }
            self.push_field(buf, limits.rules)?;
            self.line = self.pos;
            self.state = State::FieldStart;
            window = self.line_window(buf, limits, Line::Field);
        }
    }

    /// Keeps the field line that ends at `pos`.
    fn push_field(&mut self, buf: &[u8], rules: Rules) -> Result<(), RequestError> {
        let mut end = self.pos - 2;
        while end > self.mark && matches!(buf[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        let value = Span::new(self.mark, end);
        let kind = FieldKind::of(self.name.of(buf));
        self.facts
            .note(kind, value, buf, self.head.version, rules)?;
        self.head.fields.push(HeaderField {
            name: self.name,
            value,
            kind,
        });
        Ok(())
    }

    /// The part of the buffer that the head may fill if its current line is the last.
    fn line_window<'b>(&self, buf: &'b [u8], limits: &Limits, line: Line) -> &'b [u8] {
        &buf[..buf.len().min(self.line_limit(limits, line))]
    }

    fn line_limit(&self, limits: &Limits, line: Line) -> usize {
        let limit = match line {
            Line::Request => limits.request_line,
            Line::Field => limits.header_line,
        };
        let end = self.line.saturating_add(limit).saturating_add(CRLF);
        end.min(head_limit(limits))
    }

    /// The window is used up: more input is needed, or a limit is reached.
    fn starved(&self, window: &[u8], limits: &Limits, line: Line) -> Result<bool, RequestError> {
        if window.len() < self.line_limit(limits, line) {
            Ok(false)
        } else if window.len() == head_limit(limits) {
            Err(RequestError::HeadTooLarge)
        } else {
            Err(match line {
                Line::Request => RequestError::RequestLineTooLong,
                Line::Field => RequestError::HeaderLineTooLong,
            })
        }
    }
}

/// Which line of a head is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Request,
    Field,
}

/// Why `rest` is neither version; `Ok` if it may still become one.
#[cold]
fn refuse_version(rest: &[u8]) -> Result<(), RequestError> {
    for (index, &byte) in rest.iter().take(10).enumerate() {
        match (index, byte) {
            (0..=4 | 6, _) if byte == b"HTTP/ ."[index] => {}
            (5 | 7, b'0'..=b'9') | (8, b'\r') | (9, b'\n') => {}
            (8, b'\n') => return Err(RequestError::BareLf),
            (9, _) => return Err(RequestError::BareCr),
            (8, b' ' | b'\t') => return Err(RequestError::InvalidRequestLine),
            _ => return Err(RequestError::InvalidVersion),
        }
    }
    if rest.len() < 10 {
        Ok(())
    } else {
        Err(RequestError::UnsupportedVersion)
    }
}

fn head_limit(limits: &Limits) -> usize {
    limits.head.min(u32::MAX as usize)
}

const CRLF: usize = 2;

/// RFC 9112 section 2.2 asks for one; the second is for a client that ends a body with CRLF and
/// starts a request with another.
const MAX_EMPTY_LINES: u8 = 2;

/// The longest registered method, UPDATEREDIRECTREF, has 17 bytes.
const MAX_METHOD: usize = 32;

/// Field lines for which memory is kept between requests: what browsers behind proxies send.
const RETAINED_FIELDS: usize = 32;
