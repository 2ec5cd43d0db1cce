//! What a peer can do wrong, and which code the connection is closed with then.

use thiserror::Error;

/// A rule of RFC 6455 or RFC 7692, or a limit, that the peer broke.
///
/// After any of them the connection has to be failed (RFC 6455 section 7.1.7).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A control frame with a payload of more than 125 bytes. RFC 6455 section 5.5.
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    /// A control frame that is not final. RFC 6455 section 5.5.
    #[error("a control frame in fragments")]
    FragmentedControl,
    /// A frame longer than the limit allows.
    #[error("Incoming frame of {length} bytes is above length limit of {limit} bytes.")]
    FrameTooLong {
        /// What its header announces, in bytes.
        length: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// A closing frame with a code that must not be sent. RFC 6455 section 7.4.
    #[error("invalid close code {0}")]
    InvalidCloseCode(u16),
    /// A closing frame whose reason is not UTF-8. RFC 6455 section 5.5.1.
    #[error("the reason for closing is not UTF-8")]
    InvalidCloseReason,
    /// A compressed message that cannot be inflated. RFC 7692 section 7.2.2.
    #[error("invalid compressed data")]
    InvalidDeflate,
    /// A length of 2^63 or more. RFC 6455 section 5.2.
    #[error("invalid length of a frame")]
    InvalidLength,
    /// Text that is not UTF-8. RFC 6455 section 8.1.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// A frame of a server that is masked. RFC 6455 section 5.1.
    #[error("a masked frame from a server")]
    Masked,
    /// A message longer than the limit allows, once it is decompressed.
    #[error("a message of more than {limit} bytes")]
    MessageTooLong {
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// A length that is not encoded in the fewest bytes. RFC 6455 section 5.2.
    #[error("the length of a frame is not minimally encoded")]
    NonMinimalLength,
    /// A reserved bit that no extension gives a meaning to. RFC 6455 section 5.2.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that means nothing. RFC 6455 section 5.2.
    #[error("unknown opcode {0}")]
    ReservedOpcode(u8),
    /// A closing frame of one byte: half a code. RFC 6455 section 5.5.1.
    #[error("a closing frame of one byte")]
    TruncatedClose,
    /// A continuation of nothing. RFC 6455 section 5.4.
    #[error("a continuation without a message to continue")]
    UnexpectedContinuation,
    /// A new message before the last one is complete. RFC 6455 section 5.4.
    #[error("a new message within a fragmented one")]
    UnexpectedMessage,
    /// A frame of a client that is not masked. RFC 6455 section 5.1.
    #[error("an unmasked frame from a client")]
    Unmasked,
}

impl Error {
    /// The code to close the connection with (RFC 6455 section 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidCloseReason | Self::InvalidDeflate | Self::InvalidUtf8 => 1007,
            Self::FrameTooLong { .. } | Self::MessageTooLong { .. } => 1009,
            _ => 1002,
        }
    }
}
