//! permessage-deflate (RFC 7692): its negotiation, and the two directions of it.
//!
//! A window of 256 bytes (8 bits) can be negotiated, but zlib cannot compress for it. What can always be done is
//! to send messages as they are, so an end that is bound to it does that.

use std::cell::Cell;
use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::extension::{self, Extension};
use crate::{Error, Role};

/// The name of the extension.
pub const NAME: &str = "permessage-deflate";

/// The largest window, and the default (RFC 7692 section 7.1.2), as a power of two of bytes.
pub const MAX_WINDOW_BITS: u8 = 15;

/// What zlib compresses for, at least.
const MIN_USABLE_BITS: u8 = 9;

/// What a flush ends with. It is not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    /// The last one that was done with, and its window: making one takes far longer than most messages.
    static SPARE_COMPRESS: Cell<Option<(u8, Box<Compress>)>> = const { Cell::new(None) };
    static SPARE_DECOMPRESS: Cell<Option<(u8, Box<Decompress>)>> = const { Cell::new(None) };
}

/// By how much the output grows when it is full, in bytes.
const STEP: usize = 16 * 1024;

/// What the two ends have agreed upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Whether the server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// Whether the client does.
    pub client_no_context_takeover: bool,
    /// The window of the server, if it was talked about.
    pub server_max_window_bits: Option<u8>,
    /// That of the client.
    pub client_max_window_bits: Option<u8>,
}

impl Parameters {
    /// What a server agrees to: the first of a client's offers that can be fulfilled, if there is one.
    ///
    /// `header` is the value of the client's `Sec-WebSocket-Extensions`. Offers with unknown, repeated or invalid
    /// parameters are declined (RFC 7692 section 7.1).
    pub fn accept(header: &str) -> Option<Self> {
        extension::parse(header)
            .iter()
            .filter(|extension| extension.name == NAME)
            .find_map(|offer| Self::read(offer, Some(MAX_WINDOW_BITS)))
    }

    /// What a server has answered to this offer of a client's. `None` is a refusal, and no error.
    ///
    /// # Errors
    ///
    /// If the answer fits the offer in no way; the text says why.
    pub fn agree(&self, header: &str) -> Result<Option<Self>, String> {
        let answers = extension::parse(header);
        let answer = match answers.as_slice() {
            [] => return Ok(None),
            [answer] if answer.name == NAME => answer,
            [answer, ..] => {
                return Err(format!("extension that was not offered: {}", answer.name));
            }
        };
        let agreed = Self::read(answer, None)
            .ok_or_else(|| format!("invalid parameters of {NAME}: {header}"))?;
        if self.client_max_window_bits.is_none() && agreed.client_max_window_bits.is_some() {
            return Err("client_max_window_bits was not offered".to_owned());
        }
        let limit = self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        if agreed.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS) > limit {
            return Err(format!("server_max_window_bits above {limit}"));
        }
        if self.server_no_context_takeover && !agreed.server_no_context_takeover {
            return Err("server_no_context_takeover was not granted".to_owned());
        }
        Ok(Some(agreed))
    }

    /// The same with each message compressed by itself, which a server may ask for unasked: neither end keeps
    /// anything from one message to the next then, and they compress less.
    #[must_use]
    pub fn without_context(self) -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..self
        }
    }

    /// `valueless` is what window bits without a value stand for, if that is allowed.
    fn read(extension: &Extension, valueless: Option<u8>) -> Option<Self> {
        let mut found = Self::default();
        for (name, value) in &extension.parameters {
            let flag = match name.as_str() {
                "server_no_context_takeover" => &mut found.server_no_context_takeover,
                "client_no_context_takeover" => &mut found.client_no_context_takeover,
                name => {
                    let bits = match name {
                        "server_max_window_bits" => &mut found.server_max_window_bits,
                        "client_max_window_bits" => &mut found.client_max_window_bits,
                        _ => return None,
                    };
                    let given = match value {
                        Some(value) => window_bits(value)?,
                        None => valueless?,
                    };
                    if bits.replace(given).is_some() {
                        return None;
                    }
                    continue;
                }
            };
            if value.is_some() || std::mem::replace(flag, true) {
                return None;
            }
        }
        Some(found)
    }

    /// The window of one end.
    fn window_bits(self, role: Role) -> u8 {
        match role {
            Role::Client => self.client_max_window_bits,
            Role::Server => self.server_max_window_bits,
        }
        .unwrap_or(MAX_WINDOW_BITS)
    }

    /// Whether one end begins each message anew.
    fn resets(self, role: Role) -> bool {
        match role {
            Role::Client => self.client_no_context_takeover,
            Role::Server => self.server_no_context_takeover,
        }
    }
}

/// As it stands in the header.
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(f, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}

/// 8 to 15, without leading zeros (RFC 7692 section 7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    let canonical = !value.starts_with(['0', '+']);
    (canonical && (8..=MAX_WINDOW_BITS).contains(&bits)).then_some(bits)
}

/// Compresses the messages of one end.
#[derive(Debug)]
pub struct Deflater {
    bits: u8,
    resets: bool,
    /// Made for the first message that is compressed.
    state: Option<Box<Compress>>,
}

impl Deflater {
    /// For messages that the end `role` sends.
    pub fn new(parameters: Parameters, role: Role) -> Self {
        Self {
            bits: parameters.window_bits(role),
            resets: parameters.resets(role),
            state: None,
        }
    }

    /// Whether it can compress at all.
    pub fn is_usable(&self) -> bool {
        self.bits >= MIN_USABLE_BITS
    }

    /// Whether a message that has been compressed has to be sent: those that follow refer to it.
    pub fn keeps_context(&self) -> bool {
        !self.resets
    }

    /// Whether it holds memory.
    pub fn is_allocated(&self) -> bool {
        self.state.is_some()
    }

    /// Appends the compressed `payload` to `out`. `last` is for the last fragment of a message.
    pub fn deflate(&mut self, payload: &[u8], last: bool, out: &mut Vec<u8>) {
        let bits = self.bits.max(MIN_USABLE_BITS);
        let state = self.state.get_or_insert_with(|| {
            let spare = SPARE_COMPRESS.take().filter(|(window, _)| *window == bits);
            spare.map_or_else(
                || {
                    let level = Compression::default();
                    Box::new(Compress::new_with_window_bits(level, false, bits))
                },
                |(_, state)| state,
            )
        });
        let start = out.len();
        let mut rest = payload;
        loop {
            out.reserve((rest.len() / 2 + 64).min(STEP));
            let before = state.total_in();
            // Deflating cannot fail; what it reports as an error is that it needs more room.
            let _status = state.compress_vec(rest, out, FlushCompress::Sync);
            rest = &rest[(state.total_in() - before) as usize..];
            // A flush is complete when it leaves room.
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if last {
            if out[start..].ends_with(&TAIL) {
                out.truncate(out.len() - TAIL.len());
            } else {
                // Nothing has come since the last flush, so there is none. What is sent for an empty block.
                out.push(0);
            }
            if self.resets
                && let Some(mut state) = self.state.take()
            {
                state.reset();
                SPARE_COMPRESS.set(Some((bits, state)));
            }
        }
    }
}

/// Decompresses the messages of the other end.
#[derive(Debug)]
pub struct Inflater {
    bits: u8,
    resets: bool,
    /// Made for the first message that is compressed.
    state: Option<Box<Decompress>>,
}

impl Inflater {
    /// For messages that the end `role` receives.
    pub fn new(parameters: Parameters, role: Role) -> Self {
        let sender = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        Self {
            bits: parameters.window_bits(sender),
            resets: parameters.resets(sender),
            state: None,
        }
    }

    /// Whether it holds memory.
    pub fn is_allocated(&self) -> bool {
        self.state.is_some()
    }

    /// Appends to `out` what the next piece of a message stands for, at most until it holds `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDeflate`]; [`Error::MessageTooLong`] as soon as there is a byte beyond the limit.
    pub fn inflate(
        &mut self,
        mut piece: &[u8],
        limit: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let bits = self.bits.max(MIN_USABLE_BITS);
        let state = self.state.get_or_insert_with(|| {
            let spare = SPARE_DECOMPRESS
                .take()
                .filter(|(window, _)| *window == bits);
            spare.map_or_else(
                || Box::new(Decompress::new_with_window_bits(false, bits)),
                |(_, state)| state,
            )
        });
        // One byte more, to see that there are too many.
        let most = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        loop {
            if out.len() == out.capacity() {
                let step = piece.len().saturating_mul(3).clamp(64, STEP).max(out.len());
                out.reserve_exact(step.min(most - out.len()));
            }
            let (taken, made) = (state.total_in(), out.len());
            let result = state.decompress_vec(piece, out, FlushDecompress::Sync);
            // Whatever comes behind it.
            if out.len() as u64 > limit {
                return Err(Error::MessageTooLong { limit });
            }
            let status = result.map_err(|_| Error::InvalidDeflate)?;
            let taken = (state.total_in() - taken) as usize;
            piece = &piece[taken..];
            if status == Status::StreamEnd {
                // The sender has ended a block for good, which it may; what follows is a new one
                // (RFC 7692 section 7.2.3.4).
                state.reset(false);
            } else if taken == 0 && out.len() == made && out.len() < out.capacity() {
                return if piece.is_empty() {
                    Ok(())
                } else {
                    Err(Error::InvalidDeflate)
                };
            }
            if piece.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }

    /// Ends a message.
    ///
    /// # Errors
    ///
    /// Those of [`inflate`](Self::inflate).
    pub fn finish(&mut self, limit: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        self.inflate(&TAIL, limit, out)?;
        if self.resets
            && let Some(mut state) = self.state.take()
        {
            state.reset(false);
            let bits = self.bits.max(MIN_USABLE_BITS);
            SPARE_DECOMPRESS.set(Some((bits, state)));
        }
        Ok(())
    }
}
