//! The character classes of the grammar, and how to run over them.
//!
//! One table of 256 bytes holds a bit for each class, built at compile time from the rules of
//! RFC 9110 section 5.6.2 (`tchar`), RFC 9112 section 3.2 (`request-target`) and RFC 3986 section
//! 3.2.2 (`reg-name`). The functions named `*_end` return the index of the first byte that is not of
//! the class, or the length of the slice: "ran out of input" and "found the delimiter" are told
//! apart by one comparison.

const TCHAR: u8 = 1;
const TARGET: u8 = 2;
const PATH: u8 = 4;
const HOST: u8 = 8;

static CLASSES: [u8; 256] = classes();

/// True for a byte of a token: field names, methods, codings.
pub(crate) fn is_tchar(byte: u8) -> bool {
    is(byte, TCHAR)
}

/// True for a byte of a registered name, `%` of a percent-encoded byte included.
pub(crate) fn is_host(byte: u8) -> bool {
    is(byte, HOST)
}

/// True if `bytes` is a token: not empty, every byte a `tchar`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

/// The end of the run of token bytes that starts at `from`.
pub(crate) fn token_end(bytes: &[u8], from: usize) -> usize {
    run_end(bytes, from, TCHAR)
}

/// The end of the run of request-target bytes other than `?` that starts at `from`.
pub(crate) fn path_end(bytes: &[u8], from: usize) -> usize {
    run_end(bytes, from, PATH)
}

/// The end of the run of request-target bytes that starts at `from`.
pub(crate) fn target_end(bytes: &[u8], from: usize) -> usize {
    run_end(bytes, from, TARGET)
}

/// The end of the run of field-value bytes that starts at `from`: it stops at every control
/// character but HTAB.
pub(crate) fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        // Most values are free of controls for longer than a word: eight bytes a step.
        while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let controls = first_control(u64::from_le_bytes(*word));
            at += controls.min(8);
            if controls < 8 {
                break;
            }
        }
        match bytes.get(at) {
            Some(b'\t' | b' '..=b'~' | 0x80..) => at += 1,
            _ => return at,
        }
    }
}

/// `bytes` without the spaces and tabs at both ends (`OWS`, RFC 9110 section 5.6.3).
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), trimmed; empty ones included.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// The value of decimal digits only; `None` for anything else, and beyond 64 bits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

fn run_end(bytes: &[u8], from: usize, class: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|&byte| !is(byte, class))
        .unwrap_or(rest.len())
}

/// The index (0 to 7) of the first byte of a little-endian word that is below 0x20 or is DEL; 8 or
/// more if there is none.
fn first_control(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // `x - n & !x & 0x80` has its bit set when a byte is below n. A borrow may set the bit of a
    // byte above a true hit as well, never below: the first one is exact.
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let not_del = word ^ (ONES * 0x7f);
    let del = not_del.wrapping_sub(ONES) & !not_del;
    ((below_space | del) & HIGH).trailing_zeros() as usize / 8
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        if byte.is_ascii_alphanumeric() {
            table[index] = TCHAR | TARGET | PATH | HOST;
        } else if byte.is_ascii_graphic() || byte >= 0x80 {
            // Bytes beyond ASCII are not in the grammar of a target, but Eventlet's users send raw
            // UTF-8 in paths, every server takes it, and no delimiter is among them.
            table[index] = TARGET | PATH;
        }
        index += 1;
    }
    add(&mut table, b"!#$%&'*+-.^_`|~", TCHAR);
    // unreserved, sub-delims and the percent sign
    add(&mut table, b"-._~!$&'()*+,;=%", HOST);
    // No form of a target has a fragment; servers that cut it off and servers that keep it see
    // different paths.
    table[b'#' as usize] = TCHAR;
    table[b'?' as usize] = TARGET;
    table
}

const fn add(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] |= class;
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tchar_is_exactly_the_rfc_list() {
        let specials = b"!#$%&'*+-.^_`|~";
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || specials.contains(&byte);
            assert_eq!(is_tchar(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn target_bytes_are_visible_and_no_fragment() {
        for byte in 0..=255_u8 {
            let expected = byte > b' ' && byte != 0x7f && byte != b'#';
            assert_eq!(is(byte, TARGET), expected, "{byte:#x}");
            assert_eq!(is(byte, PATH), expected && byte != b'?', "{byte:#x}");
        }
    }

    #[test]
    fn host_bytes_are_reg_name() {
        for byte in 0..=255_u8 {
            let expected = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
            assert_eq!(is_host(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn value_end_stops_at_each_control_in_each_lane() {
        for byte in 0..=255_u8 {
            let control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
            for position in 0..40 {
                let mut bytes = [b'x'; 40];
                bytes[position] = byte;
                let expected = if control { position } else { 40 };
                assert_eq!(value_end(&bytes, 0), expected, "{byte:#x} at {position}");
            }
        }
    }

    #[test]
    fn value_end_is_exact_beside_look_alikes() {
        // Bytes next to a hit that a borrow could taint.
        for (first, second) in [(b'\t', b' '), (0x7f, 0x80), (b'\r', b'!'), (0x80, 0x7f)] {
            let bytes = [b'a', first, second, b'b', first, second, b'c', b'd', b'e'];
            let expected = (0..bytes.len())
                .find(|&i| (bytes[i] < 0x20 && bytes[i] != b'\t') || bytes[i] == 0x7f)
                .unwrap_or(bytes.len());
            assert_eq!(value_end(&bytes, 0), expected);
        }
    }

    #[test]
    fn decimal_is_digits_within_64_bits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"000000000000000000000000012"), Some(12));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"+1",
            b"-1",
            b" 1",
            b"1 ",
            b"1_0",
            b"0x1",
            b"18446744073709551616",
        ] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
