//! Masking: every payload of a client is combined with a key that is sent along (RFC 6455 section 5.3).

/// Masks or unmasks `data` in place. `offset` is the place of its first byte in the payload.
pub fn mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let [a, b, c, d] = key;
    let key = match offset % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    };
    let word = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    // Four words at a time become vector instructions.
    let mut blocks = data.chunks_exact_mut(32);
    for block in &mut blocks {
        for chunk in block.chunks_exact_mut(8) {
            combine(chunk, word);
        }
    }
    let mut chunks = blocks.into_remainder().chunks_exact_mut(8);
    for chunk in &mut chunks {
        combine(chunk, word);
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[inline]
fn combine(chunk: &mut [u8], word: u64) {
    if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn agrees_with_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..100 {
            for offset in 0..5 {
                let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let expected: Vec<u8> = plain
                    .iter()
                    .enumerate()
                    .map(|(i, byte)| byte ^ key[(i + offset) % 4])
                    .collect();
                let mut masked = plain;
                mask(&mut masked, key, offset);
                assert_eq!(masked, expected, "{length} bytes at {offset}");
            }
        }
    }
}
