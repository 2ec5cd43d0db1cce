//! `epoll`, where the kernel keeps everything: registrations, tokens and armed edges.
//!
//! Closing the last descriptor of a file removes its registration, so there is nothing to forget;
//! an edge re-arms itself when the kernel sees new activity, so there is nothing to re-arm.
//!
//! Timeouts are passed to `epoll_pwait2` in nanoseconds. Kernels before 5.11 lack it, and some
//! sandboxes refuse it, so it is probed once per process; without it they are rounded up to the
//! milliseconds of `epoll_wait`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::epoll::{CreateFlags, create};

use super::{LONGEST, check, milliseconds};
use crate::{Backend, Event, Interest, Trigger};

/// Events taken from the kernel in one call. What is left over is taken by the next call, and the
/// kernel hands ready files out in turn, so that none starves.
const BATCH: usize = 1024;

/// The timeout of `epoll_pwait2`, whose fields are 64 bits wide even where `time_t` is not.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

/// An epoll instance and the memory its events are written to.
#[derive(Debug)]
pub(crate) struct Epoll {
    instance: OwnedFd,
    /// Empty; only its spare capacity of [`BATCH`] entries is used.
    buffer: Vec<libc::epoll_event>,
    /// Whether timeouts can be given in nanoseconds.
    precise: bool,
}

impl Epoll {
    pub(crate) const BACKEND: Backend = Backend::Epoll;

    pub(crate) fn new() -> io::Result<Epoll> {
        Ok(Epoll {
            instance: create(CreateFlags::CLOEXEC)?,
            buffer: Vec::with_capacity(BATCH),
            precise: has_pwait2(),
        })
    }

    pub(crate) fn add(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, flags(interest, trigger))
    }

    pub(crate) fn modify(
        &mut self,
        fd: RawFd,
        token: u64,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        // The kernel looks at the file again while it modifies, which is what re-arms the edge.
        self.control(libc::EPOLL_CTL_MOD, fd, token, flags(interest, trigger))
    }

    pub(crate) fn remove(&mut self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    #[expect(
        clippy::unused_self,
        reason = "what there is to forget, the kernel has forgotten"
    )]
    pub(crate) fn forget(&mut self, _: RawFd) {}

    pub(crate) fn wait(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let count = match timeout {
            // Zero and forever mean the same to both calls; the older one copies less.
            Some(limit) if self.precise && !limit.is_zero() => self.wait_precisely(limit)?,
            _ => self.wait_rounded(timeout)?,
        };
        // SAFETY: the kernel has filled in the first `count` entries, and `count` is at most the
        // capacity it was told. The entries are `Copy`, so nothing is dropped by the `clear`.
        unsafe { self.buffer.set_len(count) };
        events.extend(
            self.buffer
                .iter()
                .map(|event| translate(event.events, event.u64)),
        );
        self.buffer.clear();
        Ok(())
    }

    fn wait_precisely(&mut self, limit: Duration) -> io::Result<usize> {
        let limit = limit.min(LONGEST);
        let limit = KernelTimespec {
            seconds: limit.as_secs() as i64,
            nanoseconds: i64::from(limit.subsec_nanos()),
        };
        // SAFETY: the buffer has room for BATCH events and is not read before its length is set;
        // `limit` outlives the call; a null mask leaves the signal mask alone.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.instance.as_raw_fd(),
                self.buffer.as_mut_ptr(),
                BATCH as libc::c_int,
                ptr::from_ref(&limit),
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        check(count as libc::c_int)
    }

    fn wait_rounded(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        // SAFETY: the buffer has room for BATCH events and is not read before its length is set.
        check(unsafe {
            libc::epoll_wait(
                self.instance.as_raw_fd(),
                self.buffer.as_mut_ptr(),
                BATCH as libc::c_int,
                milliseconds(timeout),
            )
        })
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, token: u64, flags: u32) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: flags,
            u64: token,
        };
        // SAFETY: the kernel copies `event` and checks `fd`, which may be any number: one that is
        // closed, or that cannot be polled, is an error and nothing else.
        check(unsafe { libc::epoll_ctl(self.instance.as_raw_fd(), operation, fd, &raw mut event) })
            .map(drop)
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.instance.as_raw_fd()
    }
}

/// What the kernel is asked to watch.
fn flags(interest: Interest, trigger: Trigger) -> u32 {
    let mut flags = 0;
    if interest.is_readable() {
        flags |= libc::EPOLLIN | libc::EPOLLRDHUP;
        if trigger == Trigger::Edge {
            flags |= libc::EPOLLPRI;
        }
    }
    if interest.is_writable() {
        flags |= libc::EPOLLOUT;
    }
    // Errors and hang-ups are reported whatever is asked. Where nothing is, nobody would take
    // them and a level would be reported for ever: let it be once.
    if trigger == Trigger::Edge || interest.is_empty() {
        flags |= libc::EPOLLET;
    }
    flags as u32
}

/// What the kernel has seen.
#[inline]
fn translate(flags: u32, token: u64) -> Event {
    let has = |mask: libc::c_int| flags & mask as u32 != 0;
    let mut event = Event::new(
        token,
        has(libc::EPOLLIN | libc::EPOLLRDHUP),
        has(libc::EPOLLOUT),
        has(libc::EPOLLHUP),
        has(libc::EPOLLERR),
    );
    event.read_closed |= has(libc::EPOLLRDHUP);
    event.urgent |= has(libc::EPOLLPRI);
    event
}

/// Whether this process may call `epoll_pwait2`.
fn has_pwait2() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let zero = KernelTimespec {
            seconds: 0,
            nanoseconds: 0,
        };
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the descriptor is invalid, so nothing is waited for and nothing written; the
        // pointers are valid all the same.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                -1 as libc::c_int,
                &raw mut event,
                1 as libc::c_int,
                ptr::from_ref(&zero),
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        // Where it exists it complains about the descriptor. An old kernel says ENOSYS, a sandbox
        // that does not know the call says EPERM.
        result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    /// Kernels without `epoll_pwait2` are rare where tests run, so its absence is simulated.
    #[test]
    fn works_without_nanoseconds() -> io::Result<()> {
        let mut epoll = Epoll::new()?;
        epoll.precise = false;
        let (a, _b) = UnixStream::pair()?;
        let mut events = Vec::new();
        epoll.add(a.as_raw_fd(), 7, Interest::READABLE, Trigger::Level)?;

        let timeout = Duration::from_micros(1500);
        let start = Instant::now();
        epoll.wait(&mut events, Some(timeout))?;
        assert!(start.elapsed() >= timeout, "rounded down");
        assert_eq!(events, []);

        epoll.modify(a.as_raw_fd(), 8, Interest::WRITABLE, Trigger::Level)?;
        epoll.wait(&mut events, None)?;
        assert_eq!(events, [Event::new(8, false, true, false, false)]);
        Ok(())
    }
}
