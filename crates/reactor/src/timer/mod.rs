//! Timers, in a queue that inserts and cancels in constant time.
//!
//! [`TimerQueue`] joins three parts: the [`Nodes`] give every timer a place and a key, the
//! [`Wheel`] links the places into lists by deadline, and a plain array holds the values.
//!
//! Time is an argument. It is a count of nanoseconds on whatever monotonic clock the caller has,
//! and only ever compared. One that goes backwards does no harm; one that jumps far ahead of the
//! deadlines to come costs speed, as everything inserted then is overdue and shares one list.

mod key;
mod nodes;
mod wheel;

use nodes::{NIL, Nodes};
use wheel::{First, Wheel, tick};

pub use key::TimerKey;

/// Room for due timers that is kept from one [`TimerQueue::expire`] to the next.
const KEPT: usize = 1024;

/// Timers that carry a value, in order of deadline and then of insertion.
///
/// Each takes 20 bytes besides its `Option<T>`, which is as small as `T` if `T` has a niche, as
/// most enums and everything that holds a reference have.
///
/// ```
/// use eventlet_reactor::TimerQueue;
///
/// let mut timers = TimerQueue::new(0);
/// let early = timers.insert(1_000, "early");
/// timers.insert(2_000, "late");
/// timers.insert(2_000, "later");
/// assert_eq!(timers.next_deadline(), Some(1_000));
/// assert_eq!(timers.cancel(early), Some("early"));
/// assert_eq!(timers.cancel(early), None);
///
/// let mut due = Vec::new();
/// timers.expire(2_500, &mut due);
/// assert_eq!(due, ["late", "later"]);
/// ```
#[derive(Debug)]
pub struct TimerQueue<T> {
    nodes: Nodes,
    /// The values of the places, by the same index.
    values: Vec<Option<T>>,
    wheel: Wheel,
    /// Used by [`TimerQueue::expire`] and empty outside of it.
    due: Vec<Due>,
}

/// A timer that is about to fire. The fields are in order of significance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    deadline: u64,
    /// The position in its list, hence the order of insertion among equals.
    position: u32,
    index: u32,
}

impl<T> TimerQueue<T> {
    /// An empty queue whose clock stands at `now`.
    pub fn new(now: u64) -> TimerQueue<T> {
        TimerQueue {
            nodes: Nodes::new(),
            values: Vec::new(),
            wheel: Wheel::new(now),
            due: Vec::new(),
        }
    }

    /// How many timers are live.
    #[inline]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no timer is live.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a timer. One whose deadline has passed is due at the next [`TimerQueue::expire`].
    ///
    /// # Panics
    ///
    /// If there are 2³² - 1 timers.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let key = self.nodes.acquire(deadline);
        if let Some(place) = self.values.get_mut(key.index as usize) {
            *place = Some(value);
        } else {
            self.values.push(Some(value));
        }
        self.wheel.link(&mut self.nodes, key.index);
        key
    }

    /// Removes a timer and returns its value, unless it has fired or been cancelled already.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.nodes.find(key)?;
        self.wheel.unlink(&mut self.nodes, key.index);
        self.nodes.release(key.index);
        self.values[key.index as usize].take()
    }

    /// The value of a live timer.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.nodes.find(key)?;
        self.values[key.index as usize].as_ref()
    }

    /// The value of a live timer, to be changed.
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.nodes.find(key)?;
        self.values[key.index as usize].as_mut()
    }

    /// The deadline of a live timer.
    pub fn deadline(&self, key: TimerKey) -> Option<u64> {
        Some(self.nodes.find(key)?.deadline)
    }

    /// The earliest deadline, exactly.
    ///
    /// It is remembered, but for one case: after the earliest timer was cancelled, the next call
    /// walks the timers around it. A loop that sleeps should use [`TimerQueue::next_wakeup`].
    #[inline]
    pub fn next_deadline(&mut self) -> Option<u64> {
        self.wheel.earliest(&self.nodes)
    }

    /// When to call [`TimerQueue::expire`] next: the earliest deadline, or the time of one that
    /// was cancelled in the meantime and came before it.
    ///
    /// Never late. It may be early, and a sleep end with nothing to do, at the deadline of a timer
    /// that was cancelled while it came first; a handful of such times is remembered at most,
    /// however many timers are cancelled. In exchange it costs a few instructions on every turn of
    /// a loop, also where each turn cancels the earliest of many timers, as in a server whose idle
    /// connections time out.
    #[inline]
    pub fn next_wakeup(&mut self) -> Option<u64> {
        self.wheel.earliest_bound(&self.nodes)
    }

    /// Removes all timers with a deadline at or before `now`, and appends their values to `out`
    /// in order of deadline and then of insertion.
    #[inline]
    pub fn expire(&mut self, now: u64, out: &mut Vec<T>) {
        if !self.wheel.nothing_before(now) {
            self.turn(now, out);
        }
    }

    /// Turns the wheel to `now`.
    fn turn(&mut self, now: u64, out: &mut Vec<T>) {
        // The wheel does not turn back.
        let now = now.max(self.wheel.now());
        let target = tick(now);
        while let Some(first) = self.wheel.first().filter(|first| first.start <= target) {
            self.wheel.advance(first.start);
            if first.level > 0 {
                self.wheel.cascade(&mut self.nodes, first);
            } else if !self.fire(first, now, out) {
                break;
            }
        }
        self.wheel.advance(target);
        self.wheel.settle(now);
    }

    /// Fires what is due in the first slot, and tells whether that was all of it.
    fn fire(&mut self, first: First, now: u64, out: &mut Vec<T>) -> bool {
        let mut due = std::mem::take(&mut self.due);
        let mut later = None;
        let mut sorted = true;
        let mut last = 0;
        let mut index = self.wheel.list(first).head;
        while index != NIL {
            let node = *self.nodes.get(index);
            let deadline = node.deadline;
            if deadline <= now {
                sorted &= last <= deadline;
                last = deadline;
                due.push(Due {
                    deadline,
                    position: due.len() as u32,
                    index,
                });
            } else {
                later = Some(later.map_or(deadline, |at| deadline.min(at)));
            }
            index = node.next;
        }

        if let Some(at) = later {
            for timer in &due {
                self.wheel.unlink(&mut self.nodes, timer.index);
            }
            self.wheel.set_earliest(first, at);
        } else {
            self.wheel.take(first);
        }

        if !sorted {
            due.sort_unstable();
        }
        for timer in due.drain(..) {
            self.nodes.release(timer.index);
            out.extend(self.values[timer.index as usize].take());
        }
        due.shrink_to(KEPT);
        self.due = due;
        later.is_none()
    }

    /// Every live timer, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (TimerKey, u64, &T)> {
        self.values.iter().enumerate().filter_map(|(index, value)| {
            let index = index as u32;
            Some((
                self.nodes.key(index),
                self.nodes.get(index).deadline,
                value.as_ref()?,
            ))
        })
    }

    /// Removes every timer and appends the values to `out`, in no particular order.
    pub fn drain(&mut self, out: &mut Vec<T>) {
        out.reserve(self.len());
        self.wheel.clear();
        for (index, value) in self.values.iter_mut().enumerate() {
            if let Some(value) = value.take() {
                self.nodes.release(index as u32);
                out.push(value);
            }
        }
    }

    /// Removes every timer and drops the values.
    pub fn clear(&mut self) {
        self.drain(&mut Vec::new());
    }

    /// Gives the memory back if no timer is live. Old keys stay stale.
    pub fn shrink_to_fit(&mut self) {
        if self.is_empty() {
            self.nodes.release_memory();
            self.values = Vec::new();
        }
    }
}
