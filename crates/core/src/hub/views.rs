//! What a hub shows of itself: listeners and timers, as objects made for the occasion.

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::Hub;
use super::io::{Direction, Waiter};
use super::listener::FdListener;
use super::scheduler::{Due, Task};
use super::timer::Timer;
use crate::clock;

/// A timer, seen under the borrow.
enum Seen {
    Timer(Py<Timer>),
    /// A wait that runs out of time, or a start.
    Green(Greenlet),
}

impl Hub {
    /// Who waits on what, as listener objects made for the occasion.
    pub(super) fn listeners<'py>(
        slf: &Bound<'py, Self>,
        direction: Direction,
    ) -> PyResult<Vec<Bound<'py, FdListener>>> {
        enum Found {
            Listener(Py<FdListener>),
            Green(i32, Greenlet),
        }
        let py = slf.py();
        let this = slf.get();
        let found = this.io.with(py, |io| {
            this.scheduler.with(py, |s| {
                io.waiting(direction)
                    .filter_map(|waiting| match waiting.waiter {
                        Waiter::Listener(listener) if listener.get().hidden(py) => None,
                        Waiter::Listener(listener) => Some(Found::Listener(listener.clone_ref(py))),
                        Waiter::Park(id) | Waiter::LevelPark(id) => s
                            .parks
                            .greenlet(*id)
                            .map(|greenlet| Found::Green(waiting.fd, greenlet.clone_ref(py))),
                        Waiter::Handler(_) => None,
                    })
                    .collect::<Vec<_>>()
            })
        });
        found
            .into_iter()
            .map(|found| match found {
                Found::Listener(listener) => Ok(listener.into_bound(py)),
                Found::Green(fd, greenlet) => {
                    let object = greenlet.bind(py);
                    let cb = object.getattr("switch")?.unbind();
                    let tb = object.getattr("throw")?.unbind();
                    let evtype = direction.name().into_pyobject(py)?.into_any().unbind();
                    let object = object.clone().unbind();
                    Bound::new(
                        py,
                        FdListener::with_greenlet(evtype, fd, Some(cb), Some(tb), None, object),
                    )
                }
            })
            .collect()
    }

    /// Listeners by direction and descriptor: the first of each, or those that come after it.
    pub(super) fn table<'py>(slf: &Bound<'py, Self>, first: bool) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let all = PyDict::new(py);
        for direction in [Direction::Read, Direction::Write] {
            let firsts = PyDict::new(py);
            let others = PyDict::new(py);
            for listener in Self::listeners(slf, direction)? {
                let fileno = listener.get().fileno();
                if !firsts.contains(fileno)? {
                    firsts.set_item(fileno, listener)?;
                    continue;
                }
                match others.get_item(fileno)? {
                    Some(list) => list.cast_into::<PyList>()?.append(listener)?,
                    None => others.set_item(fileno, [listener])?,
                }
            }
            all.set_item(direction.name(), if first { firsts } else { others })?;
        }
        Ok(all)
    }

    /// Listeners that are still to be told that their descriptor was closed.
    pub(super) fn closed_listeners(&self, py: Python<'_>) -> Vec<Py<FdListener>> {
        self.scheduler.with(py, |s| {
            s.tasks()
                .filter_map(|task| match task {
                    Task::Closed(listener) => Some(listener.clone_ref(py)),
                    _ => None,
                })
                .collect()
        })
    }

    /// Timers in the order of their deadlines, as pairs of deadline and timer.
    pub(super) fn waiting_timers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut seen = slf.get().scheduler.with(py, |s| {
            s.timers
                .iter()
                .filter_map(|(_, deadline, due)| {
                    let seen = match due {
                        Due::Fire(timer) => Seen::Timer(timer.clone_ref(py)),
                        Due::Start(greenlet) => Seen::Green(greenlet.clone_ref(py)),
                        Due::Expire(id) => Seen::Green(s.parks.greenlet(*id)?.clone_ref(py)),
                        Due::Handle(_) => return None,
                    };
                    Some((deadline, seen))
                })
                .collect::<Vec<_>>()
        });
        seen.sort_by_key(|(deadline, _)| *deadline);
        let now = clock::now();
        let pairs = PyList::empty(py);
        for (deadline, seen) in seen {
            let timer = match seen {
                Seen::Timer(timer) => timer.into_bound(py),
                Seen::Green(greenlet) => {
                    let switch = greenlet.bind(py).getattr("switch")?.unbind();
                    let seconds = clock::until(now, deadline).as_secs_f64();
                    let args = PyTuple::empty(py).unbind();
                    Bound::new(py, Timer::call(seconds, switch, args, None, None))?
                }
            };
            pairs.append((clock::seconds(deadline), timer))?;
        }
        Ok(pairs)
    }

    /// Timers that fire in the present or the next round, as pairs of deadline and timer.
    pub(super) fn queued_timers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let timers: Vec<_> = slf.get().scheduler.with(py, |s| {
            s.tasks()
                .filter_map(|task| match task {
                    Task::Fire(timer) => Some(timer.clone_ref(py)),
                    _ => None,
                })
                .collect()
        });
        let pairs = PyList::empty(py);
        for timer in timers {
            pairs.append((timer.get().due(py), timer))?;
        }
        Ok(pairs)
    }
}
