//! The run queue.
//!
//! Time is divided into rounds. A round runs what was ready when it began: due timers, what was queued
//! during the round before, and the descriptors that the poll found ready. What is queued meanwhile waits
//! for the next round, behind another poll, so neither a chain of `sleep(0)` nor a flood of input can
//! starve the other.
//!
//! Within a round a green thread that parks does not go back to the hub: it takes the next entry itself
//! ([`Scheduler::next_direct`]) and switches straight to it. Only an entry that resumes a *started* green
//! thread may be taken like that. A new green thread is started by the hub, because it runs on top of the
//! stack of whoever starts it, and stacks would nest. When a round is over and the next has something in it,
//! the green thread opens that one too, poll included ([`Hub::turn_in_place`](super::Hub::turn_in_place)).

use std::collections::VecDeque;
use std::sync::Arc;

use eventlet_greenlet::{Greenlet, GreenletRef};
use eventlet_reactor::{TimerKey, TimerQueue};
use pyo3::prelude::*;

use super::io::{IoHandler, Ready};
use super::listener::FdListener;
use super::park::{Park, ParkId, Parks, Wake};
use super::timer::Timer;

/// Something to do in a round.
pub enum Task {
    /// Resume a parked green thread.
    Wake(ParkId),
    /// Start a new green thread.
    Start(Greenlet),
    /// Raise an exception in a green thread.
    Throw(Greenlet, Py<PyAny>),
    /// Call a timer's function.
    Fire(Py<Timer>),
    /// Call a function in the hub.
    Call(Py<PyAny>),
    /// Tell a listener that its descriptor is ready.
    Notify(Py<FdListener>),
    /// Tell a listener that its descriptor was closed.
    Closed(Py<FdListener>),
    /// Tell a native handler that its descriptor is ready.
    Handle(IoHandler),
}

/// What happens when a timer is due.
pub enum Due {
    /// A wait runs out of time.
    Expire(ParkId),
    /// A green thread starts.
    Start(Greenlet),
    /// A timer object fires.
    Fire(Py<Timer>),
    /// A native handler's time is up. Boxed, since that is rare and there may be a million timers of other kinds.
    Handle(Box<IoHandler>),
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Option<Due>>() == 16);

/// Queue, waits and timers of a hub.
pub struct Scheduler {
    round: VecDeque<Task>,
    next: VecDeque<Task>,
    pub parks: Parks,
    pub timers: TimerQueue<Due>,
    due: Vec<Due>,
    /// When the timers that were cancelled would have been due.
    cancelled: Vec<u64>,
    /// How many of these, the last ones, were scheduled and cancelled in this round.
    fleeting: usize,
    /// How many rounds there have been.
    pub rounds: u64,
    /// Who is being switched to, kept alive until somebody has been resumed: greenlet may run destructors
    /// before it switches.
    handed: Vec<Greenlet>,
}

/// What a wait leaves behind.
pub struct Unparked {
    /// None if it was over before.
    pub park: Option<Park>,
    pub due: Option<Due>,
    /// Who was switched to: most often the green thread itself.
    pub handed: Option<Greenlet>,
}

/// What a green thread that parks should do next.
pub enum Direct {
    /// Switch to this one at once: it is kept alive until then.
    To(GreenletRef),
    /// What comes next is the hub's business.
    Hub,
    /// The round is over.
    RoundOver,
}

impl Scheduler {
    /// An empty queue; `now` is the present time.
    pub fn new(now: u64) -> Self {
        Self {
            round: VecDeque::new(),
            next: VecDeque::new(),
            parks: Parks::default(),
            timers: TimerQueue::new(now),
            due: Vec::new(),
            cancelled: Vec::new(),
            fleeting: 0,
            rounds: 0,
            handed: Vec::new(),
        }
    }

    /// Queues `task` for the next round.
    #[inline]
    pub fn push(&mut self, task: Task) {
        self.next.push_back(task);
    }

    /// Queues `task` as the very next one of the current round.
    pub fn push_front(&mut self, task: Task) {
        self.round.push_front(task);
    }

    /// Queues `task` at the end of the current round.
    pub fn push_round(&mut self, task: Task) {
        self.round.push_back(task);
    }

    /// Takes the next entry of the round if it is a ready handler for which `is_it` holds.
    #[inline]
    pub fn take_ready(&mut self, is_it: impl FnOnce(&dyn Ready) -> bool) -> Option<Arc<dyn Ready>> {
        let Some(Task::Handle(handler)) = self.round.front() else {
            return None;
        };
        if handler.expired || !is_it(&*handler.target) {
            return None;
        }
        match self.round.pop_front() {
            Some(Task::Handle(handler)) => Some(handler.target),
            _ => None,
        }
    }

    /// Ends a wait and queues its green thread; does nothing if somebody did so before.
    #[inline]
    pub fn wake(&mut self, id: ParkId, wake: Wake) {
        if self.parks.mark(id, wake) {
            self.next.push_back(Task::Wake(id));
        }
    }

    /// As [`wake`](Self::wake), for the current round.
    pub fn wake_in_round(&mut self, id: ParkId, wake: Wake) {
        if self.parks.mark(id, wake) {
            self.round.push_back(Task::Wake(id));
        }
    }

    /// As [`wake`](Self::wake), as the very next one of the current round.
    pub fn wake_front(&mut self, id: ParkId, wake: Wake) {
        if self.parks.mark(id, wake) {
            self.round.push_front(Task::Wake(id));
        }
    }

    /// Announces a wait of `greenlet`, until `deadline` at the latest.
    #[inline]
    pub fn park(&mut self, greenlet: Greenlet, deadline: Option<u64>) -> ParkId {
        let id = self.parks.insert(greenlet);
        if let Some(deadline) = deadline {
            let timer = self.timers.insert(deadline, Due::Expire(id));
            if let Some(park) = self.parks.get_mut(id) {
                park.timer = timer;
            }
        }
        id
    }

    /// Announces a wait of `greenlet` that ends in the next round.
    #[inline]
    pub fn park_for_a_round(&mut self, greenlet: Greenlet) -> ParkId {
        let id = self.parks.insert_as(greenlet, Wake::Ready);
        self.next.push_back(Task::Wake(id));
        id
    }

    /// Ends a wait, begun or not. The caller drops what comes back after its borrow has ended.
    #[inline]
    pub fn unpark(&mut self, id: ParkId) -> Unparked {
        let handed = self.handed.pop();
        let park = self.parks.remove(id);
        let timer = park.as_ref().map_or(TimerKey::NONE, |park| park.timer);
        let due = if timer == TimerKey::NONE {
            None
        } else {
            self.timers.cancel(timer)
        };
        Unparked { park, due, handed }
    }

    /// Opens a round: due timers, then what was queued.
    pub fn begin_round(&mut self, now: u64) {
        self.rounds += 1;
        if self.fleeting > 0 {
            self.forget_fleeting();
        }
        if !self.timers.is_empty() {
            self.expire(now);
        }
        if self.round.is_empty() {
            std::mem::swap(&mut self.round, &mut self.next);
        } else {
            self.round.append(&mut self.next);
        }
    }

    /// Queues what is due at `now` for the current round.
    pub fn expire(&mut self, now: u64) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.expire(now, &mut due);
        for action in due.drain(..) {
            match action {
                Due::Expire(id) => self.wake_in_round(id, Wake::TimedOut),
                Due::Start(greenlet) => self.round.push_back(Task::Start(greenlet)),
                Due::Fire(timer) => self.round.push_back(Task::Fire(timer)),
                Due::Handle(handler) => self.round.push_back(Task::Handle(*handler)),
            }
        }
        self.due = due;
    }

    /// Takes out the timer `key`, which was scheduled in `round` to fire at `deadline`, and counts it as
    /// cancelled: until then, but to the end of the round only if it began in it.
    pub fn cancel(&mut self, key: TimerKey, deadline: u64, round: u64) -> Option<Due> {
        let due = self.timers.cancel(key);
        if due.is_some() {
            if round == self.rounds {
                self.cancelled.push(deadline);
                self.fleeting += 1;
            } else {
                let index = self.cancelled.len() - self.fleeting;
                self.cancelled.push(deadline);
                let last = self.cancelled.len() - 1;
                self.cancelled.swap(index, last);
            }
            let total = self.timers.len() + self.cancelled.len();
            if total > 1000 && 2 * self.cancelled.len() >= total {
                self.cancelled.clear();
                self.fleeting = 0;
            }
        }
        due
    }

    #[cold]
    fn forget_fleeting(&mut self) {
        let lasting = self.cancelled.len() - self.fleeting;
        self.cancelled.truncate(lasting);
        self.fleeting = 0;
    }

    /// How many timers have been cancelled that would not be due at `now`.
    pub fn cancelled(&mut self, now: u64) -> usize {
        let lasting = self.cancelled.len() - self.fleeting;
        let fleeting = self.cancelled.split_off(lasting);
        self.cancelled.retain(|deadline| *deadline > now);
        self.cancelled.extend(fleeting);
        self.cancelled.len()
    }

    /// Whether anything waits to run, in this round or the next.
    pub fn is_idle(&self) -> bool {
        self.round.is_empty() && self.next.is_empty()
    }

    /// How many entries wait to run.
    pub fn queued(&self) -> usize {
        self.round.len() + self.next.len()
    }

    /// Keeps `greenlet` alive until it has been resumed, which is to happen at once, and [takes](Self::take_handed)
    /// the reference back or ends a wait.
    ///
    /// So whoever switches to it needs no reference of its own, which would last for as long as it is not
    /// resumed itself.
    #[inline]
    pub fn hand(&mut self, greenlet: Greenlet) -> GreenletRef {
        let handed = greenlet.borrow();
        self.handed.push(greenlet);
        handed
    }

    /// As [`hand`](Self::hand), for whoever waits as `id`, if they still do.
    #[inline]
    pub fn hand_parked(&mut self, py: Python<'_>, id: ParkId) -> Option<GreenletRef> {
        let greenlet = self.parks.greenlet(id)?.clone_ref(py);
        Some(self.hand(greenlet))
    }

    /// What the running greenlet was kept alive with until it was resumed.
    pub fn take_handed(&mut self) -> Option<Greenlet> {
        self.handed.pop()
    }

    /// The next entry of the round, for the hub.
    #[inline]
    pub fn pop(&mut self) -> Option<Task> {
        self.round.pop_front()
    }

    /// The next entry of the round, for a green thread that parks.
    #[inline]
    pub fn next_direct(&mut self, py: Python<'_>) -> Direct {
        loop {
            let id = match self.round.front() {
                Some(Task::Wake(id)) => *id,
                Some(_) => return Direct::Hub,
                None => return Direct::RoundOver,
            };
            self.round.pop_front();
            if let Some(next) = self.hand_parked(py, id) {
                return Direct::To(next);
            }
        }
    }

    /// Whether the next round has anything in it, timers that may have become due left out.
    pub fn has_next(&self) -> bool {
        !self.next.is_empty()
    }

    /// Every queued entry, for introspection and the garbage collector.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.round.iter().chain(self.next.iter())
    }

    /// Takes out what is queued; the caller drops it outside its borrow.
    pub fn clear(&mut self) -> (VecDeque<Task>, VecDeque<Task>) {
        (
            std::mem::take(&mut self.round),
            std::mem::take(&mut self.next),
        )
    }
}
