//! The hierarchical timing wheel.
//!
//! # Geometry
//!
//! Time is cut into ticks of 2¹⁶ ns (65.5 µs), and the number of a tick is read as eight digits
//! of six bits. A timer sits at the level of the *highest digit in which its tick differs from
//! the wheel's*, in the slot named by its own digit there:
//!
//! ```text
//! level      0        1        2       3       4      5       6       7
//! slot is    65.5 µs  4.2 ms   268 ms  17.2 s  18 min 19.5 h  52 days 9.1 years
//! ```
//!
//! Eight levels cover all 64 bits of a deadline, so there is no list for what lies too far ahead.
//! A timer that is overdue sits in the slot of the wheel's own tick.
//!
//! Three facts follow, and everything here rests on them:
//!
//! 1. The slot of a timer is a function of its deadline and the wheel's tick ([`Wheel::place`]).
//!    It need not be stored, and timers with equal deadlines always share a slot.
//! 2. Everything at one level is earlier than everything at the next, and within a level slots
//!    are in order: at a lower slot than the wheel's own digit there is nothing. The earliest slot
//!    is found by counting zeros in two words.
//! 3. When the wheel enters a slot of a higher level, all levels below are empty; its timers are
//!    moved there in list order. Together with 1 this keeps equal deadlines in the order of
//!    insertion, with no sequence number.
//!
//! # The earliest deadline
//!
//! A slot is a list without order, so its earliest deadline takes a walk. It is remembered for
//! the first slot of each level, as a [`Bound`]: each list is then walked once for it on each
//! level that its timers pass through, however often the levels below come and go. Cancelling the
//! earliest timer leaves a bound that is too low, which is put right when somebody insists on the
//! exact value, or when time gets there.

use super::nodes::{NIL, Nodes};

/// Nanoseconds to a tick, as a power of two.
const TICK_BITS: u32 = 16;
/// Bits to a digit.
const DIGIT_BITS: u32 = 6;
/// Slots to a level.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Levels to cover 64 bits.
const LEVELS: usize = ((64 - TICK_BITS) / DIGIT_BITS) as usize;

/// The tick of a time.
pub(super) const fn tick(time: u64) -> u64 {
    time >> TICK_BITS
}

/// A doubly linked list through the places of its timers.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NIL,
    tail: NIL,
};

/// What is known of the earliest deadline at a level that has timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    /// Nothing.
    Unknown,
    /// It is not before this.
    AtLeast(u64),
    /// It is this.
    Exactly(u64),
}

/// The earliest slot that has timers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct First {
    pub(super) level: usize,
    slot: usize,
    /// The first tick of the slot.
    pub(super) start: u64,
}

/// The slots. The timers themselves are in [`Nodes`], which every method is given.
#[derive(Debug)]
pub(super) struct Wheel {
    /// The tick the wheel has reached. Nothing is due before it except in its own slot.
    elapsed: u64,
    /// Which levels have timers.
    levels: u32,
    /// Which slots of each level have timers.
    occupied: [u64; LEVELS],
    /// Of the levels that have timers; stale for the others.
    bounds: [Bound; LEVELS],
    slots: Box<[List; LEVELS * SLOTS]>,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Wheel {
        Wheel {
            elapsed: tick(now),
            levels: 0,
            occupied: [0; LEVELS],
            bounds: [Bound::Unknown; LEVELS],
            slots: Box::new([EMPTY; LEVELS * SLOTS]),
        }
    }

    /// The start of the wheel's own tick: time as far as the wheel knows.
    pub(super) fn now(&self) -> u64 {
        self.elapsed << TICK_BITS
    }

    /// The level and the slot of a deadline.
    #[inline]
    fn place(&self, deadline: u64) -> (usize, usize) {
        let tick = tick(deadline).max(self.elapsed);
        // A zero has no highest digit; the lowest is right for it.
        let level = ((tick ^ self.elapsed) | 1).ilog2() / DIGIT_BITS;
        let slot = tick >> (level * DIGIT_BITS) & (SLOTS as u64 - 1);
        (level as usize, slot as usize)
    }

    /// Puts the timer at `index`, which is in no list, where its deadline belongs.
    #[inline]
    pub(super) fn link(&mut self, nodes: &mut Nodes, index: u32) {
        let deadline = nodes.get(index).deadline;
        let (level, slot) = self.place(deadline);

        let list = &mut self.slots[level * SLOTS + slot];
        let previous = list.tail;
        list.tail = index;
        if previous == NIL {
            list.head = index;
        } else {
            nodes.get_mut(previous).next = index;
        }
        let node = nodes.get_mut(index);
        node.prev = previous;
        node.next = NIL;

        let others = self.occupied[level];
        self.occupied[level] = others | 1 << slot;
        self.levels |= 1 << level;
        let bound = &mut self.bounds[level];
        match *bound {
            _ if others == 0 => *bound = Bound::Exactly(deadline),
            // Nothing is before the bound, so that nothing is before the deadline either.
            Bound::AtLeast(at) | Bound::Exactly(at) if deadline <= at => {
                *bound = Bound::Exactly(deadline);
            }
            _ => {}
        }
    }

    /// Takes the timer at `index` out of its list.
    #[inline]
    pub(super) fn unlink(&mut self, nodes: &mut Nodes, index: u32) {
        let node = *nodes.get(index);
        let (level, slot) = self.place(node.deadline);

        let list = &mut self.slots[level * SLOTS + slot];
        if node.prev == NIL {
            list.head = node.next;
        } else {
            nodes.get_mut(node.prev).next = node.next;
        }
        if node.next == NIL {
            list.tail = node.prev;
        } else {
            nodes.get_mut(node.next).prev = node.prev;
        }
        if list.head == NIL {
            self.vacate(level, slot);
        }
        if self.bounds[level] == Bound::Exactly(node.deadline) {
            self.bounds[level] = Bound::AtLeast(node.deadline);
        }
    }

    /// Takes note that a slot is empty.
    fn vacate(&mut self, level: usize, slot: usize) {
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The lowest level that has timers.
    #[inline]
    fn first_level(&self) -> Option<usize> {
        (self.levels != 0).then(|| self.levels.trailing_zeros() as usize)
    }

    /// The earliest slot that has timers.
    pub(super) fn first(&self) -> Option<First> {
        let level = self.first_level()?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = level as u32 * DIGIT_BITS;
        // The digits above are the wheel's, those below are zero.
        let above = (self.elapsed >> shift) & !(SLOTS as u64 - 1);
        Some(First {
            level,
            slot,
            start: (above | slot as u64) << shift,
        })
    }

    /// Moves the wheel forward to a tick that is not after the start of the first slot with
    /// timers. No timer changes its place by that, but for those of a slot that is entered.
    pub(super) fn advance(&mut self, to: u64) {
        debug_assert!(to >= self.elapsed);
        debug_assert!(self.first().is_none_or(|first| to <= first.start));
        self.elapsed = to;
    }

    /// Moves the timers of the first slot, which the wheel has just entered, to lower levels.
    pub(super) fn cascade(&mut self, nodes: &mut Nodes, first: First) {
        debug_assert!(first.level > 0 && first.start == self.elapsed);
        let mut index = self.take(first).head;
        while index != NIL {
            let next = nodes.get(index).next;
            self.link(nodes, index);
            index = next;
        }
    }

    /// Empties a slot and returns its list.
    pub(super) fn take(&mut self, first: First) -> List {
        self.vacate(first.level, first.slot);
        self.bounds[first.level] = Bound::Unknown;
        std::mem::replace(&mut self.slots[first.level * SLOTS + first.slot], EMPTY)
    }

    /// The list of a slot.
    pub(super) fn list(&self, first: First) -> List {
        self.slots[first.level * SLOTS + first.slot]
    }

    /// Takes note that `deadline` is the earliest of the first slot with timers.
    pub(super) fn set_earliest(&mut self, first: First, deadline: u64) {
        self.bounds[first.level] = Bound::Exactly(deadline);
    }

    /// Forgets a lower bound that `now` has passed: it holds no news any more.
    pub(super) fn settle(&mut self, now: u64) {
        if let Some(level) = self.first_level() {
            if matches!(self.bounds[level], Bound::AtLeast(at) if at <= now) {
                self.bounds[level] = Bound::Unknown;
            }
        }
    }

    /// Whether it is certain, at no cost, that nothing is due at `now`.
    #[inline]
    pub(super) fn nothing_before(&self, now: u64) -> bool {
        self.first_level()
            .is_some_and(|level| match self.bounds[level] {
                Bound::Unknown => false,
                Bound::AtLeast(at) | Bound::Exactly(at) => at > now,
            })
    }

    /// The earliest deadline.
    #[inline]
    pub(super) fn earliest(&mut self, nodes: &Nodes) -> Option<u64> {
        let level = self.first_level()?;
        match self.bounds[level] {
            Bound::Exactly(at) => Some(at),
            _ => self.search(nodes),
        }
    }

    /// A time not after the earliest deadline, and hardly ever before it.
    #[inline]
    pub(super) fn earliest_bound(&mut self, nodes: &Nodes) -> Option<u64> {
        let level = self.first_level()?;
        match self.bounds[level] {
            Bound::Exactly(at) | Bound::AtLeast(at) => Some(at),
            Bound::Unknown => self.search(nodes),
        }
    }

    /// Walks the first slot for the earliest deadline.
    #[inline(never)]
    fn search(&mut self, nodes: &Nodes) -> Option<u64> {
        let first = self.first()?;
        let mut earliest = u64::MAX;
        let mut index = self.list(first).head;
        while index != NIL {
            let node = nodes.get(index);
            earliest = earliest.min(node.deadline);
            index = node.next;
        }
        self.set_earliest(first, earliest);
        Some(earliest)
    }

    /// Empties every slot; the tick stays.
    pub(super) fn clear(&mut self) {
        self.levels = 0;
        self.occupied = [0; LEVELS];
        self.slots.fill(EMPTY);
    }
}
