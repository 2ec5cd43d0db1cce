//! Strings of applications as the bytes of a message.

use eventlet_http1::response::{ResponseError, check_header, encode};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::string::PyStringData;
use pyo3::types::{PyBytes, PyString};

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Status,
    Name,
    Value,
}

impl Part {
    fn singular(self) -> &'static str {
        match self {
            Self::Status => "the status",
            Self::Name => "a header name",
            Self::Value => "a header value",
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Status => "the status must be latin-1 (PEP 3333)",
            Self::Name => "header names must be latin-1 (PEP 3333), and should be ASCII",
            Self::Value => {
                "header values must be latin-1 (PEP 3333); other text can be sent in the encoding of \
                 RFC 8187, or percent-encoded"
            }
        }
    }
}

/// Lends the characters of a string as bytes, as PEP 3333 has them; other objects are turned into one.
pub fn with_latin1<R>(
    object: &Bound<'_, PyAny>,
    part: Part,
    f: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    let text = match object.cast::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) if object.is_instance_of::<PyBytes>() => {
            return Err(PyTypeError::new_err(format!(
                "{} must be a str (PEP 3333), not {}",
                part.singular(),
                object.repr()?
            )));
        }
        Err(_) => object.str()?,
    };
    // SAFETY: the string is alive for as long as `f` has its bytes, and strings do not change.
    match unsafe { text.data()? } {
        PyStringData::Ucs1(bytes) => f(bytes),
        _ => Err(not_latin1(&text, part)),
    }
}

/// The `UnicodeEncodeError` that says which character it is.
#[cold]
fn not_latin1(text: &Bound<'_, PyString>, part: Part) -> PyErr {
    let py = text.py();
    match text.call_method1(intern!(py, "encode"), (intern!(py, "latin-1"),)) {
        Err(error) => {
            // An exception without the attribute has its own reason.
            let _own = error.value(py).setattr(intern!(py, "reason"), part.rule());
            error
        }
        Ok(_) => PyValueError::new_err(part.rule()),
    }
}

/// The `ValueError` for what must not be sent.
#[cold]
pub fn refused(error: ResponseError, name: &[u8], value: &[u8]) -> PyErr {
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    PyValueError::new_err(if value.is_empty() {
        format!("{error}: '{}'", shown(name))
    } else {
        format!("{error}: '{}: {}'", shown(name), shown(value))
    })
}

/// A header as it is sent, with its line end: what `start_response` makes of one.
///
/// Raises `UnicodeEncodeError` for characters above 255, ValueError for what would break the message.
#[pyfunction]
pub fn encode_header_line<'py>(
    name: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut line = Vec::new();
    with_latin1(name, Part::Name, |name| {
        with_latin1(value, Part::Value, |value| {
            check_header(name, value).map_err(|error| refused(error, name, value))?;
            encode::header_line(&mut line, name, value);
            Ok(())
        })
    })?;
    Ok(PyBytes::new(name.py(), &line))
}
