//! Waiting: how a green thread gives up the processor and gets it back.

use std::ffi::CStr;
use std::os::fd::RawFd;

use eventlet_greenlet::{Greenlet, GreenletRef};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::entry::{self, Arguments, Step, WaitingCall};
use super::inbox::Message;
use super::io::{self, Direction, Refused, Waiter};
use super::park::{ParkId, Wake};
use super::scheduler::{Direct, Task, Unparked};
use super::{Hub, current};
use crate::{clock, errors};

/// A wait that has been announced and not begun.
///
/// It is a plain number: the record is in the hub, so a frame that parks holds nothing that others point to.
#[derive(Clone, Copy)]
pub struct Parking {
    pub id: ParkId,
}

impl Hub {
    /// The running greenlet, for a wait on this hub.
    ///
    /// # Errors
    ///
    /// `RuntimeError` in the hub itself, which cannot wait for anything.
    #[inline]
    pub(crate) fn waiting_greenlet(slf: &Bound<'_, Self>) -> PyResult<Greenlet> {
        let greenlet = Greenlet::current(slf.py())?;
        if slf.get().is_hub_greenlet(slf.py(), &greenlet) {
            return Err(errors::mainloop_error());
        }
        Ok(greenlet)
    }

    /// Announces a wait of `greenlet`, until `deadline` at the latest.
    #[inline]
    pub(crate) fn park(
        &self,
        py: Python<'_>,
        greenlet: &Greenlet,
        deadline: Option<u64>,
    ) -> Parking {
        let greenlet = greenlet.clone_ref(py);
        let id = self.scheduler.with(py, |s| s.park(greenlet, deadline));
        Parking { id }
    }

    /// Waits: returns when somebody resumes this green thread, with what it was resumed with.
    ///
    /// The wait is over then, in either case.
    #[inline]
    pub(crate) fn wait<'py>(
        slf: &Bound<'py, Self>,
        greenlet: &Greenlet,
        parking: Parking,
    ) -> PyResult<(Wake, Bound<'py, PyAny>)> {
        let result = Self::switch_out(slf, greenlet);
        let wake = slf.get().unpark(slf.py(), parking.id);
        Ok((wake, result?))
    }

    /// Ends a wait, begun or not, and tells who had woken it.
    #[inline]
    pub(crate) fn unpark(&self, py: Python<'_>, id: ParkId) -> Wake {
        let Unparked { park, due, handed } = self.scheduler.with(py, |s| s.unpark(id));
        drop(due);
        if let Some(greenlet) = handed {
            drop(greenlet.into_object().into_bound(py));
        }
        let Some(park) = park else {
            return Wake::Pending;
        };
        let wake = park.wake();
        drop(park.into_greenlet().into_object().into_bound(py));
        wake
    }

    /// Switches to whoever is next. `greenlet` is the running one.
    #[inline]
    pub(crate) fn switch_out<'py>(
        slf: &Bound<'py, Self>,
        greenlet: &Greenlet,
    ) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().hooks.switch {
            return Self::switch_by_hook(slf);
        }
        Self::switch_directly(slf, greenlet)
    }

    /// As [`switch_out`](Self::switch_out), whatever the class of the hub says.
    #[inline]
    pub(super) fn switch_directly<'py>(
        slf: &Bound<'py, Self>,
        greenlet: &Greenlet,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let next = Self::next(slf, greenlet)?;
        if next.is_none() {
            return Ok(py.None().into_bound(py));
        }
        // SAFETY: `next` promises that it is alive, the GIL is held, and a new reference or NULL with an
        // exception comes back.
        unsafe { Bound::from_owned_ptr_or_err(py, next.switch()) }
    }

    /// Who is to run when `greenlet` gives way; nobody if it is to go on itself.
    ///
    /// The hub keeps that greenlet alive until it has been resumed. The function is not inlined, because what
    /// it needs on the stack would be copied with every green thread.
    #[inline(never)]
    pub(super) fn next(slf: &Bound<'_, Self>, greenlet: &Greenlet) -> PyResult<GreenletRef> {
        let py = slf.py();
        let this = slf.get();
        let hub = Self::loop_greenlet(slf)?;
        if !greenlet.parent_is_ref(py, hub) {
            adopt(slf, greenlet);
        }
        this.counters.switches.add();
        loop {
            match this.scheduler.with(py, |s| s.next_direct(py)) {
                Direct::To(next) if next.is(greenlet) => return Ok(GreenletRef::NONE),
                Direct::To(next) => return Ok(next),
                Direct::RoundOver if this.turn_in_place(py) => {}
                Direct::RoundOver | Direct::Hub => return Ok(hub),
            }
        }
    }

    /// Waits until `fd` is ready in `direction`, after the caller has seen `EAGAIN` there.
    ///
    /// # Errors
    ///
    /// `IOClosed` if the descriptor is closed meanwhile; `RuntimeError` if another green thread waits there
    /// or the caller is the hub; what is thrown into the green thread.
    #[inline]
    pub(crate) fn wait_ready(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        deadline: Option<u64>,
    ) -> PyResult<Wake> {
        Self::wait_fd(slf, fd, direction, deadline, Waiter::Park)
    }

    /// As [`wait_ready`](Self::wait_ready), for a caller that has not tried anything.
    pub(crate) fn wait_level(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        deadline: Option<u64>,
    ) -> PyResult<Wake> {
        Self::wait_fd(slf, fd, direction, deadline, Waiter::LevelPark)
    }

    fn wait_fd(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        deadline: Option<u64>,
        waiter: impl Fn(ParkId) -> Waiter,
    ) -> PyResult<Wake> {
        let py = slf.py();
        let this = slf.get();
        let greenlet = Self::waiting_greenlet(slf)?;
        let parking = this.park(py, &greenlet, deadline);
        match Self::wait_parked(slf, fd, direction, &greenlet, parking, waiter)? {
            Wake::Closed => Err(io_closed(py)),
            wake => Ok(wake),
        }
    }

    #[inline]
    fn wait_parked(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        greenlet: &Greenlet,
        parking: Parking,
        waiter: impl Fn(ParkId) -> Waiter,
    ) -> PyResult<Wake> {
        let over = Self::register(slf, fd, direction, greenlet, parking, waiter)?;
        if let Some(wake) = over {
            return Ok(wake);
        }
        let result = Self::wait(slf, greenlet, parking);
        let this = slf.get();
        this.io
            .with(slf.py(), |io| io.unwait_park(fd, direction, parking.id));
        Ok(result?.0)
    }

    /// Registers a wait that has been announced. With a hub whose class does that itself, the wait is over
    /// afterwards, and this tells how it ended.
    #[inline]
    fn register(
        slf: &Bound<'_, Self>,
        fd: RawFd,
        direction: Direction,
        greenlet: &Greenlet,
        parking: Parking,
        waiter: impl Fn(ParkId) -> Waiter,
    ) -> PyResult<Option<Wake>> {
        let py = slf.py();
        let this = slf.get();
        if this.hooks.io {
            return Self::wait_by_hook(slf, fd, direction, greenlet, parking).map(Some);
        }
        let id = parking.id;
        if let Err(refused) = this.watch(py, fd, direction, waiter(id)) {
            this.unpark(py, id);
            return Err(refusal(py, fd, direction, refused));
        }
        Ok(None)
    }

    /// Waits until `set` can be read: a descriptor of the caller's, that stands for all of `members`.
    ///
    /// Returns [`Wake::Closed`] if one of the members is being closed.
    pub(crate) fn wait_set(
        slf: &Bound<'_, Self>,
        set: RawFd,
        members: &[libc::pollfd],
        deadline: Option<u64>,
    ) -> PyResult<Wake> {
        let py = slf.py();
        let this = slf.get();
        let greenlet = Self::waiting_greenlet(slf)?;
        let parking = this.park(py, &greenlet, deadline);
        let id = parking.id;
        for member in members {
            let generation = io::generation(py, member.fd);
            this.io.with(py, |io| io.join(member.fd, generation, id));
        }
        let result = Self::wait_parked(
            slf,
            set,
            Direction::Read,
            &greenlet,
            parking,
            Waiter::LevelPark,
        );
        this.io.with(py, |io| io.leave(id));
        result
    }

    /// Registers `waiter` for a direction of `fd`.
    pub(crate) fn watch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        direction: Direction,
        waiter: Waiter,
    ) -> Result<(), Refused> {
        let generation = io::generation(py, fd);
        let result = self
            .io
            .with(py, |io| io.wait(fd, direction, waiter, generation));
        match result {
            Err((Refused::Stale, waiter)) => {
                self.release(py, fd);
                self.io
                    .with(py, |io| io.wait(fd, direction, waiter, generation))
                    .map_err(|(refused, _)| refused)
            }
            result => result.map_err(|(refused, _)| refused),
        }
    }

    /// As [`release`](Self::release), for those who began to wait before the number had this generation.
    pub(crate) fn release_older(&self, py: Python<'_>, fd: RawFd, generation: u32) {
        self.release_members(py, fd, generation);
        if self.io.with(py, |io| io.is_older(fd, generation)) {
            self.release(py, fd);
        }
    }

    /// Tells everybody who waits for `fd` that it is being closed.
    pub(crate) fn release(&self, py: Python<'_>, fd: RawFd) {
        if !self.is_mine() {
            // The poller is with the hub's own thread.
            self.inbox.send(Message::Closed(fd, io::generation(py, fd)));
            return;
        }
        self.release_members(py, fd, io::generation(py, fd));
        let waiters = self.io.with(py, |io| io.release(fd));
        for waiter in waiters {
            match waiter {
                Waiter::Park(id) | Waiter::LevelPark(id) => {
                    self.scheduler.with(py, |s| s.wake(id, Wake::Closed));
                }
                // One that was defanged wants to hear nothing.
                Waiter::Listener(listener) if listener.get().spent(py) => {}
                Waiter::Listener(listener) => {
                    // Its descriptor may have been found ready in this round; that is over now.
                    listener.get().set_spent(py, true);
                    self.scheduler.with(py, |s| s.push(Task::Closed(listener)));
                }
                Waiter::Handler(handler) => {
                    let handler = io::IoHandler {
                        target: handler,
                        expired: false,
                    };
                    self.scheduler.with(py, |s| s.push(Task::Handle(handler)));
                }
            }
        }
    }

    /// Tells those who have waited for `fd` among others since before the number had this generation.
    fn release_members(&self, py: Python<'_>, fd: RawFd, generation: u32) {
        for id in self.io.with(py, |io| io.joined(fd, generation)) {
            self.wake(py, id, Wake::Closed);
        }
    }
}

/// Makes the hub the greenlet that continues when `greenlet` ends.
///
/// Not possible, and not needed, for a main greenlet or one that the hub itself descends from.
#[cold]
#[inline(never)]
fn adopt(hub: &Bound<'_, Hub>, greenlet: &Greenlet) {
    if !greenlet.is_main()
        && let Ok(parent) = Hub::ensure_greenlet(hub)
    {
        let _descends = greenlet.set_parent(hub.py(), &parent);
    }
}

/// The error for a wait that could not begin.
#[cold]
pub fn refusal(py: Python<'_>, fd: RawFd, direction: Direction, refused: Refused) -> PyErr {
    match refused {
        Refused::Os(error) => errors::io_error(py, &error),
        Refused::Stale => io_closed(py),
        Refused::Busy => {
            let name = direction.name();
            PyRuntimeError::new_err(format!(
                "Second simultaneous {name} on fileno {fd} detected: another green thread is waiting \
                 to {name} there. Give each its own socket, or let one of them do all the work; if \
                 they really take turns, call eventlet.debug.hub_prevent_multiple_readers(False)."
            ))
        }
    }
}

/// The error for a green thread that waited on a descriptor that was closed.
#[cold]
pub fn io_closed(py: Python<'_>) -> PyErr {
    static CLASS: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    let made = CLASS
        .import(py, "eventlet.hubs", "IOClosed")
        .and_then(|class| class.call1((libc::EBADF, "the descriptor was closed while in use")));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// The wait of a [`WaitingCall`] for a descriptor.
pub(crate) struct Readiness {
    hub: Py<Hub>,
    id: ParkId,
    fd: RawFd,
    direction: Direction,
}

/// What came of beginning such a wait.
pub(crate) enum Begun {
    /// It is over, as the class of the hub does that itself.
    Over(Wake),
    /// It lasts; this is the running greenlet.
    Waits(Readiness, Greenlet),
}

impl Readiness {
    /// Begins to wait as [`Hub::wait_ready`] does.
    ///
    /// # Errors
    ///
    /// Those of `wait_ready`.
    pub(crate) fn begin(
        hub: Bound<'_, Hub>,
        fd: RawFd,
        direction: Direction,
        deadline: Option<u64>,
    ) -> PyResult<Begun> {
        let py = hub.py();
        let greenlet = Hub::waiting_greenlet(&hub)?;
        let parking = hub.get().park(py, &greenlet, deadline);
        let over = Hub::register(&hub, fd, direction, &greenlet, parking, Waiter::Park)?;
        Ok(match over {
            Some(Wake::Closed) => return Err(io_closed(py)),
            Some(wake) => Begun::Over(wake),
            None => {
                let wait = Self {
                    hub: hub.unbind(),
                    id: parking.id,
                    fd,
                    direction,
                };
                Begun::Waits(wait, greenlet)
            }
        })
    }

    /// The hub that the green thread waits on.
    pub(crate) fn hub(&self) -> &Py<Hub> {
        &self.hub
    }

    /// Ends the wait after a switch, and tells why it is over.
    ///
    /// # Errors
    ///
    /// Those of `wait_ready`.
    pub(crate) fn end(
        self,
        py: Python<'_>,
        switched: PyResult<Bound<'_, PyAny>>,
    ) -> PyResult<Wake> {
        let hub = self.hub.into_bound(py);
        let this = hub.get();
        let wake = this.unpark(py, self.id);
        this.io
            .with(py, |io| io.unwait_park(self.fd, self.direction, self.id));
        switched?;
        match wake {
            Wake::Closed => Err(io_closed(py)),
            wake => Ok(wake),
        }
    }
}

/// Python's `sleep`, for native functions.
pub fn sleep(py: Python<'_>, seconds: f64) -> PyResult<()> {
    entry::finish(py, Sleep::start(py, seconds)?).map(drop)
}

/// Whether `object` is the integer 0.
#[inline]
fn is_zero(object: Borrowed<'_, '_, PyAny>) -> bool {
    let mut overflow = 0;
    // SAFETY: the GIL is held, and the object is an `int`, as its type is exactly that.
    unsafe {
        ffi::PyLong_CheckExact(object.as_ptr()) != 0
            && ffi::PyLong_AsLongAndOverflow(object.as_ptr(), &raw mut overflow) == 0
    }
}

/// `sleep(seconds=0.0)`.
pub struct Sleep {
    hub: Py<Hub>,
    id: ParkId,
}

impl Sleep {
    #[inline]
    fn start(py: Python<'_>, seconds: f64) -> PyResult<Step<Self>> {
        let hub = current(py)?;
        let this = hub.get();
        let greenlet = Greenlet::current(py)?;
        if this.is_hub_greenlet(py, &greenlet) {
            return if seconds > 0.0 {
                Err(errors::mainloop_error())
            } else {
                Ok(Step::Done(py.None()))
            };
        }
        let place = greenlet.clone_ref(py);
        let id = if seconds > 0.0 {
            let deadline = clock::after(clock::now(), seconds);
            this.scheduler.with(py, |s| s.park(place, Some(deadline)))
        } else {
            this.scheduler.with(py, |s| s.park_for_a_round(place))
        };
        let hub = hub.unbind();
        Ok(Step::Wait(Self { hub, id }, greenlet))
    }
}

impl WaitingCall for Sleep {
    const NAME: &CStr = c"sleep";

    const DOC: &CStr = c"sleep(seconds=0.0)
--

Lets other green threads run; comes back after at least `seconds`.

0 gives way once: everything that was ready runs before the caller does.

Raises RuntimeError in the hub itself, where nothing may wait (0 is allowed there and does nothing).";

    fn begin(py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<Step<Self>> {
        let [seconds] = arguments.optional(["seconds"])?;
        let seconds = match seconds {
            None => 0.0,
            // By far the commonest: it needs no number to be made.
            Some(seconds) if is_zero(seconds) => 0.0,
            Some(seconds) => seconds.extract()?,
        };
        Self::start(py, seconds)
    }

    fn hub(&self) -> &Py<Hub> {
        &self.hub
    }

    fn resume(self, py: Python<'_>, switched: PyResult<Bound<'_, PyAny>>) -> PyResult<Step<Self>> {
        let hub = self.hub.into_bound(py);
        hub.get().unpark(py, self.id);
        switched.map(|_| Step::Done(py.None()))
    }
}
