//! Waking a poller from another thread.
//!
//! A waker is a descriptor that becomes readable, an eventfd on Linux and a pipe elsewhere, and a
//! flag that says whether it has been made so. A thread that wants the owner's attention puts its
//! message where the owner looks for it and calls [`Waker::wake`]; the owner, whose poller watches
//! [`Waker::fd`], calls [`Waker::drain`] and *then* looks for messages.
//!
//! # Why no wake-up is lost
//!
//! `wake` swaps the flag to true, and writes if it was false. `drain` empties the descriptor
//! first and swaps the flag to false last. All swaps of one flag happen in one order, so that of a
//! wake-up is either before or after that of the drain it races with:
//!
//! - *Before*: the drain's swap reads what the wake-up stored, or something later in an unbroken
//!   chain of swaps. Release and acquire then make the message visible to whatever the owner does
//!   after the drain, which is to look for it. It makes no difference who wrote, if anybody.
//! - *After*: the first wake-up after the drain finds false and writes, and since that write comes
//!   after the drain's last read, the drain cannot have taken it. The descriptor stays readable,
//!   the next wait ends at once, and all that came with it or later is found after the next drain.
//!
//! Could the flag be true with nothing written nor about to be? Each time it becomes true, one
//! thread is bound to write. Only a drain takes what is written, and it clears the flag after its
//! last read; a write that fails clears it too. So no. That is why the order in `drain` matters:
//! the other way round, it could take the write that belongs to a flag it leaves set, and nobody
//! would ever write again.
//!
//! A thread may be suspended between its swap and its write while a drain passes by. The write
//! then comes late, and costs the owner one turn in which it finds nothing.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

/// A handle that makes a poller's wait end, from any thread.
///
/// Clones share one descriptor, which is closed with the last of them. Register it with
/// [`Trigger::Level`](crate::Trigger::Level) and [`Interest::READABLE`](crate::Interest::READABLE).
///
/// ```
/// use eventlet_reactor::{Backend, Interest, Poller, Trigger, Waker};
///
/// # fn main() -> std::io::Result<()> {
/// let waker = Waker::new()?;
/// let mut poller = Poller::new(Backend::best())?;
/// poller.add(waker.fd(), u64::MAX, Interest::READABLE, Trigger::Level)?;
///
/// let remote = waker.clone();
/// let thread = std::thread::spawn(move || remote.wake());
/// poller.wait(&mut Vec::new(), None)?;
/// waker.drain();
/// # thread.join().expect("no panic")
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whether the descriptor is, or is about to be, readable.
    notified: AtomicBool,
    channel: Channel,
}

/// What becomes readable.
#[derive(Debug)]
enum Channel {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Eventfd(OwnedFd),
    Pipe {
        reader: OwnedFd,
        writer: OwnedFd,
    },
}

impl Waker {
    /// Opens a waker, on an eventfd where there is one.
    pub fn new() -> io::Result<Waker> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return Ok(Waker::over(Channel::Eventfd(open_eventfd()?)));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return Waker::with_pipe();
    }

    /// Opens a waker on a pipe, wherever it runs.
    pub fn with_pipe() -> io::Result<Waker> {
        let (reader, writer) = open_pipe()?;
        Ok(Waker::over(Channel::Pipe { reader, writer }))
    }

    fn over(channel: Channel) -> Waker {
        Waker {
            shared: Arc::new(Shared {
                notified: AtomicBool::new(false),
                channel,
            }),
        }
    }

    /// Makes the owner's wait end, the current one or the next. Costs one atomic operation if
    /// that is under way already, and takes no lock.
    pub fn wake(&self) -> io::Result<()> {
        if self.shared.notified.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.channel.write().inspect_err(|_| {
            // Nothing was written, so the next wake-up must try.
            self.shared.notified.store(false, Ordering::Release);
        })
    }

    /// The descriptor to watch. It stays the same for the life of the waker.
    pub fn fd(&self) -> RawFd {
        self.shared.channel.read_end().as_raw_fd()
    }

    /// Resets the waker, so that the next [`wake`](Waker::wake) writes again. For the owner alone,
    /// which looks for messages *after* this.
    pub fn drain(&self) {
        self.shared.channel.empty();
        self.shared.notified.swap(false, Ordering::AcqRel);
    }

    /// Gives a forked child a descriptor of its own under the same number, and resets the waker.
    ///
    /// A child inherits the parent's descriptor, over which each would wake, and drain, the other.
    /// Every clone in the child is repaired by one call, which must be made while it has one
    /// thread. A poller inherited from the parent does not see the new descriptor.
    pub fn renew(&self) -> io::Result<()> {
        self.shared.channel.renew()?;
        self.shared.notified.store(false, Ordering::Release);
        Ok(())
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.fd()
    }
}

impl Channel {
    fn read_end(&self) -> &OwnedFd {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Channel::Eventfd(fd) => fd,
            Channel::Pipe { reader, .. } => reader,
        }
    }

    /// Makes the descriptor readable.
    fn write(&self) -> io::Result<()> {
        let (fd, bytes): (_, &[u8]) = match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Channel::Eventfd(fd) => (fd, &1_u64.to_ne_bytes()),
            Channel::Pipe { writer, .. } => (writer, &[1]),
        };
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)) {
            // Full, hence readable, which is all that is wanted.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the descriptor unreadable.
    fn empty(&self) {
        let mut bytes = [0; 64];
        // A short read has taken everything: an eventfd gives eight bytes and is zero, a pipe is
        // empty. An error means that there was nothing, or that nothing can be done about it.
        while matches!(
            rustix::io::retry_on_intr(|| rustix::io::read(self.read_end(), &mut bytes)),
            Ok(64)
        ) {}
    }

    /// Replaces the files behind the descriptors by new ones.
    fn renew(&self) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Channel::Eventfd(fd) => replace(fd, &open_eventfd()?),
            Channel::Pipe { reader, writer } => {
                let (new_reader, new_writer) = open_pipe()?;
                replace(reader, &new_reader)?;
                replace(writer, &new_writer)
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_eventfd() -> io::Result<OwnedFd> {
    use rustix::event::{EventfdFlags, eventfd};

    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Opens a pipe: the end to read from, and the end to write to.
#[cfg(not(target_vendor = "apple"))]
fn open_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};

    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// Opens a pipe: the end to read from, and the end to write to.
#[cfg(target_vendor = "apple")]
fn open_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};

    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        fcntl_setfd(end, FdFlags::CLOEXEC)?;
        ioctl_fionbio(end, true)?;
    }
    Ok((reader, writer))
}

/// Makes `target` refer to the file of `source`, under its own number.
fn replace(target: &OwnedFd, source: &OwnedFd) -> io::Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    // SAFETY: both descriptors are open and owned by the caller; `target` keeps its number and its
    // owner, and what it referred to is used by nobody else in this process.
    let result = unsafe { libc::dup3(source.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) };
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    let result = unsafe { libc::dup2(source.as_raw_fd(), target.as_raw_fd()) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_vendor = "apple")]
    rustix::io::fcntl_setfd(target, rustix::io::FdFlags::CLOEXEC)?;
    Ok(())
}
