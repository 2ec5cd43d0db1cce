//! Frames of a client: no panic, the same outcome however the bytes arrive, and no message beyond the limit.
//!
//! The first three bytes of the input choose the limits, whether there is compression, and a place to split at.

#![no_main]

#[path = "../../crates/websocket/tests/common/mod.rs"]
mod common;

use common::decode_in_pieces;
use eventlet_websocket::Limits;
use eventlet_websocket::deflate::Parameters;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [size, flags, split, input @ ..] = data else {
        return;
    };
    let limits = match size {
        0..=127 => Limits::default(),
        _ => Limits {
            frame: u64::from(*size) - 120,
            message: u64::from(*size) - 100,
        },
    };
    let parameters = (flags & 1 != 0).then(|| Parameters {
        client_max_window_bits: (flags & 2 != 0).then_some(8 + (flags >> 4) % 8),
        client_no_context_takeover: flags & 4 != 0,
        ..Parameters::default()
    });
    let whole = decode_in_pieces(input, [], limits, parameters);
    let split = usize::from(*split).min(input.len());
    assert_eq!(decode_in_pieces(input, [split], limits, parameters), whole);
    let bytewise = decode_in_pieces(input, 0..input.len(), limits, parameters);
    assert_eq!(bytewise, whole);
});
