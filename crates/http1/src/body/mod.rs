//! Request bodies: [`BodyDecoder`] tells which bytes of the input are data.
//!
//! # Theory of operation
//!
//! RFC 9112 section 6.3 leaves three kinds of request body: none, a known number of bytes, and
//! chunks. The decoder is given whatever bytes follow the head, and says how many of them it used
//! up and which of those are data. One call yields at most one contiguous run of data, so nothing
//! has to be copied to join two chunks; the framing that follows the run is used up in the same
//! call, so that a body in one chunk that arrived at once takes one call.
//!
//! A run of data is always delivered, even if what follows it turns out to be wrong: the error is
//! kept for the next call. Otherwise it would depend on how the stream was cut whether an
//! application saw the data.

mod chunked;
mod trailers;

use std::ops::Range;

use self::chunked::ChunkedDecoder;
use crate::{BodyLength, Limits, RequestError};

/// Decodes the body of one request.
///
/// ```
/// # use eventlet_http1::{BodyDecoder, BodyLength, Limits};
/// let mut decoder = BodyDecoder::new(BodyLength::Chunked);
/// let mut input = &b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"[..];
/// let mut body = Vec::new();
/// while !decoder.is_finished() {
///     let decoded = decoder.decode(input, &Limits::default())?;
///     body.extend_from_slice(&input[decoded.data]);
///     input = &input[decoded.consumed..];
/// }
/// assert_eq!(body, b"hello, world");
/// # Ok::<(), eventlet_http1::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
}

/// What [`BodyDecoder::decode`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are used up; the next call starts after them.
    pub consumed: usize,
    /// The part of the input that is data, possibly empty. It lies within the consumed bytes.
    pub data: Range<usize>,
    /// The body ends here; what follows in the input is the next request.
    pub finished: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(ChunkedDecoder),
    Failed(RequestError),
}

impl BodyDecoder {
    /// A decoder for the body of a request whose head said `length`.
    pub fn new(length: BodyLength) -> Self {
        Self {
            state: match length {
                BodyLength::None => State::Length(0),
                BodyLength::Length(length) => State::Length(length),
                BodyLength::Chunked => State::Chunked(ChunkedDecoder::default()),
            },
        }
    }

    /// Decodes from the start of `input`.
    ///
    /// If nothing was consumed and the body is not finished, more input is needed. An error is
    /// final. After the end of the body nothing is consumed any more.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Decoded, RequestError> {
        match &mut self.state {
            State::Length(remaining) => {
                let available = usize::try_from(*remaining).unwrap_or(usize::MAX);
                let take = input.len().min(available);
                *remaining -= take as u64;
                Ok(Decoded {
                    consumed: take,
                    data: 0..take,
                    finished: *remaining == 0,
                })
            }
            State::Chunked(chunked) => {
                let (decoded, error) = chunked.decode(input, limits);
                match error {
                    None => Ok(decoded),
                    Some(error) => {
                        self.state = State::Failed(error);
                        if decoded.data.is_empty() {
                            Err(error)
                        } else {
                            Ok(decoded)
                        }
                    }
                }
            }
            State::Failed(error) => Err(*error),
        }
    }

    /// Bytes of data still to come, where that is known: not for chunks, nor after an error.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Length(remaining) => Some(*remaining),
            State::Chunked(_) | State::Failed(_) => None,
        }
    }

    /// The fewest bytes that the rest of the body can have, framing included; 0 at its end.
    ///
    /// Who must not read beyond the body can read so many at a time. After an error it is 0.
    pub fn needed(&self) -> u64 {
        match &self.state {
            State::Length(remaining) => *remaining,
            State::Chunked(chunked) => chunked.needed(),
            State::Failed(_) => 0,
        }
    }

    /// True once the whole body has been decoded.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Length(remaining) => *remaining == 0,
            State::Chunked(chunked) => chunked.is_finished(),
            State::Failed(_) => false,
        }
    }
}

/// Adds `bytes` to counters that each have a limit and an error for exceeding it.
///
/// If a run of bytes exceeds several limits at once, the error is that of the limit which its bytes
/// taken one by one would have met first.
fn count(
    bytes: usize,
    counters: &mut [(&mut usize, usize, RequestError)],
) -> Result<(), RequestError> {
    let left = |counter: &(&mut usize, usize, RequestError)| counter.1.saturating_sub(*counter.0);
    if let Some(nearest) = counters.iter().min_by_key(|counter| left(counter)) {
        if bytes > left(nearest) {
            return Err(nearest.2);
        }
    }
    for (counter, ..) in counters {
        **counter += bytes;
    }
    Ok(())
}
