//! Hubs that programs write in Python, and the native hub that is behind each of them.
//!
//! # Theory of operation
//!
//! Primitives, sockets and servers know native hubs only. So a thread whose hub is a Python object, the
//! *host*, has a native hub all the same, its *guest*: green threads park on that one, and it keeps their
//! timers. But it never sleeps and has no greenlet. The host runs the loop and lends it moments:
//!
//! - [`Pump`] makes one turn of the guest that does not wait. It is called by the host's own timers, for
//!   which the guest asks (`schedule_call_global`) when it has something to run and for its next deadline.
//! - A green thread gives way by the host's `switch()`.
//! - A green thread that waits for a descriptor does so by the host's `add` and `remove`, with a
//!   [`Resume`] for a callback.
//! - News from other OS threads, and descriptors that native handlers wait for, make the descriptor of the
//!   guest's poller readable; the host has a listener for that one.
//!
//! The same hooks serve native hubs whose class replaces some of the methods: see [`Hooks`](super::Hooks).

use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eventlet_greenlet::Greenlet;
use eventlet_reactor::Poller;
use pyo3::exceptions::{PyAttributeError, PyNotImplementedError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::io::{self, Direction};
use super::listener::FdListener;
use super::park::{ParkId, Wake};
use super::wait::{self, Parking};
use super::{Hooks, Hub};
use crate::cell::GilCell;
use crate::{clock, errors};

/// What a guest knows of its host.
pub(super) struct Guest {
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    host: Option<Py<PyAny>>,
    pump: Option<Py<PyAny>>,
    /// The host's listener for the guest's poller.
    listener: Option<Py<PyAny>>,
    /// Whether that has been asked for.
    attached: bool,
    /// Whether a turn is being made, which will see to what comes up meanwhile.
    pumping: bool,
    /// Whether the host has been asked for a turn as soon as possible.
    soon: bool,
    /// The deadline that the host has been asked for a turn at.
    at: Option<u64>,
    /// The host's timer for that.
    timer: Option<Py<PyAny>>,
    /// Descriptors that green threads wait for by the host, and the generations of their numbers.
    waits: Vec<(RawFd, u32)>,
    /// The greenlet of the host's loop that has been asked; a loop that ends forgets what it was asked for.
    asked: Option<Py<PyAny>>,
}

impl Guest {
    /// The host.
    pub(super) fn host<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state
            .with(py, |s| s.host.as_ref().map(|host| host.clone_ref(py)))
            .map(|host| host.into_bound(py))
            .ok_or_else(super::close::closed_error)
    }

    /// The greenlet that runs the host's loop.
    pub(super) fn greenlet(&self, py: Python<'_>) -> PyResult<Greenlet> {
        let host = self.host(py)?;
        if let Some(ensure) = host.getattr_opt(intern!(py, "ensure_greenlet"))? {
            ensure.call0()?;
        }
        Greenlet::from_object(host.getattr(greenlet_name(py))?)
    }

    fn pump(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state
            .with(py, |s| s.pump.as_ref().map(|pump| pump.clone_ref(py)))
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state
            .peek(|s| {
                visit.call(&s.host)?;
                visit.call(&s.pump)?;
                visit.call(&s.asked)?;
                visit.call(&s.timer)?;
                visit.call(&s.listener)
            })
            .unwrap_or(Ok(()))
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        drop(self.state.take(py));
    }
}

impl Hub {
    /// A native hub behind `host`.
    pub(super) fn behind<'py>(host: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = host.py();
        greenlet_name(py);
        let guest = Guest {
            state: GilCell::new(State {
                host: Some(host.clone().unbind()),
                ..State::default()
            }),
        };
        let hooks = Hooks {
            io: true,
            switch: true,
            ..Hooks::default()
        };
        let hub = Bound::new(py, Self::with_backend(None, hooks, Some(guest))?)?;
        let pump = Pump(hub.clone().unbind());
        let pump = Bound::new(py, pump)?.into_any().unbind();
        if let Some(guest) = &hub.get().guest {
            guest.state.with(py, |s| s.pump = Some(pump));
        }
        if host.hasattr(intern!(py, "_native"))? {
            host.setattr(intern!(py, "_native"), &hub)?;
        }
        Ok(hub)
    }

    /// The hub as the program knows it: the host of a guest, any other itself.
    pub(crate) fn face<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match &slf.get().guest {
            None => Ok(slf.clone().into_any()),
            Some(guest) => guest.host(slf.py()),
        }
    }

    /// Whether `greenlet` runs the loop of the host.
    #[cold]
    pub(super) fn is_host_greenlet(&self, py: Python<'_>, greenlet: &Greenlet) -> bool {
        let Some(guest) = &self.guest else {
            return false;
        };
        guest
            .host(py)
            .and_then(|host| host.getattr(greenlet_name(py)))
            .is_ok_and(|own| greenlet.is_object(&own))
    }

    /// Gives way by the method `switch` of the hub, which is not the native one.
    #[cold]
    #[inline(never)]
    pub(super) fn switch_by_hook<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().attach(py)?;
        slf.get().notice_restart(py)?;
        slf.get().arm(py)?;
        Self::face(slf)?.call_method0(intern!(py, "switch"))
    }

    /// Waits for a descriptor by the methods `add` and `remove` of the hub, which are not the native ones.
    #[cold]
    #[inline(never)]
    pub(super) fn wait_by_hook(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        greenlet: &Greenlet,
        parking: Parking,
    ) -> PyResult<Wake> {
        let py = slf.py();
        let face = Self::face(slf)?;
        let id = parking.id;
        let resume = |wake| Resume {
            hub: slf.clone().unbind(),
            id,
            wake,
        };
        let added = (|| {
            let callbacks = (
                Bound::new(py, resume(Wake::Ready))?,
                Bound::new(py, resume(Wake::Closed))?,
            );
            face.call_method1(
                intern!(py, "add"),
                (direction.name(), fd, callbacks.0, callbacks.1, py.None()),
            )
        })();
        let listener = match added {
            Ok(listener) => listener,
            Err(error) => {
                slf.get().unpark(py, parking.id);
                return Err(error);
            }
        };
        slf.get().note_wait(py, fd);
        let result = Self::wait(slf, greenlet, parking);
        slf.get().forget_wait(py, fd);
        let removed = face.call_method1(intern!(py, "remove"), (listener,));
        let (wake, _) = result?;
        removed?;
        match wake {
            Wake::Closed => Err(wait::io_closed(py)),
            wake => Ok(wake),
        }
    }

    fn note_wait(&self, py: Python<'_>, fd: RawFd) {
        if let Some(guest) = &self.guest {
            let generation = io::generation(py, fd);
            guest.state.with(py, |s| s.waits.push((fd, generation)));
        }
    }

    fn forget_wait(&self, py: Python<'_>, fd: RawFd) {
        if let Some(guest) = &self.guest {
            guest.state.with(py, |s| {
                if let Some(index) = s.waits.iter().position(|wait| wait.0 == fd) {
                    s.waits.swap_remove(index);
                }
            });
        }
    }

    /// Tells the host that the number `fd` has changed hands in another OS thread, if anybody waits who
    /// began to before the number had this generation.
    pub(super) fn tell_host_older(&self, py: Python<'_>, fd: RawFd, generation: u32) {
        let Some(guest) = &self.guest else { return };
        let older = guest.state.with(py, |s| {
            let mut waits = s.waits.iter();
            waits.any(|wait| wait.0 == fd && (wait.1.wrapping_sub(generation) as i32) < 0)
        });
        if older {
            self.tell_host(py, fd);
        }
    }

    /// Has the host look after the guest's poller. Hosts that know nothing of descriptors do without.
    fn attach(&self, py: Python<'_>) -> PyResult<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        if guest
            .state
            .with(py, |s| std::mem::replace(&mut s.attached, true))
        {
            return Ok(());
        }
        let fd = self
            .io
            .with(py, |io| io.poller.as_ref().and_then(Poller::as_raw_fd));
        let (Some(fd), Some(pump)) = (fd, guest.pump(py)) else {
            return Ok(());
        };
        let added = guest.host(py)?.call_method1(
            intern!(py, "add"),
            (
                Direction::Read.name(),
                fd,
                pump.clone_ref(py),
                pump.clone_ref(py),
                py.None(),
            ),
        );
        match added {
            Ok(listener) => {
                if let Ok(own) = listener.cast::<FdListener>() {
                    own.get().set_hidden(py, true);
                }
                let listener = Some(listener.unbind());
                let old = guest
                    .state
                    .with(py, |s| std::mem::replace(&mut s.listener, listener));
                drop(old);
                Ok(())
            }
            Err(error)
                if error.is_instance_of::<PyAttributeError>(py)
                    || error.is_instance_of::<PyNotImplementedError>(py) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// If the loop of the host is another than the one that was asked for turns: asks again.
    fn notice_restart(&self, py: Python<'_>) -> PyResult<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        let greenlet = guest.greenlet(py)?.into_object();
        let old = guest.state.with(py, |s| {
            if s.asked.as_ref().is_some_and(|asked| asked.is(&greenlet)) {
                return Some(greenlet);
            }
            s.soon = false;
            s.at = None;
            s.asked.replace(greenlet)
        });
        drop(old);
        Ok(())
    }

    /// Asks the host for a turn, if there is anything to do in one. Returns whether it did.
    fn arm(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(guest) = &self.guest else {
            return Ok(false);
        };
        let busy = !self.scheduler.with(py, |s| s.is_idle()) || !self.inbox.is_empty();
        let next = self.scheduler.with(py, |s| s.timers.next_wakeup());
        let (soon, at, idle) = guest.state.with(py, |s| {
            if s.pumping {
                return (false, None, None);
            }
            let soon = busy && !std::mem::replace(&mut s.soon, busy);
            let at = next.filter(|next| s.at.is_none_or(|at| *next < at));
            if at.is_some() {
                s.at = at;
            }
            let idle = if next.is_none() { s.timer.take() } else { None };
            if idle.is_some() {
                s.at = None;
            }
            (soon, at, idle)
        });
        if let Some(timer) = idle
            && let Some(cancel) = timer.bind(py).getattr_opt(intern!(py, "cancel"))?
        {
            cancel.call0()?;
        }
        if !soon && at.is_none() {
            return Ok(false);
        }
        let Some(pump) = guest.pump(py) else {
            return Ok(false);
        };
        let host = guest.host(py)?;
        let name = intern!(py, "schedule_call_global");
        if soon {
            host.call_method1(name, (0, pump.clone_ref(py)))?;
        }
        if let Some(at) = at {
            let seconds = clock::until(clock::now(), at).as_secs_f64();
            let timer = Some(host.call_method1(name, (seconds, pump))?.unbind());
            let old = guest
                .state
                .with(py, |s| std::mem::replace(&mut s.timer, timer));
            drop(old);
        }
        Ok(true)
    }

    /// As [`arm`](Self::arm), for those who cannot fail.
    #[cold]
    pub(super) fn arm_or_report(&self, py: Python<'_>) {
        match self.arm(py) {
            Ok(false) => {}
            Ok(true) => {
                if Greenlet::current(py).is_ok_and(|own| self.is_host_greenlet(py, &own)) {
                    // A signal handler, perhaps, which does not end the wait that it interrupts.
                    self.inbox.wake();
                }
            }
            Err(error) => errors::unraisable(py, error, None),
        }
    }

    /// One turn of a guest, or of a hub that is driven by somebody else's loop.
    fn pump(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(guest) = &slf.get().guest else {
            return Ok(());
        };
        let now = clock::now();
        let fired = guest.state.with(py, |s| {
            s.pumping = true;
            s.soon = false;
            s.at = s.at.filter(|at| *at > now);
            s.timer.take_if(|_| s.at.is_none())
        });
        drop(fired);
        let result = Self::turn(slf, Some(Duration::ZERO));
        guest.state.with(py, |s| s.pumping = false);
        let armed = slf.get().arm(py);
        result.and(armed.map(drop))
    }

    /// Tells the host, if there is one, that the number `fd` changes hands.
    pub(super) fn tell_host(&self, py: Python<'_>, fd: RawFd) {
        let Some(guest) = &self.guest else { return };
        let told = (|| {
            let host = guest.host(py)?;
            match host.getattr_opt(intern!(py, "mark_as_reopened"))? {
                Some(method) => method.call1((fd,)).map(drop),
                None => Ok(()),
            }
        })();
        if let Err(error) = told {
            errors::unraisable(py, error, None);
        }
    }

    /// The guest is closed: takes its listener back from the host.
    pub(super) fn leave_host(&self, py: Python<'_>) {
        let Some(guest) = &self.guest else { return };
        let listener = guest.state.with(py, |s| s.listener.take());
        if let Some(listener) = listener
            && let Ok(host) = guest.host(py)
            && let Err(error) = host.call_method1(intern!(py, "remove"), (listener,))
        {
            errors::unraisable(py, error, Some(&host));
        }
    }

    /// In a forked child, where the poller is another: has the host look after the new one.
    pub(super) fn attach_again(&self, py: Python<'_>) -> PyResult<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        self.leave_host(py);
        if guest
            .state
            .with(py, |s| std::mem::replace(&mut s.attached, false))
        {
            self.attach(py)?;
        }
        Ok(())
    }

    /// Has the hub's method `name` report an exception; prints it if there is none.
    #[cold]
    pub(crate) fn report(
        slf: &Bound<'_, Self>,
        name: &str,
        source: Option<Bound<'_, PyAny>>,
        info: (Bound<'_, PyAny>, Bound<'_, PyAny>, Option<Bound<'_, PyAny>>),
    ) {
        let py = slf.py();
        let reported = (|| match Self::face(slf)?.getattr_opt(name)? {
            Some(method) => match source {
                Some(source) => method.call1((source, info)),
                None => method.call1((info,)),
            },
            None => py
                .import("traceback")?
                .call_method1("print_exception", info),
        })();
        if let Err(error) = reported {
            errors::unraisable(py, error, Some(slf.as_any()));
        }
    }
}

/// `"greenlet"`, made before it is needed: the first use of a name lets other OS threads run, which must not
/// happen between a look at a primitive and taking a place in its line.
fn greenlet_name(py: Python<'_>) -> &Bound<'_, PyString> {
    intern!(py, "greenlet")
}

/// A turn of a guest hub, as a callback for its host.
#[pyclass(frozen, module = "eventlet._core")]
pub(super) struct Pump(Py<Hub>);

#[pymethods]
impl Pump {
    #[pyo3(signature = (*_args, **_kw))]
    fn __call__(
        &self,
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if self.0.get().closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        Hub::pump(self.0.bind(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// Ends a wait for a descriptor, as a callback of its listener.
#[pyclass(frozen, module = "eventlet._core")]
pub(super) struct Resume {
    hub: Py<Hub>,
    id: ParkId,
    wake: Wake,
}

#[pymethods]
impl Resume {
    /// In the hub, runs the green thread at once.
    #[pyo3(signature = (*_args))]
    fn __call__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let hub = self.hub.bind(py);
        let current = Greenlet::current(py)?;
        if !hub.get().is_hub_greenlet(py, &current) {
            hub.get().wake(py, self.id, self.wake);
            return Ok(());
        }
        let greenlet = hub.get().scheduler.with(py, |s| {
            let marked = s.parks.mark(self.id, self.wake);
            let greenlet = s.parks.greenlet(self.id).filter(|_| marked);
            greenlet.map(|greenlet| greenlet.clone_ref(py))
        });
        match greenlet {
            // SAFETY: the reference is dropped after the call.
            Some(greenlet) => unsafe { Hub::resume(hub, greenlet.borrow()) },
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hub)
    }
}
