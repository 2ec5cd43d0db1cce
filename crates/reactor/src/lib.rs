//! Readiness, timers and wake-ups: what an event loop waits for, without the loop.
//!
//! Independent parts, which a hub puts together:
//!
//! - [`Poller`] tells which file descriptors are ready, over `epoll`, `kqueue`, `poll` or
//!   `select`;
//! - [`TimerQueue`] tells which timers are due, and when the next one will be;
//! - [`Waker`] ends a wait from another thread, and [`Mailbox`] takes what that has to say.
//!
//! One turn of a loop looks like this, where `now()` is a monotonic clock in nanoseconds:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use eventlet_reactor::{Backend, Interest, Poller, TimerQueue, Trigger, Waker};
//!
//! # fn main() -> std::io::Result<()> {
//! let start = Instant::now();
//! let now = || start.elapsed().as_nanos() as u64;
//!
//! let mut poller = Poller::new(Backend::best())?;
//! let waker = Waker::new()?;
//! poller.add(waker.fd(), 0, Interest::READABLE, Trigger::Level)?;
//! let mut timers = TimerQueue::new(now());
//! timers.insert(now() + 1_000_000, "one millisecond");
//!
//! let (mut events, mut due) = (Vec::new(), Vec::new());
//! while due.is_empty() {
//!     let timeout = timers.next_wakeup().map(|at| Duration::from_nanos(at.saturating_sub(now())));
//!     poller.wait(&mut events, timeout)?;
//!     timers.expire(now(), &mut due);
//! }
//! assert_eq!(due, ["one millisecond"]);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here reads a clock, starts a thread, logs, or keeps global state, but for the answer to
//! a probe of the kernel. Nothing retries a system call that a signal has interrupted, except
//! where a waker writes or reads: signals are the loop's business.

#[cfg(not(unix))]
compile_error!("the reactor is made of Unix system calls");

mod backend;
mod event;
mod interest;
mod mailbox;
mod poller;
mod sys;
mod timer;
mod waker;

pub use backend::Backend;
pub use event::Event;
pub use interest::{Interest, Trigger};
pub use mailbox::Mailbox;
pub use poller::Poller;
pub use timer::{TimerKey, TimerQueue};
pub use waker::Waker;
