//! Parked green threads.
//!
//! A green thread that waits does so through a [`Park`]: a small record in the hub's slab that names the
//! greenlet to resume. Whoever wants to wake it holds only the [`ParkId`], an index with a generation. The
//! record is made before the switch and removed by the green thread itself after it, however it came back
//! (woken, timed out, killed, or resumed by user code). A wake-up that arrives later finds another
//! generation and does nothing; so no wake-up, wherever it is still queued, can reach a green thread that
//! has moved on to wait for something else.

use eventlet_greenlet::Greenlet;
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
pub struct Park {
    greenlet: Greenlet,
    generation: u32,
    wake: Wake,
}

impl Park {
    /// Why it was woken.
    pub fn wake(&self) -> Wake {
        self.wake
    }
}

/// All waits of a hub.
#[derive(Default)]
pub struct Parks {
    slab: Slab<Park>,
    generation: u32,
}

impl Parks {
    /// Records that `greenlet` is about to wait.
    #[inline]
    pub fn insert(&mut self, greenlet: Greenlet) -> ParkId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.slab.insert(Park {
            greenlet,
            generation,
            wake: Wake::Pending,
        }) as u32;
        ParkId { index, generation }
    }

    #[inline]
    fn get_mut(&mut self, id: ParkId) -> Option<&mut Park> {
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
    pub fn greenlet(&self, id: ParkId) -> Option<&Greenlet> {
        self.slab
            .get(id.index as usize)
            .filter(|park| park.generation == id.generation)
            .map(|park| &park.greenlet)
    }

    /// Ends the wait. The caller drops the record after its borrow has ended.
    #[inline]
    pub fn remove(&mut self, id: ParkId) -> Option<Park> {
        self.get_mut(id)?;
        self.slab.try_remove(id.index as usize)
    }

    /// How many green threads wait.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// The waiting greenlets.
    pub fn greenlets(&self) -> impl Iterator<Item = &Greenlet> {
        self.slab.iter().map(|(_, park)| &park.greenlet)
    }
}
