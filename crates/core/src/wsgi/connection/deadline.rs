//! How long a connection may stay as it is.

use pyo3::prelude::*;

use super::{Connection, Phase};
use crate::clock;
use crate::hub::Hub;
use crate::hub::io::IoHandler;
use crate::hub::scheduler::Due;

impl Connection {
    /// How long the connection may stay as it is.
    ///
    /// There is one timer, which is not moved when the deadline moves away: it looks at it when it goes
    /// off.
    pub(super) fn set_deadline(&self, py: Python<'_>, hub: &Bound<'_, Hub>) {
        let (phase, armed, deadline) = self.state.with(py, |s| (s.phase, s.armed, s.deadline));
        let limit = match phase {
            Phase::Idle => self.idle_limit(),
            Phase::Head => self.head_limit(),
            _ => None,
        };
        let deadline = match (phase, limit) {
            // Set once, when the lingering began.
            (Phase::Lingering, _) => deadline,
            (_, Some(limit)) => clock::after(clock::now(), limit),
            (_, None) => u64::MAX,
        };
        self.state.with(py, |s| s.deadline = deadline);
        if deadline < armed {
            self.disarm(py, hub);
            self.arm(py, hub, deadline);
        }
    }

    /// Seconds that it may be without a request.
    pub(super) fn idle_limit(&self) -> Option<f64> {
        let config = &self.server.get().config;
        config.keepalive_timeout.or(config.socket_timeout)
    }

    /// Seconds that the next part of a head, or of a body that nobody wants, may take.
    pub(in crate::wsgi) fn head_limit(&self) -> Option<f64> {
        let config = &self.server.get().config;
        config.socket_timeout.or(config.keepalive_timeout)
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
    pub(super) fn on_timer(slf: &Bound<'_, Self>, hub: &Bound<'_, Hub>) {
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
            _ if deadline <= clock::now() => Self::close(slf),
            _ => this.arm(py, hub, deadline),
        }
    }
}
