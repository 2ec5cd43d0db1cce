//! What holds for every input: however the bytes arrive, the events are the same, and what one end sends is what
//! the other receives.

mod common;

use common::{decode_every_way, decode_in_pieces, frame};
use eventlet_websocket::deflate::Parameters;
use eventlet_websocket::{Codec, Event, Limits, MessageKind, Opcode, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A frame that may be right or wrong.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..140),
        "\\PC{0,40}".prop_map(String::into_bytes),
        select(vec![
            b"\xf2\x48\xcd\xc9\xc9\x07\x00".to_vec(),
            b"\x03\xe8bye".to_vec(),
            b"\xf4\x90".to_vec(),
        ]),
    ];
    let first = prop_oneof![
        4 => select(vec![0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => select(vec![0x88, 0xc1, 0x41, 0xc0]),
        1 => any::<u8>(),
    ];
    (first, payload, any::<[u8; 4]>(), 0..20_u8).prop_map(|(first, payload, key, oddity)| {
        let mut bytes = frame(first, &payload, Some(key));
        if oddity == 0 {
            // Unmasked, or with another length.
            bytes[1] ^= 0x80;
        } else if oddity == 1 {
            bytes[1] = bytes[1].wrapping_add(1);
        }
        bytes
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        3 => Just(Limits::default()),
        1 => (1..200_u64, 1..300_u64).prop_map(|(frame, message)| Limits { frame, message }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn frames_in_any_pieces(
        frames in vec(any_frame(), 1..6),
        splits in vec(any::<Index>(), 0..8),
        limits in limits(),
        compressed: bool,
    ) {
        let input = frames.concat();
        let parameters = compressed.then(Parameters::default);
        let whole = decode_every_way(&input, limits, parameters);
        let mut ends: Vec<usize> = splits.iter().map(|at| at.index(input.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(decode_in_pieces(&input, ends, limits, parameters), whole);
    }

    #[test]
    fn noise_in_any_pieces(input in vec(any::<u8>(), 0..60), compressed: bool) {
        decode_every_way(&input, Limits::default(), compressed.then(Parameters::default));
    }

    #[test]
    fn what_is_sent_is_received(
        messages in vec((any::<bool>(), "\\PC{0,300}", vec(any::<Index>(), 0..4)), 1..5),
        bits in 8..=15_u8,
        resets: bool,
        compressed: bool,
        server: bool,
        key: [u8; 4],
    ) {
        let parameters = compressed.then_some(Parameters {
            client_max_window_bits: Some(bits),
            client_no_context_takeover: resets,
            server_max_window_bits: Some(bits),
            server_no_context_takeover: resets,
        });
        let (from, to) = if server {
            (Role::Server, Role::Client)
        } else {
            (Role::Client, Role::Server)
        };
        let key = (!server).then_some(key);
        let mut sender = Codec::new(from, Limits::default(), parameters);
        let mut receiver = Codec::new(to, Limits::default(), parameters);
        let mut wire = Vec::new();
        for (text, message, cuts) in &messages {
            let kind = if *text { MessageKind::Text } else { MessageKind::Binary };
            let bytes = message.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|at| at.index(bytes.len() + 1)).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let mut start = 0;
            for (index, end) in cuts.iter().enumerate() {
                let place = (index == 0, index == cuts.len() - 1);
                sender.message(kind, &bytes[start..*end], place, key, &mut wire);
                Codec::control(Opcode::Ping, b"between", key, &mut wire);
                start = *end;
            }
        }
        let mut received = Vec::new();
        let mut at = 0;
        while at < wire.len() {
            let (used, event) = receiver.decode(&mut wire[at..]).expect("valid");
            at += used;
            match event {
                Some(Event::Message { kind, payload }) => {
                    received.push((kind == MessageKind::Text, payload.into_owned()));
                }
                Some(Event::Ping(payload)) => prop_assert_eq!(&*payload, b"between"),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let sent: Vec<(bool, Vec<u8>)> = messages
            .into_iter()
            .map(|(text, message, _)| (text, message.into_bytes()))
            .collect();
        prop_assert_eq!(received, sent);
        prop_assert!(receiver.is_idle());
        prop_assert!(receiver.memory() < 1024);
    }
}
