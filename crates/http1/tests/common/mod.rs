//! Feeding the parsers in pieces, and a slow but plain model to compare with.

#![allow(dead_code, reason = "each test uses some of it")]

use eventlet_http1::{BodyDecoder, BodyLength, HeadParser, Limits, RequestError};

/// What became of a head: its length and all that the parser says about it, or the error.
pub type HeadOutcome = Result<Option<(usize, String)>, RequestError>;

/// Feeds `input` to a new parser so that it sees it end at each of `ends` and then whole.
pub fn parse_in_pieces(
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> HeadOutcome {
    let mut parser = HeadParser::new();
    for end in ends.into_iter().chain([input.len()]) {
        if let Some(length) = parser.parse(&input[..end], limits)? {
            assert!(length <= end, "the head ends beyond what was received");
            assert_eq!(parser.parse(&input[..end], limits), Ok(Some(length)));
            return Ok(Some((length, format!("{:?}", parser.head()))));
        }
    }
    Ok(None)
}

/// Parses `input` at once; checks that byte by byte and every split in two give the same.
pub fn parse_every_way(input: &[u8], limits: &Limits) -> HeadOutcome {
    let whole = parse_in_pieces(input, [], limits);
    let text = String::from_utf8_lossy(input);
    let bytewise = parse_in_pieces(input, 0..input.len(), limits);
    assert_eq!(bytewise, whole, "byte by byte: {text:?}");
    for split in 0..input.len() {
        let halves = parse_in_pieces(input, [split], limits);
        assert_eq!(halves, whole, "split at {split}: {text:?}");
    }
    whole
}

/// What became of a body: the data, the bytes used up, and whether it ended, or the error after
/// the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyOutcome {
    pub data: Vec<u8>,
    pub end: Result<Option<usize>, RequestError>,
}

/// Decodes `input`, handing out the pieces between `ends` one after the other.
pub fn decode_in_pieces(
    length: BodyLength,
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> BodyOutcome {
    let mut decoder = BodyDecoder::new(length);
    let mut data = Vec::new();
    let mut at = 0;
    for end in ends.into_iter().chain([input.len()]) {
        loop {
            let piece = &input[at..end];
            let step = match decoder.decode(piece, limits) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(
                        decoder.decode(piece, limits),
                        Err(error),
                        "errors are final"
                    );
                    let end = Err(error);
                    return BodyOutcome { data, end };
                }
            };
            assert!(step.consumed <= piece.len());
            assert!(step.data.end <= step.consumed);
            data.extend_from_slice(&piece[step.data]);
            at += step.consumed;
            assert_eq!(step.finished, decoder.is_finished());
            if step.finished {
                let end = Ok(Some(at));
                return BodyOutcome { data, end };
            }
            if step.consumed == 0 {
                assert!(at == end, "input left, yet nothing used up");
                break;
            }
        }
    }
    let end = Ok(None);
    BodyOutcome { data, end }
}

/// Decodes `input` at once; checks that byte by byte and every split in two give the same.
pub fn decode_every_way(length: BodyLength, input: &[u8], limits: &Limits) -> BodyOutcome {
    let whole = decode_in_pieces(length, input, [], limits);
    let text = String::from_utf8_lossy(input);
    let bytewise = decode_in_pieces(length, input, 0..input.len(), limits);
    assert_eq!(bytewise, whole, "byte by byte: {text:?}");
    for split in 0..input.len() {
        let halves = decode_in_pieces(length, input, [split], limits);
        assert_eq!(halves, whole, "split at {split}: {text:?}");
    }
    whole
}

/// The chunked coding as one would write it without a care for speed or for pieces: the data and
/// the length of the body, if it is valid and complete.
pub fn reference_chunked(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    let line = |at: usize| -> Option<&[u8]> {
        let length = input[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let line = &input[at..at + length];
        let clean = line
            .iter()
            .all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f));
        clean.then_some(line)
    };
    loop {
        let size_line = line(at)?;
        at += size_line.len() + 2;
        let digits: Vec<u8> = size_line
            .iter()
            .copied()
            .take_while(u8::is_ascii_hexdigit)
            .collect();
        let rest = String::from_utf8_lossy(&size_line[digits.len()..]).into_owned();
        if !rest.is_empty() && !rest.trim_start_matches([' ', '\t']).starts_with(';') {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        let end = at.checked_add(size).filter(|&end| end <= input.len())?;
        data.extend_from_slice(&input[at..end]);
        at = end;
        if input.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let trailer = line(at)?;
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Some((data, at));
        }
        let colon = trailer.iter().position(|&byte| byte == b':')?;
        let name = &trailer[..colon];
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        if name.is_empty() || !name.iter().all(token) {
            return None;
        }
    }
}
