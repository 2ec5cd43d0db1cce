//! Threads that ask, and everybody who waits for the same answer.
//!
//! # Theory of operation
//!
//! A [`Pool`] has one lock, for its books: which lookups are under way, who waits for which, which have not
//! been begun, and how many threads there are. It is held for a few instructions at a time, never during a
//! lookup. A lookup goes on when nobody waits for it any more, since the C library cannot be interrupted; one
//! that has not been begun is forgotten then.
//!
//! Who asks what is being asked already waits for the same answer. An answer is not kept: who asks after it has
//! come wants to know how things are from now on.
//!
//! Threads are started when there is more to do than threads that do nothing, and end when there has been
//! nothing to do for a while. They take no signals, which are for the threads that the program knows of.
//!
//! # Forks
//!
//! A forked child has none of the threads, and the lock may be held there by one of those. So the child makes
//! a new pool and never touches the old one again, not even to drop it; who waits there, asks again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use crate::query::{Failure, Outcome, Query};

/// Somebody who waits for an answer.
pub trait Waiter: PartialEq + Send {
    /// The outcome is there. Called in a thread of the pool, perhaps after the waiter has left.
    fn wake(&self);
}

/// A question that has been asked.
#[derive(Debug)]
pub struct Lookup {
    query: Query,
    outcome: OnceLock<Outcome>,
}

impl Lookup {
    /// What was found, None as long as that is not known.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// What was asked.
    pub fn query(&self) -> &Query {
        &self.query
    }
}

/// How many threads there may be, and for how long they may do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lookups beyond so many wait in line.
    pub threads: usize,
    /// A thread ends that has had nothing to do for so long.
    pub idle: Duration,
}

/// Threads that look up names.
pub struct Pool<W> {
    shared: Arc<Shared<W>>,
}

struct Shared<W> {
    books: Mutex<Books<W>>,
    /// Something has been added to the line.
    arrived: Condvar,
    limits: Limits,
    answer: fn(&Query) -> Outcome,
}

struct Books<W> {
    under_way: HashMap<Query, Asked<W>>,
    /// Those that have not been begun, in their order.
    line: VecDeque<Arc<Lookup>>,
    threads: usize,
    /// How many of the threads have nothing to do.
    idle: usize,
}

/// A lookup that is under way.
struct Asked<W> {
    lookup: Arc<Lookup>,
    waiters: Vec<W>,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// How many threads there are.
    pub threads: usize,
    /// How many lookups have not ended.
    pub under_way: usize,
    /// How many of them have not been begun.
    pub in_line: usize,
    /// How many waiters they have.
    pub waiters: usize,
}

impl<W: Waiter + 'static> Pool<W> {
    /// A pool without threads, of which each question will be answered by `answer`.
    pub fn new(limits: Limits, answer: fn(&Query) -> Outcome) -> Self {
        let books = Books {
            under_way: HashMap::new(),
            line: VecDeque::new(),
            threads: 0,
            idle: 0,
        };
        Self {
            shared: Arc::new(Shared {
                books: Mutex::new(books),
                arrived: Condvar::new(),
                limits,
                answer,
            }),
        }
    }

    /// Has a question answered, or waits with those who have asked the same; `waiter` is woken when the
    /// outcome is there, which may be before this returns.
    ///
    /// # Errors
    ///
    /// If there is no thread at all, and the system does not give one.
    pub fn ask(&self, query: Query, waiter: W) -> io::Result<Arc<Lookup>> {
        let mut books = self.shared.books();
        let vacant = match books.under_way.entry(query) {
            Entry::Occupied(mut entry) => {
                let asked = entry.get_mut();
                asked.waiters.push(waiter);
                return Ok(asked.lookup.clone());
            }
            Entry::Vacant(vacant) => vacant,
        };
        let lookup = Arc::new(Lookup {
            query: vacant.key().clone(),
            outcome: OnceLock::new(),
        });
        vacant.insert(Asked {
            lookup: lookup.clone(),
            waiters: vec![waiter],
        });
        books.line.push_back(lookup.clone());
        if books.line.len() <= books.idle {
            drop(books);
            // Outside of the lock, which the thread needs first of all.
            self.shared.arrived.notify_one();
        } else if books.threads < self.shared.limits.threads {
            match Shared::start(&self.shared) {
                Ok(()) => books.threads += 1,
                Err(error) if books.threads == 0 => {
                    books.forget(&lookup);
                    return Err(error);
                }
                // Those that there are do the work.
                Err(_) => {}
            }
        }
        Ok(lookup)
    }

    /// `waiter` does not want to know any more.
    pub fn leave(&self, lookup: &Arc<Lookup>, waiter: &W) {
        let mut books = self.shared.books();
        let Some(asked) = books.under_way.get_mut(&lookup.query) else {
            return;
        };
        if Arc::ptr_eq(&asked.lookup, lookup) {
            asked.waiters.retain(|other| other != waiter);
            if asked.waiters.is_empty() && books.is_in_line(lookup) {
                books.forget(lookup);
            }
        }
    }

    /// What it is doing now.
    pub fn activity(&self) -> Activity {
        let books = self.shared.books();
        Activity {
            threads: books.threads,
            under_way: books.under_way.len(),
            in_line: books.line.len(),
            waiters: books.under_way.values().map(|a| a.waiters.len()).sum(),
        }
    }
}

impl<W> Books<W> {
    fn is_in_line(&self, lookup: &Arc<Lookup>) -> bool {
        self.line.iter().any(|other| Arc::ptr_eq(other, lookup))
    }

    /// Removes a lookup that has not been begun.
    fn forget(&mut self, lookup: &Arc<Lookup>) {
        self.line.retain(|other| !Arc::ptr_eq(other, lookup));
        self.under_way.remove(&lookup.query);
    }
}

impl<W: Waiter + 'static> Shared<W> {
    fn books(&self) -> MutexGuard<'_, Books<W>> {
        // A panic while they are open is a bug, which does not become smaller by another.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread.
    fn start(shared: &Arc<Self>) -> io::Result<()> {
        let shared = shared.clone();
        without_signals(|| {
            thread::Builder::new()
                .name("dns_thread".to_owned())
                .spawn(move || shared.work())
        })?;
        Ok(())
    }

    /// What a thread does.
    fn work(&self) {
        let mut books = self.books();
        loop {
            let Some(lookup) = books.line.pop_front() else {
                books.idle += 1;
                let (guard, result) = self
                    .arrived
                    .wait_timeout(books, self.limits.idle)
                    .unwrap_or_else(PoisonError::into_inner);
                books = guard;
                books.idle -= 1;
                if result.timed_out() && books.line.is_empty() {
                    books.threads -= 1;
                    return;
                }
                continue;
            };
            drop(books);
            let outcome = catch_unwind(AssertUnwindSafe(|| (self.answer)(&lookup.query)));
            // It has none yet: nobody else has begun it.
            let _first = lookup
                .outcome
                .set(outcome.unwrap_or(Err(Failure::System(libc::EIO))));
            books = self.books();
            let asked = books.under_way.remove(&lookup.query);
            // As good as idle: it looks at the line before it sleeps. Who is woken and asks at once need not
            // start another thread.
            books.idle += 1;
            drop(books);
            for waiter in asked.iter().flat_map(|asked| &asked.waiters) {
                waiter.wake();
            }
            drop(asked);
            books = self.books();
            books.idle -= 1;
        }
    }
}

/// Calls `start`, and has the threads that it starts take no signals.
fn without_signals<R>(start: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::uninit();
    let mut old = MaybeUninit::uninit();
    // SAFETY: the function fills the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first set is filled, the second is there to be.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) };
    let result = start();
    if blocked == 0 {
        // SAFETY: the call above has filled it.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    }
    result
}
