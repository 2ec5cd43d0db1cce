//! The loop itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use eventlet_greenlet::{Greenlet, GreenletRef};
use eventlet_reactor::Event;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::inbox::{self, Message};
use super::io::{IoHandler, Waiter};
use super::park::Wake;
use super::scheduler::Task;
use super::signals::{self, Watch, Watched};
use super::timer::{self, Timer};
use super::{Hub, wait};
use crate::call::{call, call0};
use crate::{clock, errors, greenthread};

impl Hub {
    /// Turns until told to stop; by `driver`, if there is one.
    pub(super) fn run_loop(
        slf: &Bound<'_, Self>,
        driver: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let this = slf.get();
        let current = Greenlet::current(slf.py())?;
        let own = this.is_hub_greenlet(slf.py(), &current);
        drop(current);
        this.running.store(true, Ordering::Relaxed);
        this.alive.store(own, Ordering::Relaxed);
        this.stopping.store(false, Ordering::Relaxed);
        let result = (|| {
            if let Some(driver) = driver {
                return call0(driver).map(drop);
            }
            while !this.stopping.load(Ordering::Relaxed) {
                Self::turn(slf, None)?;
            }
            Ok(())
        })();
        this.alive.store(false, Ordering::Relaxed);
        this.running.store(false, Ordering::Relaxed);
        this.stopping.store(false, Ordering::Relaxed);
        result
    }

    /// Makes one turn, asleep for `patience` at most.
    pub(super) fn turn(slf: &Bound<'_, Self>, patience: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.counters.turns.add();
        if !this.inbox.is_empty() {
            this.read_inbox(py);
        }
        this.scheduler.with(py, |s| s.begin_round(clock::now()));
        if this.hooks.wait {
            Self::wait_by_method(slf, patience)?;
        } else {
            Self::poll(slf, patience)?;
        }
        if this.debug_blocking.load(Ordering::Relaxed) {
            return Self::perform_watched(slf);
        }
        Self::perform_all(slf)
    }

    /// Runs the round.
    #[inline]
    fn perform_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        while let Some(task) = this.scheduler.with(py, super::scheduler::Scheduler::pop) {
            if let Err(error) = Self::perform(slf, task) {
                Self::escaped(slf, "squelch_generic_exception", None, error)?;
            }
        }
        Ok(())
    }

    /// A turn that a green thread makes when it parks and the round is over, to save the way over the hub.
    ///
    /// False if there is something that only the hub may do: sleep, take in messages, look for signals, stop, or
    /// come to the end of a callback that resumed a green thread.
    #[inline(never)]
    pub(super) fn turn_in_place(&self, py: Python<'_>) -> bool {
        // Now and then the hub has to look for signals: the interpreter itself may not notice one that another
        // thread has received.
        let lent = self.lent.load(Ordering::Relaxed)
            && !self.stopping.load(Ordering::Relaxed)
            && self.counters.turns.get() % TURNS_IN_PLACE != 0;
        if !lent || !self.inbox.is_empty() || !self.scheduler.with(py, |s| s.has_next()) {
            return false;
        }
        self.counters.turns.add();
        self.scheduler.with(py, |s| s.begin_round(clock::now()));
        self.counters.polls.add();
        let mut events = self.events.take(py);
        // An error comes again when the hub polls, which knows what to do about it.
        if self.poll_now(py, &mut events).is_ok() {
            self.dispatch(py, &mut events, None);
        }
        self.events.replace(py, events);
        true
    }

    fn read_inbox(&self, py: Python<'_>) {
        for message in self.inbox.take() {
            match message {
                Message::Wake(id, wake) => self.scheduler.with(py, |s| s.wake(id, wake)),
                Message::Throw(greenlet, exception) => {
                    self.scheduler
                        .with(py, |s| s.push(Task::Throw(greenlet, exception)));
                }
                Message::Call(function) => {
                    self.scheduler.with(py, |s| s.push(Task::Call(function)));
                }
                Message::Closed(fd, generation) => {
                    self.release_older(py, fd, generation);
                    self.tell_host_older(py, fd, generation);
                }
            }
        }
    }

    /// Looks at the descriptors and queues who is concerned; sleeps there if nothing else is to be done.
    pub(super) fn poll(slf: &Bound<'_, Self>, patience: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // A handler may queue something, so it runs before anybody decides whether to sleep.
        py.check_signals()?;
        this.counters.polls.add();
        if patience != Some(Duration::ZERO) && this.is_idle(py) {
            return Self::sleep_and_poll(slf, patience);
        }
        let mut events = this.events.take(py);
        let result = this.poll_now(py, &mut events);
        Self::interrupted(py, result, &mut events, None)?;
        this.dispatch(py, &mut events, None);
        this.events.replace(py, events);
        Ok(())
    }

    /// As [`poll`](Self::poll), when there is nothing to run.
    ///
    /// It costs something to make sure that every signal ends a sleep, so a hub that has to naps first: that
    /// is all there is of most sleeps of a busy one, and a signal that is missed waits no longer than that.
    fn sleep_and_poll(slf: &Bound<'_, Self>, patience: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let timeout = Self::timeout(slf, patience)?;
        let mut events = this.events.take(py);
        let short = timeout.is_some_and(|timeout| timeout <= NAP);
        if short || !this.handles_signals.load(Ordering::Relaxed) {
            let result = this.sleep(py, &mut events, timeout);
            return Self::woken(slf, events, result, None);
        }
        let result = this.sleep(py, &mut events, Some(NAP));
        if result.is_err() || !events.is_empty() {
            return Self::woken(slf, events, result, None);
        }
        Self::sleep_watched(slf, events, patience.map(|p| p.saturating_sub(NAP)))
    }

    /// Sleeps until something happens, be it a signal.
    #[cold]
    fn sleep_watched(
        slf: &Bound<'_, Self>,
        mut events: Vec<Event>,
        patience: Option<Duration>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let watch = Watch::begin(py)?;
        let slept: PyResult<_> = (|| {
            // What arrives from now on ends the sleep.
            py.check_signals()?;
            let timeout = if this.is_idle(py) {
                Self::timeout(slf, patience)?
            } else {
                Some(Duration::ZERO)
            };
            Ok(this.sleep(py, &mut events, timeout))
        })();
        let watched = watch.end(py);
        Self::woken(slf, events, slept?, Some(watched))
    }

    /// Polls with the GIL released.
    fn sleep(
        &self,
        py: Python<'_>,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> std::io::Result<()> {
        // Nobody of this thread can run meanwhile, and other threads do not touch the table.
        let Some(mut poller) = self.io.with(py, |io| io.poller.take()) else {
            return Ok(());
        };
        self.asleep.store(true, Ordering::Relaxed);
        let result = py.detach(|| poller.wait(events, timeout));
        self.asleep.store(false, Ordering::Relaxed);
        self.io.with(py, |io| io.poller = Some(poller));
        result
    }

    /// Queues those who wait for what a sleep has found.
    fn woken(
        slf: &Bound<'_, Self>,
        mut events: Vec<Event>,
        result: std::io::Result<()>,
        watched: Option<Watched>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        Self::interrupted(py, result, &mut events, watched)?;
        // What became due during the sleep belongs to this round.
        this.scheduler.with(py, |s| s.begin_round(clock::now()));
        this.dispatch(py, &mut events, watched);
        this.events.replace(py, events);
        Ok(())
    }

    /// If a signal has ended a poll: runs its handler.
    fn interrupted(
        py: Python<'_>,
        result: std::io::Result<()>,
        events: &mut Vec<Event>,
        watched: Option<Watched>,
    ) -> PyResult<()> {
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                events.clear();
                if let Some(watched) = watched {
                    watched.pass_on(py);
                }
                py.check_signals()
            }
            other => other.map_err(|error| errors::io_error(py, &error)),
        }
    }

    /// Whether there is nothing to do before something happens.
    fn is_idle(&self, py: Python<'_>) -> bool {
        self.scheduler.with(py, |s| s.is_idle()) && self.inbox.is_empty()
    }

    /// How long to sleep if nothing happens: until the next timer, or what `default_sleep` says if the
    /// program has replaced it.
    fn timeout(slf: &Bound<'_, Self>, patience: Option<Duration>) -> PyResult<Option<Duration>> {
        let py = slf.py();
        let deadline = slf.get().scheduler.with(py, |s| s.timers.next_wakeup());
        let timeout = match deadline {
            Some(deadline) => Some(clock::nap(clock::now(), deadline)),
            None => Self::default_patience(slf)?,
        };
        Ok(match (timeout, patience) {
            (Some(timeout), Some(patience)) => Some(timeout.min(patience)),
            (timeout, patience) => timeout.or(patience),
        })
    }

    fn default_patience(slf: &Bound<'_, Self>) -> PyResult<Option<Duration>> {
        let method = slf.getattr(intern!(slf.py(), "default_sleep"))?;
        if method.is_instance_of::<PyCFunction>() {
            return Ok(None);
        }
        let seconds: f64 = method.call0()?.extract()?;
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).ok())
    }

    /// Polls by the method `wait`, which the class of the hub has replaced.
    #[cold]
    #[inline(never)]
    fn wait_by_method(slf: &Bound<'_, Self>, patience: Option<Duration>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        py.check_signals()?;
        let timeout = if patience != Some(Duration::ZERO) && this.is_idle(py) {
            Self::timeout(slf, patience)?.map_or(DEFAULT_SLEEP, |timeout| timeout.as_secs_f64())
        } else {
            0.0
        };
        slf.call_method1(intern!(py, "wait"), (timeout,))?;
        this.scheduler.with(py, |s| s.begin_round(clock::now()));
        Ok(())
    }

    /// Runs the round between the methods that watch for what blocks.
    #[cold]
    #[inline(never)]
    fn perform_watched(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.call_method0(intern!(py, "block_detect_pre"))?;
        let result = Self::perform_all(slf);
        slf.call_method0(intern!(py, "block_detect_post"))?;
        result
    }

    /// Polls without waiting.
    fn poll_now(&self, py: Python<'_>, events: &mut Vec<Event>) -> std::io::Result<()> {
        self.io.with(py, |io| match io.poller.as_mut() {
            Some(poller) => poller.wait(events, Some(std::time::Duration::ZERO)),
            None => Ok(()),
        })
    }

    /// Queues those who wait for what the poll has found.
    fn dispatch(&self, py: Python<'_>, events: &mut Vec<Event>, watched: Option<Watched>) {
        for event in events.drain(..) {
            if event.token == signals::TOKEN {
                // One that came late stays until the next sleep, which knows whom it is for.
                if let Some(watched) = watched {
                    watched.pass_on(py);
                }
                continue;
            }
            if event.token == inbox::TOKEN {
                self.inbox.drain();
                self.read_inbox(py);
                continue;
            }
            self.io.with(py, |io| {
                io.dispatch(py, event, |waiter, _| {
                    self.scheduler.with(py, |s| match waiter {
                        Waiter::Park(id) | Waiter::LevelPark(id) => {
                            s.wake_in_round(id, Wake::Ready);
                        }
                        Waiter::Listener(listener) => s.push_round(Task::Notify(listener)),
                        Waiter::Handler(target) => {
                            s.push_round(Task::Handle(IoHandler {
                                target,
                                expired: false,
                            }));
                        }
                    });
                });
            });
        }
    }

    /// Does one entry of the round, on the hub's own stack.
    fn perform(slf: &Bound<'_, Self>, task: Task) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match task {
            Task::Wake(id) => {
                match this.scheduler.with(py, |s| s.hand_parked(py, id)) {
                    // SAFETY: the scheduler keeps it alive until then.
                    Some(greenlet) => unsafe { Self::resume(slf, greenlet) },
                    None => Ok(()),
                }
            }
            Task::Start(greenlet) => {
                // Killed before it could begin, or started by hand.
                if greenlet.is_started() {
                    Ok(())
                } else {
                    // SAFETY: the reference is dropped after the call.
                    unsafe { Self::resume(slf, greenlet.borrow()) }
                }
            }
            Task::Throw(greenlet, exception) => {
                this.counters.switches.add();
                let error = timer::error_from(exception.into_bound(py));
                greenthread::throw_from_hub(slf, &greenlet, error)
            }
            Task::Fire(timer) => Timer::fire(timer.bind(py)).or_else(|error| {
                let timer = timer.into_bound(py).into_any();
                Self::escaped(slf, "squelch_timer_exception", Some(timer), error)
            }),
            Task::Call(function) => call0(function.bind(py)).map(drop),
            Task::Notify(listener) => {
                let listener = listener.get();
                match listener.cb(py) {
                    Some(cb) if !listener.spent(py) => {
                        let fileno = listener.fileno().into_pyobject(py)?.into_any();
                        let args = (&fileno,).into_pyobject(py)?.unbind();
                        call(py, &cb, &args, None).map(drop).or_else(|error| {
                            Self::escaped(slf, "squelch_exception", Some(fileno), error)
                        })
                    }
                    _ => Ok(()),
                }
            }
            Task::Closed(listener) => {
                let tb = listener.get().tb(py);
                let mark_as_closed = listener.get().mark_as_closed(py);
                listener.get().defang(py);
                if let Some(mark_as_closed) = mark_as_closed
                    && let Err(error) = mark_as_closed.bind(py).call0()
                {
                    Self::escaped(slf, "squelch_generic_exception", None, error)?;
                }
                match tb {
                    Some(tb) => tb
                        .bind(py)
                        .call1((wait::io_closed(py).value(py),))
                        .map(drop),
                    None => Ok(()),
                }
            }
            Task::Handle(handler) if handler.expired => handler.target.expired(slf),
            Task::Handle(handler) => handler.target.ready(slf),
        }
    }

    /// Resumes a green thread, on behalf of the loop.
    ///
    /// # Safety
    ///
    /// It is alive until it has been resumed.
    pub(super) unsafe fn resume(slf: &Bound<'_, Self>, greenlet: GreenletRef) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.counters.switches.add();
        // What runs the turns itself wants to come back after each of them.
        let lend = !this.hooks.run && !this.debug_blocking.load(Ordering::Relaxed);
        this.lent.store(lend, Ordering::Relaxed);
        // SAFETY: the GIL is held, and the rest is what the caller promises. A new reference or NULL with an
        // exception comes back.
        let result = unsafe { Bound::from_owned_ptr_or_err(py, greenlet.switch()) };
        this.lent.store(false, Ordering::Relaxed);
        result.map(drop)
    }

    /// An exception that nobody in a green thread or callback has caught.
    ///
    /// The two that end programs go on to the main greenlet; the rest is reported, if that is wanted, by
    /// the hub's method `report`, which is told the timer or descriptor concerned.
    fn escaped(
        slf: &Bound<'_, Self>,
        report: &str,
        source: Option<Bound<'_, PyAny>>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        if error.is_instance_of::<PyKeyboardInterrupt>(py)
            || error.is_instance_of::<PySystemExit>(py)
        {
            return Err(error);
        }
        if slf.get().closed.load(Ordering::Relaxed)
            && error.is_instance(py, &eventlet_greenlet::greenlet_exit(py))
        {
            return Err(error);
        }
        let value = error.value(py).clone();
        let traceback = error.traceback(py).map(Bound::into_any);
        let info = (value.get_type().into_any(), value.into_any(), traceback);
        Self::report(slf, report, source, info);
        Ok(())
    }
}

/// How many turns are made in place before the hub makes one itself.
const TURNS_IN_PLACE: u64 = 64;

/// How long a hub sleeps before it makes sure that every signal ends its sleep.
const NAP: Duration = Duration::from_millis(10);

/// Seconds that a hub sleeps when there is nothing to wait for, as its `default_sleep` says.
pub(super) const DEFAULT_SLEEP: f64 = 60.0;
