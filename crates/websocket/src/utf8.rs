//! Text that arrives in pieces.

use crate::Error;

/// Checks that bytes are UTF-8, piece by piece, and refuses them at the first byte that shows they are not.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character whose end has not come yet.
    cut: [u8; 4],
    length: u8,
}

impl Utf8 {
    /// Checks the next piece.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUtf8`] if it cannot be part of valid text.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Error> {
        while self.length > 0 {
            let [first, rest @ ..] = piece else {
                return Ok(());
            };
            piece = rest;
            self.cut[usize::from(self.length)] = *first;
            self.length += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.length)]) {
                Ok(_) => self.length = 0,
                // Not the end of the character, and still the beginning of one.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Error::InvalidUtf8),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Error::InvalidUtf8);
        }
        let cut = &piece[error.valid_up_to()..];
        self.cut[..cut.len()].copy_from_slice(cut);
        self.length = cut.len() as u8;
        Ok(())
    }

    /// Ends the text, and begins another.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUtf8`] if it ends within a character.
    pub fn finish(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.length) == 0 {
            Ok(())
        } else {
            Err(Error::InvalidUtf8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    #[test]
    fn refuses_at_the_first_byte_that_cannot_be_right() {
        // The byte that is wrong, and what came before.
        for (good, bad) in [
            (&b"\xf4"[..], 0x90),
            (b"\xed", 0xa0),
            (b"\xe0", 0x80),
            (b"ab\xf0\x9f", 0x41),
            (b"", 0xc0),
            (b"", 0xff),
        ] {
            let mut text = Utf8::default();
            for byte in good {
                text.push(&[*byte]).expect("it may become valid");
            }
            text.push(&[bad]).expect_err("it cannot become valid");
        }
    }

    #[test]
    fn ends_with_a_character() {
        let mut text = Utf8::default();
        text.push("κόσμε".as_bytes()).expect("valid");
        text.finish().expect("complete");
        text.push(b"\xe2\x82").expect("it may become valid");
        text.finish().expect_err("incomplete");
        text.push(b"ok").expect("a new text");
    }
}
