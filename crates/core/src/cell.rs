//! State that belongs to whoever holds the GIL.
//!
//! Hubs, events and sockets are reached from several Python objects and must be mutable through shared
//! references. The GIL already makes access exclusive between OS threads, so a lock would only cost. What
//! is left to guard against is re-entrance: any call into Python, even the destructor of an object, may
//! run code that comes back here, or switch greenlets and let somebody else come back here.
//!
//! [`GilCell::with`] lends the value to a closure. The closure must not call into Python, must not drop
//! Python references and must not switch: it moves things out, and the caller deals with them afterwards.
//! A flag turns a violation into a panic at the point of the mistake instead of a corrupted queue.
//!
//! The flag says "free" rather than "borrowed" for the sake of the garbage collector. CPython 3.11 makes the
//! `__dict__` of an object that has one right after allocating it, which may start a collection while the
//! object is tracked already and still all zeros. To [`GilCell::peek`] such a cell looks borrowed. So what
//! `__traverse__` of a class with `dict` visits must be in cells, all of it.

use std::cell::{Cell, UnsafeCell};

use pyo3::prelude::*;

/// A value that is only touched with the GIL held, by one borrower at a time.
pub struct GilCell<T> {
    free: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: every access but construction and destruction needs the GIL: `with` takes a
// `Python` token, and `peek` may only be called by the garbage collector, which runs with the GIL held.
// So two threads are never inside at once, and the module declares `gil_used`, so this holds on
// free-threaded builds too.
unsafe impl<T: Send> Sync for GilCell<T> {}

/// Resets the flag even if the closure panics.
struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl<T> GilCell<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self {
            free: Cell::new(true),
            value: UnsafeCell::new(value),
        }
    }

    /// Lends the value to `f`, which must neither call into Python nor drop a Python reference.
    #[inline]
    pub fn with<R>(&self, _py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        if !self.free.replace(false) {
            reentered();
        }
        let _reset = Reset(&self.free);
        // SAFETY: the GIL excludes other threads, the flag excludes this one.
        f(unsafe { &mut *self.value.get() })
    }

    /// Lends the value to the garbage collector, unless it is being changed or was not even made.
    ///
    /// Only for `__traverse__`, which has no `Python` token although it runs with the GIL held.
    pub fn peek<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        if !self.free.get() {
            return None;
        }
        // SAFETY: traversal runs with the GIL held and cannot re-enter; nobody holds `&mut` as the flag
        // is set, and it is never set in memory that has not been initialised.
        Some(f(unsafe { &*self.value.get() }))
    }
}

impl<T> GilCell<T> {
    /// Puts `value` in and returns what was there; the caller drops that outside the borrow.
    #[inline]
    pub fn replace(&self, py: Python<'_>, value: T) -> T {
        self.with(py, |slot| std::mem::replace(slot, value))
    }
}

impl<T: Default> GilCell<T> {
    /// Takes the value, leaving the default.
    #[inline]
    pub fn take(&self, py: Python<'_>) -> T {
        self.replace(py, T::default())
    }
}

#[cold]
fn reentered() -> ! {
    panic!("shared state was used while it was being changed");
}
