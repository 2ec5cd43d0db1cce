//! Frames of a client or a server: no panic, the same outcome however the bytes arrive, and no message beyond the limit.
//!
//! The first three bytes of the input choose the limits, whether there is compression and which end receives, and a
//! place to split at.

#![no_main]

#[path = "../../crates/websocket/tests/common/mod.rs"]
mod common;

use common::decode_as;
use eventlet_websocket::deflate::Parameters;
use eventlet_websocket::{Limits, Role};
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
    let role = match flags & 8 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let whole = decode_as(role, input, [], limits, parameters);
    let split = usize::from(*split).min(input.len());
    assert_eq!(decode_as(role, input, [split], limits, parameters), whole);
    let bytewise = decode_as(role, input, 0..input.len(), limits, parameters);
    assert_eq!(bytewise, whole);
});
