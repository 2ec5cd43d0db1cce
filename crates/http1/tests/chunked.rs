//! Bodies: chunks that must be refused, those that must be accepted, and sized bodies.
//!
//! Every entry is fed whole, byte by byte, and at every split.

mod common;

use common::decode_every_way;
use eventlet_http1::RequestError::{self, *};
use eventlet_http1::{BodyDecoder, BodyLength, Decoded, Limits};

type Malformed = (&'static str, RequestError, &'static [u8], &'static [u8]);

/// The section of RFC 9112, the error, the data before it, and the input.
#[rustfmt::skip]
const MALFORMED: &[Malformed] = &[
    ("7.1", InvalidChunkSize, b"", b"\r\n"),
    ("7.1", InvalidChunkSize, b"", b"\n"),
    ("7.1", InvalidChunkSize, b"", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"\t5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"0X5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"1_0\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"g\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"5h\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"5,\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"5.0\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b";x\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"5\0\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"\xb5\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"10000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"", b"100000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"hello", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkSize, b"hello", b"5\r\nhello\r\nX: y\r\n\r\n"),
    ("7.1", BareLf, b"", b"5\nhello\n0\n\n"),
    ("7.1", BareCr, b"", b"5\rhello\r\n0\r\n\r\n"),
    ("7.1", BareCr, b"", b"5\r\rhello\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello\n0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello\r0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello\r\r\n0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello!\n0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhello\r!0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hello", b"5\r\nhelloXX0\r\n\r\n"),
    ("7.1", InvalidChunkEnd, b"hell\r", b"5\r\nhell\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5 5\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5\tx\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5 \nhello\r\n0\r\n\r\n"),
    ("7.1.1", BareLf, b"", b"5;x\nhello\r\n0\r\n\r\n"),
    ("7.1.1", BareLf, b"", b"5;\nhello\r\n0\r\n\r\n"),
    ("7.1.1", BareLf, b"", b"5;x=\"a\nb\"\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", BareCr, b"", b"5;x\rhello\r\n0\r\n\r\n"),
    ("7.1.1", BareCr, b"", b"5;x\r\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5;x\0\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", InvalidChunkExtension, b"", b"5;x\x7f\r\nhello\r\n0\r\n\r\n"),
    ("7.1.1", BareLf, b"hello", b"5\r\nhello\r\n0;x\n\r\n"),
    ("7.1", BareLf, b"hello", b"5\r\nhello\r\n0\n\r\n"),
    ("7.1.2", BareLf, b"", b"0\r\n\n"),
    ("7.1.2", BareCr, b"", b"0\r\n\rX"),
    ("7.1.2", BareLf, b"", b"0\r\nX: y\n\r\n"),
    ("7.1.2", BareCr, b"", b"0\r\nX: y\rZ: z\r\n\r\n"),
    ("7.1.2", BareCr, b"", b"0\r\nX: y\r\r\n\r\n"),
    ("5.1", SpaceBeforeColon, b"", b"0\r\nX : y\r\n\r\n"),
    ("5.1", InvalidFieldName, b"", b"0\r\nX\r\n\r\n"),
    ("5.1", InvalidFieldName, b"", b"0\r\n: y\r\n\r\n"),
    ("5.1", InvalidFieldName, b"", b"0\r\nX(: y\r\n\r\n"),
    ("5.1", InvalidFieldName, b"", b"0\r\nX\0: y\r\n\r\n"),
    ("5.1", InvalidFieldName, b"", b"0\r\n\xe9: y\r\n\r\n"),
    ("5.1", SpaceBeforeColon, b"", b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("5.2", ObsoleteFold, b"", b"0\r\nX: y\r\n z\r\n\r\n"),
    ("5.2", ObsoleteFold, b"", b"0\r\n X: y\r\n\r\n"),
    ("5.2", ObsoleteFold, b"", b"0\r\n\tX: y\r\n\r\n"),
    ("5.5", InvalidFieldValue, b"", b"0\r\nX: \0\r\n\r\n"),
    ("5.5", InvalidFieldValue, b"", b"0\r\nX: \x7f\r\n\r\n"),
];

/// The data and the input; the input ends where the body does.
#[rustfmt::skip]
const VALID: &[(&[u8], &[u8])] = &[
    (b"", b"0\r\n\r\n"),
    (b"", b"000\r\n\r\n"),
    (b"hello", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"0005\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    (b"hello", b"1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
    (b"0123456789abcdef", b"10\r\n0123456789abcdef\r\n0\r\n\r\n"),
    (b"0123456789", b"a\r\n0123456789\r\n0\r\n\r\n"),
    (b"0123456789", b"A\r\n0123456789\r\n0\r\n\r\n"),
    (b"0123456789abcde", b"F\r\n0123456789abcde\r\n0\r\n\r\n"),
    (b"\r\n\r\n0\r\n\r\n", b"9\r\n\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    (b"hello", b"5;x\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"5;x=y;z=\"a b\"\r\nhello\r\n0;end\r\n\r\n"),
    (b"hello", b"5 ; x = y\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"5\t;x\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"5;x=\"\xe9\t\"\r\nhello\r\n0\r\n\r\n"),
    (b"hello", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    (b"hello", b"5\r\nhello\r\n0\r\nX:\r\nY: a\tb \r\n\r\n"),
    (b"hello", b"5\r\nhello\r\n0\r\nContent-Length: 999\r\nTransfer-Encoding: x\r\n\r\n"),
    (b"", b"0\r\nX: \xe9\r\n\r\n"),
];

#[test]
fn malformed_bodies_are_refused() {
    for &(section, error, data, input) in MALFORMED {
        let text = String::from_utf8_lossy(input);
        let outcome = decode_every_way(BodyLength::Chunked, input, &Limits::default());
        assert_eq!(outcome.end, Err(error), "RFC 9112 {section}: {text:?}");
        assert_eq!(outcome.data, data, "RFC 9112 {section}: {text:?}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn valid_bodies_are_decoded() {
    for &(data, input) in VALID {
        let text = String::from_utf8_lossy(input);
        let outcome = decode_every_way(BodyLength::Chunked, input, &Limits::default());
        assert_eq!(outcome.end, Ok(Some(input.len())), "{text:?}");
        assert_eq!(outcome.data, data, "{text:?}");
        // What follows belongs to the next request.
        let followed = [input, b"GET / HTTP/1.1\r\n"].concat();
        let outcome = decode_every_way(BodyLength::Chunked, &followed, &Limits::default());
        assert_eq!(outcome.end, Ok(Some(input.len())), "{text:?}");
    }
}

/// A body cut short anywhere is neither finished nor refused.
#[test]
fn truncated_bodies_wait_for_more() {
    for &(data, input) in VALID {
        for end in 0..input.len() {
            let outcome = decode_every_way(BodyLength::Chunked, &input[..end], &Limits::default());
            assert_eq!(outcome.end, Ok(None), "{end} bytes of {input:?}");
            assert!(data.starts_with(&outcome.data));
        }
    }
}

#[test]
fn the_largest_chunk_size_is_accepted() {
    let input = b"ffffffffffffffff\r\nhello";
    let outcome = decode_every_way(BodyLength::Chunked, input, &Limits::default());
    assert_eq!(outcome.end, Ok(None));
    assert_eq!(outcome.data, b"hello");
}

#[test]
fn a_body_in_one_chunk_takes_one_call() {
    let limits = Limits::default();
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let found = decoder.decode(b"5\r\nhello\r\n0\r\n\r\nGET", &limits);
    let expected = Decoded {
        consumed: 15,
        data: 3..8,
        finished: true,
    };
    assert_eq!(found, Ok(expected));
    let after = decoder.decode(b"GET", &limits);
    let expected = Decoded {
        finished: true,
        ..Decoded::default()
    };
    assert_eq!(after, Ok(expected));
}

#[test]
fn sized_bodies() {
    let limits = Limits::default();
    let outcome = decode_every_way(BodyLength::Length(5), b"hello, world", &limits);
    assert_eq!(
        (&outcome.data[..], outcome.end),
        (&b"hello"[..], Ok(Some(5)))
    );
    let outcome = decode_every_way(BodyLength::Length(5), b"hell", &limits);
    assert_eq!((&outcome.data[..], outcome.end), (&b"hell"[..], Ok(None)));
    for empty in [BodyLength::None, BodyLength::Length(0)] {
        let outcome = decode_every_way(empty, b"GET /", &limits);
        assert_eq!((&outcome.data[..], outcome.end), (&b""[..], Ok(Some(0))));
        assert!(BodyDecoder::new(empty).is_finished());
    }
}

#[test]
fn remaining_counts_down() {
    let limits = Limits::default();
    let mut decoder = BodyDecoder::new(BodyLength::Length(u64::MAX));
    assert_eq!(decoder.remaining(), Some(u64::MAX));
    let found = decoder.decode(b"abc", &limits).map(|step| step.data);
    assert_eq!(found, Ok(0..3));
    assert_eq!(decoder.remaining(), Some(u64::MAX - 3));
    assert!(!decoder.is_finished());
    assert_eq!(BodyDecoder::new(BodyLength::Chunked).remaining(), None);
    assert_eq!(BodyDecoder::new(BodyLength::None).remaining(), Some(0));
}
