//! PROXY headers: what is one, what is not, and that it does not matter how they arrive.

use std::net::SocketAddr;

use eventlet_proxy::header::{HeaderError, MAX_V2, Progress, Said, Versions, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short body");
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(body);
    header
}

/// The outcome if the input comes in pieces; it must not read beyond the header when told so.
fn in_pieces(input: &[u8], versions: Versions) -> Result<Progress, HeaderError> {
    let mut known = 0;
    loop {
        match parse(&input[..known], versions)? {
            Progress::Incomplete(missing) => {
                assert!(missing > 0);
                if known + missing > input.len() {
                    return parse(input, versions);
                }
                known += missing;
            }
            complete @ Progress::Complete(length, _) => {
                assert_eq!(length, known, "it was asked for more than the header");
                return Ok(complete);
            }
        }
    }
}

fn byte_by_byte(input: &[u8], versions: Versions) -> Result<Progress, HeaderError> {
    for end in 0..input.len() {
        let outcome = parse(&input[..end], versions);
        if !matches!(outcome, Ok(Progress::Incomplete(_))) {
            return outcome;
        }
    }
    parse(input, versions)
}

fn addresses(source: &str, destination: &str) -> Said {
    let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
    Said::Addresses {
        source: parse(source),
        destination: parse(destination),
    }
}

#[test]
fn version_1() {
    for (text, said) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
            addresses("192.0.2.1:4711", "198.51.100.2:443"),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n",
            addresses("[2001:db8::1]:0", "[::ffff:1.2.3.4]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", Said::Nothing),
        ("PROXY UNKNOWN what ever this is\r\n", Said::Nothing),
    ] {
        let mut input = text.as_bytes().to_vec();
        let expected = Ok(Progress::Complete(input.len(), said));
        assert_eq!(in_pieces(&input, Versions::Any), expected, "{text}");
        input.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert_eq!(parse(&input, Versions::V1), expected, "{text}");
        assert_eq!(byte_by_byte(&input, Versions::V1), expected, "{text}");
        assert_eq!(parse(&input, Versions::V2), Err(HeaderError::Absent));
    }
}

#[test]
fn version_1_malformed() {
    for text in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWN\rx",
        "PROXY UNKNOWN\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        "PROXY TCP4\t1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        let outcome = parse(text.as_bytes(), Versions::Any);
        assert_eq!(outcome, Err(HeaderError::Malformed), "{text}");
        assert_eq!(
            byte_by_byte(text.as_bytes(), Versions::Any),
            outcome,
            "{text}"
        );
    }
    for text in [
        "GET / HTTP/1.1\r\n",
        "PROXYTCP4",
        "proxy TCP4",
        "\r\n\r\n\r\n",
        "\x16\x03\x01",
    ] {
        let outcome = parse(text.as_bytes(), Versions::Any);
        assert_eq!(outcome, Err(HeaderError::Absent), "{text:?}");
    }
}

#[test]
fn version_1_has_a_longest_line() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    let expected = Ok(Progress::Complete(107, Said::Nothing));
    assert_eq!(byte_by_byte(longest.as_bytes(), Versions::Any), expected);
    let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(
        parse(longer.as_bytes(), Versions::Any),
        Err(HeaderError::TooLong)
    );
    assert_eq!(
        byte_by_byte(longer.as_bytes(), Versions::Any),
        Err(HeaderError::TooLong)
    );
}

#[test]
fn version_2() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb];
    let with_extension = [&v4[..], b"\x20\0\x03abc"].concat();
    let mut v6 = [0; 36];
    v6[..2].copy_from_slice(&[0x20, 0x01]);
    v6[15] = 1;
    v6[31] = 2;
    v6[33] = 80;
    for (header, said) in [
        (
            v2(0x21, 0x11, &v4),
            addresses("192.0.2.1:4711", "198.51.100.2:443"),
        ),
        (
            v2(0x21, 0x11, &with_extension),
            addresses("192.0.2.1:4711", "198.51.100.2:443"),
        ),
        (v2(0x21, 0x21, &v6), addresses("[2001::1]:80", "[::2]:0")),
        (v2(0x21, 0x31, &[0; 216]), Said::Unix),
        (v2(0x21, 0x00, b""), Said::Nothing),
        (v2(0x21, 0x00, b"what ever"), Said::Nothing),
        (v2(0x20, 0x11, &v4), Said::Nothing),
        (v2(0x20, 0x00, b""), Said::Nothing),
        (v2(0x20, 0xff, b"ignored"), Said::Nothing),
        (v2(0x21, 0x00, &vec![0; MAX_V2 - 16]), Said::Nothing),
    ] {
        let expected = Ok(Progress::Complete(header.len(), said));
        assert_eq!(in_pieces(&header, Versions::Any), expected);
        let input = [&header[..], b"GET"].concat();
        assert_eq!(byte_by_byte(&input, Versions::V2), expected);
        assert_eq!(parse(&input, Versions::V1), Err(HeaderError::Absent));
    }
}

#[test]
fn version_2_refused() {
    for (header, error) in [
        (v2(0x11, 0x11, &[0; 12]), HeaderError::Unsupported),
        (v2(0x31, 0x11, &[0; 12]), HeaderError::Unsupported),
        (v2(0x22, 0x11, &[0; 12]), HeaderError::Unsupported),
        (v2(0x21, 0x12, &[0; 12]), HeaderError::Unsupported),
        (v2(0x21, 0x13, &[0; 12]), HeaderError::Unsupported),
        (v2(0x21, 0x41, &[0; 12]), HeaderError::Unsupported),
        (v2(0x21, 0x11, &[0; 11]), HeaderError::Malformed),
        (v2(0x21, 0x21, &[0; 35]), HeaderError::Malformed),
        (v2(0x21, 0x31, &[0; 215]), HeaderError::Malformed),
        (v2(0x21, 0x11, &vec![0; MAX_V2 - 15]), HeaderError::TooLong),
    ] {
        assert_eq!(parse(&header, Versions::Any), Err(error));
        assert_eq!(byte_by_byte(&header, Versions::Any), Err(error));
    }
}

/// What headers are made of.
const FRAGMENTS: &[&[u8]] = &[
    b"PROXY ",
    b"TCP4",
    b"TCP6",
    b"UNKNOWN",
    b" ",
    b"1.2.3.4",
    b"::1",
    b"80",
    b"\r\n",
    b"\r",
    b"\n",
    b"0",
    SIGNATURE,
    b"\x21",
    b"\x20",
    b"\x11",
    b"\x00\x0c",
    b"\x00\x00",
    b"\x01\x02\x03\x04",
    b"GET / HTTP/1.1",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let fragments = select(FRAGMENTS);
    prop_oneof![
        4 => vec(fragments, 0..16).prop_map(|parts| parts.concat()),
        1 => vec(any::<u8>(), 0..64),
        1 => (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..250))
            .prop_map(|(command, family, body)| v2(command, family, &body)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_does_not_matter_how_it_arrives(
        input in input(),
        versions in select(&[Versions::Any, Versions::V1, Versions::V2][..]),
    ) {
        let whole = parse(&input, versions);
        if let Ok(Progress::Complete(length, _)) = whole {
            prop_assert!(length <= input.len() && length <= MAX_V2);
        }
        prop_assert_eq!(byte_by_byte(&input, versions), whole);
        prop_assert_eq!(in_pieces(&input, versions), whole);
    }
}
