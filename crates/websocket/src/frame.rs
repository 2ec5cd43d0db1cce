//! The header of a frame (RFC 6455 section 5.2).

use crate::Error;

/// The longest header, in bytes.
pub const MAX_HEADER: usize = 14;

/// The longest payload of a control frame, in bytes.
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Masks what it sends.
    Client,
    /// Does not.
    Server,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the standard")]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// The opcode with this number.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedOpcode`] if there is none.
    pub fn new(number: u8) -> Result<Self, Error> {
        Ok(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Error::ReservedOpcode(number)),
        })
    }

    /// Whether it is one of a control frame, which may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// The first reserved bit: the message that begins here is compressed (RFC 7692 section 6).
    pub compressed: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// The key that the payload is masked with, if it is.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub length: u64,
}

impl FrameHeader {
    /// Reads a header from the beginning of `bytes`; `None` if it is not complete. Returns its length, too.
    ///
    /// `role` is this end's, and `deflate` whether messages may be compressed. What is wrong with a header is
    /// found in the order of its bytes, so the error does not depend on how many of them there are.
    ///
    /// # Errors
    ///
    /// Whatever RFC 6455 section 5 forbids in a single header.
    #[inline]
    pub fn parse(bytes: &[u8], role: Role, deflate: bool) -> Result<Option<(Self, usize)>, Error> {
        let [first, rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::new(first & 0x0f)?;
        let fin = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6.1).
        let may_be_compressed = deflate && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || compressed && !may_be_compressed {
            return Err(Error::ReservedBit);
        }
        if opcode.is_control() && !fin {
            return Err(Error::FragmentedControl);
        }
        let [second, rest @ ..] = rest else {
            return Ok(None);
        };
        match (role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(Error::Unmasked),
            (Role::Client, true) => return Err(Error::Masked),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(Error::ControlTooLong);
        }
        let (length, size) = match short {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
                _ => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(bytes) => (u64::from_be_bytes(*bytes), 8),
                None => return Ok(None),
            },
            short => (u64::from(short), 0),
        };
        if length >> 63 != 0 {
            return Err(Error::InvalidLength);
        }
        if size == 2 && length < 126 || size == 8 && length <= 0xffff {
            return Err(Error::NonMinimalLength);
        }
        let mut used = 2 + size;
        let mask = if role == Role::Server {
            let [a, b, c, d, ..] = rest[size..] else {
                return Ok(None);
            };
            used += 4;
            Some([a, b, c, d])
        } else {
            None
        };
        let header = Self {
            fin,
            compressed,
            opcode,
            mask,
            length,
        };
        Ok(Some((header, used)))
    }

    /// The header as bytes: the array, and how much of it counts.
    #[inline]
    pub fn encode(&self) -> ([u8; MAX_HEADER], usize) {
        let mut bytes = [0; MAX_HEADER];
        bytes[0] = self.opcode as u8 | u8::from(self.fin) << 7 | u8::from(self.compressed) << 6;
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut used = if self.length < 126 {
            bytes[1] = masked | self.length as u8;
            2
        } else if self.length <= 0xffff {
            bytes[1] = masked | 0x7e;
            bytes[2..4].copy_from_slice(&(self.length as u16).to_be_bytes());
            4
        } else {
            bytes[1] = masked | 0x7f;
            bytes[2..10].copy_from_slice(&self.length.to_be_bytes());
            10
        };
        if let Some(key) = self.mask {
            bytes[used..used + 4].copy_from_slice(&key);
            used += 4;
        }
        (bytes, used)
    }
}
