//! What other OS threads send to a hub.
//!
//! Nobody but a hub's own thread switches its greenlets or changes its queue. A thread that has news for
//! it, be it a Python thread or a native one without the GIL, leaves a message here and wakes its poller.
//! The hub takes all messages at the start of a turn.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use eventlet_greenlet::Greenlet;
use eventlet_reactor::{Interest, Mailbox, Poller, Trigger, Waker};
use pyo3::prelude::*;

use super::park::{ParkId, Wake};

/// Marks the waker's own events; no descriptor has this number.
pub const TOKEN: u64 = u64::MAX;

/// News for a hub.
pub enum Message {
    /// A wait is over.
    Wake(ParkId, Wake),
    /// Raise this in a green thread.
    Throw(Greenlet, Py<PyAny>),
    /// Call this in the hub.
    Call(Py<PyAny>),
    /// Another thread has closed this descriptor, or taken over its number; the generation of the number
    /// since then.
    Closed(RawFd, u32),
}

/// The inboxes of all hubs of the process, for the news that concern every one of them.
static ALL: Mutex<Vec<Weak<Inbox>>> = Mutex::new(Vec::new());

/// How many there are, so that a process with a single hub need not take the lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Tells all hubs but `own` that the number `fd` has changed hands.
pub fn broadcast_closed(own: Option<&Inbox>, fd: RawFd, generation: u32) {
    if COUNT.load(Ordering::Relaxed) <= usize::from(own.is_some()) {
        return;
    }
    let all: Vec<_> = {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|inbox| inbox.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    for inbox in all {
        if own.is_none_or(|own| !std::ptr::eq(own, &raw const *inbox)) {
            inbox.send(Message::Closed(fd, generation));
        }
    }
}

/// In a forked child: the hubs of other threads went with their threads; `own` is the one that is left.
pub fn forget_others(own: Option<&Arc<Inbox>>) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.clear();
    all.extend(own.map(Arc::downgrade));
    COUNT.store(all.len(), Ordering::Relaxed);
}

/// The thread-safe side of a hub. It takes no lock, so that it is whole in a child that is forked while some
/// other thread is about to send.
pub struct Inbox {
    thread: AtomicUsize,
    waker: Waker,
    messages: Mailbox<Message>,
}

impl Inbox {
    /// An inbox for a hub of the calling thread.
    pub fn new() -> io::Result<Arc<Self>> {
        let inbox = Arc::new(Self {
            thread: AtomicUsize::new(this_thread()),
            waker: Waker::new()?,
            messages: Mailbox::new(),
        });
        ALL.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&inbox));
        COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(inbox)
    }

    /// Whether the calling thread is the hub's.
    #[inline]
    pub fn is_mine(&self) -> bool {
        self.thread.load(Ordering::Relaxed) == this_thread()
    }

    /// Lets `poller` report wake-ups, with [`TOKEN`].
    pub fn register(&self, poller: &mut Poller) -> io::Result<()> {
        poller.add(self.waker.fd(), TOKEN, Interest::READABLE, Trigger::Level)
    }

    /// Leaves a message and wakes the hub.
    pub fn send(&self, message: Message) {
        self.messages.push(message);
        self.wake();
    }

    /// Ends the hub's sleep.
    pub fn wake(&self) {
        // It fails only if the descriptor is gone, and with it the hub.
        let _gone = self.waker.wake();
    }

    /// Takes all messages, in the order they came.
    pub fn take(&self) -> Vec<Message> {
        self.messages.take()
    }

    /// Whether there are no messages.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// After the poller has reported the waker: resets it. Messages are taken afterwards, never before.
    pub fn drain(&self) {
        self.waker.drain();
    }

    /// In a forked child: the thread has another identity for the kernel, and the waker is shared with the
    /// parent.
    pub fn restart(&self) -> io::Result<()> {
        self.thread.store(this_thread(), Ordering::Relaxed);
        self.waker.renew()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // After a fork this may go below what `forget_others` has set, for a hub that was forgotten there.
        let _previous = COUNT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            count.checked_sub(1)
        });
    }
}

/// An identity for the calling thread that is cheap to get.
#[inline]
fn this_thread() -> usize {
    thread_local! {
        static MARK: u8 = const { 0 };
    }
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}
