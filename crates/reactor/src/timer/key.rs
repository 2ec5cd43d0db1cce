//! Names of timers.

/// Names one timer of one [`TimerQueue`](super::TimerQueue).
///
/// It is a plain number, so it can be stored anywhere and outlive its timer: a key whose timer has
/// fired or was cancelled names nothing, even when its place has been taken by another. (Places
/// count their tenants modulo 2³¹, so a key that is kept over two billion timers in one place
/// might be mistaken.)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerKey {
    /// The place in the queue.
    pub(super) index: u32,
    /// Which tenant of that place: odd for a timer, even for none.
    pub(super) generation: u32,
}

impl TimerKey {
    /// A key that never names a timer. Its bits are zero.
    pub const NONE: TimerKey = TimerKey {
        index: 0,
        generation: 0,
    };

    /// The key as one number, for storage outside of Rust.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`TimerKey::to_bits`]. Any other number makes a key that most likely names
    /// nothing, and does no harm.
    #[inline]
    pub const fn from_bits(bits: u64) -> TimerKey {
        TimerKey {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

impl Default for TimerKey {
    fn default() -> TimerKey {
        TimerKey::NONE
    }
}
