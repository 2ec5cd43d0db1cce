//! The standard library's own locks, made so that a green thread that waits lets others run.
//!
//! A program that is patched late has locks already: those of `logging`, of `threading`, of modules that made
//! theirs when they were imported. They are C objects of two types, `_thread.lock` and `_thread.RLock`. This
//! replaces methods of the types, so that all locks there are change at once, and none has to be found.
//!
//! # Theory of operation
//!
//! The C lock stays what decides: it is free whenever C says so. An OS thread without a hub calls the original
//! methods, and does as it always did. One with a hub tries the original without blocking; if that fails the
//! green thread parks, in a line that a table keeps under the address of the lock. A release wakes the first in
//! line, who tries again. So that it does not find the lock taken each time, a green thread which is willing to
//! wait does not overtake another of its OS thread. (To hand over the lock as our own do would not be right
//! here: code that knows these locks has been seen to expect that a lock is free after its release.)
//!
//! A *reentrant* lock belongs, for C, to an OS thread. The table adds which of its greenlets it is, and how
//! often that has taken the lock. What the table says is checked against C where it stands in somebody's way,
//! since it may be out of date: a lock may be released behind our back, or may be another one at the same
//! address. A lock that an OS thread took when the types were not changed yet counts as taken by the thread's
//! first greenlet; if it was not the first greenlet who changed them, as taken by each of them.
//!
//! Not every release comes by here. C code may release a lock, as the end of an OS thread does with the one
//! that `Thread.join` waits for, and a method that was taken off a lock earlier is the original one. So the
//! first in line also looks for itself from time to time. The others do so less often; then they take the lock
//! if they can, as the first may be of an OS thread that is busy with something else.
//!
//! From Python 3.13 on, `Thread.join` waits for a *handle* of the thread instead, another C object. Its type is
//! changed too: a green thread that joins looks from time to time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use pyo3::{ffi, intern};

use super::args::{Flag, deadline, lock_timeout};
use super::waiters::{Waiter, Waiters, by_all_means, wait_in_line};
use crate::cell::GilCell;
use crate::hub::wait::sleep;
use crate::hub::{self, Hub, Wake};
use crate::{clock, ident};

/// Makes the locks of the standard library let other green threads run while one waits, or undoes that.
///
/// It holds for all instances of `_thread.lock` and `_thread.RLock`, however old, and for the handles by which
/// OS threads are joined. For OS threads without a hub nothing changes.
#[pyfunction]
pub fn patch_lock_types(py: Python<'_>, on: bool) -> PyResult<()> {
    static OURS: PyOnceLock<Ours> = PyOnceLock::new();
    let types = types(py)?;
    ANYBODY.store(!Greenlet::current(py)?.is_main(), Ordering::Relaxed);
    let ours = OURS.get_or_try_init(py, || Ours::new(py))?;
    let mut changes = vec![
        (&types.plain.kind, &ours.plain),
        (&types.reentrant.kind, &ours.reentrant),
    ];
    changes.extend(types.handle.as_ref().map(|handle| (handle, &ours.handle)));
    for (kind, ours) in changes {
        let class = kind.class.bind(py);
        let dict = dictionary(class);
        for (name, original) in kind.methods.bind(py).iter() {
            let replacement = ours.bind(py).get_item(&name)?.filter(|_| on);
            dict.set_item(name, replacement.unwrap_or(original))?;
        }
        // SAFETY: it is a live type object.
        unsafe { ffi::PyType_Modified(class.as_type_ptr()) };
    }
    Ok(())
}

/// In a forked child: forgets who of other OS threads waited.
pub fn after_fork_in_child(py: Python<'_>) {
    let gone: Vec<_> = TABLE.with(py, |table| {
        let entries = table.values_mut();
        entries.map(|entry| entry.waiters.take_others()).collect()
    });
    drop(gone);
}

unsafe extern "C" {
    fn PyInstanceMethod_New(function: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The names and values of a type, which even one that Python code cannot change has.
fn dictionary<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyDict> {
    // SAFETY: the type is live, ready and made on the heap, so this is its dictionary.
    unsafe {
        let dict = (*class.as_type_ptr()).tp_dict;
        Bound::from_borrowed_ptr(class.py(), dict).cast_into_unchecked()
    }
}

/// A type and its original methods.
struct Kind {
    class: Py<PyType>,
    /// Those that are replaced, under their names.
    methods: Py<PyDict>,
}

/// A type of locks.
struct Originals {
    kind: Kind,
    acquire: Py<PyAny>,
    release: Py<PyAny>,
    reinit: Py<PyAny>,
}

struct Types {
    plain: Originals,
    reentrant: Originals,
    is_owned: Py<PyAny>,
    release_save: Py<PyAny>,
    /// What threads are joined by, if that is not a lock.
    handle: Option<Kind>,
}

impl Kind {
    fn new(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let all = dictionary(class);
        let methods = PyDict::new(class.py());
        for name in names {
            if let Some(method) = all.get_item(name)? {
                methods.set_item(name, method)?;
            }
        }
        Ok(Self {
            class: class.clone().unbind(),
            methods: methods.unbind(),
        })
    }

    /// An original method that is replaced.
    fn method<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        self.methods.bind(name.py()).as_any().get_item(name)
    }
}

impl Originals {
    fn new(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let method = |name| class.getattr(name).map(Bound::unbind);
        Ok(Self {
            kind: Kind::new(class, names)?,
            acquire: method("acquire")?,
            release: method("release")?,
            reinit: method("_at_fork_reinit")?,
        })
    }
}

/// The types as they were when they were first asked for, which is before anybody could change them.
fn types(py: Python<'_>) -> PyResult<&Types> {
    static TYPES: PyOnceLock<Types> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || {
        let thread = py.import("_thread")?;
        let plain = thread.call_method0("allocate_lock")?.get_type();
        let reentrant = thread.getattr("RLock")?.cast_into::<PyType>()?;
        let method = |class: &Bound<'_, PyType>, name| class.getattr(name).map(Bound::unbind);
        Ok(Types {
            plain: Originals::new(&plain, &PLAIN_METHODS)?,
            reentrant: Originals::new(&reentrant, &REENTRANT_METHODS)?,
            is_owned: method(&reentrant, "_is_owned")?,
            release_save: method(&reentrant, "_release_save")?,
            handle: match thread.getattr_opt("_ThreadHandle")? {
                Some(class) => Some(Kind::new(&class.cast_into()?, &["join"])?),
                None => None,
            },
        })
    })
}

const PLAIN_METHODS: [&str; 7] = [
    "__enter__",
    "__exit__",
    "_at_fork_reinit",
    "acquire",
    "acquire_lock",
    "release",
    "release_lock",
];

const REENTRANT_METHODS: [&str; 9] = [
    "__enter__",
    "__exit__",
    "_acquire_restore",
    "_at_fork_reinit",
    "_is_owned",
    "_recursion_count",
    "_release_save",
    "acquire",
    "release",
];

/// The methods that replace the original ones, under their names.
struct Ours {
    plain: Py<PyDict>,
    reentrant: Py<PyDict>,
    handle: Py<PyDict>,
}

impl Ours {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let methods = |functions: Vec<Bound<'_, PyAny>>| {
            let dict = PyDict::new(py);
            for function in functions {
                let name = function.getattr("__name__")?;
                // SAFETY: the function is live; a new reference or NULL with an exception comes back.
                let method = unsafe {
                    let method = PyInstanceMethod_New(function.as_ptr());
                    Bound::from_owned_ptr_or_err(py, method)?
                };
                dict.set_item(name, method)?;
            }
            PyResult::Ok(dict)
        };
        let plain = methods(vec![
            wrap_pyfunction!(plain_acquire, py)?.into_any(),
            wrap_pyfunction!(plain_enter, py)?.into_any(),
            wrap_pyfunction!(plain_exit, py)?.into_any(),
            wrap_pyfunction!(plain_release, py)?.into_any(),
            wrap_pyfunction!(plain_reinit, py)?.into_any(),
        ])?;
        for (old, new) in [("acquire_lock", "acquire"), ("release_lock", "release")] {
            plain.set_item(old, plain.get_item(new)?)?;
        }
        let reentrant = methods(vec![
            wrap_pyfunction!(reentrant_acquire, py)?.into_any(),
            wrap_pyfunction!(reentrant_acquire_restore, py)?.into_any(),
            wrap_pyfunction!(reentrant_count, py)?.into_any(),
            wrap_pyfunction!(reentrant_enter, py)?.into_any(),
            wrap_pyfunction!(reentrant_exit, py)?.into_any(),
            wrap_pyfunction!(reentrant_is_owned, py)?.into_any(),
            wrap_pyfunction!(reentrant_reinit, py)?.into_any(),
            wrap_pyfunction!(reentrant_release, py)?.into_any(),
            wrap_pyfunction!(reentrant_release_save, py)?.into_any(),
        ])?;
        Ok(Self {
            plain: plain.unbind(),
            reentrant: reentrant.unbind(),
            handle: methods(vec![wrap_pyfunction!(handle_join, py)?.into_any()])?.unbind(),
        })
    }
}

/// What is known of a lock beyond what C knows.
#[derive(Default)]
struct Entry {
    /// For a reentrant one, how often it was taken; 0 if it is free, for all that is known.
    count: u64,
    /// The number of the greenlet that has it.
    owner: u64,
    /// The OS thread of that greenlet.
    thread: u64,
    waiters: Waiters,
}

impl Entry {
    /// Whether a greenlet of this OS thread has it, for all that is known.
    fn is_owned_here(&self) -> bool {
        self.count > 0 && self.thread == ident::thread()
    }

    fn is_owned_by(&self, me: u64) -> bool {
        self.is_owned_here() && self.owner == me
    }

    fn is_idle(&self) -> bool {
        self.count == 0 && self.waiters.is_empty()
    }
}

type Table = BTreeMap<usize, Entry>;

/// The locks that somebody waits for or, if they are reentrant, that a greenlet has.
static TABLE: GilCell<Table> = GilCell::new(BTreeMap::new());

/// Who has a reentrant lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Me,
    /// Another greenlet of this OS thread.
    Neighbour,
    /// Nobody, another OS thread, or this one without our knowledge.
    Unknown,
}

/// A lock of the standard library, of either type.
struct Lock<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    types: &'a Types,
    reentrant: bool,
}

impl<'a, 'py> Lock<'a, 'py> {
    fn plain(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let types = types(object.py())?;
        let reentrant = false;
        Ok(Self {
            object,
            types,
            reentrant,
        })
    }

    fn reentrant(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        let types = types(object.py())?;
        let reentrant = true;
        Ok(Self {
            object,
            types,
            reentrant,
        })
    }

    fn py(&self) -> Python<'py> {
        self.object.py()
    }

    fn key(&self) -> usize {
        self.object.as_ptr() as usize
    }

    fn originals(&self) -> &'a Originals {
        if self.reentrant {
            &self.types.reentrant
        } else {
            &self.types.plain
        }
    }

    /// The original `acquire`, which blocks the OS thread.
    fn block(&self, blocking: bool, timeout: f64) -> PyResult<bool> {
        let acquire = self.originals().acquire.bind(self.py());
        acquire.call1((self.object, blocking, timeout))?.is_truthy()
    }

    /// The original `acquire`, without waiting.
    fn try_original(&self) -> PyResult<bool> {
        let acquire = self.originals().acquire.bind(self.py());
        acquire.call1((self.object, false))?.is_truthy()
    }

    /// The original `release`.
    fn release_original(&self) -> PyResult<()> {
        let release = self.originals().release.bind(self.py());
        release.call1((self.object,)).map(drop)
    }

    /// Whether C says that this OS thread has it.
    fn is_owned_original(&self) -> PyResult<bool> {
        let is_owned = self.types.is_owned.bind(self.py());
        is_owned.call1((self.object,))?.is_truthy()
    }

    /// Changes what is known of it.
    fn with_entry<R>(&self, change: impl FnOnce(&mut Entry) -> R) -> R {
        let key = self.key();
        TABLE.with(self.py(), |table| {
            let entry = table.entry(key).or_default();
            let result = change(entry);
            if entry.is_idle() {
                table.remove(&key);
            }
            result
        })
    }

    /// Notes that the caller has it.
    fn own(&self, me: u64, count: u64) {
        self.with_entry(|entry| {
            entry.owner = me;
            entry.count = count;
            entry.thread = ident::thread();
        });
    }

    fn holder(&self, me: u64) -> Holder {
        let key = self.key();
        TABLE.with(self.py(), |table| match table.get(&key) {
            Some(entry) if entry.is_owned_by(me) => Holder::Me,
            Some(entry) if entry.is_owned_here() => Holder::Neighbour,
            _ => Holder::Unknown,
        })
    }

    /// As [`holder`](Self::holder), but a neighbour does have it.
    fn true_holder(&self, me: u64) -> PyResult<Holder> {
        let holder = self.holder(me);
        if holder == Holder::Neighbour && !self.is_owned_original()? {
            self.with_entry(|entry| entry.count = 0);
            return Ok(Holder::Unknown);
        }
        Ok(holder)
    }

    /// Takes it if that takes no waiting.
    fn take(&self, me: u64) -> PyResult<bool> {
        if !self.reentrant {
            return self.try_original();
        }
        match self.true_holder(me)? {
            Holder::Neighbour => return Ok(false),
            Holder::Me => {
                if self.try_original()? {
                    self.with_entry(|entry| entry.count += 1);
                    return Ok(true);
                }
                // Somebody has released it behind our back, and another OS thread has taken it.
                self.with_entry(|entry| entry.count = 0);
                return Ok(false);
            }
            Holder::Unknown => {}
        }
        if self.is_owned_original()? {
            return Ok(may_have_unknown(me) && self.try_original()?);
        }
        let taken = self.try_original()?;
        if taken {
            self.own(me, 1);
        }
        Ok(taken)
    }

    /// Takes it, for an OS thread that may have a hub.
    fn acquire(&self, blocking: bool, timeout: Option<f64>) -> PyResult<bool> {
        let me = self.me()?;
        // Unless it is not about a turn, because this OS thread has it anyway.
        let queue = blocking
            && self.comes_after_neighbours()
            && !(self.reentrant && self.is_owned_original()?);
        if !queue && self.take(me)? {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        self.wait(me, timeout)
    }

    /// Whether another green thread of this OS thread comes first; in the hub nobody does.
    fn comes_after_neighbours(&self) -> bool {
        let py = self.py();
        let key = self.key();
        let mine = TABLE.with(py, |table| {
            let first = table.get(&key)?.waiters.first()?;
            Some(first.hub.get().is_mine())
        });
        mine == Some(true)
            && hub::existing(py).is_some_and(|hub| Hub::waiting_greenlet(&hub).is_ok())
    }

    /// The number of the running greenlet, where that matters.
    fn me(&self) -> PyResult<u64> {
        if self.reentrant {
            ident::current(self.py())
        } else {
            Ok(0)
        }
    }

    /// Waits for it in line.
    fn wait(&self, me: u64, timeout: Option<f64>) -> PyResult<bool> {
        let py = self.py();
        // The caller may have the only reference, and may give it up while this waits.
        let _alive = self.object.clone();
        let (Ok(greenlet), Some(hub)) = (Greenlet::current(py), hub::existing(py)) else {
            let taken = self.block(true, timeout.unwrap_or(NEVER))?;
            return Ok(self.note(me, taken));
        };
        let in_hub = hub.get().is_hub_greenlet(py, &greenlet);
        let deadline = deadline(timeout);
        let mut pause = SHORTEST;
        let mut parking = hub.get().park(py, &greenlet, earlier(deadline, pause));
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
                (parking.id, Hub::wait_here(&hub, parking.id))
            } else {
                wait_in_line(&hub, &greenlet, parking, None, |old, new| {
                    self.with_entry(|entry| entry.waiters.rename(&hub, old, new))
                })
            };
            let first = self.with_entry(|entry| entry.waiters.position(&hub, id)) == Some(0);
            let late = deadline.is_some_and(|deadline| clock::now() >= deadline);
            let taken = match result {
                Ok(Wake::Ready) if !first => Ok(false),
                Ok(_) => self.take(me),
                Err(error) => Err(error),
            };
            if late || !matches!(taken, Ok(false)) {
                let left = self.with_entry(|entry| entry.waiters.remove(&hub, id));
                drop(left);
                if !matches!(taken, Ok(true)) {
                    // It may have been called, and is not going to do anything about it.
                    self.call_first();
                }
                return taken;
            }
            pause = if first {
                (pause * 2).min(LONGEST)
            } else {
                REMOTE
            };
            parking = hub.get().park(py, &greenlet, earlier(deadline, pause));
            let new = parking.id;
            self.with_entry(|entry| entry.waiters.rename(&hub, id, new));
        }
    }

    /// Notes that the caller has it, if that is so.
    fn note(&self, me: u64, taken: bool) -> bool {
        if taken && self.reentrant {
            self.own(me, 1);
        }
        taken
    }

    /// Releases it once.
    fn release(&self, me: u64) -> PyResult<()> {
        if self.reentrant {
            match self.true_holder(me)? {
                Holder::Me => self.with_entry(|entry| entry.count -= 1),
                Holder::Neighbour => return Err(not_yours()),
                Holder::Unknown => {}
            }
        }
        self.release_original()?;
        self.call_first();
        Ok(())
    }

    /// Has the first in line look for itself.
    fn call_first(&self) {
        let py = self.py();
        let key = self.key();
        let first = TABLE.with(py, |table| {
            let entry = table.get(&key)?;
            entry.waiters.first().map(|first| first.clone_ref(py))
        });
        if let Some(first) = first {
            first.wake(py);
        }
    }

    /// The original `_at_fork_reinit`. Those of this OS thread who wait get their turn.
    fn reinit(&self) -> PyResult<()> {
        let py = self.py();
        let me = ident::current(py)?;
        // A green thread that lives on in the child goes on having it.
        if self.reentrant && self.true_holder(me)? == Holder::Neighbour {
            return Ok(());
        }
        self.originals().reinit.bind(py).call1((self.object,))?;
        self.with_entry(|entry| entry.count = 0);
        self.call_first();
        Ok(())
    }
}

/// Whether a greenlet may take again what was taken before anybody took notice.
fn may_have_unknown(me: u64) -> bool {
    me == ident::thread() || ANYBODY.load(Ordering::Relaxed)
}

/// Whether green threads may have taken locks before anybody took notice.
static ANYBODY: AtomicBool = AtomicBool::new(false);

/// The moment to look at a lock again: after `pause`, but at the deadline if that is earlier.
fn earlier(deadline: Option<u64>, pause: u64) -> Option<u64> {
    let next = clock::now() + pause;
    Some(deadline.map_or(next, |deadline| deadline.min(next)))
}

#[cold]
fn not_yours() -> PyErr {
    PyRuntimeError::new_err("cannot release un-acquired lock")
}

/// How long, in nanoseconds, the first in line waits before it looks for itself: at first, and at most.
const SHORTEST: u64 = 2_000_000;
const LONGEST: u64 = 50_000_000;

/// How long the others wait before they look whether they are the first.
const REMOTE: u64 = 500_000_000;

/// The timeout that stands for none.
const NEVER: f64 = -1.0;

#[pyfunction]
#[pyo3(name = "acquire", signature = (lock, blocking = Flag(true), timeout = NEVER))]
#[pyo3(text_signature = "(lock, blocking=True, timeout=-1)")]
fn plain_acquire(lock: &Bound<'_, PyAny>, blocking: Flag, timeout: f64) -> PyResult<bool> {
    acquire(&Lock::plain(lock)?, blocking.0, timeout)
}

#[pyfunction]
#[pyo3(name = "__enter__")]
fn plain_enter(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    acquire(&Lock::plain(lock)?, true, NEVER)
}

#[pyfunction]
#[pyo3(name = "release")]
fn plain_release(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::plain(lock)?.release(0)
}

#[pyfunction]
#[pyo3(name = "__exit__", signature = (lock, *_args))]
fn plain_exit(lock: &Bound<'_, PyAny>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
    Lock::plain(lock)?.release(0)
}

#[pyfunction]
#[pyo3(name = "_at_fork_reinit")]
fn plain_reinit(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::plain(lock)?.reinit()
}

#[pyfunction]
#[pyo3(name = "acquire", signature = (lock, blocking = Flag(true), timeout = NEVER))]
#[pyo3(text_signature = "(lock, blocking=True, timeout=-1)")]
fn reentrant_acquire(lock: &Bound<'_, PyAny>, blocking: Flag, timeout: f64) -> PyResult<bool> {
    acquire(&Lock::reentrant(lock)?, blocking.0, timeout)
}

#[pyfunction]
#[pyo3(name = "__enter__")]
fn reentrant_enter(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    acquire(&Lock::reentrant(lock)?, true, NEVER)
}

#[pyfunction]
#[pyo3(name = "release")]
fn reentrant_release(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    let lock = Lock::reentrant(lock)?;
    lock.release(lock.me()?)
}

#[pyfunction]
#[pyo3(name = "__exit__", signature = (lock, *_args))]
fn reentrant_exit(lock: &Bound<'_, PyAny>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
    reentrant_release(lock)
}

#[pyfunction]
#[pyo3(name = "_is_owned")]
fn reentrant_is_owned(lock: &Bound<'_, PyAny>) -> PyResult<bool> {
    is_owned(&Lock::reentrant(lock)?)
}

#[pyfunction]
#[pyo3(name = "_recursion_count")]
fn reentrant_count<'py>(lock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    if !is_owned(&lock)? {
        return Ok(0_u64.into_pyobject(py)?.into_any());
    }
    let kind = &lock.types.reentrant.kind;
    let original = kind.method(intern!(py, "_recursion_count"))?;
    original.call1((lock.object,))
}

/// Whether the caller has a reentrant lock.
fn is_owned(lock: &Lock<'_, '_>) -> PyResult<bool> {
    let me = lock.me()?;
    if !lock.is_owned_original()? {
        return Ok(false);
    }
    Ok(match lock.holder(me) {
        Holder::Me => true,
        Holder::Neighbour => false,
        Holder::Unknown => may_have_unknown(me),
    })
}

#[pyfunction]
#[pyo3(name = "_release_save")]
fn reentrant_release_save<'py>(lock: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    match lock.true_holder(lock.me()?)? {
        Holder::Neighbour => return Err(not_yours()),
        Holder::Me => lock.with_entry(|entry| entry.count = 0),
        Holder::Unknown => {}
    }
    let saved = lock.types.release_save.bind(py).call1((lock.object,))?;
    lock.call_first();
    Ok(saved)
}

#[pyfunction]
#[pyo3(name = "_acquire_restore")]
fn reentrant_acquire_restore(lock: &Bound<'_, PyAny>, state: Bound<'_, PyAny>) -> PyResult<()> {
    let py = lock.py();
    let lock = Lock::reentrant(lock)?;
    let (count, _): (u64, u64) = state.extract()?;
    let thrown = by_all_means(py, || lock.acquire(true, None))?;
    let me = lock.me()?;
    for _ in 1..count {
        lock.take(me)?;
    }
    thrown
}

#[pyfunction]
#[pyo3(name = "_at_fork_reinit")]
fn reentrant_reinit(lock: &Bound<'_, PyAny>) -> PyResult<()> {
    Lock::reentrant(lock)?.reinit()
}

#[pyfunction]
#[pyo3(name = "join", signature = (handle, timeout = None, /))]
fn handle_join(handle: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
    let py = handle.py();
    let Some(kind) = &types(py)?.handle else {
        return Err(PyTypeError::new_err("not the handle of a thread"));
    };
    let ident = handle.getattr(intern!(py, "ident"))?;
    // Who joins himself is told so.
    if hub::existing(py).is_some() && !ident.eq(ident::thread())? {
        // A negative one is none.
        let deadline = deadline(timeout.filter(|timeout| *timeout >= 0.0));
        let mut pause = SHORTEST;
        loop {
            let done = handle.call_method0(intern!(py, "is_done"))?;
            if done.is_truthy()? {
                break;
            }
            let now = clock::now();
            let next = deadline.map_or(now + pause, |deadline| deadline.min(now + pause));
            if next <= now {
                return Ok(());
            }
            sleep(py, clock::until(now, next).as_secs_f64())?;
            pause = (pause * 2).min(LONGEST);
        }
    }
    let original = kind.method(intern!(py, "join"))?;
    original.call1((handle, timeout)).map(drop)
}

fn acquire(lock: &Lock<'_, '_>, blocking: bool, timeout: f64) -> PyResult<bool> {
    if !lock.reentrant && hub::existing(lock.py()).is_none() {
        return lock.block(blocking, timeout);
    }
    let timeout = lock_timeout(blocking, Some(timeout))?;
    lock.acquire(blocking, timeout)
}

/// Adds the function to the module, and keeps the types as they are now.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    types(module.py())?;
    module.add_function(wrap_pyfunction!(patch_lock_types, module)?)
}
