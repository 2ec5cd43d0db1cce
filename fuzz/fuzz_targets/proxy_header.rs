//! PROXY headers and forwarded fields: no panic, the same outcome however the bytes arrive, and nothing
//! read beyond the header.
//!
//! The first byte of the input chooses the versions.

#![no_main]

use eventlet_proxy::forwarded;
use eventlet_proxy::header::{MAX_V2, Progress, Versions, parse};
use eventlet_proxy::trusted::Trusted;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, input @ ..] = data else { return };
    let versions = [Versions::Any, Versions::V1, Versions::V2][usize::from(*choice) % 3];
    let whole = parse(input, versions);
    let mut known = 0;
    for end in 0..=input.len() {
        let outcome = parse(&input[..end], versions);
        match outcome {
            Ok(Progress::Incomplete(missing)) => {
                assert!(missing > 0);
                if end == known {
                    known = end + missing;
                }
            }
            final_one => {
                assert_eq!(final_one, whole);
                if let Ok(Progress::Complete(length, _)) = final_one {
                    assert_eq!(length, known);
                    assert!(length == end && length <= MAX_V2);
                }
                break;
            }
        }
    }
    let lines = || input.split(|&byte| byte == b'\n');
    let all: Vec<_> = lines().collect();
    if let Ok(trusted) = Trusted::new(["10.0.0.0/8", "::1"]) {
        let _ = forwarded::client(all.iter().copied(), &trusted);
    }
    let _ = forwarded::last(all.iter().copied());
    if let Some((host, _)) = forwarded::host(input) {
        assert!(!host.is_empty() && host.is_ascii());
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Trusted::new(text.split(' '));
    }
});
