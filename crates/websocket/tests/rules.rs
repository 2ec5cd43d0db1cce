//! The rules of RFC 6455, one by one; each input also byte by byte and in every two parts.

mod common;

use common::{copy_whole, decode_every_way, frame};
use eventlet_websocket::deflate::Parameters;
use eventlet_websocket::{Decoder, Error, Limits, Role};

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

fn outcome(input: &[u8]) -> (Vec<String>, Option<Error>) {
    let limits = Limits {
        frame: 70_000,
        message: 100_000,
    };
    decode_every_way(input, limits, None)
}

#[test]
fn valid_frames() {
    let (events, error) = outcome(
        &[
            // The example of section 5.7.
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec(),
            frame(0x01, &"zwei Stücke: \u{1f40d}".as_bytes()[..15], KEY),
            frame(0x89, b"ping", KEY),
            frame(0x80, &"zwei Stücke: \u{1f40d}".as_bytes()[15..], KEY),
            frame(0x8a, b"", KEY),
            frame(0x82, &[0; 300], KEY),
            frame(0x88, b"\x03\xe9away", KEY),
            frame(0x81, b"not looked at", KEY),
        ]
        .concat(),
    );
    assert_eq!(error, None);
    assert_eq!(events.len(), 6);
    assert!(
        events[0].contains("[72, 101, 108, 108, 111]"),
        "{}",
        events[0]
    );
    assert!(events[1].starts_with("Ping("), "{}", events[1]);
    assert!(
        events[2].starts_with("Message { kind: Text"),
        "{}",
        events[2]
    );
    assert!(
        events[5].contains(r#"Some((1001, "away"))"#),
        "{}",
        events[5]
    );
}

#[test]
fn what_is_refused() {
    for (input, error, code) in [
        (frame(0x83, b"", KEY), Error::ReservedOpcode(3), 1002),
        (frame(0x8b, b"", KEY), Error::ReservedOpcode(11), 1002),
        (frame(0xc1, b"", KEY), Error::ReservedBit, 1002),
        (frame(0xa1, b"", KEY), Error::ReservedBit, 1002),
        (frame(0x91, b"", KEY), Error::ReservedBit, 1002),
        (frame(0x09, b"", KEY), Error::FragmentedControl, 1002),
        (frame(0x89, &[0; 126], KEY), Error::ControlTooLong, 1002),
        (frame(0x81, b"", None), Error::Unmasked, 1002),
        (frame(0x80, b"", KEY), Error::UnexpectedContinuation, 1002),
        (
            [frame(0x01, b"a", KEY), frame(0x81, b"b", KEY)].concat(),
            Error::UnexpectedMessage,
            1002,
        ),
        (b"\x82\xfe\x00\x7d".to_vec(), Error::NonMinimalLength, 1002),
        (
            b"\x82\xff\0\0\0\0\0\0\xff\xff".to_vec(),
            Error::NonMinimalLength,
            1002,
        ),
        (
            b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(),
            Error::InvalidLength,
            1002,
        ),
        (frame(0x88, b"\x03", KEY), Error::TruncatedClose, 1002),
        (
            frame(0x88, b"\x03\xed", KEY),
            Error::InvalidCloseCode(1005),
            1002,
        ),
        (
            frame(0x88, b"\x03\xe8\xc3", KEY),
            Error::InvalidCloseReason,
            1007,
        ),
        (frame(0x81, b"\xed\xa0\x80", KEY), Error::InvalidUtf8, 1007),
        (frame(0x81, b"\xe2\x82", KEY), Error::InvalidUtf8, 1007),
    ] {
        let (events, found) = outcome(&input);
        assert_eq!(found, Some(error), "{input:02x?}");
        assert_eq!(found.map(|error| error.close_code()), Some(code));
        assert_eq!(events, Vec::<String>::new());
    }
}

#[test]
fn limits_are_for_frames_and_messages() {
    let limits = Limits {
        frame: 10,
        message: 15,
    };
    let refused = |input: &[u8]| decode_every_way(input, limits, None).1;
    assert_eq!(refused(&frame(0x82, &[0; 10], KEY)), None);
    let error = Error::FrameTooLong {
        length: 11,
        limit: 10,
    };
    assert_eq!(refused(&frame(0x82, &[0; 11], KEY)), Some(error));
    let begun = frame(0x02, &[0; 10], KEY);
    assert_eq!(
        refused(&[&*begun, &frame(0x80, &[0; 5], KEY)].concat()),
        None
    );
    let error = Error::MessageTooLong { limit: 15 };
    assert_eq!(
        refused(&[&*begun, &frame(0x80, &[0; 6], KEY)].concat()),
        Some(error)
    );
    // Control frames have a limit of their own.
    assert_eq!(refused(&frame(0x89, &[0; 125], KEY)), None);
}

#[test]
fn what_can_be_copied_as_it_is() {
    let limits = Limits {
        frame: 70_000,
        message: 66_000,
    };
    let new = |role| Decoder::new(role, limits, Some(Parameters::default()));
    let copied = |input: &[u8]| copy_whole(&new(Role::Server), input);

    for length in [0, 5, 125, 126, 2000, 65_536] {
        let payload = vec![b'x'; length];
        for first in [0x81, 0x82] {
            let message = frame(first, &payload, KEY);
            let expected = Some((message.len(), payload.clone()));
            assert_eq!(copied(&message), expected);
            assert_eq!(copied(&[&*message, b"\x81"].concat()), expected);
            assert_eq!(copied(&message[..message.len() - 1]), None, "incomplete");
        }
    }
    let binary = frame(0x82, b"\xff\x00", KEY);
    assert_eq!(copied(&binary), Some((binary.len(), b"\xff\x00".to_vec())));
    let unmasked = frame(0x81, b"Hello", None);
    assert_eq!(
        copy_whole(&new(Role::Client), &unmasked),
        Some((unmasked.len(), b"Hello".to_vec()))
    );

    let refused = [
        (
            "text that is not ASCII",
            frame(0x81, "\u{e4}".as_bytes(), KEY),
        ),
        ("a fragment", frame(0x01, b"a", KEY)),
        ("a continuation", frame(0x80, b"a", KEY)),
        ("a compressed message", frame(0xc1, b"a", KEY)),
        ("a control frame", frame(0x89, b"a", KEY)),
        ("too long", frame(0x82, &vec![0; 66_001], KEY)),
        ("unmasked", unmasked),
        ("nothing", Vec::new()),
    ];
    for (what, input) in refused {
        assert_eq!(copied(&input), None, "{what}");
    }

    let message = frame(0x81, b"Hello", KEY);
    let begun = [
        ("within a message", frame(0x01, b"a", KEY)),
        ("within a header", message[..3].to_vec()),
        ("within a payload", message[..8].to_vec()),
        ("after the end", frame(0x88, b"", KEY)),
    ];
    for (what, mut input) in begun {
        let mut decoder = new(Role::Server);
        decoder.decode(&mut input).expect("it is right so far");
        assert_eq!(copy_whole(&decoder, &message), None, "{what}");
    }
}
