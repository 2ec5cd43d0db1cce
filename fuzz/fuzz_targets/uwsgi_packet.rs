//! Packets of the uwsgi protocol: no panic, and the same outcome however the bytes arrive.
//!
//! The first two bytes of the input choose the limits.

#![no_main]

use eventlet_uwsgi::{Limits, content_length, parse, vars};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [size, count, input @ ..] = data else {
        return;
    };
    let limits = Limits {
        size: usize::from(*size) * 300,
        count: usize::from(*count),
    };
    let whole = parse(input, &limits);
    let early = (0..input.len())
        .map(|end| parse(&input[..end], &limits))
        .find(|outcome| *outcome != Ok(None));
    assert!(early.is_none_or(|outcome| outcome == whole));
    if let Ok(Some(length)) = whole {
        let packet = &input[..length];
        assert!(content_length(packet).is_ok());
        assert!(vars(packet).count() <= limits.count);
    }
});
