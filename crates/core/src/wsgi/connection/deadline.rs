//! How long a connection may stay as it is.

use pyo3::prelude::*;

use super::{Connection, Phase, Refusal};
use crate::clock;
use crate::hub::Hub;
use crate::hub::io::{Direction, IoHandler};
use crate::hub::scheduler::Due;
use crate::wsgi::worker::Worker;

impl Connection {
    /// How long the connection may stay as it is.
    ///
    /// There is one timer, which is not moved when the deadline moves away: it looks at it when it goes
    /// off.
    pub(super) fn set_deadline(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        let (phase, armed, deadline) = self.state.with(py, |s| (s.phase, s.armed, s.deadline));
        let deadline = match phase {
            // Set once, when the lingering began.
            Phase::Lingering => deadline,
            Phase::Idle => after_now(self.idle_limit(py)),
            Phase::Head => self.head_deadline(py),
            Phase::Busy | Phase::Closed => u64::MAX,
        };
        self.state.with(py, |s| s.deadline = deadline);
        if deadline < armed {
            self.disarm(py, hub);
            self.arm(py, hub, deadline);
        }
    }

    /// Seconds that it may be without a request; before the first there are no more than for its head.
    pub(super) fn idle_limit(&self, py: Python<'_>) -> Option<f64> {
        let config = &self.server.get().config;
        let limit = config.keepalive_timeout.or(config.socket_timeout);
        match config.head_timeout {
            Some(head) if self.state.with(py, |s| s.requests == 0) => {
                Some(limit.map_or(head, |limit| limit.min(head)))
            }
            _ => limit,
        }
    }

    /// When the head that has begun, or its next part, has to be there.
    pub(super) fn head_deadline(&self, py: Python<'_>) -> u64 {
        let config = &self.server.get().config;
        self.state
            .with(py, |s| s.head_deadline)
            .min(after_now(config.socket_timeout))
    }

    /// Whether the time for all of the head is over, rather than that for its next part.
    pub(super) fn head_is_late(&self, py: Python<'_>) -> bool {
        self.state.with(py, |s| s.head_deadline) <= clock::now()
    }

    /// When a head that begins now has to be complete.
    pub(super) fn new_head_deadline(&self) -> u64 {
        after_now(self.server.get().config.head_timeout)
    }

    pub(super) fn disarm(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        let timer = self.state.with(py, |s| {
            s.armed = u64::MAX;
            s.timer.take()
        });
        if let Some(timer) = timer {
            let due = hub.get().scheduler.with(py, |s| s.timers.cancel(timer));
            drop(due);
        }
    }

    fn arm(&self, py: Python<'_>, hub: &Bound<'_, Hub>, deadline: u64) {
        let Some(target) = self.state.with(py, |s| s.handler.clone()) else {
            return;
        };
        let due = Due::Handle(Box::new(IoHandler {
            target,
            expired: true,
        }));
        let key = hub
            .get()
            .scheduler
            .with(py, |s| s.timers.insert(deadline, due));
        self.state.with(py, |s| {
            s.timer = Some(key);
            s.armed = deadline;
        });
    }

    /// The timer has gone off. In the hub.
    pub(super) fn on_timer(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (phase, deadline) = this.state.with(py, |s| {
            s.timer = None;
            s.armed = u64::MAX;
            (s.phase, s.deadline)
        });
        match phase {
            Phase::Busy | Phase::Closed => {}
            _ if deadline == u64::MAX => {}
            _ if deadline > clock::now() => this.arm(py, hub, deadline),
            Phase::Head if this.state.with(py, |s| s.awaits_tls || s.awaits_proxy) => {
                Self::close(slf);
            }
            // Whoever has sent something is told why there is no answer to it.
            Phase::Head if this.head_is_late(py) => {
                this.stop_waiting(py, hub);
                this.refuse_later(py, Refusal::Slow);
                return Worker::start(slf, hub);
            }
            Phase::Head => {
                this.whisper(py, SILENT);
                Self::close(slf);
            }
            // It has sent something in time, and the hub has not come round to it: that is next.
            Phase::Idle if this.has_unread(py) => {}
            Phase::Idle | Phase::Lingering => Self::close(slf),
        }
        Ok(())
    }

    /// Takes back the wait for data.
    fn stop_waiting(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        if let Some(fd) = self.transport(py).descriptor() {
            let waiter = hub
                .get()
                .io
                .with(py, |io| io.unwait_handler(fd, Direction::Read));
            drop(waiter);
        }
    }
}

/// What is said of a client that sends no more of a head for as long as `socket_timeout`.
pub(super) const SILENT: &str = "timed out in the middle of the head of a request";

/// The deadline so many seconds from now; never for `None`.
pub(super) fn after_now(seconds: Option<f64>) -> u64 {
    seconds.map_or(u64::MAX, |seconds| clock::after(clock::now(), seconds))
}
