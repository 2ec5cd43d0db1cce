//! The keys of the opening handshake (RFC 6455 sections 1.3 and 4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

/// What RFC 6455 section 1.3 has the server append to the client's key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How many bytes a client's key stands for.
pub const NONCE: usize = 16;

/// A client's `Sec-WebSocket-Key`, made of random bytes.
pub fn key(nonce: [u8; NONCE]) -> String {
    STANDARD.encode(nonce)
}

/// Whether a `Sec-WebSocket-Key` stands for 16 bytes.
pub fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == NONCE)
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept(key: &str) -> String {
    let mut digest = Sha1::new();
    digest.update(key.as_bytes());
    digest.update(GUID.as_bytes());
    STANDARD.encode(digest.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::{accept, is_key, key};

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn keys_are_16_bytes() {
        assert!(is_key(&key([7; 16])));
        assert!(!is_key("c2hvcnQ="));
        assert!(!is_key("no base64 at all, is it"));
        assert!(!is_key(""));
    }
}
