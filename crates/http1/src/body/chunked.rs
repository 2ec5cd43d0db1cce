//! The chunked transfer coding.
//!
//! RFC 9112 section 7.1:
//!
//! ```text
//!   chunked-body = *chunk last-chunk trailer-section CRLF
//!   chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//!   chunk-size   = 1*HEXDIG
//!   last-chunk   = 1*("0") [ chunk-ext ] CRLF
//!   chunk-ext    = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//! ```
//!
//! ```text
//!   Size -> [Gap] -> [Extension] -> SizeLf -> Data -> DataCr -> DataLf -> Size
//!                                       |
//!                                       +-> Trailers -> Done
//! ```
//!
//! Only what separates one element from the next is checked of an extension: it cannot contain a
//! control character, hence no line end, and what it says is ignored (section 7.1.1).

use super::trailers::Trailers;
use super::{Decoded, count};
use crate::syntax::value_end;
use crate::{Limits, RequestError};

#[derive(Clone, Debug, Default)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// The size of the current chunk, then what is left of its data.
    size: u64,
    /// Bytes of data in the chunks whose lines have been read.
    data: u64,
    /// Bytes of the current chunk line.
    line: usize,
    /// Bytes of extensions in the body.
    extensions: usize,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Size,
    /// In white space after the size: an extension has to follow.
    Gap,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers(Trailers),
    Done,
}

impl ChunkedDecoder {
    /// Up to the next run of data and past the framing that follows it. An error may come with data
    /// that precedes it.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> (Decoded, Option<RequestError>) {
        let mut decoded = Decoded::default();
        let error = self.run(input, limits, &mut decoded).err();
        decoded.finished = self.is_finished();
        (decoded, error)
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The fewest bytes until the end of the body.
    pub(super) fn needed(&self) -> u64 {
        // What follows the line end of a chunk line, and what has to follow that.
        let data = if self.size == 0 {
            EMPTY_LINE
        } else {
            self.size.saturating_add(CRLF).saturating_add(LAST_CHUNK)
        };
        match &self.state {
            State::Size if self.line == 0 => LAST_CHUNK,
            State::Size | State::Extension => data.saturating_add(CRLF),
            // A semicolon, at least.
            State::Gap => data.saturating_add(CRLF + 1),
            State::SizeLf => data.saturating_add(1),
            State::Data => data,
            State::DataCr => CRLF + LAST_CHUNK,
            State::DataLf => 1 + LAST_CHUNK,
            State::Trailers(trailers) => trailers.needed(),
            State::Done => 0,
        }
    }

    fn run(
        &mut self,
        input: &[u8],
        limits: &Limits,
        decoded: &mut Decoded,
    ) -> Result<(), RequestError> {
        while let Some(&byte) = input.get(decoded.consumed) {
            match &mut self.state {
                State::Data => {
                    if !decoded.data.is_empty() {
                        return Ok(());
                    }
                    let start = decoded.consumed;
                    let wanted = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let take = wanted.min(input.len() - start);
                    self.size -= take as u64;
                    decoded.consumed += take;
                    decoded.data = start..decoded.consumed;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Extension => {
                    let end = value_end(input, decoded.consumed);
                    let length = end - decoded.consumed;
                    self.count_extension(length, limits)?;
                    decoded.consumed = end;
                    match input.get(end) {
                        None => return Ok(()),
                        Some(b'\r') => self.state = State::SizeLf,
                        Some(b'\n') => return Err(RequestError::BareLf),
                        Some(_) => return Err(RequestError::InvalidChunkExtension),
                    }
                    decoded.consumed += 1;
                }
                State::Trailers(trailers) => {
                    let (used, finished) = trailers.skip(&input[decoded.consumed..], limits)?;
                    decoded.consumed += used;
                    if finished {
                        self.state = State::Done;
                    }
                }
                State::Done => return Ok(()),
                _ => {
                    self.state = self.step(byte, limits)?;
                    decoded.consumed += 1;
                }
            }
        }
        Ok(())
    }

    /// The states that take one byte at a time.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<State, RequestError> {
        match (&self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.count_line(1, limits)?;
                self.push_digit(byte, limits)?;
                Ok(State::Size)
            }
            (State::Size | State::Gap, _) if self.line == 0 => Err(RequestError::InvalidChunkSize),
            (State::Size, b'\r') => Ok(State::SizeLf),
            (State::Size | State::Gap, b';') => {
                self.count_extension(1, limits)?;
                Ok(State::Extension)
            }
            (State::Size | State::Gap, b' ' | b'\t') => {
                self.count_extension(1, limits)?;
                Ok(State::Gap)
            }
            (State::Size, b'\n') => Err(RequestError::BareLf),
            (State::Size, _) => Err(RequestError::InvalidChunkSize),
            (State::Gap, _) => Err(RequestError::InvalidChunkExtension),
            (State::SizeLf, b'\n') => {
                self.line = 0;
                self.data += self.size;
                Ok(if self.size == 0 {
                    State::Trailers(Trailers::default())
                } else {
                    State::Data
                })
            }
            (State::SizeLf, _) => Err(RequestError::BareCr),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            _ => Err(RequestError::InvalidChunkEnd),
        }
    }

    fn push_digit(&mut self, byte: u8, limits: &Limits) -> Result<(), RequestError> {
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        self.size = self
            .size
            .checked_mul(16)
            .ok_or(RequestError::InvalidChunkSize)?
            | digit;
        if self.size > limits.body.saturating_sub(self.data) {
            return Err(RequestError::BodyTooLarge);
        }
        Ok(())
    }

    fn count_line(&mut self, bytes: usize, limits: &Limits) -> Result<(), RequestError> {
        let error = RequestError::ChunkLineTooLong;
        count(bytes, &mut [(&mut self.line, limits.chunk_line, error)])
    }

    fn count_extension(&mut self, bytes: usize, limits: &Limits) -> Result<(), RequestError> {
        let line = RequestError::ChunkLineTooLong;
        let all = RequestError::ChunkExtensionsTooLong;
        count(
            bytes,
            &mut [
                (&mut self.line, limits.chunk_line, line),
                (&mut self.extensions, limits.chunk_extensions, all),
            ],
        )
    }
}

const CRLF: u64 = 2;

/// The end of an empty trailer section.
const EMPTY_LINE: u64 = 2;

/// `0`, its line end, and an empty trailer section.
const LAST_CHUNK: u64 = 5;
