//! The monotonic clock, as nanoseconds.

use std::time::Duration;

/// Deadlines further away than this are "never"; it keeps sums of nanoseconds far from overflow.
const FOREVER: f64 = 1.0e9;

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The same in seconds, as `time.monotonic` counts on this platform.
#[allow(clippy::cast_precision_loss)]
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1.0e9
}

/// The moment that Python gives in seconds.
pub fn from_seconds(seconds: f64) -> u64 {
    after(0, seconds)
}

/// The deadline that lies `seconds` after `now`; not finite or far away means never.
#[inline]
pub fn after(now: u64, seconds: f64) -> u64 {
    if seconds > 0.0 {
        if seconds < FOREVER {
            now + (seconds * 1.0e9) as u64
        } else {
            u64::MAX
        }
    } else {
        // NaN lands here too: it is due at once rather than never.
        now
    }
}

/// How long to sleep until `deadline`.
#[inline]
pub fn until(now: u64, deadline: u64) -> Duration {
    Duration::from_nanos(deadline.saturating_sub(now))
}
