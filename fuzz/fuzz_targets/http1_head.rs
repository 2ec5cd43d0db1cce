//! Request heads: no panic, the same outcome however the bytes arrive, a bounded buffer, and nothing
//! accepted that another parser reads differently.
//!
//! The first two bytes of the input choose the limits and a place to split at.

#![no_main]

#[path = "../../crates/http1/tests/common/mod.rs"]
mod common;

use common::parse_in_pieces;
use eventlet_http1::{HeadParser, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [size, split, input @ ..] = data else {
        return;
    };
    let limits = match size {
        0..=127 => Limits::default(),
        _ => Limits {
            request_line: usize::from(*size) / 8,
            header_line: usize::from(*size) / 10,
            head: usize::from(*size),
            header_count: usize::from(*size) / 40,
            body: u64::from(*size) / 2,
            ..Limits::default()
        },
    };
    let split = usize::from(*split).min(input.len());
    let whole = parse_in_pieces(input, [], &limits);
    assert_eq!(parse_in_pieces(input, [split], &limits), whole);
    assert_eq!(parse_in_pieces(input, 0..input.len(), &limits), whole);
    assert!(whole != Ok(None) || input.len() < limits.head);
    compare_with_httparse(input, &limits);
});

fn compare_with_httparse(input: &[u8], limits: &Limits) {
    let mut parser = HeadParser::new();
    let Ok(Some(length)) = parser.parse(input, limits) else {
        return;
    };
    let head = parser.head();
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut theirs = httparse::Request::new(&mut fields);
    if std::str::from_utf8(head.target(input)).is_err() {
        // httparse hands out targets as `str`.
        return;
    }
    let found = theirs.parse(input);
    assert_eq!(found, Ok(httparse::Status::Complete(length)));
    assert_eq!(theirs.method.map(str::as_bytes), Some(head.method(input)));
    assert_eq!(theirs.path.map(str::as_bytes), Some(head.target(input)));
    let theirs = theirs
        .headers
        .iter()
        .map(|field| (field.name.as_bytes(), field.value));
    assert!(theirs.eq(head.headers(input)));
}
