//! The methods that acquire a semaphore or a lock: while they wait, they take little of the stack.

use std::ffi::CStr;
use std::marker::PhantomData;

use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::{Borrowed, intern};

use super::args::Flag;
use super::semaphore::{Lock, Semaphore};
use super::waiters::{Place, Turn};
use crate::hub::Hub;
use crate::hub::entry::{Arguments, Step, WaitingCall, add_method};

/// Adds the methods to their classes.
pub fn add_methods(py: Python<'_>) -> PyResult<()> {
    let semaphore = py.get_type::<Semaphore>();
    add_method::<Acquire<Plain>>(&semaphore)?;
    add_method::<Acquire<Enter>>(&semaphore)?;
    let lock = py.get_type::<Lock>();
    add_method::<Acquire<EnterLock>>(&lock)?;
    add_method::<Acquire<Old>>(&lock)
}

/// A call that waits for a unit.
struct Acquire<M> {
    semaphore: Py<Semaphore>,
    place: Place,
    method: PhantomData<M>,
}

/// What the methods differ in.
trait Method {
    const NAME: &CStr;
    const DOC: &CStr;

    /// Takes a unit if one is free, or tells whether and how to wait for one.
    fn start(semaphore: &Bound<'_, Semaphore>, arguments: &Arguments<'_>) -> PyResult<Start>;

    /// What is returned by a call that has a unit, or has none.
    fn result(py: Python<'_>, got: bool) -> Py<PyAny> {
        PyBool::new(py, got).to_owned().into_any().unbind()
    }
}

/// What a call does first.
enum Start {
    /// It returns: with a unit, or without.
    Over(bool),
    /// It waits, so many seconds at the most.
    Wait(Option<f64>),
}

/// `acquire(blocking=True, timeout=None)`
struct Plain;

impl Method for Plain {
    const NAME: &CStr = c"acquire";

    const DOC: &CStr = c"acquire($self, blocking=True, timeout=None)
--

Takes a unit, waiting for one if necessary. Returns whether it has one.

With `blocking` false it does not wait. `timeout` is the longest wait in seconds; None and -1 wait
for ever. Raises `ValueError` for another negative timeout, or for one that comes with `blocking`
false, and `RuntimeError` in the hub, which waits only for locks.";

    #[inline]
    fn start(semaphore: &Bound<'_, Semaphore>, arguments: &Arguments<'_>) -> PyResult<Start> {
        let [blocking, timeout] = arguments.optional(["blocking", "timeout"])?;
        let Flag(blocking) = blocking.map_or(Ok(Flag(true)), Borrowed::extract)?;
        let timeout: Option<f64> = timeout.map_or(Ok(None), Borrowed::extract)?;
        let this = semaphore.get();
        let timeout = this.limit(blocking, timeout)?;
        let got = this.try_take(semaphore.py());
        Ok(if got || !blocking {
            Start::Over(got)
        } else {
            Start::Wait(timeout)
        })
    }
}

/// `acquire_lock(blocking=True, timeout=None)`
struct Old;

impl Method for Old {
    const NAME: &CStr = c"acquire_lock";

    const DOC: &CStr = c"acquire_lock($self, blocking=True, timeout=None)
--

An old name of `acquire`.";

    fn start(semaphore: &Bound<'_, Semaphore>, arguments: &Arguments<'_>) -> PyResult<Start> {
        Plain::start(semaphore, arguments)
    }
}

/// `__enter__()`
struct Enter;

impl Method for Enter {
    const NAME: &CStr = c"__enter__";

    const DOC: &CStr = c"__enter__($self)
--

As `acquire` without arguments. Returns None.";

    #[inline]
    fn start(semaphore: &Bound<'_, Semaphore>, arguments: &Arguments<'_>) -> PyResult<Start> {
        let [] = arguments.optional([])?;
        let py = semaphore.py();
        if !semaphore.get().is_plain() {
            semaphore.call_method0(intern!(py, "acquire"))?;
            return Ok(Start::Over(true));
        }
        Ok(if semaphore.get().try_take(py) {
            Start::Over(true)
        } else {
            Start::Wait(None)
        })
    }

    fn result(py: Python<'_>, _got: bool) -> Py<PyAny> {
        py.None()
    }
}

/// `__enter__()` of locks.
struct EnterLock;

impl Method for EnterLock {
    const NAME: &CStr = c"__enter__";

    const DOC: &CStr = c"__enter__($self)
--

As `acquire` without arguments. Returns True.";

    #[inline]
    fn start(semaphore: &Bound<'_, Semaphore>, arguments: &Arguments<'_>) -> PyResult<Start> {
        Enter::start(semaphore, arguments)
    }

    fn result(py: Python<'_>, _got: bool) -> Py<PyAny> {
        Plain::result(py, true)
    }
}

impl<M: Method> Acquire<M> {
    fn step(semaphore: Bound<'_, Semaphore>, turn: Turn) -> Step<Self> {
        match turn {
            Turn::Over(got) => Step::Done(M::result(semaphore.py(), got)),
            Turn::Waits(place, greenlet) => {
                let call = Self {
                    semaphore: semaphore.unbind(),
                    place,
                    method: PhantomData,
                };
                Step::Wait(call, greenlet)
            }
        }
    }
}

impl<M: Method> WaitingCall for Acquire<M> {
    const NAME: &CStr = M::NAME;
    const DOC: &CStr = M::DOC;

    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        // SAFETY: it is a method of semaphores, or of locks, which are semaphores.
        let semaphore = unsafe { arguments.receiver::<Semaphore>() };
        let turn = match M::start(&semaphore, arguments)? {
            Start::Over(got) => Turn::Over(got),
            Start::Wait(timeout) => semaphore.get().queue_up(py, timeout)?,
        };
        Ok(Self::step(semaphore, turn))
    }

    fn hub(&self) -> &Py<Hub> {
        self.place.hub()
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let semaphore = self.semaphore.into_bound(py);
        let turn = semaphore.get().go_on(py, self.place, switched)?;
        Ok(Self::step(semaphore, turn))
    }
}
