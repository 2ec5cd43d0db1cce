//! The access log.

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::date;
use crate::errors;

/// Where and how requests are logged.
pub struct AccessLog {
    /// Called with each line, without its newline.
    info: Py<PyAny>,
    /// Called with what is seldom of interest.
    debug: Option<Py<PyAny>>,
    enabled: bool,
    /// A template for the `%` operator, or `None` for the default, which is made here.
    format: Option<Py<PyString>>,
    forwarded: bool,
    /// Called with what a line would say, instead of `info` with a line.
    record: Option<Py<PyAny>>,
}

/// What one line says.
pub struct Entry<'a> {
    /// The request's environ, if it got as far as to have one.
    pub environ: Option<&'a Bound<'a, PyDict>>,
    pub client_ip: &'a str,
    pub client_port: &'a str,
    pub request_line: &'a [u8],
    pub status_code: u16,
    /// Bytes sent, the head included.
    pub body_length: u64,
    pub wall_seconds: f64,
}

impl AccessLog {
    pub fn new(
        info: Py<PyAny>,
        debug: Option<Py<PyAny>>,
        enabled: bool,
        format: Option<Py<PyString>>,
        forwarded: bool,
        record: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            info,
            debug,
            enabled,
            format,
            forwarded,
            record,
        }
    }

    /// Whether requests are logged at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The address to log: what proxies say of the client, then the peer's own.
    pub fn client_ip(&self, environ: &Bound<'_, PyDict>, peer: &str) -> String {
        let py = environ.py();
        if self.forwarded
            && let Ok(Some(value)) = environ.get_item(intern!(py, "HTTP_X_FORWARDED_FOR"))
            && let Ok(value) = value.extract::<String>()
        {
            let value = value.replace(' ', "");
            if !value.is_empty() {
                return format!("{value},{peer}");
            }
        }
        peer.to_owned()
    }

    /// Writes the line for a request.
    ///
    /// # Errors
    ///
    /// What ends programs: an interrupt may come while Python writes. All else is reported and forgotten.
    pub fn request(&self, py: Python<'_>, entry: &Entry<'_>) -> PyResult<()> {
        if !self.enabled {
            return Ok(());
        }
        let result = match &self.format {
            _ if self.record.is_some() => self.recorded(py, entry),
            None => {
                let line = date::with_log(py, |date| {
                    // What a client sent goes into a line of its own only: control characters cannot be
                    // in it, since such a request line is refused.
                    let request: String = entry
                        .request_line
                        .iter()
                        .map(|&byte| char::from(byte))
                        .collect();
                    format!(
                        "{} - - [{date}] \"{request}\" {} {} {:.6}",
                        entry.client_ip, entry.status_code, entry.body_length, entry.wall_seconds
                    )
                });
                self.info.call1(py, (line,)).map(drop)
            }
            Some(format) => self.formatted(py, format, entry),
        };
        self.settle(py, result)
    }

    fn settle(&self, py: Python<'_>, result: PyResult<()>) -> PyResult<()> {
        match result {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                errors::unraisable(py, error, Some(self.info.bind(py)));
                Ok(())
            }
            other => other,
        }
    }

    fn recorded(&self, py: Python<'_>, entry: &Entry<'_>) -> PyResult<()> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let request_line = super::environ::latin1(py, entry.request_line)?;
        let arguments = (
            entry.environ,
            entry.client_ip,
            entry.client_port,
            request_line,
            entry.status_code,
            entry.body_length,
            entry.wall_seconds,
        );
        record.call1(py, arguments).map(drop)
    }

    fn formatted(&self, py: Python<'_>, format: &Py<PyString>, entry: &Entry<'_>) -> PyResult<()> {
        let values = PyDict::new(py);
        values.set_item("client_ip", entry.client_ip)?;
        values.set_item("client_port", entry.client_port)?;
        values.set_item("date_time", date::with_log(py, str::to_owned))?;
        values.set_item(
            "request_line",
            super::environ::latin1(py, entry.request_line)?,
        )?;
        values.set_item("status_code", entry.status_code)?;
        values.set_item("body_length", entry.body_length)?;
        values.set_item("wall_seconds", entry.wall_seconds)?;
        let line = format.bind(py).rem(values)?;
        self.info.call1(py, (line,)).map(drop)
    }

    /// Reports an exception of the application, if the log is on.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn failure(&self, py: Python<'_>, traceback: &str) -> PyResult<()> {
        if self.enabled {
            self.error(py, traceback)
        } else {
            Ok(())
        }
    }

    /// Tells the operator something about the server itself.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn error(&self, py: Python<'_>, message: &str) -> PyResult<()> {
        let result = self.info.call1(py, (message,)).map(drop);
        self.settle(py, result)
    }

    /// Whether anybody looks closely.
    pub fn has_debug(&self) -> bool {
        self.debug.is_some()
    }

    /// Tells whoever looks closely.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn debug(&self, py: Python<'_>, message: &str) -> PyResult<()> {
        match &self.debug {
            Some(debug) => self.settle(py, debug.call1(py, (message,)).map(drop)),
            None => Ok(()),
        }
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.info)?;
        visit.call(&self.debug)?;
        visit.call(&self.record)
    }
}
