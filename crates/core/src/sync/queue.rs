//! `LightQueue`, `Queue`, `LifoQueue` and `PriorityQueue`: items that some put in and others get out.
//!
//! # Theory of operation
//!
//! Three lines meet in a queue: the items in store, the *putters* whose items found no room, and the
//! *getters* who found no item. What getters can have is the supply: the items in store, then those that
//! putters still hold.
//!
//! A `put` stores its item and *calls* the first getter: takes it out of the line, wakes it, and counts it as
//! promised. The item stays in the store until the getter runs and fetches it; meanwhile it counts neither as
//! content nor against the room, and a later `get` sees only what is not promised. So items are had in the
//! order in which they were asked for, and a getter that is killed after it was called has nothing to put
//! back: it only passes the call on. A getter that was called and finds nothing, because the item was taken
//! back, returns to the head of the line.
//!
//! A putter waits with its item. Whoever makes room moves the item to the store and wakes the putter. In a
//! queue of size 0 there is never any room: getters take items from putters, and `put` returns once that has
//! happened. Even `put_nowait` then waits for the getter that it calls (which is ready to run), unless it is
//! called in the hub, where the item goes to the store all the same.
//!
//! Items are kept here, natively, until somebody asks for the attribute `queue`, which is a `deque` (or a
//! list) that programs may change: from then on it holds the items. Subclasses that define `_init`, `_get` or
//! `_put` keep them wherever they like. Both take the *general* path, in which every step may call Python;
//! a get then counts itself as promised first, so that no two take the same item.

mod get;

use std::collections::VecDeque;

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{PyClassInitializer, PyTypeInfo, intern};

pub use self::get::GetCall;
use super::args::{Flag, deadline};
use super::waiters::{self, Waiter, Waiters, wait_in_line};
use super::watchers::Watchers;
use crate::cell::GilCell;
use crate::errors;
use crate::hub::{self, Hub, ParkId, entry};

/// `LightQueue(maxsize=None)`: a queue without `task_done` and `join`.
///
/// See `Queue` for what `maxsize` means.
#[pyclass(frozen, subclass, dict, weakref, module = "eventlet.queue")]
pub struct LightQueue {
    state: GilCell<State>,
    watchers: Watchers,
    order: Order,
    /// Whether items are counted until `task_done`.
    counts: bool,
    /// What the class of the instance defines itself.
    hooks: Hooks,
}

/// Which item comes out next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The one that was put in first.
    Fifo,
    /// The one that was put in last.
    Lifo,
    /// The smallest.
    Heap,
}

/// Methods that a subclass has replaced.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each method")]
struct Hooks {
    init: bool,
    /// `_get` or `_put`.
    items: bool,
    size: bool,
    get: bool,
    put: bool,
}

impl Hooks {
    fn of(cls: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> PyResult<Self> {
        if cls.is(base) {
            return Ok(Self::default());
        }
        let differs = |name: &str| Ok::<_, PyErr>(!cls.getattr(name)?.is(base.getattr(name)?));
        Ok(Self {
            init: differs("_init")?,
            items: differs("_get")? || differs("_put")?,
            size: differs("qsize")?,
            get: differs("get")?,
            put: differs("put")?,
        })
    }
}

enum Store {
    Fifo(VecDeque<Py<PyAny>>),
    Lifo(Vec<Py<PyAny>>),
    /// In a Python object, the attribute `queue`.
    Object(Py<PyAny>),
}

struct Putter {
    waiter: Waiter,
    item: Py<PyAny>,
    /// Whether it waits for room; otherwise only for the getter that it called.
    block: bool,
}

struct State {
    maxsize: Option<usize>,
    store: Store,
    getters: Waiters,
    putters: VecDeque<Putter>,
    /// Getters that have been called and have not come yet.
    promised: usize,
    /// Items that a hook is putting into the store: they take their room already.
    moving: usize,
    unfinished: i64,
    joiners: Waiters,
}

/// What came of a put into the native store.
enum Put {
    /// The item is stored; here is the getter to wake.
    Stored(Option<Waiter>),
    /// There is no room for this item.
    NoRoom(Py<PyAny>),
    /// The items are in a Python object; this one is to go there.
    General(Py<PyAny>),
}

/// What came of a get from the native store.
enum Get {
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
    fn stored(&self) -> Option<usize> {
        match &self.store {
            Store::Fifo(items) => Some(items.len()),
            Store::Lifo(items) => Some(items.len()),
            Store::Object(_) => None,
        }
    }

    /// Whether an item can be added to `stored` ones.
    #[inline]
    fn has_room(&self, stored: usize) -> bool {
        self.maxsize
            .is_none_or(|max| (stored + self.moving).saturating_sub(self.promised) < max)
    }

    /// Whether there is an item, in the store or with a putter, that nobody has been promised.
    #[inline]
    fn has_spare(&self, stored: usize) -> bool {
        stored + self.putters.len() > self.promised
    }

    /// Adds an item to the native store.
    #[inline]
    fn store_native(&mut self, item: Py<PyAny>) {
        match &mut self.store {
            Store::Fifo(items) => items.push_back(item),
            Store::Lifo(items) => items.push(item),
            Store::Object(_) => unreachable!("the caller has checked that the store is native"),
        }
    }

    /// Takes the next item out of the native store.
    #[inline]
    fn fetch_native(&mut self) -> Option<Py<PyAny>> {
        match &mut self.store {
            Store::Fifo(items) => items.pop_front(),
            Store::Lifo(items) => items.pop(),
            Store::Object(_) => None,
        }
    }

    /// Calls the first getter if there is something for it; the caller wakes it after the borrow.
    #[inline]
    fn call_getter(&mut self, stored: usize) -> Option<Waiter> {
        if self.getters.is_empty() || !self.has_spare(stored) {
            return None;
        }
        self.promised += 1;
        self.getters.pop()
    }

    /// Puts into the native store if there is room.
    #[inline]
    fn try_put(&mut self, item: Py<PyAny>, counts: bool) -> Put {
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
    fn try_get(&mut self, counts: bool) -> Get {
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
    fn take_native(&mut self, counts: bool) -> Option<(Py<PyAny>, Option<Waiter>)> {
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
    fn admit_native(&mut self, stored: usize, counts: bool) -> Option<Waiter> {
        if self.putters.is_empty() || !self.has_room(stored) {
            return None;
        }
        let putter = self.putters.pop_front()?;
        self.store_native(putter.item);
        self.unfinished += i64::from(counts);
        Some(putter.waiter)
    }

    /// Those putters that wait for a getter only, if there is none left for them.
    fn refused(&self, py: Python<'_>, stored: usize) -> Vec<Waiter> {
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

/// The size that `maxsize` stands for: None and negative numbers are no limit.
fn limit(maxsize: Option<i64>) -> Option<usize> {
    maxsize.and_then(|size| usize::try_from(size).ok())
}

/// Raises the standard library's `queue.Full` or `queue.Empty`.
#[cold]
fn standard_error(py: Python<'_>, name: &'static str) -> PyErr {
    let made = py
        .import("queue")
        .and_then(|module| module.getattr(name))
        .and_then(|class| class.call0());
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

#[pymethods]
impl LightQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::new(cls, &Self::type_object(cls.py()), Order::Fifo, false)
    }

    #[pyo3(signature = (maxsize = None))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Option<i64>) -> PyResult<()> {
        let this = slf.get();
        this.state.with(slf.py(), |s| s.maxsize = limit(maxsize));
        if this.hooks.init {
            slf.call_method1(intern!(slf.py(), "_init"), (maxsize,))
                .map(drop)
        } else {
            this.init(slf.py(), maxsize)
        }
    }

    /// Hook: makes `queue`, an empty store for the items.
    #[pyo3(name = "_init", signature = (maxsize = None))]
    fn init(&self, py: Python<'_>, maxsize: Option<i64>) -> PyResult<()> {
        let _ = maxsize;
        let store = match self.order {
            Order::Fifo => Store::Fifo(VecDeque::new()),
            Order::Lifo => Store::Lifo(Vec::new()),
            Order::Heap => Store::Object(PyList::empty(py).into_any().unbind()),
        };
        let old = self
            .state
            .with(py, |s| std::mem::replace(&mut s.store, store));
        drop(old);
        Ok(())
    }

    /// Hook: takes the next item out of `queue`.
    #[pyo3(name = "_get")]
    fn fetch(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let object = self.state.with(py, |s| match &s.store {
            Store::Object(object) => Ok(object.clone_ref(py)),
            _ => Err(s.fetch_native()),
        });
        let object = match object {
            Ok(object) => object.into_bound(py),
            Err(Some(item)) => return Ok(item),
            Err(None) => return Err(PyIndexError::new_err("get from an empty queue")),
        };
        let item = match self.order {
            Order::Fifo => object.call_method0(intern!(py, "popleft"))?,
            Order::Lifo => object.call_method0(intern!(py, "pop"))?,
            Order::Heap => {
                static POP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                POP.import(py, "heapq", "heappop")?.call1((object,))?
            }
        };
        Ok(item.unbind())
    }

    /// Hook: adds an item to `queue`.
    #[pyo3(name = "_put")]
    fn store(&self, py: Python<'_>, item: Py<PyAny>) -> PyResult<()> {
        let rest = self.state.with(py, |s| {
            if let Store::Object(object) = &s.store {
                return Some((object.clone_ref(py), item));
            }
            s.store_native(item);
            None
        });
        if let Some((object, item)) = rest {
            let object = object.into_bound(py);
            match self.order {
                Order::Fifo | Order::Lifo => object.call_method1(intern!(py, "append"), (item,))?,
                Order::Heap => {
                    static PUSH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                    PUSH.import(py, "heapq", "heappush")?
                        .call1((object, item))?
                }
            };
        }
        if self.counts {
            self.state.with(py, |s| s.unfinished += 1);
        }
        Ok(())
    }

    /// The items in store: a `deque`, or a list. Changing it changes the queue, but wakes nobody.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loop {
            let (object, seen) = match self.contents(py) {
                Ok(items) => (self.container(py, &items)?, items.len()),
                Err(object) => return Ok(object.into_bound(py)),
            };
            // Making the container may have let somebody else run.
            let old = self.state.with(py, |s| {
                if s.stored() != Some(seen) {
                    return None;
                }
                let store = Store::Object(object.clone().unbind());
                Some(std::mem::replace(&mut s.store, store))
            });
            if let Some(old) = old {
                drop(old);
                return Ok(object);
            }
        }
    }

    #[setter]
    fn set_queue(&self, py: Python<'_>, queue: Py<PyAny>) {
        let old = self.state.with(py, |s| {
            std::mem::replace(&mut s.store, Store::Object(queue))
        });
        drop(old);
    }

    /// How many items it may hold; None for any number. Setting it is the same as `resize`.
    #[getter]
    fn maxsize(&self, py: Python<'_>) -> Option<usize> {
        self.state.with(py, |s| s.maxsize)
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: Option<i64>) -> PyResult<()> {
        Self::resize(slf, maxsize)
    }

    /// Changes how many items it may hold. Items that are there stay; putters that now find room go on.
    fn resize(slf: &Bound<'_, Self>, size: Option<i64>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.state.with(py, |s| s.maxsize = limit(size));
        Self::settle(slf)
    }

    /// How many items it holds.
    ///
    /// An item that has been promised to a green thread which waited for it does not count.
    fn qsize(&self, py: Python<'_>) -> PyResult<usize> {
        let (stored, object, promised) = self.state.with(py, |s| match &s.store {
            Store::Object(object) => (0, Some(object.clone_ref(py)), s.promised),
            _ => (s.stored().unwrap_or(0), None, s.promised),
        });
        let stored = object.map_or(Ok(stored), |object| object.bind(py).len())?;
        Ok(stored.saturating_sub(promised))
    }

    /// Whether `get` would wait, unless a putter has an item for it.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(Self::content(slf)? == 0)
    }

    /// Whether `put` would wait. A queue of size 0 is always full, one without a limit never.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let content = Self::content(slf)?;
        let max = slf.get().state.with(slf.py(), |s| s.maxsize);
        Ok(max.is_some_and(|max| content >= max))
    }

    /// How many green threads wait in `put`.
    fn putting(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.putters.len())
    }

    /// How many green threads wait in `get`.
    fn getting(&self, py: Python<'_>) -> usize {
        self.state.with(py, |s| s.getters.len())
    }

    /// The green threads that wait in `put`, first come first, as a tuple.
    #[getter]
    fn putters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let all = self.state.with(py, |s| {
            s.putters
                .iter()
                .map(|putter| putter.waiter.clone_ref(py))
                .collect()
        });
        waiters::greenlets(py, all)
    }

    /// The green threads that wait in `get`, first come first, as a tuple.
    #[getter]
    fn getters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        waiters::greenlets(py, self.state.with(py, |s| s.getters.clone_ref(py)))
    }

    /// Puts an item in, waiting for room if necessary.
    ///
    /// With `block` false it does not wait for room. `timeout` is the longest wait in seconds; None waits for
    /// ever. Raises `Full` when there is no room, or none in time, and `RuntimeError` if it would have to wait
    /// in the hub. The item is not in the queue then.
    #[pyo3(
        signature = (item, block = Flag(true), timeout = None),
        text_signature = "($self, item, block=True, timeout=None)"
    )]
    fn put(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: Flag,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.hooks.items || this.hooks.size {
            return Self::put_general(slf, item, block.0, timeout);
        }
        let counts = this.counts;
        match this.state.with(py, |s| s.try_put(item, counts)) {
            Put::Stored(None) => {
                slf.get().watchers.notify(slf.py());
                Ok(())
            }
            Put::Stored(Some(getter)) => {
                getter.wake(py);
                Ok(())
            }
            Put::NoRoom(item) => Self::put_slow(slf, item, block.0, timeout),
            Put::General(item) => Self::put_general(slf, item, block.0, timeout),
        }
    }

    /// `put(item, block=False)`.
    fn put_nowait(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        if slf.get().hooks.put {
            return slf
                .call_method1(intern!(slf.py(), "put"), (item, false))
                .map(drop);
        }
        Self::put(slf, item, Flag(false), None)
    }

    /// `get(block=False)`.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.get().hooks.get {
            return Ok(slf
                .call_method1(intern!(slf.py(), "get"), (false,))?
                .unbind());
        }
        entry::finish(slf.py(), GetCall::start(slf, false, None)?)
    }

    /// `Queue[int]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let address = slf.as_ptr();
        let name = slf.get_type().name()?;
        Ok(format!("<{name} at {address:p} {}>", Self::format(slf)?))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(format!(
            "<{} {}>",
            slf.get_type().name()?,
            Self::format(slf)?
        ))
    }

    /// What `repr` and `str` tell, after the name.
    #[pyo3(name = "_format")]
    fn format(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let (maxsize, getting, putting, unfinished) = this.state.with(py, |s| {
            (s.maxsize, s.getters.len(), s.putters.len(), s.unfinished)
        });
        let mut parts = vec![match maxsize {
            Some(size) => format!("maxsize={size}"),
            None => "maxsize=None".to_owned(),
        }];
        let queue = match this.contents(py) {
            Ok(items) => this.container(py, &items)?,
            Err(object) => object.into_bound(py),
        };
        if queue.is_truthy()? {
            parts.push(format!("queue={}", queue.repr()?));
        }
        for (name, count) in [("getters", getting), ("putters", putting)] {
            if count > 0 {
                parts.push(format!("{name}[{count}]"));
            }
        }
        if unfinished > 0 {
            parts.push(format!("tasks={unfinished}"));
        }
        Ok(parts.join(" "))
    }

    /// Has `callback()` called whenever this may have become ready.
    fn _watch(&self, py: Python<'_>, callback: Py<PyAny>) {
        self.watchers.add(py, callback);
    }

    /// Takes a callback of `_watch` back. Returns whether it was there.
    fn _unwatch(&self, callback: &Bound<'_, PyAny>) -> bool {
        self.watchers.remove(callback.py(), callback)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.watchers.traverse(&visit)?;
        self.state
            .peek(|s| {
                match &s.store {
                    Store::Fifo(items) => items.iter().try_for_each(|item| visit.call(item))?,
                    Store::Lifo(items) => items.iter().try_for_each(|item| visit.call(item))?,
                    Store::Object(object) => visit.call(object)?,
                }
                for putter in &s.putters {
                    visit.call(&putter.item)?;
                    visit.call(&putter.waiter.hub)?;
                }
                s.getters.traverse(&visit)?;
                s.joiners.traverse(&visit)
            })
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let all = self.state.with(py, |s| {
            let store = std::mem::replace(&mut s.store, Store::Fifo(VecDeque::new()));
            let putters = std::mem::take(&mut s.putters);
            (store, putters, s.getters.take(), s.joiners.take())
        });
        drop(all);
        self.watchers.clear(py);
    }
}

impl LightQueue {
    fn new(
        cls: &Bound<'_, PyType>,
        base: &Bound<'_, PyType>,
        order: Order,
        counts: bool,
    ) -> PyResult<Self> {
        let store = match order {
            Order::Fifo => Store::Fifo(VecDeque::new()),
            Order::Lifo => Store::Lifo(Vec::new()),
            Order::Heap => Store::Object(PyList::empty(cls.py()).into_any().unbind()),
        };
        Ok(Self {
            state: GilCell::new(State {
                maxsize: None,
                store,
                getters: Waiters::default(),
                putters: VecDeque::new(),
                promised: 0,
                moving: 0,
                unfinished: 0,
                joiners: Waiters::default(),
            }),
            watchers: Watchers::new(),
            order,
            counts,
            hooks: Hooks::of(cls, base)?,
        })
    }

    /// The items of the native store, or the object that holds them.
    fn contents(&self, py: Python<'_>) -> Result<Vec<Py<PyAny>>, Py<PyAny>> {
        self.state.with(py, |s| match &s.store {
            Store::Fifo(items) => Ok(items.iter().map(|item| item.clone_ref(py)).collect()),
            Store::Lifo(items) => Ok(items.iter().map(|item| item.clone_ref(py)).collect()),
            Store::Object(object) => Err(object.clone_ref(py)),
        })
    }

    /// A Python container of the kind that `queue` is, with `items`.
    fn container<'py>(&self, py: Python<'py>, items: &[Py<PyAny>]) -> PyResult<Bound<'py, PyAny>> {
        static DEQUE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let list = PyList::new(py, items)?.into_any();
        match self.order {
            Order::Fifo => DEQUE.import(py, "collections", "deque")?.call1((list,)),
            Order::Lifo | Order::Heap => Ok(list),
        }
    }

    /// How many items it holds, promised ones left out, in the way that a subclass may have defined.
    fn content(slf: &Bound<'_, Self>) -> PyResult<usize> {
        if slf.get().hooks.size {
            slf.call_method0(intern!(slf.py(), "qsize"))?.extract()
        } else {
            slf.get().qsize(slf.py())
        }
    }

    /// How many items are in store, promised ones included.
    fn length(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let py = slf.py();
        let this = slf.get();
        if this.hooks.size {
            return slf.call_method0(intern!(py, "qsize"))?.extract();
        }
        let stored = this.state.with(py, |s| match &s.store {
            Store::Object(object) => Err(object.clone_ref(py)),
            _ => Ok(s.stored().unwrap_or(0)),
        });
        stored.or_else(|object| object.bind(py).len())
    }

    /// Puts after the native store had no room.
    #[cold]
    #[inline(never)]
    fn put_slow(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let hub = hub::current(py)?;
        let greenlet = Greenlet::current(py)?;
        if hub.get().is_hub_greenlet(py, &greenlet) {
            return Self::put_in_hub(slf, item, block);
        }
        let deadline = if block { deadline(timeout) } else { None };
        let parking = hub.get().park(py, &greenlet, deadline);
        let putter = Putter {
            waiter: Waiter {
                hub: hub.clone().unbind(),
                id: parking.id,
            },
            item,
            block,
        };
        // For a store that is a Python object the length was taken just before, by `put_general`; the native
        // one may have changed while the hub was looked for.
        let length = Self::length(slf)?;
        let entered = this.state.with(py, |s| {
            let native = s.stored().is_some() && !this.hooks.items;
            if native && s.putters.is_empty() && s.has_room(length) {
                s.store_native(putter.item);
                s.unfinished += i64::from(this.counts);
                return Ok((false, s.call_getter(length + 1)));
            }
            if !block && s.getters.is_empty() {
                return Err(putter);
            }
            s.putters.push_back(putter);
            Ok((true, s.call_getter(length)))
        });
        let (waits, getter) = match entered {
            Ok(entered) => entered,
            Err(putter) => {
                hub.get().unpark(py, parking.id);
                drop(putter);
                return Err(standard_error(py, "Full"));
            }
        };
        match getter {
            Some(getter) => getter.wake(py),
            None => this.watchers.notify(py),
        }
        if !waits {
            hub.get().unpark(py, parking.id);
            return Ok(());
        }
        let (id, result) = wait_in_line(&hub, &greenlet, parking, deadline, |old, new| {
            this.state.with(py, |s| {
                let putter = s.putters.iter_mut().find(|p| p.waiter.is(&hub, old));
                putter.map(|putter| putter.waiter.id = new).is_some()
            })
        });
        let left = this.remove_putter(py, &hub, id);
        match (result, left) {
            (Ok(_), None) => Ok(()),
            // Nobody has taken the item: the time is up, or the getter that it called is gone.
            (Ok(_), Some(_)) => Err(standard_error(py, "Full")),
            (Err(error), _) => Err(error),
        }
    }

    fn remove_putter(&self, py: Python<'_>, hub: &Bound<'_, Hub>, id: ParkId) -> Option<Putter> {
        self.state.with(py, |s| {
            let index = s.putters.iter().position(|p| p.waiter.is(hub, id))?;
            s.putters.remove(index)
        })
    }

    /// A put in the hub's own greenlet, which cannot wait, after there was no room.
    #[cold]
    fn put_in_hub(slf: &Bound<'_, Self>, item: Py<PyAny>, block: bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if block {
            return Err(errors::mainloop_error());
        }
        if this.state.with(py, |s| s.getters.is_empty()) {
            return Err(standard_error(py, "Full"));
        }
        Self::hook_put(slf, item)?;
        Self::settle(slf)
    }

    /// After a getter has given up: passes its call on, and tells putters that counted on it.
    #[cold]
    fn leave(slf: &Bound<'_, Self>, called: bool) -> PyResult<()> {
        let py = slf.py();
        if called {
            slf.get().state.with(py, |s| s.promised -= 1);
        }
        Self::settle(slf)
    }

    /// Fetches what a getter that has been called was promised; `None` if it was taken back.
    fn fetch_promised(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        if !this.hooks.items && !this.hooks.size {
            let counts = this.counts;
            let taken = this.state.with(py, |s| {
                s.stored()?;
                s.promised -= 1;
                Some(s.take_native(counts))
            });
            match taken {
                Some(Some((item, putter))) => {
                    if let Some(putter) = putter {
                        putter.wake(py);
                    }
                    return Ok(Some(item));
                }
                Some(None) => return Ok(None),
                None => {}
            }
        }
        Self::take_general(slf)
    }

    /// Puts by way of the hooks.
    #[cold]
    fn put_general(
        slf: &Bound<'_, Self>,
        item: Py<PyAny>,
        block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let length = Self::length(slf)?;
        let room = this.state.with(py, |s| {
            let room = s.putters.is_empty() && s.has_room(length);
            s.moving += usize::from(room);
            room
        });
        if !room {
            return Self::put_slow(slf, item, block, timeout);
        }
        let result = Self::hook_put(slf, item);
        this.state.with(py, |s| s.moving -= 1);
        result?;
        Self::settle(slf)?;
        this.watchers.notify(py);
        Ok(())
    }

    /// Takes an item by way of the hooks, for somebody who has been promised one.
    fn take_general(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let this = slf.get();
        let taken = (|| {
            if Self::length(slf)? > 0 {
                return Self::hook_get(slf).map(Some);
            }
            let Some(putter) = this.state.with(py, |s| s.putters.pop_front()) else {
                return Ok(None);
            };
            let moved = Self::hook_put(slf, putter.item).and_then(|()| Self::hook_get(slf));
            putter.waiter.wake_from(py);
            moved.map(Some)
        })();
        this.state.with(py, |s| s.promised -= 1);
        Self::settle(slf)?;
        taken
    }

    fn hook_put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        if slf.get().hooks.items {
            slf.call_method1(intern!(slf.py(), "_put"), (item,))
                .map(drop)
        } else {
            slf.get().store(slf.py(), item)
        }
    }

    fn hook_get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        if slf.get().hooks.items {
            Ok(slf.call_method0(intern!(slf.py(), "_get"))?.unbind())
        } else {
            slf.get().fetch(slf.py())
        }
    }

    /// Lets putters move up, calls getters, and refuses putters that wait in vain, until all is at rest.
    fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        loop {
            let length = Self::length(slf)?;
            let (putter, getter) = this.state.with(py, |s| {
                if s.putters.is_empty() || !s.has_room(length) {
                    return (None, s.call_getter(length));
                }
                s.moving += 1;
                (s.putters.pop_front(), None)
            });
            match (putter, getter) {
                (Some(putter), _) => {
                    let moved = Self::hook_put(slf, putter.item);
                    this.state.with(py, |s| s.moving -= 1);
                    // Not before the item is in its place: another OS thread may go on at once.
                    putter.waiter.wake(py);
                    moved?;
                }
                (None, Some(getter)) => getter.wake(py),
                (None, None) => {
                    let refused = this.state.with(py, |s| s.refused(py, length));
                    for putter in refused {
                        putter.wake(py);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Wakes those who wait for all items to be done with.
    fn finish(&self, py: Python<'_>) {
        let joiners = self.state.with(py, |s| {
            if s.unfinished == 0 {
                s.joiners.take()
            } else {
                VecDeque::new()
            }
        });
        for joiner in joiners {
            joiner.wake(py);
        }
    }
}

/// Wakes a putter whose item has been taken.
#[inline]
fn wake_putter(py: Python<'_>, putter: Waiter, block: bool) {
    if block {
        putter.wake(py);
    } else {
        // Only a get that does not wait can be the hub's.
        putter.wake_from(py);
    }
}

/// `Queue(maxsize=None)`: items that green threads of any OS thread put in and get out, in order.
///
/// `maxsize` is how many items it may hold; None, or a negative number, is no limit. A queue of size 0 holds
/// none: `put` waits until somebody has taken the item from its hands. (The standard library's `Queue(0)`
/// has no limit.)
///
/// Green threads that wait are served in the order in which they came.
#[pyclass(frozen, subclass, extends = LightQueue, module = "eventlet.queue")]
pub struct Queue;

#[pymethods]
impl Queue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Fifo, true)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }

    /// How many items have been put in that `task_done` has not been called for.
    #[getter]
    fn unfinished_tasks(slf: &Bound<'_, Self>) -> i64 {
        slf.as_super().get().state.with(slf.py(), |s| s.unfinished)
    }

    #[setter]
    fn set_unfinished_tasks(slf: &Bound<'_, Self>, count: i64) {
        let this = slf.as_super().get();
        this.state.with(slf.py(), |s| s.unfinished = count);
        this.finish(slf.py());
    }

    /// For a subclass whose `_put` does not call the inherited one: counts an item.
    fn _put_bookkeeping(slf: &Bound<'_, Self>) {
        slf.as_super()
            .get()
            .state
            .with(slf.py(), |s| s.unfinished += 1);
    }

    /// Says that an item which was got is done with.
    ///
    /// Raises `ValueError` if that has been said for every item already.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.as_super().get();
        let left = this.state.with(py, |s| {
            let any = s.unfinished > 0;
            s.unfinished -= i64::from(any);
            any.then_some(s.unfinished)
        });
        match left {
            Some(0) => {
                this.finish(py);
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(PyValueError::new_err("task_done() called too many times")),
        }
    }

    /// Waits until `task_done` has been called for every item that was put in.
    fn join(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.as_super().get();
        // Before anything is looked at: making a hub runs Python code, and that lets other threads run.
        let hub = hub::current(py)?;
        if this.state.with(py, |s| s.unfinished == 0) {
            return Ok(());
        }
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let parking = hub.get().park(py, &greenlet, None);
        let waiter = Waiter {
            hub: hub.clone().unbind(),
            id: parking.id,
        };
        this.state.with(py, |s| s.joiners.push(waiter));
        let (id, result) = wait_in_line(&hub, &greenlet, parking, None, |old, new| {
            this.state.with(py, |s| s.joiners.rename(&hub, old, new))
        });
        if result.is_err() {
            let left = this.state.with(py, |s| s.joiners.remove(&hub, id));
            drop(left);
        }
        result.map(drop)
    }
}

/// `LifoQueue(maxsize=None)`: a `Queue` that gives out the item that was put in last.
#[pyclass(frozen, subclass, extends = Queue, module = "eventlet.queue")]
pub struct LifoQueue;

#[pymethods]
impl LifoQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Lifo, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(Queue)
            .add_subclass(Self))
    }
}

/// `PriorityQueue(maxsize=None)`: a `Queue` that gives out the smallest item, such as `(priority, data)`.
#[pyclass(frozen, subclass, extends = Queue, module = "eventlet.queue")]
pub struct PriorityQueue;

#[pymethods]
impl PriorityQueue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kw), text_signature = "(maxsize=None)")]
    fn py_new(
        cls: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let base = LightQueue::new(cls, &Self::type_object(cls.py()), Order::Heap, true)?;
        Ok(PyClassInitializer::from(base)
            .add_subclass(Queue)
            .add_subclass(Self))
    }
}
