//! Chunked bodies: no panic, the same outcome however the bytes arrive, and the same data as a plain
//! reading of the grammar.
//!
//! The first two bytes of the input choose the limits and a place to split at.

#![no_main]

#[path = "../../crates/http1/tests/common/mod.rs"]
mod common;

use common::{decode_in_pieces, reference_chunked};
use eventlet_http1::{BodyLength, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [size, split, input @ ..] = data else {
        return;
    };
    let limits = match size {
        0..=127 => Limits::default(),
        _ => Limits {
            header_line: usize::from(*size) / 8,
            header_count: usize::from(*size) / 40,
            chunk_line: usize::from(*size) / 10,
            chunk_extensions: usize::from(*size) / 6,
            body: u64::from(*size) / 4,
            trailers: usize::from(*size) / 4,
            ..Limits::default()
        },
    };
    let split = usize::from(*split).min(input.len());
    let whole = decode_in_pieces(BodyLength::Chunked, input, [], &limits);
    let halves = decode_in_pieces(BodyLength::Chunked, input, [split], &limits);
    assert_eq!(halves, whole);
    let bytewise = decode_in_pieces(BodyLength::Chunked, input, 0..input.len(), &limits);
    assert_eq!(bytewise, whole);
    let reference = reference_chunked(input);
    match whole.end {
        Ok(Some(used)) => assert_eq!(reference, Some((whole.data, used))),
        // The reference knows no limits.
        _ => assert!(reference.is_none() || limits != Limits::default() || input.len() > 4096),
    }
});
