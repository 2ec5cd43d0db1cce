//! Packets: what is one, what is not, and that it does not matter how they arrive.

use eventlet_uwsgi::{Limits, PacketError, content_length, parse, vars};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: Limits = Limits {
    size: 65_535,
    count: 200,
};

fn string(text: &[u8]) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short string");
    [&size.to_le_bytes()[..], text].concat()
}

fn packet(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let body: Vec<u8> = pairs
        .iter()
        .flat_map(|(name, value)| [string(name), string(value)].concat())
        .collect();
    framed(0, &body)
}

fn framed(modifier: u8, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(body.len()).expect("a short packet");
    let [low, high] = size.to_le_bytes();
    [&[modifier, low, high, 0][..], body].concat()
}

fn byte_by_byte(input: &[u8], limits: &Limits) -> Result<Option<usize>, PacketError> {
    for end in 0..input.len() {
        let outcome = parse(&input[..end], limits);
        if outcome != Ok(None) {
            return outcome;
        }
    }
    parse(input, limits)
}

#[test]
fn packets() {
    let long = vec![b'x'; 60_000];
    for pairs in [
        &[][..],
        &[(&b"REQUEST_METHOD"[..], &b"GET"[..]), (b"PATH_INFO", b"/")],
        &[(b"EMPTY", b""), (b"HTTP_COOKIE", &long)],
        &[(b"CONTENT_LENGTH", b"")],
        &[(b"CONTENT_LENGTH", b"0018446744073709551615")],
    ] {
        let mut input = packet(pairs);
        let length = input.len();
        assert_eq!(parse(&input, &LIMITS), Ok(Some(length)));
        input.extend_from_slice(b"the body");
        assert_eq!(byte_by_byte(&input, &LIMITS), Ok(Some(length)));
        assert!(vars(&input[..length]).eq(pairs.iter().copied()));
    }
}

#[test]
fn refused() {
    let name = string(b"NAME");
    let many = packet(&[(&b"A"[..], &b"b"[..]); 201]);
    let twice = packet(&[(b"CONTENT_LENGTH", b"1"), (b"CONTENT_LENGTH", b"1")]);
    for (input, error) in [
        (framed(5, b""), PacketError::Modifier),
        (b"GET / HTTP/1.1\r\n".to_vec(), PacketError::Modifier),
        (framed(0, &name), PacketError::Malformed),
        (framed(0, b"\x01"), PacketError::Malformed),
        (
            framed(0, &[&name[..], b"\x05\0valu"].concat()),
            PacketError::Malformed,
        ),
        (
            framed(0, &[&name[..], &name, b"\0"].concat()),
            PacketError::Malformed,
        ),
        (many, PacketError::TooMany),
        (twice, PacketError::ContentLength),
        (
            packet(&[(b"CONTENT_LENGTH", b"-1")]),
            PacketError::ContentLength,
        ),
        (
            packet(&[(b"CONTENT_LENGTH", b"+1")]),
            PacketError::ContentLength,
        ),
        (
            packet(&[(b"CONTENT_LENGTH", b"1 ")]),
            PacketError::ContentLength,
        ),
        (
            packet(&[(b"CONTENT_LENGTH", b"0x1")]),
            PacketError::ContentLength,
        ),
        (
            packet(&[(b"CONTENT_LENGTH", b"18446744073709551616")]),
            PacketError::ContentLength,
        ),
    ] {
        assert_eq!(parse(&input, &LIMITS), Err(error), "{input:?}");
        assert_eq!(byte_by_byte(&input, &LIMITS), Err(error), "{input:?}");
    }
}

#[test]
fn limits() {
    let input = packet(&[(b"A", b"b"), (b"C", b"d")]);
    let size = input.len() - 4;
    assert_eq!(
        parse(&input, &Limits { size, count: 2 }),
        Ok(Some(input.len()))
    );
    let too_large = Limits {
        size: size - 1,
        count: 2,
    };
    assert_eq!(parse(&input[..4], &too_large), Err(PacketError::TooLarge));
    assert_eq!(
        parse(&input, &Limits { size, count: 1 }),
        Err(PacketError::TooMany)
    );
}

#[test]
fn lengths() {
    assert_eq!(content_length(&packet(&[])), Ok(0));
    assert_eq!(content_length(&packet(&[(b"CONTENT_LENGTH", b"")])), Ok(0));
    assert_eq!(
        content_length(&packet(&[(b"CONTENT_LENGTH", b"42")])),
        Ok(42)
    );
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&[u8]] = &[b"CONTENT_LENGTH", b"A", b"", b"PATH_INFO"];
    const VALUES: &[&[u8]] = &[b"5", b"", b"x", b"/"];
    let names = select(NAMES);
    let values = select(VALUES);
    prop_oneof![
        2 => vec((names, values), 0..6).prop_map(|pairs| packet(&pairs)),
        1 => vec(select(&[0_u8, 1, 2, 4, b'a'][..]), 0..40),
        1 => vec(select(&[0_u8, 1, 2, b'a'][..]), 0..40).prop_map(|body| framed(0, &body)),
        1 => vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_not_matter_how_it_arrives(input in input(), size in 0_usize..64, count in 0_usize..4) {
        for limits in [LIMITS, Limits { size, count }] {
            let whole = parse(&input, &limits);
            prop_assert_eq!(byte_by_byte(&input, &limits), whole);
            if let Ok(Some(length)) = whole {
                prop_assert!(length <= input.len() && length <= limits.size + 4);
                prop_assert!(vars(&input[..length]).count() <= limits.count);
                let used: usize = vars(&input[..length])
                    .map(|(name, value)| name.len() + value.len() + 4)
                    .sum();
                prop_assert_eq!(used + 4, length);
            }
        }
    }
}
