//! The places of a timer queue, without the values.
//!
//! A place is 20 bytes: a deadline, two links and a generation. Places are addressed by 32-bit
//! indices, which halves the links and lets the whole array move when it grows. The values live
//! in an array of their own, next to this one: moving timers about in the wheel then touches
//! three places a cache line, and a value of 16 bytes is not padded.
//!
//! A generation is odd while its place is taken. Free places form a list through `next`, last
//! freed first, as that one is in the cache.

use super::key::TimerKey;

/// The link of the last one in a list, and the largest index that is never used.
pub(super) const NIL: u32 = u32::MAX;

/// One place. Packed, since the alignment of the deadline would cost four bytes; fields are
/// copied in and out, which is all that packing allows.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub(super) struct Node {
    pub(super) deadline: u64,
    pub(super) prev: u32,
    pub(super) next: u32,
    generation: u32,
}

/// All places.
#[derive(Debug)]
pub(super) struct Nodes {
    places: Vec<Node>,
    /// The first free place.
    free: u32,
    /// How many are taken.
    live: u32,
    /// What new places start from: even, and beyond every key given out before the memory was
    /// last released.
    first_generation: u32,
}

impl Nodes {
    pub(super) const fn new() -> Nodes {
        Nodes {
            places: Vec::new(),
            free: NIL,
            live: 0,
            first_generation: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live as usize
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Node {
        &self.places[index as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut Node {
        &mut self.places[index as usize]
    }

    /// The place that `key` names, unless it is stale.
    #[inline]
    pub(super) fn find(&self, key: TimerKey) -> Option<&Node> {
        self.places
            .get(key.index as usize)
            .filter(|node| node.generation == key.generation && key.generation & 1 == 1)
    }

    /// The key of the timer at `index`.
    pub(super) fn key(&self, index: u32) -> TimerKey {
        TimerKey {
            index,
            generation: self.get(index).generation,
        }
    }

    /// Takes a free place, or the one after the last. The links are for the caller to set.
    #[inline]
    pub(super) fn acquire(&mut self, deadline: u64) -> TimerKey {
        self.live += 1;
        let index = self.free;
        if let Some(node) = self.places.get_mut(index as usize) {
            self.free = node.next;
            node.deadline = deadline;
            node.generation = node.generation.wrapping_add(1);
            return TimerKey {
                index,
                generation: node.generation,
            };
        }
        let index = self.places.len() as u32;
        assert!(index != NIL, "a timer queue holds 2^32 - 1 timers");
        let generation = self.first_generation.wrapping_add(1);
        self.places.push(Node {
            deadline,
            prev: NIL,
            next: NIL,
            generation,
        });
        TimerKey { index, generation }
    }

    /// Gives the place of a timer back, which makes its key stale.
    #[inline]
    pub(super) fn release(&mut self, index: u32) {
        let free = self.free;
        let node = self.get_mut(index);
        debug_assert!(node.generation & 1 == 1, "a free place is released");
        node.generation = node.generation.wrapping_add(1);
        node.next = free;
        self.free = index;
        self.live -= 1;
    }

    /// Gives the memory back, which all must be free, and keeps every old key stale.
    pub(super) fn release_memory(&mut self) {
        assert!(self.live == 0, "places in use are released");
        self.first_generation = self
            .places
            .iter()
            .map(|node| node.generation)
            .max()
            .unwrap_or(self.first_generation);
        self.places = Vec::new();
        self.free = NIL;
    }
}
