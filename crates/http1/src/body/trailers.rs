//! The trailer section of a chunked body: checked like a header section, then discarded.
//!
//! RFC 9112 section 7.1.2 lets a recipient discard trailer fields, and RFC 9110 section 6.5.1
//! forbids merging them into the header section. A WSGI application could not be given them anyway:
//! its environ was built before they arrived.

use super::count;
use crate::syntax::{is_tchar, token_end, value_end};
use crate::{Limits, RequestError};

#[derive(Clone, Debug, Default)]
pub(super) struct Trailers {
    state: State,
    /// Bytes of the section.
    total: usize,
    /// Bytes of the current line.
    line: usize,
    /// Field lines so far.
    fields: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the first byte of a field line, or of the empty line.
    #[default]
    Start,
    Name,
    Value,
    ValueLf,
    EndLf,
}

impl Trailers {
    /// Uses up `input`: how many bytes of it, and whether the section ended with them.
    pub(super) fn skip(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<(usize, bool), RequestError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            let end = match self.state {
                State::Name => token_end(input, at),
                State::Value => value_end(input, at),
                State::Start | State::ValueLf | State::EndLf => at,
            };
            if end > at {
                self.count_text(end - at, limits)?;
                at = end;
                continue;
            }
            self.state = match (self.state, byte) {
                (State::Start, b'\r') => State::EndLf,
                (State::Start | State::Value, b'\n') => return Err(RequestError::BareLf),
                (State::Start, b' ' | b'\t') => return Err(RequestError::ObsoleteFold),
                (State::Start, _) if self.fields >= limits.header_count => {
                    return Err(RequestError::TooManyHeaders);
                }
                (State::Start, _) if is_tchar(byte) => {
                    self.fields += 1;
                    self.line = 0;
                    self.state = State::Name;
                    continue;
                }
                (State::Name, b':') => State::Value,
                (State::Name, b' ' | b'\t') => return Err(RequestError::SpaceBeforeColon),
                (State::Start | State::Name, _) => return Err(RequestError::InvalidFieldName),
                (State::Value, b'\r') => State::ValueLf,
                (State::Value, _) => return Err(RequestError::InvalidFieldValue),
                (State::ValueLf, b'\n') => State::Start,
                (State::EndLf, b'\n') => {
                    self.count_line_end(limits)?;
                    return Ok((at + 1, true));
                }
                (State::ValueLf | State::EndLf, _) => return Err(RequestError::BareCr),
            };
            at += 1;
            if byte == b':' {
                self.count_text(1, limits)?;
            } else {
                self.count_line_end(limits)?;
            }
        }
        Ok((at, false))
    }

    /// The fewest bytes until the end of the section.
    pub(super) fn needed(&self) -> u64 {
        match self.state {
            State::Start => 2,
            State::Name => 5,
            State::Value => 4,
            State::ValueLf => 3,
            State::EndLf => 1,
        }
    }

    /// Bytes of a field line.
    fn count_text(&mut self, bytes: usize, limits: &Limits) -> Result<(), RequestError> {
        let line = RequestError::HeaderLineTooLong;
        let all = RequestError::TrailersTooLarge;
        count(
            bytes,
            &mut [
                (&mut self.line, limits.header_line, line),
                (&mut self.total, limits.trailers, all),
            ],
        )
    }

    /// A byte of a CRLF.
    fn count_line_end(&mut self, limits: &Limits) -> Result<(), RequestError> {
        let all = RequestError::TrailersTooLarge;
        count(1, &mut [(&mut self.total, limits.trailers, all)])
    }
}
