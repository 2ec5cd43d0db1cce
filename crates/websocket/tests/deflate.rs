//! permessage-deflate: the examples of RFC 7692, negotiation, and what memory it takes.

mod common;

use common::decode_as;
use eventlet_websocket::deflate::{Deflater, Inflater, Parameters};
use eventlet_websocket::{Codec, Error, Event, Limits, MessageKind, Role};

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn agreed(header: &str) -> Parameters {
    Parameters::accept(header).expect("acceptable")
}

fn deflated(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflater.deflate(payload, true, &mut out);
    out
}

#[test]
fn the_examples_of_the_standard() {
    let mut keeping = Deflater::new(agreed("permessage-deflate"), Role::Server);
    assert_eq!(
        deflated(&mut keeping, b"Hello"),
        b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    );
    assert_eq!(deflated(&mut keeping, b"Hello"), b"\xf2\x00\x11\x00\x00");

    let header = "permessage-deflate; server_no_context_takeover";
    let mut forgetting = Deflater::new(agreed(header), Role::Server);
    assert!(!forgetting.is_allocated());
    for _ in 0..2 {
        assert_eq!(
            deflated(&mut forgetting, b"Hello"),
            b"\xf2\x48\xcd\xc9\xc9\x07\x00"
        );
        assert!(!forgetting.is_allocated());
    }

    // A block without compression, two blocks, and one that says it is the last.
    for payload in [
        &b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"[..],
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    ] {
        let mut inflater = Inflater::new(agreed("permessage-deflate"), Role::Server);
        for _ in 0..2 {
            let mut out = Vec::new();
            for byte in payload {
                inflater.inflate(&[*byte], 5, &mut out).expect("valid");
            }
            inflater.finish(5, &mut out).expect("valid");
            assert_eq!(out, b"Hello");
        }
    }
}

#[test]
fn offers_and_answers() {
    for (offer, answer) in [
        ("permessage-deflate", Some("permessage-deflate")),
        ("PerMessage-DEFLATE;", Some("permessage-deflate")),
        ("x-webkit-deflate-frame", None),
        ("", None),
        (
            "permessage-deflate; client_max_window_bits",
            Some("permessage-deflate; client_max_window_bits=15"),
        ),
        (
            "permessage-deflate; Server_Max_Window_Bits = \"10\"; client_no_context_takeover",
            Some("permessage-deflate; client_no_context_takeover; server_max_window_bits=10"),
        ),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=09", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        (
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            None,
        ),
        (
            "permessage-deflate; unknown, permessage-deflate; server_no_context_takeover",
            Some("permessage-deflate; server_no_context_takeover"),
        ),
    ] {
        let accepted = Parameters::accept(offer).map(|agreed| agreed.to_string());
        assert_eq!(accepted.as_deref(), answer, "{offer}");
    }
}

#[test]
fn a_client_checks_the_answer() {
    let plain = Parameters::default();
    let bits = agreed("permessage-deflate; client_max_window_bits");
    let narrow = agreed("permessage-deflate; server_max_window_bits=10");
    let forgetful = agreed("permessage-deflate; server_no_context_takeover");
    for (offer, answer, fits) in [
        (
            plain,
            "permessage-deflate; client_no_context_takeover",
            true,
        ),
        (plain, "permessage-deflate; server_max_window_bits=9", true),
        (plain, "permessage-deflate; client_max_window_bits=9", false),
        (plain, "permessage-deflate; server_max_window_bits", false),
        (plain, "permessage-deflate, permessage-deflate", false),
        (plain, "permessage-bzip2", false),
        (bits, "permessage-deflate; client_max_window_bits=8", true),
        (narrow, "permessage-deflate", false),
        (
            narrow,
            "permessage-deflate; server_max_window_bits=10",
            true,
        ),
        (forgetful, "permessage-deflate", false),
    ] {
        assert_eq!(offer.agree(answer).is_ok(), fits, "{offer}: {answer}");
    }
    assert_eq!(plain.agree(""), Ok(None));
}

/// Sends each of `messages` from one end to the other.
fn exchange(from: &mut Codec, to: &mut Codec, messages: &[&[u8]]) {
    let key = (from.role() == Role::Client).then_some([9, 8, 7, 6]);
    for message in messages {
        let mut wire = Vec::new();
        from.message(MessageKind::Binary, message, (true, true), key, &mut wire);
        let (used, event) = to.decode(&mut wire).expect("valid");
        let event = event.expect("a message");
        assert_eq!(
            event,
            Event::Message {
                kind: MessageKind::Binary,
                payload: (*message).into()
            }
        );
        drop(event);
        assert_eq!(used, wire.len());
    }
}

#[test]
fn every_window_and_takeover_both_ways() {
    let mut noise = 1_u32;
    let random: Vec<u8> = (0..100_000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .collect();
    let dull = b"the same thing again and again; ".repeat(3000);
    let messages: [&[u8]; 6] = [b"a", &dull, b"", &random, &dull, b"a"];
    for bits in 8..=15 {
        for takeover in [
            "",
            "; server_no_context_takeover; client_no_context_takeover",
        ] {
            let header = format!(
                "permessage-deflate; server_max_window_bits={bits}; \
                 client_max_window_bits={bits}{takeover}"
            );
            let agreed = agreed(&header);
            let mut server = Codec::new(Role::Server, Limits::default(), Some(agreed));
            let mut client = Codec::new(Role::Client, Limits::default(), Some(agreed));
            exchange(&mut client, &mut server, &messages);
            exchange(&mut server, &mut client, &messages);
            if !takeover.is_empty() || bits == 8 {
                assert!(!server.has_deflate_state(), "{header}");
                assert!(!client.has_deflate_state(), "{header}");
            } else {
                assert!(server.has_deflate_state(), "{header}");
            }
        }
    }
}

#[test]
fn fragments_are_one_stream() {
    let agreed = agreed("permessage-deflate; client_no_context_takeover");
    let mut client = Codec::new(Role::Client, Limits::default(), Some(agreed));
    let mut server = Codec::new(Role::Server, Limits::default(), Some(agreed));
    let mut wire = Vec::new();
    for round in 0..2 {
        let parts = ["one, ", "two, ", "", "three"];
        for (index, part) in parts.iter().enumerate() {
            let place = (index == 0, index == parts.len() - 1);
            client.message(MessageKind::Text, part.as_bytes(), place, KEY, &mut wire);
            assert_eq!(client.has_deflate_state(), !place.1, "{round}");
        }
    }
    let mut at = 0;
    for _ in 0..2 {
        let (used, event) = server.decode(&mut wire[at..]).expect("valid");
        let payload = b"one, two, three"[..].into();
        let kind = MessageKind::Text;
        assert_eq!(event, Some(Event::Message { kind, payload }));
        at += used;
    }
    assert_eq!(at, wire.len());
}

#[test]
fn a_bomb_does_not_go_off() {
    let agreed = agreed("permessage-deflate");
    let mut client = Codec::new(Role::Client, Limits::default(), Some(agreed));
    let mut wire = Vec::new();
    let zeros = vec![0; 8 << 20];
    client.message(MessageKind::Binary, &zeros, (true, true), KEY, &mut wire);
    assert!(wire.len() < 100_000);
    let limits = Limits {
        message: 100_000,
        ..Limits::default()
    };
    let mut server = Codec::new(Role::Server, limits, Some(agreed));
    let error = server.decode(&mut wire).expect_err("too long");
    assert_eq!(error, Error::MessageTooLong { limit: 100_000 });
    assert_eq!(error.close_code(), 1009);
    assert!(server.memory() < 1024);
}

#[test]
fn exactly_the_limit_is_fine() {
    let agreed = agreed("permessage-deflate");
    for (size, fits) in [(50_000, true), (50_001, false)] {
        let mut client = Codec::new(Role::Client, Limits::default(), Some(agreed));
        let mut wire = Vec::new();
        let payload = vec![b'x'; size];
        client.message(MessageKind::Binary, &payload, (true, true), KEY, &mut wire);
        let limits = Limits {
            frame: 50_000,
            message: 50_000,
        };
        let mut server = Codec::new(Role::Server, limits, Some(agreed));
        assert_eq!(server.decode(&mut wire).is_ok(), fits);
    }
}

#[test]
fn garbage_is_refused() {
    let agreed = agreed("permessage-deflate");
    let mut server = Codec::new(Role::Server, Limits::default(), Some(agreed));
    let mut wire = b"\xc2\x84\0\0\0\0\xff\xff\xff\xff".to_vec();
    let error = server.decode(&mut wire).expect_err("no deflate stream");
    assert_eq!(error, Error::InvalidDeflate);
    assert_eq!(error.close_code(), 1007);
}

/// What comes first counts, however much of it is looked at.
#[test]
fn a_bomb_that_is_broken_behind_the_limit() {
    let limits = Limits {
        frame: 8,
        message: 28,
    };
    let parameters = Some(Parameters::default());
    let payload = b"\xf2\x48\xc1\x0d\x03\x00\xff";
    for (role, head) in [
        (Role::Server, &b"\xc1\x87\0\0\0\0"[..]),
        (Role::Client, b"\xc1\x07"),
    ] {
        let input = [head, payload].concat();
        let refused = (Vec::new(), Some(Error::MessageTooLong { limit: 28 }));
        assert_eq!(decode_as(role, &input, [], limits, parameters), refused);
        let ends = 0..input.len();
        assert_eq!(decode_as(role, &input, ends, limits, parameters), refused);
    }
}
