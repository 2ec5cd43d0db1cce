//! The monotonic clock, as nanoseconds.

#[cfg(target_os = "linux")]
use std::sync::OnceLock;
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

/// How long it is until `deadline`.
#[inline]
pub fn until(now: u64, deadline: u64) -> Duration {
    Duration::from_nanos(deadline.saturating_sub(now))
}

/// How long to have the kernel sleep until `deadline`.
///
/// It may take its slack longer to find company for the timer, and mostly does. So it gets that much less to do,
/// and whoever calls looks at the clock afterwards, and sleeps again if there was company at once.
#[inline]
pub fn nap(now: u64, deadline: u64) -> Duration {
    shortened(until(now, deadline), slack())
}

/// A sleep without the slack, unless hardly anything would be left.
fn shortened(sleep: Duration, slack: Duration) -> Duration {
    if sleep > 2 * slack {
        sleep.saturating_sub(slack)
    } else {
        sleep
    }
}

/// By how much the kernel may prolong the sleeps of this process.
#[cfg(target_os = "linux")]
fn slack() -> Duration {
    static SLACK: OnceLock<Duration> = OnceLock::new();
    *SLACK.get_or_init(|| {
        // SAFETY: it takes no further arguments.
        let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
        Duration::from_nanos(u64::try_from(slack).unwrap_or(0))
    })
}

/// Nothing is known of it elsewhere.
#[cfg(not(target_os = "linux"))]
fn slack() -> Duration {
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::{Duration, shortened};

    #[test]
    fn a_sleep_is_shortened_by_the_slack() {
        let micros = Duration::from_micros;
        assert_eq!(shortened(micros(10_000), micros(50)), micros(9950));
        assert_eq!(shortened(micros(101), micros(50)), micros(51));
    }

    #[test]
    fn a_short_one_is_not() {
        let micros = Duration::from_micros;
        assert_eq!(shortened(micros(100), micros(50)), micros(100));
        assert_eq!(shortened(micros(0), micros(50)), micros(0));
        assert_eq!(shortened(micros(7), micros(0)), micros(7));
    }
}
