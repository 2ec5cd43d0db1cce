//! Feeding a decoder in pieces.

#![allow(dead_code, reason = "each test uses some of it")]

use eventlet_websocket::deflate::Parameters;
use eventlet_websocket::{Decoder, Error, Event, FrameHeader, Limits, Role, mask};

/// The events that a client's bytes have brought, as text, and the error at the end if there was one.
pub type Outcome = (Vec<String>, Option<Error>);

/// A frame with any first byte.
pub fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader {
        fin: true,
        compressed: false,
        opcode: eventlet_websocket::Opcode::Binary,
        mask: key,
        length: payload.len() as u64,
    };
    let (bytes, length) = header.encode();
    let mut frame = bytes[..length].to_vec();
    frame[0] = first;
    frame.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut frame[length..], key, 0);
    }
    frame
}

/// Hands the pieces of `input` between `ends` to a server's decoder, one after the other.
pub fn decode_in_pieces(
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: Limits,
    parameters: Option<Parameters>,
) -> Outcome {
    decode_as(Role::Server, input, ends, limits, parameters)
}

/// As [`decode_in_pieces`], to the decoder of either end.
pub fn decode_as(
    role: Role,
    input: &[u8],
    ends: impl IntoIterator<Item = usize>,
    limits: Limits,
    parameters: Option<Parameters>,
) -> Outcome {
    let mut decoder = Decoder::new(role, limits, parameters);
    let mut events = Vec::new();
    let mut input = input.to_vec();
    let mut at = 0;
    for end in ends.into_iter().chain([input.len()]) {
        let piece = &mut input[at..end];
        let mut used = 0;
        loop {
            let copied = copy_whole(&decoder, &piece[used..]);
            match decoder.decode(&mut piece[used..]) {
                Ok((more, event)) => {
                    used += more;
                    assert!(event.is_some() || used == piece_length(at, end));
                    let Some(event) = event else { break };
                    if let Some((length, payload)) = copied {
                        assert_eq!(length, more);
                        assert_eq!(message(&event), Some(payload.as_slice()));
                    }
                    if let Event::Message { payload, .. } = &event {
                        assert!(payload.len() as u64 <= limits.message);
                    }
                    let is_end = matches!(event, Event::Close { .. });
                    events.push(format!("{event:?}"));
                    if is_end {
                        // Whatever comes behind it is not looked at.
                        assert_eq!(decoder.decode(&mut [0xff; 9]), Ok((9, None)));
                        return (events, None);
                    }
                }
                Err(error) => {
                    assert_eq!(copied, None);
                    assert_eq!(decoder.decode(&mut [0xff; 9]), Ok((9, None)));
                    assert!(decoder.heap_size() < 300, "nothing is kept after an error");
                    return (events, Some(error));
                }
            }
        }
        at = end;
    }
    (events, None)
}

/// The message that `input` begins with if it can be copied as it is, and how much of the input it takes.
pub fn copy_whole(decoder: &Decoder, input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let whole = decoder.whole(input)?;
    let mut payload = vec![0; whole.payload.len()];
    let copied = whole.copy_to(&mut payload, |byte| byte, input);
    copied.then_some((whole.payload.end, payload))
}

fn message<'a>(event: &'a Event<'_>) -> Option<&'a [u8]> {
    match event {
        Event::Message { payload, .. } => Some(payload),
        _ => None,
    }
}

fn piece_length(start: usize, end: usize) -> usize {
    end - start
}

/// Decodes `input` at once; checks that byte by byte and every split in two give the same.
pub fn decode_every_way(input: &[u8], limits: Limits, parameters: Option<Parameters>) -> Outcome {
    let whole = decode_in_pieces(input, [], limits, parameters);
    let bytewise = decode_in_pieces(input, 0..input.len(), limits, parameters);
    assert_eq!(bytewise, whole, "byte by byte: {input:02x?}");
    for split in 0..input.len() {
        let halves = decode_in_pieces(input, [split], limits, parameters);
        assert_eq!(halves, whole, "split at {split}: {input:02x?}");
    }
    whole
}
