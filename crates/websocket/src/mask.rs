//! Masking: every payload of a client is combined with a key that is sent along (RFC 6455 section 5.3).

/// After how many bytes [`unmask_to`] looks whether all of them were ASCII.
const BLOCK: usize = 1024;

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

/// Writes `data`, unmasked, to `target`, which has to be as long. Returns whether all of it is ASCII.
///
/// With `only_ascii` it gives up soon after something else; the rest of `target` is left as it was then. `place`
/// makes of a byte what `target` consists of.
#[inline]
pub fn unmask_to<T>(
    target: &mut [T],
    place: impl Fn(u8) -> T,
    data: &[u8],
    key: [u8; 4],
    only_ascii: bool,
) -> bool {
    assert_eq!(
        target.len(),
        data.len(),
        "the target is as long as the data"
    );
    let mut seen = 0;
    for (target, data) in target.chunks_mut(BLOCK).zip(data.chunks(BLOCK)) {
        seen |= unmask_block(target, &place, data, key);
        if only_ascii && seen & 0x80 != 0 {
            return false;
        }
    }
    seen & 0x80 == 0
}

/// As [`unmask_to`]; returns the bits that any of the bytes has.
#[inline]
fn unmask_block<T>(target: &mut [T], place: &impl Fn(u8) -> T, data: &[u8], key: [u8; 4]) -> u8 {
    // So many bytes at a time become vector instructions.
    const WIDTH: usize = 32;
    let wide: [u8; WIDTH] = std::array::from_fn(|index| key[index % 4]);
    let mut seen = [0; WIDTH];
    let mut targets = target.chunks_exact_mut(WIDTH);
    let mut sources = data.chunks_exact(WIDTH);
    for (target, source) in (&mut targets).zip(&mut sources) {
        let target: Result<&mut [T; WIDTH], _> = target.try_into();
        let source: Result<&[u8; WIDTH], _> = source.try_into();
        let (Ok(target), Ok(source)) = (target, source) else {
            continue;
        };
        for index in 0..WIDTH {
            let byte = source[index] ^ wide[index];
            seen[index] |= byte;
            target[index] = place(byte);
        }
    }
    let rest = targets.into_remainder().iter_mut();
    for ((target, source), key) in rest.zip(sources.remainder()).zip(wide) {
        let byte = source ^ key;
        seen[0] |= byte;
        *target = place(byte);
    }
    seen.iter().fold(0, |all, byte| all | byte)
}

#[inline]
fn combine(chunk: &mut [u8], word: u64) {
    if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, mask, unmask_to};

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

    #[test]
    fn copies_and_tells_what_is_ascii() {
        let key = [0xb7, 0xfa, 0x21, 0x3d];
        for length in [
            0,
            1,
            31,
            32,
            33,
            100,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            3 * BLOCK + 7,
        ] {
            let plain: Vec<u8> = (0..length).map(|i| (i % 128) as u8).collect();
            let mut masked = plain.clone();
            mask(&mut masked, key, 0);
            let mut target = vec![0xee; length];
            assert!(unmask_to(&mut target, |byte| byte, &masked, key, true));
            assert_eq!(target, plain, "{length} bytes");
        }
    }

    #[test]
    fn finds_each_byte_that_is_not_ascii() {
        let key = [0xb7, 0xfa, 0x21, 0x3d];
        for length in [1, 40, BLOCK + 33] {
            for wrong in 0..length {
                let mut plain = vec![b'a'; length];
                plain[wrong] = 0x80;
                let mut masked = plain.clone();
                mask(&mut masked, key, 0);
                let mut target = vec![0; length];
                assert!(!unmask_to(&mut target, |byte| byte, &masked, key, true));
                assert!(!unmask_to(&mut target, |byte| byte, &masked, key, false));
                assert_eq!(target, plain, "all of it is there if anything may come");
            }
        }
    }
}
