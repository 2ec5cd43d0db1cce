//! Arguments as Python programs pass them.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::clock;

/// A flag: any object, taken for what `bool()` makes of it.
pub struct Flag(pub bool);

impl<'a, 'py> FromPyObject<'a, 'py> for Flag {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyBool>() {
            Ok(flag) => Ok(Self(flag.is_true())),
            Err(_) => object.is_truthy().map(Self),
        }
    }
}

/// The moment at which a wait of `timeout` seconds that begins now ends.
#[inline]
pub fn deadline(timeout: Option<f64>) -> Option<u64> {
    timeout.map(|timeout| clock::after(clock::now(), timeout))
}

/// The time limit of a lock's `acquire`, as the standard library understands it: None and -1 stand for none.
///
/// # Errors
///
/// `ValueError` for another negative limit or one of a call that does not wait, `OverflowError` for one that
/// the standard library's locks have no room for.
#[inline]
pub fn lock_timeout(blocking: bool, timeout: Option<f64>) -> PyResult<Option<f64>> {
    match timeout {
        None => Ok(None),
        Some(timeout) if (timeout + 1.0).abs() <= f64::EPSILON => Ok(None),
        Some(timeout) => check_timeout(blocking, timeout).map(|()| Some(timeout)),
    }
}

/// Refuses what makes no sense as a time limit.
#[cold]
fn check_timeout(blocking: bool, timeout: f64) -> PyResult<()> {
    if timeout.is_nan() {
        Err(PyValueError::new_err("Invalid value NaN (not a number)"))
    } else if !blocking {
        Err(PyValueError::new_err(
            "can't specify a timeout for a non-blocking call",
        ))
    } else if timeout < 0.0 {
        Err(PyValueError::new_err("timeout value must be positive"))
    } else if timeout > LONGEST {
        Err(PyOverflowError::new_err("timeout value is too large"))
    } else {
        Ok(())
    }
}

/// `threading.TIMEOUT_MAX`, in seconds.
pub const LONGEST: f64 = 9_223_372_036.0;
