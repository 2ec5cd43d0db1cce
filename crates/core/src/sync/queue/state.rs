//! What a queue holds and who waits for it, and the steps that need no Python.

use std::collections::VecDeque;

use pyo3::prelude::*;

use crate::sync::waiters::{Waiter, Waiters};

/// Which item comes out next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The one that was put in first.
    Fifo,
    /// The one that was put in last.
    Lifo,
    /// The smallest.
    Heap,
}

/// The items.
pub(super) enum Store {
    Fifo(VecDeque<Py<PyAny>>),
    Lifo(Vec<Py<PyAny>>),
    /// In a Python object, the attribute `queue`.
    Object(Py<PyAny>),
}

/// One that waits with its item.
pub(super) struct Putter {
    pub(super) waiter: Waiter,
    pub(super) item: Py<PyAny>,
    /// Whether it waits for room; otherwise only for the getter that it called.
    pub(super) block: bool,
}

/// All that changes in a queue.
pub(super) struct State {
    pub(super) maxsize: Option<usize>,
    pub(super) store: Store,
    pub(super) getters: Waiters,
    pub(super) putters: VecDeque<Putter>,
    /// Getters that have been called and have not come yet.
    pub(super) promised: usize,
    /// Items that a hook is putting into the store: they take their room already.
    pub(super) moving: usize,
    pub(super) unfinished: i64,
    pub(super) joiners: Waiters,
}

/// What came of a put into the native store.
pub(super) enum Put {
    /// The item is stored; here is the getter to wake.
    Stored(Option<Waiter>),
    /// There is no room for this item.
    NoRoom(Py<PyAny>),
    /// The items are in a Python object; this one is to go there.
    General(Py<PyAny>),
}

/// What came of a get from the native store.
pub(super) enum Get {
    /// An item, and the putter to wake.
    Item(Py<PyAny>, Option<Waiter>),
    /// There is none.
    Nothing,
    /// The items are in a Python object.
    General,
}

impl State {
    /// How many items are in the native store; `None` if it is not native.
    #[inline]
    pub(super) fn stored(&self) -> Option<usize> {
        match &self.store {
            Store::Fifo(items) => Some(items.len()),
            Store::Lifo(items) => Some(items.len()),
            Store::Object(_) => None,
        }
    }

    /// Whether an item can be added to `stored` ones.
    #[inline]
    pub(super) fn has_room(&self, stored: usize) -> bool {
        self.maxsize
            .is_none_or(|max| (stored + self.moving).saturating_sub(self.promised) < max)
    }

    /// Whether there is an item, in the store or with a putter, that nobody has been promised.
    #[inline]
    pub(super) fn has_spare(&self, stored: usize) -> bool {
        stored + self.putters.len() > self.promised
    }

    /// Adds an item to the native store.
    #[inline]
    pub(super) fn store_native(&mut self, item: Py<PyAny>) {
        match &mut self.store {
            Store::Fifo(items) => items.push_back(item),
            Store::Lifo(items) => items.push(item),
            Store::Object(_) => unreachable!("the caller has checked that the store is native"),
        }
    }

    /// Takes the next item out of the native store.
    #[inline]
    pub(super) fn fetch_native(&mut self) -> Option<Py<PyAny>> {
        match &mut self.store {
            Store::Fifo(items) => items.pop_front(),
            Store::Lifo(items) => items.pop(),
            Store::Object(_) => None,
        }
    }

    /// Calls the first getter if there is something for it; the caller wakes it after the borrow.
    #[inline]
    pub(super) fn call_getter(&mut self, stored: usize) -> Option<Waiter> {
        if self.getters.is_empty() || !self.has_spare(stored) {
            return None;
        }
        self.promised += 1;
        self.getters.pop()
    }

    /// Puts into the native store if there is room.
    #[inline]
    pub(super) fn try_put(&mut self, item: Py<PyAny>, counts: bool) -> Put {
        let Some(stored) = self.stored() else {
            return Put::General(item);
        };
        if !self.putters.is_empty() || !self.has_room(stored) {
            return Put::NoRoom(item);
        }
        self.store_native(item);
        self.unfinished += i64::from(counts);
        Put::Stored(self.call_getter(stored + 1))
    }

    /// Gets from the native store, for somebody who has not been called.
    #[inline]
    pub(super) fn try_get(&mut self, counts: bool) -> Get {
        match self.stored() {
            None => Get::General,
            Some(stored) if self.has_spare(stored) => match self.take_native(counts) {
                Some((item, putter)) => Get::Item(item, putter),
                None => Get::Nothing,
            },
            Some(_) => Get::Nothing,
        }
    }

    /// Takes the next item, and lets a putter move up; the caller wakes that one after the borrow.
    #[inline]
    pub(super) fn take_native(&mut self, counts: bool) -> Option<(Py<PyAny>, Option<Waiter>)> {
        if let Some(item) = self.fetch_native() {
            let stored = self.stored().unwrap_or(0);
            return Some((item, self.admit_native(stored, counts)));
        }
        let putter = self.putters.pop_front()?;
        self.unfinished += i64::from(counts);
        Some((putter.item, Some(putter.waiter)))
    }

    /// Moves the item of the first putter to the native store if there is room.
    #[inline]
    pub(super) fn admit_native(&mut self, stored: usize, counts: bool) -> Option<Waiter> {
        if self.putters.is_empty() || !self.has_room(stored) {
            return None;
        }
        let putter = self.putters.pop_front()?;
        self.store_native(putter.item);
        self.unfinished += i64::from(counts);
        Some(putter.waiter)
    }

    /// Those putters that wait for a getter only, if there is none left for them.
    pub(super) fn refused(&self, py: Python<'_>, stored: usize) -> Vec<Waiter> {
        if !self.getters.is_empty() {
            return Vec::new();
        }
        // The first ones will be served by getters that have been called.
        let served = self.promised.saturating_sub(stored);
        self.putters
            .iter()
            .skip(served)
            .filter(|putter| !putter.block)
            .map(|putter| putter.waiter.clone_ref(py))
            .collect()
    }
}
