//! Who waits for which descriptor.
//!
//! Two kinds of registration exist side by side:
//!
//! - **Edge**: a socket of ours tries the system call first and waits only after `EAGAIN`, so it needs to
//!   hear of changes alone. It is registered once, for both directions, and stays registered for its life:
//!   no `epoll_ctl` around a wait.
//! - **Level**: code that comes with a bare descriptor (`hub.add`, `trampoline`) may wait without having
//!   tried anything. Its interest is registered while it waits and taken back afterwards.
//!
//! A descriptor that has both is level-triggered until the last listener leaves.
//!
//! A descriptor number says little about what it stands for: it may have been closed and handed out again
//! without a word to us. [`generation`] counts the times a number was taken over by a socket of ours or
//! given up, process-wide; a registration remembers the count and is renewed when it differs. Each
//! registration also carries a serial number in its token, so an event that was meant for an earlier
//! owner of the number is dropped.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use eventlet_reactor::{Event, Interest, Poller, Trigger};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::Hub;
use super::listener::FdListener;
use super::numbers::is_open;
use super::park::ParkId;

pub use super::numbers::{generation, next_generation, owner, set_owner};

/// A direction of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The direction that `hub.READ` or `hub.WRITE` stands for.
    pub fn from_name(name: &str) -> PyResult<Self> {
        match name {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(PyValueError::new_err(format!(
                "the event type is hub.READ or hub.WRITE, not {name:?}"
            ))),
        }
    }

    /// The word that Eventlet uses for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn interest(self) -> Interest {
        match self {
            Self::Read => Interest::READABLE,
            Self::Write => Interest::WRITABLE,
        }
    }
}

/// Native code that the hub calls when a descriptor is ready, in the hub's own greenlet.
///
/// It must not block or park.
pub trait Ready: Any + Send + Sync {
    /// The descriptor is ready in the direction that was waited for; the wait is over.
    fn ready(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()>;

    /// The time that was asked for with [`super::scheduler::Due::Handle`] has come.
    fn expired(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()>;
}

/// A call to make on a [`Ready`].
#[derive(Clone)]
pub struct IoHandler {
    pub target: Arc<dyn Ready>,
    pub expired: bool,
}

/// One that waits for a direction of a descriptor.
pub enum Waiter {
    /// A green thread that has seen `EAGAIN`.
    Park(ParkId),
    /// A green thread that has tried nothing yet.
    LevelPark(ParkId),
    Listener(Py<FdListener>),
    Handler(Arc<dyn Ready>),
}

impl Waiter {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Park(id) => Self::Park(*id),
            Self::LevelPark(id) => Self::LevelPark(*id),
            Self::Listener(listener) => Self::Listener(listener.clone_ref(py)),
            Self::Handler(handler) => Self::Handler(Arc::clone(handler)),
        }
    }

    fn is_level(&self) -> bool {
        matches!(self, Self::Listener(_) | Self::LevelPark(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unregistered,
    Edge,
    Level(Interest),
}

/// Whether a read that brings less than was asked for has emptied the socket, so that the next one need not be
/// tried: the kernel will report what comes.
///
/// So it is with a TCP connection that gets no urgent data. A Unix socket also stops short between messages of
/// different senders, and after a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptiness {
    /// Nobody has looked what kind of socket it is.
    Unknown,
    /// It cannot be told.
    Never,
    /// It can; the last read was a full one, or something has come since.
    No,
    /// It can, and the socket was empty after the last read.
    Yes,
}

struct Descriptor {
    mode: Mode,
    generation: u32,
    serial: u32,
    /// Directions whose readiness was reported while nobody waited.
    missed: Interest,
    emptiness: Emptiness,
    read: VecDeque<Waiter>,
    write: VecDeque<Waiter>,
}

impl Descriptor {
    fn new() -> Self {
        Self {
            mode: Mode::Unregistered,
            generation: 0,
            serial: 0,
            missed: Interest::NONE,
            emptiness: Emptiness::Unknown,
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn waiters(&mut self, direction: Direction) -> &mut VecDeque<Waiter> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    fn is_waited(&self) -> bool {
        !self.read.is_empty() || !self.write.is_empty()
    }

    fn is_level(&self) -> bool {
        self.read.iter().chain(&self.write).any(Waiter::is_level)
    }

    fn interest(&self) -> Interest {
        let mut interest = Interest::NONE;
        if !self.read.is_empty() {
            interest |= Interest::READABLE;
        }
        if !self.write.is_empty() {
            interest |= Interest::WRITABLE;
        }
        interest
    }

    fn token(&self, fd: RawFd) -> u64 {
        u64::from(self.serial) << 32 | u64::from(fd.unsigned_abs())
    }
}

/// Why a wait could not begin.
pub enum Refused {
    /// Somebody waits there already, and that is not allowed.
    Busy,
    /// Somebody waits there for an earlier owner of the number, and has to be told first.
    Stale,
    /// The kernel does not take the descriptor.
    Os(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

/// What [`Io::exclusive`] is for new hubs.
pub static EXCLUSIVE: AtomicBool = AtomicBool::new(true);

/// Poller and descriptor table of a hub.
pub struct Io {
    /// Absent while the hub waits in it, with the GIL released.
    pub poller: Option<Poller>,
    table: Vec<Option<Box<Descriptor>>>,
    serial: u32,
    /// Whether a second waiter for a direction is an error.
    pub exclusive: bool,
    /// Who waits for one of several descriptors, by way of a descriptor that stands for them all.
    members: Vec<Member>,
}

/// A descriptor that somebody waits for together with others.
struct Member {
    fd: RawFd,
    generation: u32,
    id: ParkId,
}

/// An entry of the table for introspection.
pub struct Waiting<'a> {
    pub fd: RawFd,
    pub waiter: &'a Waiter,
}

impl Io {
    pub fn new(poller: Poller) -> Self {
        Self {
            poller: Some(poller),
            table: Vec::new(),
            serial: 0,
            exclusive: EXCLUSIVE.load(Ordering::Relaxed),
            members: Vec::new(),
        }
    }

    fn entry(&mut self, fd: RawFd) -> Result<&mut Descriptor, Refused> {
        let Ok(index) = usize::try_from(fd) else {
            return Err(Refused::Os(io::Error::from_raw_os_error(libc::EBADF)));
        };
        if index >= self.table.len() {
            if !is_open(fd) {
                return Err(Refused::Os(io::Error::from_raw_os_error(libc::EBADF)));
            }
            self.table
                .resize_with((index + 1).next_power_of_two(), || None);
        }
        Ok(self.table[index].get_or_insert_with(|| Box::new(Descriptor::new())))
    }

    fn existing(&mut self, fd: RawFd) -> Option<&mut Descriptor> {
        self.table
            .get_mut(usize::try_from(fd).ok()?)?
            .as_deref_mut()
    }

    /// Makes the kernel's view fit what the entry needs for `direction`.
    fn register(
        poller: &mut Poller,
        serial: &mut u32,
        entry: &mut Descriptor,
        fd: RawFd,
        direction: Direction,
        generation: u32,
    ) -> io::Result<()> {
        if entry.generation != generation {
            if entry.mode != Mode::Unregistered {
                poller.forget(fd);
            }
            entry.mode = Mode::Unregistered;
            entry.generation = generation;
            entry.emptiness = Emptiness::Unknown;
        }
        // Whoever waits has found nothing there just now, so what was reported before is stale.
        entry.missed = entry.missed.remove(direction.interest());
        let (interest, trigger, wanted) = if entry.is_level() {
            let interest = entry.interest();
            (interest, Trigger::Level, Mode::Level(interest))
        } else {
            (Interest::BOTH, Trigger::Edge, Mode::Edge)
        };
        if entry.mode == wanted {
            if wanted == Mode::Edge && poller.needs_rearm() {
                poller.rearm(fd, direction.interest());
            }
            return Ok(());
        }
        if entry.mode == Mode::Unregistered {
            *serial = serial.wrapping_add(1);
            entry.serial = *serial;
        }
        let token = entry.token(fd);
        let result = if entry.mode == Mode::Unregistered {
            match poller.add(fd, token, interest, trigger) {
                // Registered by an owner of the number that we never heard of, through a duplicate.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    poller.modify(fd, token, interest, trigger)
                }
                other => other,
            }
        } else {
            match poller.modify(fd, token, interest, trigger) {
                // Closed behind our back; the number is somebody else's now.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    poller.forget(fd);
                    poller.add(fd, token, interest, trigger)
                }
                other => other,
            }
        };
        entry.mode = if result.is_ok() {
            wanted
        } else {
            Mode::Unregistered
        };
        result
    }

    /// Registers `waiter` for a direction of `fd`.
    pub fn wait(
        &mut self,
        fd: RawFd,
        direction: Direction,
        waiter: Waiter,
        generation: u32,
    ) -> Result<(), (Refused, Waiter)> {
        let exclusive = self.exclusive;
        let mut poller = self.poller.take();
        let mut serial = self.serial;
        let result = (|| {
            let entry = match self.entry(fd) {
                Ok(entry) => entry,
                Err(refused) => return Err((refused, waiter)),
            };
            let fresh = entry.generation == generation;
            if !fresh && entry.is_waited() {
                return Err((Refused::Stale, waiter));
            }
            if exclusive && !entry.waiters(direction).is_empty() {
                return Err((Refused::Busy, waiter));
            }
            entry.waiters(direction).push_back(waiter);
            let Some(poller) = poller.as_mut() else {
                // The hub polls with the GIL released, so only another thread could be here.
                return Ok(());
            };
            match Self::register(poller, &mut serial, entry, fd, direction, generation) {
                Ok(()) => Ok(()),
                Err(error) => match entry.waiters(direction).pop_back() {
                    Some(waiter) => Err((Refused::Os(error), waiter)),
                    None => Ok(()),
                },
            }
        })();
        self.serial = serial;
        self.poller = poller;
        result
    }

    /// Registers a handler that has read all there was, but has not gone on until `EAGAIN`.
    ///
    /// False if more has come meanwhile: nothing is registered, and the handler should try again.
    pub fn wait_handler(
        &mut self,
        fd: RawFd,
        direction: Direction,
        handler: Arc<dyn Ready>,
        generation: u32,
    ) -> Result<bool, (Refused, Waiter)> {
        if let Some(entry) = self.existing(fd)
            && entry.generation == generation
            && entry.missed.contains(direction.interest())
        {
            entry.missed = entry.missed.remove(direction.interest());
            return Ok(false);
        }
        self.wait(fd, direction, Waiter::Handler(handler), generation)
            .map(|()| true)
    }

    /// Notes what a read of `fd` has left behind: nothing, if it was `short`.
    #[inline]
    pub fn note_read(&mut self, fd: RawFd, generation: u32, short: bool) {
        let Some(entry) = self.existing(fd) else {
            return;
        };
        if entry.mode != Mode::Edge || entry.generation != generation {
            return;
        }
        if short && entry.emptiness == Emptiness::Unknown {
            entry.emptiness = if is_tcp(fd) {
                Emptiness::No
            } else {
                Emptiness::Never
            };
        }
        if entry.emptiness != Emptiness::Never && entry.emptiness != Emptiness::Unknown {
            // What was reported before the read may have come after the data, like the end of the stream.
            entry.emptiness = if short && !entry.missed.contains(Interest::READABLE) {
                Emptiness::Yes
            } else {
                Emptiness::No
            };
        }
    }

    /// Whether a read of `fd` would find nothing: the last one has emptied it, and the kernel has reported
    /// nothing since.
    #[inline]
    pub fn is_empty(&mut self, fd: RawFd, generation: u32) -> bool {
        self.existing(fd).is_some_and(|entry| {
            entry.emptiness == Emptiness::Yes
                && entry.mode == Mode::Edge
                && entry.generation == generation
        })
    }

    /// Takes back the wait of a parked green thread.
    pub fn unwait_park(&mut self, fd: RawFd, direction: Direction, id: ParkId) {
        self.unwait(fd, direction, |waiter| {
            matches!(waiter, Waiter::Park(other) | Waiter::LevelPark(other) if *other == id)
        });
    }

    /// Takes back the wait of a handler.
    pub fn unwait_handler(&mut self, fd: RawFd, direction: Direction) -> Option<Waiter> {
        self.unwait(fd, direction, |waiter| matches!(waiter, Waiter::Handler(_)))
    }

    /// Takes back a listener; returns it so that the caller drops it outside its borrow.
    pub fn unwait_listener(
        &mut self,
        fd: RawFd,
        direction: Direction,
        listener: &Py<FdListener>,
    ) -> Option<Waiter> {
        self.unwait(
            fd,
            direction,
            |waiter| matches!(waiter, Waiter::Listener(other) if other.is(listener)),
        )
    }

    fn unwait(
        &mut self,
        fd: RawFd,
        direction: Direction,
        is_it: impl Fn(&Waiter) -> bool,
    ) -> Option<Waiter> {
        let mut poller = self.poller.take();
        let mut removed = None;
        if let Some(entry) = self.existing(fd) {
            let waiters = entry.waiters(direction);
            if let Some(index) = waiters.iter().position(is_it) {
                removed = waiters.remove(index);
            }
            if removed.is_some() {
                Self::settle(poller.as_mut(), entry, fd, direction);
            }
        }
        self.poller = poller;
        removed
    }

    /// After a waiter has left: gives up what nobody needs, and shows readiness to the next in line.
    fn settle(
        poller: Option<&mut Poller>,
        entry: &mut Descriptor,
        fd: RawFd,
        direction: Direction,
    ) {
        let Some(poller) = poller else { return };
        match entry.mode {
            Mode::Unregistered => {}
            Mode::Edge => {
                // The edge went to the one that left. Modifying raises it again if it is still there.
                if !entry.waiters(direction).is_empty() {
                    let token = entry.token(fd);
                    let _gone = poller.modify(fd, token, Interest::BOTH, Trigger::Edge);
                }
            }
            Mode::Level(registered) => {
                let interest = entry.interest();
                if interest == registered {
                    return;
                }
                let token = entry.token(fd);
                let result = if interest.is_empty() {
                    poller.remove(fd)
                } else {
                    poller.modify(fd, token, interest, Trigger::Level)
                };
                if result.is_err() {
                    poller.forget(fd);
                }
                entry.mode = if result.is_err() || interest.is_empty() {
                    Mode::Unregistered
                } else {
                    Mode::Level(interest)
                };
            }
        }
    }

    /// Who is to be told of `event`: for each direction the first in line.
    ///
    /// A parked green thread stays in the table until it has run, so that it finds and removes itself; a
    /// handler's wait is over with the event.
    pub fn dispatch(
        &mut self,
        py: Python<'_>,
        event: Event,
        mut tell: impl FnMut(Waiter, Direction),
    ) {
        let fd = (event.token & 0xffff_ffff) as RawFd;
        let serial = (event.token >> 32) as u32;
        let Some(entry) = self.existing(fd) else {
            return;
        };
        if entry.serial != serial {
            return;
        }
        if event.urgent {
            entry.emptiness = Emptiness::Never;
        } else if event.readable && entry.emptiness == Emptiness::Yes {
            entry.emptiness = Emptiness::No;
        }
        if event.read_closed || event.hangup || event.error {
            // A handler that reads the last data does not see the end behind it, and hears of it only now.
            entry.missed = entry.missed.union(Interest::READABLE);
        }
        for (ready, direction) in [
            (event.readable, Direction::Read),
            (event.writable, Direction::Write),
        ] {
            if !ready {
                continue;
            }
            let waiters = entry.waiters(direction);
            match waiters.front() {
                Some(Waiter::Handler(_)) => {
                    if let Some(waiter) = waiters.pop_front() {
                        tell(waiter, direction);
                    }
                }
                Some(waiter) => {
                    let waiter = waiter.clone_ref(py);
                    tell(waiter, direction);
                }
                None => entry.missed = entry.missed.union(direction.interest()),
            }
        }
    }

    /// Takes out everybody who waits for `fd`, and its registration.
    pub fn release(&mut self, fd: RawFd) -> Vec<Waiter> {
        let mut poller = self.poller.take();
        let mut released = Vec::new();
        if let Some(entry) = self.existing(fd) {
            released.extend(entry.read.drain(..));
            released.extend(entry.write.drain(..));
            if let Some(poller) = poller.as_mut() {
                match entry.mode {
                    // Closing the last descriptor of a socket ends its registration in the kernel; and
                    // if there are others, their events carry a serial that nobody has any more.
                    Mode::Edge => poller.forget(fd),
                    Mode::Level(_) => {
                        if poller.remove(fd).is_err() {
                            poller.forget(fd);
                        }
                    }
                    Mode::Unregistered => {}
                }
            }
            entry.mode = Mode::Unregistered;
            entry.serial = 0;
            entry.missed = Interest::NONE;
            entry.emptiness = Emptiness::Unknown;
        }
        self.poller = poller;
        released
    }

    /// Notes that `id` waits for `fd` among others, which has this generation.
    pub fn join(&mut self, fd: RawFd, generation: u32, id: ParkId) {
        self.members.push(Member { fd, generation, id });
    }

    /// Ends what [`join`](Self::join) has begun.
    pub fn leave(&mut self, id: ParkId) {
        self.members.retain(|member| member.id != id);
    }

    /// Who waits for `fd` among others, since before the number had this generation.
    pub fn joined(&self, fd: RawFd, generation: u32) -> Vec<ParkId> {
        let is_it = |member: &&Member| member.fd == fd && member.generation != generation;
        self.members
            .iter()
            .filter(is_it)
            .map(|member| member.id)
            .collect()
    }

    /// Whether anybody waits for a direction of `fd`.
    pub fn is_busy(&mut self, fd: RawFd, direction: Direction) -> bool {
        self.existing(fd)
            .is_some_and(|entry| !entry.waiters(direction).is_empty())
    }

    /// Whether anybody waits for `fd`.
    pub fn is_waited(&mut self, fd: RawFd) -> bool {
        self.existing(fd).is_some_and(|entry| entry.is_waited())
    }

    /// Whether whoever waits for `fd` began to before the number had this generation.
    pub fn is_older(&mut self, fd: RawFd, generation: u32) -> bool {
        self.existing(fd)
            .is_some_and(|entry| (entry.generation.wrapping_sub(generation) as i32) < 0)
    }

    /// Everybody who waits in a direction.
    pub fn waiting(&self, direction: Direction) -> impl Iterator<Item = Waiting<'_>> {
        self.table.iter().enumerate().flat_map(move |(fd, entry)| {
            entry
                .as_deref()
                .into_iter()
                .flat_map(move |entry| match direction {
                    Direction::Read => entry.read.iter(),
                    Direction::Write => entry.write.iter(),
                })
                .map(move |waiter| Waiting {
                    fd: fd as RawFd,
                    waiter,
                })
        })
    }

    /// Replaces the poller (in a forked child) and registers again whoever waits.
    pub fn restart(&mut self, poller: Poller) {
        self.poller = Some(poller);
        let mut serial = self.serial;
        let mut fresh = self.poller.take();
        for (fd, entry) in self.table.iter_mut().enumerate() {
            let Some(entry) = entry.as_deref_mut() else {
                continue;
            };
            entry.mode = Mode::Unregistered;
            entry.emptiness = Emptiness::Unknown;
            let direction = if !entry.read.is_empty() {
                Direction::Read
            } else if !entry.write.is_empty() {
                Direction::Write
            } else {
                continue;
            };
            if let Some(poller) = fresh.as_mut() {
                let generation = entry.generation;
                // A descriptor that cannot be registered was closed; its waiter finds out when it tries.
                let _closed = Self::register(
                    poller,
                    &mut serial,
                    entry,
                    fd as RawFd,
                    direction,
                    generation,
                );
            }
        }
        self.serial = serial;
        self.poller = fresh;
    }

    /// Empties the table; the caller drops the result outside its borrow.
    pub fn clear(&mut self) -> impl Sized + use<> {
        (std::mem::take(&mut self.table), self.poller.take())
    }
}

/// Whether a descriptor is a TCP connection.
#[cold]
fn is_tcp(fd: RawFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the descriptor is only looked at during the call, and need not be a socket.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::net::sockopt::socket_protocol(fd)
            .is_ok_and(|protocol| protocol == Some(rustix::net::ipproto::TCP))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        false
    }
}
