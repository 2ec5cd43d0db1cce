//! Time limits: an exception in a green thread after a while. `eventlet.Timeout` is built on this.

use eventlet_greenlet::Greenlet;
use pyo3::prelude::*;

use crate::hub;
use crate::hub::timer::Timer;

/// Raises `exception`, an instance or a class, in the calling green thread after `seconds`.
///
/// Returns the timer; its `cancel()` calls it off.
#[pyfunction]
pub fn throw_after(
    py: Python<'_>,
    seconds: f64,
    exception: Py<PyAny>,
) -> PyResult<Bound<'_, Timer>> {
    let hub = hub::current(py)?;
    let timer = Timer::throw(seconds, Greenlet::current(py)?, exception);
    let timer = Bound::new(py, timer)?;
    Timer::enqueue(&timer, &hub);
    Ok(timer)
}
