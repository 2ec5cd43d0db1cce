//! Arguments as Python programs pass them.

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
