//! What a registration asks for: which directions, and how often they are reported.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// The directions in which the owner of a file descriptor wants to make progress.
///
/// A small set with two members, combined with `|`.
///
/// ```
/// use eventlet_reactor::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert_eq!(both, Interest::BOTH);
/// assert_eq!(both.remove(Interest::READABLE), Interest::WRITABLE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Neither direction. A registration with it stays known and is not reported, except that an
    /// `epoll` may still tell of an error or a hang-up, once.
    pub const NONE: Interest = Interest(0);
    /// Input can be read, a connection accepted, or the end of the stream seen.
    pub const READABLE: Interest = Interest(1);
    /// Output can be written, or a connection attempt has ended.
    pub const WRITABLE: Interest = Interest(2);
    /// Both directions.
    pub const BOTH: Interest = Interest(3);

    /// Whether every direction of `other` is in `self`.
    #[inline]
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// The directions in either set.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// The directions of `self` that are not in `other`.
    #[inline]
    #[must_use]
    pub const fn remove(self, other: Interest) -> Interest {
        Interest(self.0 & !other.0)
    }

    /// Whether no direction is left.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether reading is among the directions.
    #[inline]
    pub const fn is_readable(self) -> bool {
        self.contains(Interest::READABLE)
    }

    /// Whether writing is among the directions.
    #[inline]
    pub const fn is_writable(self) -> bool {
        self.contains(Interest::WRITABLE)
    }
}

impl BitOr for Interest {
    type Output = Interest;

    #[inline]
    fn bitor(self, other: Interest) -> Interest {
        self.union(other)
    }
}

impl BitOrAssign for Interest {
    #[inline]
    fn bitor_assign(&mut self, other: Interest) {
        *self = self.union(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.is_readable(), self.is_writable()) {
            (true, true) => "READABLE | WRITABLE",
            (true, false) => "READABLE",
            (false, true) => "WRITABLE",
            (false, false) => "NONE",
        })
    }
}

/// How often a ready direction is reported.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trigger {
    /// Once, when the direction becomes ready. The owner must try the operation until it would
    /// block before it waits again, and then call [`Poller::rearm`](crate::Poller::rearm) if the
    /// poller [needs it](crate::Poller::needs_rearm).
    Edge,
    /// At every wait for as long as the direction is ready.
    Level,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_set() {
        let (none, r, w, both) = (
            Interest::NONE,
            Interest::READABLE,
            Interest::WRITABLE,
            Interest::BOTH,
        );
        assert_eq!(r | w, both);
        assert_eq!(r.union(r), r);
        assert_eq!(both.remove(w), r);
        assert_eq!(r.remove(w), r);
        assert!(both.contains(r) && both.contains(both) && r.contains(none));
        assert!(!r.contains(both) && !r.contains(w));
        assert!(none.is_empty() && !r.is_empty());
        assert!(r.is_readable() && !r.is_writable() && both.is_writable());
        let mut set = none;
        set |= w;
        assert_eq!(set, w);
        assert_eq!(
            format!("{both:?} {none:?} {r:?} {w:?}"),
            "READABLE | WRITABLE NONE READABLE WRITABLE"
        );
    }
}
