//! Messages from any thread to one.
//!
//! A mailbox is a list that senders put their messages in front of, with one atomic exchange, and that
//! the owner takes as a whole. No lock is involved, for two reasons. A sender that is suspended, of a
//! low priority perhaps, never holds up the owner. And a process may fork at any time: a lock that
//! another thread holds then stays locked in the child for ever, while a list of which every change is
//! one exchange is always whole.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A queue of messages that any thread adds to and its owner empties.
///
/// ```
/// use eventlet_reactor::Mailbox;
///
/// let mailbox = Mailbox::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| mailbox.push("news"));
/// });
/// assert_eq!(mailbox.take(), ["news"]);
/// assert!(mailbox.is_empty());
/// ```
pub struct Mailbox<T> {
    /// The latest message, null if there is none.
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    message: T,
    /// The message before.
    next: *mut Node<T>,
}

// SAFETY: messages move from thread to thread and are never shared; the nodes belong to the mailbox.
unsafe impl<T: Send> Send for Mailbox<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mailbox<T> {}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    pub const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Adds a message.
    pub fn push(&self, message: T) {
        let mut head = self.head.load(Ordering::Relaxed);
        let node = Box::into_raw(Box::new(Node {
            message,
            next: head,
        }));
        // That the list may have been emptied and filled again in between does no harm: the node becomes
        // the head only if it refers to the head of that very moment.
        while let Err(other) =
            self.head
                .compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed)
        {
            head = other;
            // SAFETY: nobody knows the node until the exchange has succeeded.
            unsafe { (*node).next = head };
        }
    }

    /// Whether there is nothing. What was pushed before, as far as this thread can know, is seen.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire).is_null()
    }

    /// Takes all messages, in the order they came.
    pub fn take(&self) -> Vec<T> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut node = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut messages = Vec::new();
        while !node.is_null() {
            // SAFETY: the list was cut off from the mailbox, so each of its nodes, which were made by
            // `push`, is reached once and by this thread alone.
            let Node { message, next } = *unsafe { Box::from_raw(node) };
            messages.push(message);
            node = next;
        }
        messages.reverse();
        messages
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
