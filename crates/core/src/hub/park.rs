//! Parked green threads.
//!
//! A green thread that waits does so through a [`Park`]: a small record in the hub's slab that names the
//! greenlet to resume. Whoever wants to wake it holds only the [`ParkId`], an index with a generation. The
//! record is made before the switch and removed by the green thread itself after it, however it came back
//! (woken, timed out, killed, or resumed by user code). A wake-up that arrives later finds another
//! generation and does nothing; so no wake-up, wherever it is still queued, can reach a green thread that
//! has moved on to wait for something else.

use eventlet_greenlet::Greenlet;
use eventlet_reactor::TimerKey;
use slab::Slab;

/// Names one wait of one green thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkId {
    index: u32,
    generation: u32,
}

/// Why a parked green thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nobody has woken it: it was resumed directly, by `switch` or `throw`.
    Pending,
    /// What it waited for has happened.
    Ready,
    /// Its deadline passed first.
    TimedOut,
    /// The descriptor it waited on was closed.
    Closed,
}

/// One waiting green thread.
pub struct Park<G = Greenlet> {
    greenlet: G,
    generation: u32,
    wake: Wake,
    /// Its deadline, [`TimerKey::NONE`] if it has none.
    pub timer: TimerKey,
}

impl<G> Park<G> {
    /// Why it was woken.
    pub fn wake(&self) -> Wake {
        self.wake
    }

    /// Who waited.
    pub fn into_greenlet(self) -> G {
        self.greenlet
    }
}

/// All waits of a hub.
pub struct Parks<G = Greenlet> {
    slab: Slab<Park<G>>,
    generation: u32,
}

impl<G> Default for Parks<G> {
    fn default() -> Self {
        Self {
            slab: Slab::new(),
            generation: 0,
        }
    }
}

impl<G> Parks<G> {
    /// Records that `greenlet` is about to wait.
    #[inline]
    pub fn insert(&mut self, greenlet: G) -> ParkId {
        self.insert_as(greenlet, Wake::Pending)
    }

    /// As [`insert`](Self::insert), for one that has been woken already unless `wake` is `Pending`.
    #[inline]
    pub fn insert_as(&mut self, greenlet: G, wake: Wake) -> ParkId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.slab.insert(Park {
            greenlet,
            generation,
            wake,
            timer: TimerKey::NONE,
        }) as u32;
        ParkId { index, generation }
    }

    /// The wait, if it still lasts.
    #[inline]
    pub fn get_mut(&mut self, id: ParkId) -> Option<&mut Park<G>> {
        self.slab
            .get_mut(id.index as usize)
            .filter(|park| park.generation == id.generation)
    }

    /// Marks the wait as over; false if it was over already, or woken already.
    #[inline]
    pub fn mark(&mut self, id: ParkId, wake: Wake) -> bool {
        match self.get_mut(id) {
            Some(park) if park.wake == Wake::Pending => {
                park.wake = wake;
                true
            }
            _ => false,
        }
    }

    /// The greenlet that waits, if it still does.
    #[inline]
    pub fn greenlet(&self, id: ParkId) -> Option<&G> {
        self.slab
            .get(id.index as usize)
            .filter(|park| park.generation == id.generation)
            .map(|park| &park.greenlet)
    }

    /// Why the one that waits goes on, if the wait is not over.
    pub fn wake(&self, id: ParkId) -> Option<Wake> {
        self.slab
            .get(id.index as usize)
            .filter(|park| park.generation == id.generation)
            .map(Park::wake)
    }

    /// Ends the wait. The caller drops the record after its borrow has ended.
    #[inline]
    pub fn remove(&mut self, id: ParkId) -> Option<Park<G>> {
        self.get_mut(id)?;
        self.slab.try_remove(id.index as usize)
    }

    /// How many green threads wait.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// The waiting greenlets.
    pub fn greenlets(&self) -> impl Iterator<Item = &G> {
        self.slab.iter().map(|(_, park)| &park.greenlet)
    }
}

#[cfg(test)]
mod tests {
    use super::{ParkId, Parks, Wake};

    #[test]
    fn the_first_wake_counts() {
        let mut parks = Parks::default();
        let id = parks.insert("a");
        assert!(parks.mark(id, Wake::TimedOut));
        assert!(!parks.mark(id, Wake::Ready));
        assert_eq!(parks.greenlet(id), Some(&"a"));
        assert_eq!(
            parks.remove(id).map(|park| park.wake()),
            Some(Wake::TimedOut)
        );
        assert_eq!(parks.len(), 0);
    }

    #[test]
    fn a_wake_that_is_late_reaches_nobody() {
        let mut parks = Parks::default();
        let old = parks.insert("old");
        assert!(parks.remove(old).is_some());
        let new = parks.insert("new");
        assert_eq!(old.index, new.index, "the place is used again");
        assert!(!parks.mark(old, Wake::Ready));
        assert_eq!(parks.greenlet(old), None);
        assert!(parks.remove(old).is_none());
        assert_eq!(
            parks.remove(new).map(|park| park.wake()),
            Some(Wake::Pending)
        );
    }

    #[test]
    fn generations_wrap() {
        let mut parks = Parks {
            generation: u32::MAX - 1,
            ..Parks::default()
        };
        let last = parks.insert(1);
        let first = parks.insert(2);
        assert_eq!((last.generation, first.generation), (u32::MAX, 0));
        assert_eq!(parks.greenlet(last), Some(&1));
        assert_eq!(parks.greenlet(first), Some(&2));
    }

    #[test]
    fn ids_that_were_never_given() {
        let mut parks = Parks::<()>::default();
        let id = ParkId {
            index: 7,
            generation: 1,
        };
        assert!(!parks.mark(id, Wake::Ready));
        assert!(parks.remove(id).is_none());
    }
}
