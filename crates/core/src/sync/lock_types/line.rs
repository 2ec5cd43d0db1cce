//! Green threads that wait for an object of the standard library.
//!
//! A table keeps a line for each such object, under its address. When it may have become free, the first in
//! line is woken, who tries again. So that it does not find the lock taken each time, a green thread which is
//! willing to wait does not overtake another of its OS thread. (To hand over the lock as our own do would not be
//! right here: code that knows these locks, as that of `Thread.join`, expects one to be free after its release.)
//!
//! Not every release comes by here. C code may release a lock, as the end of an OS thread does with the one
//! that `Thread.join` waits for, and a method that was taken off a lock earlier is the original one. So the
//! first in line also looks for itself from time to time. The others do so less often; then they take the lock
//! if they can, as the first may be of an OS thread that is busy with something else.

use std::collections::BTreeMap;

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;

use crate::cell::GilCell;
use crate::hub::{self, Hub, Wake};
use crate::sync::args::deadline;
use crate::sync::waiters::{Waiter, Waiters, wait_in_line};
use crate::{clock, ident};

/// Those who wait for an object.
pub(super) struct Line<'a, 'py>(pub(super) &'a Bound<'py, PyAny>);

impl<'py> Line<'_, 'py> {
    fn key(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// Changes what is known of the object.
    pub(super) fn with_entry<R>(&self, change: impl FnOnce(&mut Entry) -> R) -> R {
        let key = self.key();
        TABLE.with(self.0.py(), |table| {
            let entry = table.entry(key).or_default();
            let result = change(entry);
            if entry.is_idle() {
                table.remove(&key);
            }
            result
        })
    }

    /// Looks at what is known of the object, if there is anything.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let key = self.key();
        TABLE.with(self.0.py(), |table| table.get(&key).map(look))
    }

    /// Whether another green thread of this OS thread comes first; in the hub nobody does.
    pub(super) fn comes_after_neighbours(&self) -> bool {
        let first = self.look(|entry| {
            let first = entry.waiters.first();
            first.is_some_and(|first| first.hub.get().is_mine())
        });
        first == Some(true)
            && hub::existing(self.0.py()).is_some_and(|hub| Hub::waiting_greenlet(&hub).is_ok())
    }

    /// Waits until `take` has something; none if the time, in seconds, is up first.
    pub(super) fn wait<T>(
        &self,
        hub: &Bound<'py, Hub>,
        greenlet: &Greenlet,
        timeout: Option<f64>,
        take: impl Fn() -> PyResult<Option<T>>,
    ) -> PyResult<Option<T>> {
        let py = hub.py();
        // The caller may have the only reference, and may give it up while this waits.
        let _alive = self.0.clone();
        let in_hub = hub.get().is_hub_greenlet(py, greenlet);
        let deadline = deadline(timeout);
        let alone = self.look(|entry| entry.waiters.is_empty()) != Some(false);
        let mut pause = if alone || in_hub { SHORTEST } else { REMOTE };
        let mut parking = hub.get().park(py, greenlet, earlier(deadline, pause));
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id: parking.id,
        };
        self.with_entry(|entry| {
            if in_hub {
                // What the hub was about to do waits with it.
                entry.waiters.push_front(waiter);
            } else {
                entry.waiters.push(waiter);
            }
        });
        loop {
            let (id, result) = if in_hub {
                (parking.id, Hub::wait_here(hub, parking.id))
            } else {
                wait_in_line(hub, greenlet, parking, None, |old, new| {
                    self.with_entry(|entry| entry.waiters.rename(hub, old, new))
                })
            };
            let first = self.with_entry(|entry| entry.waiters.position(hub, id)) == Some(0);
            let late = deadline.is_some_and(|deadline| clock::now() >= deadline);
            let taken = match result {
                Ok(Wake::Ready) if !first => Ok(None),
                Ok(_) => take(),
                Err(error) => Err(error),
            };
            if late || !matches!(taken, Ok(None)) {
                let left = self.with_entry(|entry| entry.waiters.remove(hub, id));
                drop(left);
                // It may have been called, and is not going to do anything about it; or there is more.
                self.call_first();
                return taken;
            }
            pause = match first {
                // It may have been another one until now.
                true if pause == REMOTE => SHORTEST,
                true => (pause * 2).min(LONGEST),
                false => REMOTE,
            };
            parking = hub.get().park(py, greenlet, earlier(deadline, pause));
            let new = parking.id;
            self.with_entry(|entry| entry.waiters.rename(hub, id, new));
        }
    }

    /// Has the first in line look for itself.
    pub(super) fn call_first(&self) {
        let py = self.0.py();
        let first = self.look(|entry| entry.waiters.first().map(|first| first.clone_ref(py)));
        if let Some(first) = first.flatten() {
            first.wake(py);
        }
    }
}

/// In a forked child: forgets who of other OS threads waited.
pub fn after_fork_in_child(py: Python<'_>) {
    let gone: Vec<_> = TABLE.with(py, |table| {
        let entries = table.values_mut();
        entries.map(|entry| entry.waiters.take_others()).collect()
    });
    drop(gone);
}

/// The moment to look again: after `pause`, but at the deadline if that is earlier.
fn earlier(deadline: Option<u64>, pause: u64) -> Option<u64> {
    let next = clock::now() + pause;
    Some(deadline.map_or(next, |deadline| deadline.min(next)))
}

/// How long, in nanoseconds, the first in line waits before it looks for itself: at first, and at most.
pub(super) const SHORTEST: u64 = 2_000_000;
pub(super) const LONGEST: u64 = 50_000_000;

/// How long the others wait before they look whether they are the first.
const REMOTE: u64 = 500_000_000;

/// What is known of an object beyond what C knows.
#[derive(Default)]
pub(super) struct Entry {
    /// For a reentrant one, how often it was taken; 0 if it is free, for all that is known.
    pub(super) count: u64,
    /// The number of the greenlet that has it.
    pub(super) owner: u64,
    /// The OS thread of that greenlet.
    pub(super) thread: u64,
    waiters: Waiters,
}

impl Entry {
    /// Whether a greenlet of this OS thread has it, for all that is known.
    pub(super) fn is_owned_here(&self) -> bool {
        self.count > 0 && self.thread == ident::thread()
    }

    pub(super) fn is_owned_by(&self, me: u64) -> bool {
        self.is_owned_here() && self.owner == me
    }

    fn is_idle(&self) -> bool {
        self.count == 0 && self.waiters.is_empty()
    }
}

type Table = BTreeMap<usize, Entry>;

/// What somebody waits for, and the reentrant locks that a greenlet has.
static TABLE: GilCell<Table> = GilCell::new(BTreeMap::new());
