//! The payload of a closing frame: nothing, or a code and a reason (RFC 6455 sections 5.5.1 and 7.4).

use crate::{Error, MAX_CONTROL_PAYLOAD};

/// The purpose has been fulfilled.
pub const NORMAL: u16 = 1000;
/// A server goes down, or a page is left.
pub const GOING_AWAY: u16 = 1001;
/// Stands for a closing frame without a code; never sent.
pub const NO_STATUS: u16 = 1005;
/// Stands for a connection that ended without a closing frame; never sent.
pub const ABNORMAL: u16 = 1006;

/// Whether a closing frame may have this code.
pub fn is_valid(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Splits the payload of a closing frame that was received.
///
/// # Errors
///
/// [`Error::TruncatedClose`], [`Error::InvalidCloseCode`] or [`Error::InvalidCloseReason`].
pub fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, Error> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Error::TruncatedClose),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !is_valid(code) {
        return Err(Error::InvalidCloseCode(code));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Error::InvalidCloseReason)?;
    Ok(Some((code, reason)))
}

/// Appends the payload of a closing frame. A reason that is too long is cut, between two characters.
pub fn write(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(MAX_CONTROL_PAYLOAD - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::{parse, write};
    use crate::Error;

    #[test]
    fn codes_that_may_be_sent() {
        for code in [1000, 1001, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(parse(&u16::to_be_bytes(code)), Ok(Some((code, ""))));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65535] {
            let error = Err(Error::InvalidCloseCode(code));
            assert_eq!(parse(&u16::to_be_bytes(code)), error);
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let mut payload = Vec::new();
        write(&mut payload, 1000, &"ä".repeat(100));
        assert_eq!(payload.len(), 124);
        assert_eq!(parse(&payload), Ok(Some((1000, &*"ä".repeat(61)))));
    }
}
