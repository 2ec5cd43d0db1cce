//! What Python sees of a hub: Eventlet's own method and attribute names.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventlet_greenlet::Greenlet;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use super::close::{at_thread_end, closed_error, end_hub};
use super::inbox::{self, Message};
use super::io::{self, Direction, Waiter};
use super::listener::FdListener;
use super::park::Wake;
use super::scheduler::{Due, Task};
use super::timer::{LocalTimer, Timer};
use super::turn::DEFAULT_SLEEP;
use super::{Hooks, Hub, current, entry, set_current, signals, timer, wait};
use crate::net::resolver;
use crate::sync::lock_types;
use crate::{arena, clock, errors, ident};

#[pymethods]
impl Hub {
    /// `READ`, the event type of a descriptor that has data.
    #[classattr]
    const READ: &'static str = "read";

    /// `WRITE`, the event type of a descriptor that takes data.
    #[classattr]
    const WRITE: &'static str = "write";

    #[new]
    #[classmethod]
    #[pyo3(signature = (backend = None))]
    fn py_new(cls: &Bound<'_, PyType>, backend: Option<&str>) -> PyResult<Self> {
        Self::with_backend(backend, Hooks::of(cls)?, None)
    }

    /// The system call behind this hub: "epoll", "kqueue", "poll" or "select".
    #[getter]
    fn backend(&self) -> &'static str {
        self.backend.name()
    }

    /// The greenlet that runs the loop.
    #[getter(greenlet)]
    fn py_greenlet(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let present = slf
            .get()
            .greenlet
            .with(py, |g| g.as_ref().map(|g| g.clone_ref(py)));
        match present {
            Some(greenlet) => Ok(greenlet.into_object()),
            None => Ok(Self::ensure_greenlet(slf)?.into_object()),
        }
    }

    /// Makes sure that `greenlet` is alive, replacing one that has ended.
    #[pyo3(name = "ensure_greenlet")]
    fn py_ensure_greenlet(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::ensure_greenlet(slf).map(drop)
    }

    /// Runs the loop until `abort()`. It is what the hub's greenlet does; programs do not call it.
    #[pyo3(signature = (*_args, **_kw))]
    fn run(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Self::drive(slf, None)
    }

    /// Runs `driver()` in place of the loop; it calls `_turn` in a loop of its own.
    fn _drive(slf: &Bound<'_, Self>, driver: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::drive(slf, Some(driver))
    }

    /// Makes one turn of the loop, asleep for `seconds` at most; None has no limit.
    fn _turn(slf: &Bound<'_, Self>, seconds: Option<f64>) -> PyResult<()> {
        Self::turn(slf, seconds.map(duration))
    }

    /// Waits for descriptors, `seconds` at most, and queues what is to be called for those that are ready.
    ///
    /// A subclass that replaces it is called by the loop in each turn.
    #[pyo3(name = "wait", signature = (seconds = None))]
    fn py_wait(slf: &Bound<'_, Self>, seconds: Option<f64>) -> PyResult<()> {
        Self::poll(slf, seconds.map(duration))
    }

    /// How long the hub sleeps when nothing is scheduled. Programs may replace it.
    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn default_sleep(&self) -> f64 {
        DEFAULT_SLEEP
    }

    /// When the next timer is due, on the hub's clock; None if there is none.
    fn sleep_until(&self, py: Python<'_>) -> Option<f64> {
        let deadline = self.scheduler.with(py, |s| s.timers.next_wakeup());
        deadline.map(clock::seconds)
    }

    /// Does nothing: timers are where they belong at any time.
    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn prepare_timers(&self) {}

    /// Queues the timers that are due at `when`; they run in the present or the next round.
    fn fire_timers(&self, py: Python<'_>, when: f64) {
        let now = clock::from_seconds(when);
        self.scheduler.with(py, |s| s.expire(now));
    }

    /// Gives way to the hub until somebody switches back, and returns what they pass.
    ///
    /// The caller must have arranged for that: a timer, a listener, another green thread.
    fn switch(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let greenlet = Greenlet::current(py)?;
        if slf.get().is_hub_greenlet(py, &greenlet) {
            return Err(PyAssertionError::new_err(
                "Cannot switch to MAINLOOP from MAINLOOP",
            ));
        }
        let hook = greenlet.bind(py).getattr_opt("switch_out")?;
        if let Some(hook) = hook
            && let Err(error) = hook.call0()
        {
            errors::unraisable(py, error, Some(&hook));
        }
        Ok(Self::switch_directly(slf, &greenlet)?.unbind())
    }

    /// Ends the loop after the present turn. With `wait`, returns once it has ended.
    #[pyo3(signature = (wait = false))]
    fn abort(slf: &Bound<'_, Self>, wait: bool) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.running.load(Ordering::Relaxed) {
            return Ok(());
        }
        this.stopping.store(true, Ordering::Relaxed);
        let greenlet = Greenlet::current(py)?;
        let is_hub = this.is_hub_greenlet(py, &greenlet);
        if wait && is_hub {
            return Err(PyAssertionError::new_err(
                "Can't abort with wait from inside the hub's greenlet.",
            ));
        }
        // A stopping hub still ends its turn, so it must not fall asleep in it.
        let nothing = py.get_type::<PyDict>().into_any().unbind();
        this.scheduler.with(py, |s| s.push(Task::Call(nothing)));
        this.nudge(py);
        if wait {
            Self::ensure_greenlet(slf)?.switch(py)?;
        }
        Ok(())
    }

    /// Whether the loop runs.
    #[getter]
    fn running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether the loop ends after this turn.
    #[getter]
    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The hub's clock: monotonic, in seconds.
    #[staticmethod]
    fn clock() -> f64 {
        clock::seconds(clock::now())
    }

    /// Whether exceptions that nobody catches are printed.
    #[getter]
    fn debug_exceptions(&self) -> bool {
        self.debug_exceptions.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_debug_exceptions(&self, on: bool) {
        self.debug_exceptions.store(on, Ordering::Relaxed);
    }

    /// Adds a listener: `cb(fileno)` is called while `fileno` is ready for `evtype`.
    ///
    /// `tb(exception)` is called instead if it is closed. Raises RuntimeError if there is a listener for
    /// the same event already (see `eventlet.debug.hub_prevent_multiple_readers`) and OSError if the
    /// kernel cannot watch such a descriptor.
    #[pyo3(signature = (evtype, fileno, cb, tb, mark_as_closed = None))]
    fn add<'py>(
        slf: &Bound<'py, Self>,
        evtype: Bound<'py, PyAny>,
        fileno: RawFd,
        cb: Py<PyAny>,
        tb: Py<PyAny>,
        mark_as_closed: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, FdListener>> {
        let py = slf.py();
        let direction = Direction::from_name(&evtype.extract::<String>()?)?;
        let class = slf
            .get()
            .listener_class
            .with(py, |class| class.as_ref().map(|class| class.clone_ref(py)));
        let listener = match class {
            None => {
                let evtype = evtype.unbind();
                let (cb, tb) = (Some(cb), Some(tb));
                Bound::new(
                    py,
                    FdListener::new(py, evtype, fileno, cb, tb, mark_as_closed)?,
                )?
            }
            Some(class) => class
                .bind(py)
                .call1((evtype, fileno, cb, tb, mark_as_closed))?
                .cast_into()?,
        };
        let waiter = Waiter::Listener(listener.clone().unbind());
        slf.get()
            .watch(py, fileno, direction, waiter)
            .map_err(|refused| wait::refusal(py, fileno, direction, refused))?;
        Ok(listener)
    }

    /// Takes a listener back.
    fn remove(&self, listener: &Bound<'_, FdListener>) -> PyResult<()> {
        let py = listener.py();
        if listener.get().spent(py) {
            // It may be about to be told that its descriptor was closed, which nobody wants to hear now.
            listener.get().defang(py);
            return Ok(());
        }
        let direction = listener.get().direction(py)?;
        let fileno = listener.get().fileno();
        let handle = listener.clone().unbind();
        let removed = self
            .io
            .with(py, |io| io.unwait_listener(fileno, direction, &handle));
        drop(removed);
        listener.get().defang(py);
        Ok(())
    }

    /// Forgets everything about a descriptor. Whoever waits for it gets `IOClosed`.
    fn remove_descriptor(&self, py: Python<'_>, fileno: RawFd) {
        self.release(py, fileno);
    }

    /// Notes that a descriptor has just been opened: what is known of the number is out of date.
    fn mark_as_reopened(&self, py: Python<'_>, fileno: RawFd) {
        self.notify_close(py, fileno);
    }

    /// Notes that a descriptor is about to be closed. Whoever waits for it gets `IOClosed`.
    fn notify_close(&self, py: Python<'_>, fileno: RawFd) {
        let generation = io::next_generation(py, fileno);
        self.release(py, fileno);
        inbox::broadcast_closed(Some(&self.inbox), fileno, generation);
    }

    /// The listeners that wait to read.
    fn get_readers<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<Bound<'py, FdListener>>> {
        Self::listeners(slf, Direction::Read)
    }

    /// The listeners that wait to write.
    fn get_writers<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<Bound<'py, FdListener>>> {
        Self::listeners(slf, Direction::Write)
    }

    /// `{"read": {fileno: listener}, "write": {...}}`, a snapshot.
    #[getter(listeners)]
    fn py_listeners<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::table(slf, true)
    }

    /// As `listeners`, with those that wait behind another one: `{"read": {fileno: [listener, ...]}, ...}`.
    #[getter]
    fn secondaries<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::table(slf, false)
    }

    /// Listeners that are still to be told that their descriptor was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> Vec<Py<FdListener>> {
        self.closed_listeners(py)
    }

    /// The class of the listeners that `add` makes.
    #[getter]
    fn lclass<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.listener_class
            .with(py, |class| class.as_ref().map(|class| class.clone_ref(py)))
            .map_or_else(
                || py.get_type::<FdListener>().into_any(),
                |class| class.into_bound(py),
            )
    }

    #[setter]
    fn set_lclass(&self, py: Python<'_>, class: Bound<'_, PyAny>) {
        let class = if class.is(py.get_type::<FdListener>()) {
            None
        } else {
            Some(class.unbind())
        };
        drop(self.listener_class.replace(py, class));
    }

    /// `[(time, timer), ...]`, a snapshot of what is scheduled, sleeping green threads included.
    #[getter]
    fn timers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        Self::waiting_timers(slf)
    }

    /// `[(time, timer), ...]`, a snapshot of what fires in the next round.
    #[getter]
    fn next_timers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        Self::queued_timers(slf)
    }

    /// How many timers have been cancelled that would not be due yet.
    ///
    /// They are gone, but for the counts: a program can tell from these how much it schedules in vain. The
    /// count begins anew when it is half of a thousand timers or more.
    #[getter]
    fn timers_canceled(&self, py: Python<'_>) -> usize {
        self.scheduler.with(py, |s| s.cancelled(clock::now()))
    }

    /// Whether rounds run between `block_detect_pre` and `block_detect_post`.
    #[getter]
    fn debug_blocking(&self) -> bool {
        self.debug_blocking.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_debug_blocking(&self, on: bool) {
        self.debug_blocking.store(on, Ordering::Relaxed);
        // Who runs now gives way to the hub, not to the next in the round.
        self.lent.store(false, Ordering::Relaxed);
    }

    /// Calls `cb(*args, **kw)` in the hub after `seconds`. Returns a timer, which has `cancel()`.
    #[pyo3(signature = (seconds, cb, *args, **kw))]
    fn schedule_call_global<'py>(
        slf: &Bound<'py, Self>,
        seconds: f64,
        cb: Py<PyAny>,
        args: Bound<'py, PyTuple>,
        kw: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Timer>> {
        let timer = Timer::call(seconds, cb, args.unbind(), kw.map(Bound::unbind), None);
        let timer = Bound::new(slf.py(), timer)?;
        timer.get().trace(slf.py())?;
        Timer::enqueue(&timer, slf);
        Ok(timer)
    }

    /// As `schedule_call_global`, but not if the calling greenlet has ended by then.
    #[pyo3(signature = (seconds, cb, *args, **kw))]
    fn schedule_call_local<'py>(
        slf: &Bound<'py, Self>,
        seconds: f64,
        cb: Py<PyAny>,
        args: Bound<'py, PyTuple>,
        kw: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Timer>> {
        let guard = Some(Greenlet::current(slf.py())?);
        let timer = Timer::call(seconds, cb, args.unbind(), kw.map(Bound::unbind), guard);
        let timer = PyClassInitializer::from(timer).add_subclass(LocalTimer);
        let timer = Bound::new(slf.py(), timer)?.into_super();
        timer.get().trace(slf.py())?;
        Timer::enqueue(&timer, slf);
        Ok(timer)
    }

    /// Schedules a timer: one of ours, or any object that is callable and has `seconds`.
    fn add_timer<'py>(
        slf: &Bound<'py, Self>,
        timer: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Ok(own) = timer.cast::<Timer>() {
            Timer::enqueue(own, slf);
            return Ok(timer);
        }
        if !timer.is_callable() {
            return Err(PyTypeError::new_err(
                "a timer is callable and has an attribute 'seconds'",
            ));
        }
        let seconds: f64 = timer.getattr("seconds")?.extract()?;
        let args = PyTuple::empty(py).unbind();
        let own = Timer::call(seconds, timer.clone().unbind(), args, None, None);
        Timer::enqueue(&Bound::new(py, own)?, slf);
        Ok(timer)
    }

    /// Notes that a timer of the program was cancelled, which the hub knows by itself.
    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn timer_canceled(&self, _timer: &Bound<'_, PyAny>) {}

    /// How many timers wait: sleeping green threads, time limits and cancelled timers included.
    fn get_timers_count(&self, py: Python<'_>) -> usize {
        self.scheduler.with(py, |s| {
            s.timers.len()
                + s.cancelled(clock::now())
                + s.tasks()
                    .filter(|task| matches!(task, Task::Fire(_)))
                    .count()
        })
    }

    /// Calls `fn(*args)` in the hub soon. May be called from any thread, and from signal handlers.
    #[pyo3(signature = (r#fn, *args))]
    fn call_soon_threadsafe(
        &self,
        py: Python<'_>,
        r#fn: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let call = if args.is_empty() {
            r#fn
        } else {
            let partial = py.import("functools")?.getattr("partial")?;
            let mut all = vec![r#fn];
            all.extend(args.iter());
            partial.call1(PyTuple::new(py, all)?)?
        };
        self.inbox.send(Message::Call(call.unbind()));
        Ok(())
    }

    /// Whether a second waiter for the same event of a descriptor is an error (it is, unless told so).
    #[getter]
    fn prevent_multiple_readers(&self, py: Python<'_>) -> bool {
        self.io.with(py, |io| io.exclusive)
    }

    #[setter]
    fn set_prevent_multiple_readers(&self, py: Python<'_>, on: bool) {
        self.io.with(py, |io| io.exclusive = on);
    }

    /// Figures about this hub, as a dict of integers.
    ///
    /// `turns`, `polls`, `switches` and `spawned` count up; `green_threads`, `parked`, `timers` and `queued`
    /// are as of now; `arena_*` describe the cache of stack chunks, absent if it is off.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (parked, timers, queued) = self
            .scheduler
            .with(py, |s| (s.parks.len(), s.timers.len(), s.queued()));
        let counters = &self.counters;
        let spawned = counters.spawned.get();
        let stats = PyDict::new(py);
        stats.set_item("turns", counters.turns.get())?;
        stats.set_item("polls", counters.polls.get())?;
        stats.set_item("switches", counters.switches.get())?;
        stats.set_item("spawned", spawned)?;
        stats.set_item("green_threads", spawned - counters.finished.get())?;
        stats.set_item("parked", parked)?;
        stats.set_item("timers", timers)?;
        stats.set_item("queued", queued)?;
        if let Some(cache) = arena::counters() {
            stats.set_item("arena_free", cache.free)?;
            stats.set_item("arena_hits", cache.hits)?;
            stats.set_item("arena_misses", cache.misses)?;
        }
        Ok(stats)
    }

    /// For a watchdog in another thread: a number that changes with whoever runs, and whether the hub
    /// sleeps, so that nobody does.
    fn _progress(&self) -> (u64, bool) {
        let counters = &self.counters;
        let steps = counters.turns.get().wrapping_add(counters.switches.get());
        (steps, self.asleep.load(Ordering::Relaxed))
    }

    /// The green threads that wait on this hub, in no particular order. For debugging.
    fn _parked(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.scheduler.with(py, |s| {
            let parked = s.parks.greenlets();
            parked
                .map(|greenlet| greenlet.object().clone_ref(py))
                .collect()
        })
    }

    /// In a forked child: makes a new poller and registers again whoever waits.
    fn after_fork_in_child(&self, py: Python<'_>) -> PyResult<()> {
        let failed = |error: std::io::Error| errors::io_error(py, &error);
        self.inbox.restart().map_err(failed)?;
        let mut poller = eventlet_reactor::Poller::new(self.backend).map_err(failed)?;
        self.inbox.register(&mut poller).map_err(failed)?;
        let handles_signals = self.guest.is_none() && signals::register(py, &mut poller)?;
        self.handles_signals
            .store(handles_signals, Ordering::Relaxed);
        let old = self.io.with(py, |io| {
            let old = io.poller.take();
            io.restart(poller);
            old
        });
        drop(old);
        self.attach_again(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for greenlet in [&self.greenlet, &self.kept] {
            let visit = |g: &Option<Greenlet>| visit.call(g.as_ref().map(Greenlet::object));
            if let Some(result) = greenlet.peek(visit) {
                result?;
            }
        }
        if let Some(guest) = &self.guest {
            guest.traverse(&visit)?;
        }
        if let Some(result) = self.listener_class.peek(|class| visit.call(class)) {
            result?;
        }
        let scheduled = self.scheduler.peek(|s| {
            for task in s.tasks() {
                match task {
                    Task::Start(greenlet) => visit.call(greenlet.object())?,
                    Task::Throw(greenlet, exception) => {
                        visit.call(greenlet.object())?;
                        visit.call(exception)?;
                    }
                    Task::Fire(timer) => visit.call(timer)?,
                    Task::Call(function) => visit.call(function)?,
                    Task::Notify(listener) | Task::Closed(listener) => visit.call(listener)?,
                    Task::Wake(_) | Task::Handle(_) => {}
                }
            }
            for greenlet in s.parks.greenlets() {
                visit.call(greenlet.object())?;
            }
            for (_, _, due) in s.timers.iter() {
                match due {
                    Due::Start(greenlet) => visit.call(greenlet.object())?,
                    Due::Fire(timer) => visit.call(timer)?,
                    Due::Expire(_) | Due::Handle(_) => {}
                }
            }
            Ok(())
        });
        scheduled.unwrap_or(Ok(()))?;
        let waiting = self.io.peek(|io| {
            for direction in [Direction::Read, Direction::Write] {
                for waiting in io.waiting(direction) {
                    if let Waiter::Listener(listener) = waiting.waiter {
                        visit.call(listener)?;
                    }
                }
            }
            Ok(())
        });
        waiting.unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        let greenlets = (self.greenlet.take(py), self.kept.take(py));
        let parks = self.scheduler.with(py, |s| std::mem::take(&mut s.parks));
        drop((greenlets, self.take_queues(py), parks));
        if let Some(guest) = &self.guest {
            guest.clear(py);
        }
        drop(self.listener_class.take(py));
    }
}

impl Hub {
    fn drive(slf: &Bound<'_, Self>, driver: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if slf.get().running.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("Already running!"));
        }
        Self::run_loop(slf, driver)
    }
}

/// A time that Python gives in seconds; what is too long for us is the longest there is.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// The hub of the calling thread, made on first use.
#[pyfunction]
pub fn get_hub(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Hub::face(&current(py)?)
}

/// Makes `hub`, native or any object with the methods of one, the hub of the calling thread; `None` leaves
/// it without one until it is needed.
///
/// The one before is closed: its timers and listeners are lost, its descriptors released.
#[pyfunction]
#[pyo3(signature = (hub))]
pub fn set_hub(py: Python<'_>, hub: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let hub = match hub {
        None => None,
        Some(hub) => Some(match hub.cast_into::<Hub>() {
            Ok(native) => native,
            Err(error) => Hub::behind(&error.into_inner())?,
        }),
    };
    if let Some(hub) = &hub
        && hub.get().closed.load(Ordering::Relaxed)
    {
        return Err(closed_error());
    }
    if hub.is_some() {
        at_thread_end(py)?;
        ident::publish(py)?;
    }
    match set_current(py, hub.clone().map(Bound::unbind)) {
        Some(old) if hub.as_ref().is_none_or(|hub| !old.is(hub)) => {
            Hub::close(old.bind(py), hub.as_ref())
        }
        _ => Ok(()),
    }
}

/// Whether the calling thread has a hub.
#[pyfunction]
pub fn has_hub(py: Python<'_>) -> bool {
    super::existing(py).is_some()
}

/// Sets what `Hub.prevent_multiple_readers` is for hubs that are made from now on.
#[pyfunction]
pub fn set_prevent_multiple_readers(on: bool) {
    io::EXCLUSIVE.store(on, Ordering::Relaxed);
}

/// What `Hub.prevent_multiple_readers` is for hubs that are made from now on.
#[pyfunction]
pub fn prevent_multiple_readers() -> bool {
    io::EXCLUSIVE.load(Ordering::Relaxed)
}

/// Sets whether timers that are made from now on keep the stack of the code that makes them.
#[pyfunction]
pub fn set_timer_stacks(on: bool) {
    timer::STACKS.store(on, Ordering::Relaxed);
}

/// Whether timers keep the stack of the code that makes them.
#[pyfunction]
pub fn timer_stacks() -> bool {
    timer::STACKS.load(Ordering::Relaxed)
}

/// For `os.register_at_fork`: gives the child's only thread a hub that works.
#[pyfunction]
pub fn after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    signals::after_fork_in_child(py);
    let hub = super::existing(py);
    inbox::forget_others(hub.as_ref().map(|hub| &hub.get().inbox));
    lock_types::after_fork_in_child(py);
    if let Some(hub) = hub {
        hub.get().after_fork_in_child(py)?;
    }
    resolver::after_fork_in_child(py);
    Ok(())
}

/// Waits until `fileno` is ready to `read` or to `write` (exactly one of the two).
///
/// `timeout` is in seconds, `None` waits for ever. Returns True when ready and False when the time is up.
/// Raises `IOClosed` if the descriptor is closed meanwhile, RuntimeError in the hub.
#[pyfunction]
#[pyo3(signature = (fileno, write, timeout = None))]
pub fn wait_fileno(
    py: Python<'_>,
    fileno: RawFd,
    write: bool,
    timeout: Option<f64>,
) -> PyResult<bool> {
    let hub = current(py)?;
    let direction = if write {
        Direction::Write
    } else {
        Direction::Read
    };
    let deadline = timeout.map(|timeout| clock::after(clock::now(), timeout));
    Ok(Hub::wait_level(&hub, fileno, direction, deadline)? != Wake::TimedOut)
}

/// The backends of this platform, best first.
#[pyfunction]
pub fn backends(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(
        py,
        eventlet_reactor::Backend::available()
            .iter()
            .map(|backend| backend.name()),
    )
}

pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Hub>()?;
    module.add_class::<Timer>()?;
    module.add_class::<LocalTimer>()?;
    module.add_class::<FdListener>()?;
    module.add_function(wrap_pyfunction!(get_hub, module)?)?;
    module.add_function(wrap_pyfunction!(set_hub, module)?)?;
    module.add_function(wrap_pyfunction!(end_hub, module)?)?;
    module.add_function(wrap_pyfunction!(has_hub, module)?)?;
    module.add_function(wrap_pyfunction!(set_prevent_multiple_readers, module)?)?;
    module.add_function(wrap_pyfunction!(prevent_multiple_readers, module)?)?;
    module.add_function(wrap_pyfunction!(set_timer_stacks, module)?)?;
    module.add_function(wrap_pyfunction!(timer_stacks, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork_in_child, module)?)?;
    module.add_function(wrap_pyfunction!(wait_fileno, module)?)?;
    module.add_function(wrap_pyfunction!(backends, module)?)?;
    entry::add_function::<wait::Sleep>(module)
}
