//! The access log.
//!
//! A line for a plain file is not written at once: those of a turn of the hub are gathered, and written as one
//! when the next turn comes. What is written in between, and what the server writes itself, comes after them.
//! Other logs get each line by itself, when the response has been sent.

use std::fmt::Write as _;
use std::sync::Arc;

use pyo3::exceptions::{PyException, PyUnicodeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};

use super::date;
use super::server::WsgiServer;
use crate::cell::GilCell;
use crate::hub::io::{IoHandler, Ready};
use crate::hub::scheduler::Task;
use crate::hub::{self, Hub};
use crate::{clock, errors};

/// How long nothing is said of a log that does not work after that has been reported, in nanoseconds.
const REPORT_PAUSE: u64 = 60_000_000_000;

/// How much is gathered at most, in bytes.
const SHEET: usize = 64 * 1024;

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
    /// Called with a [`RequestRecord`], instead of `info` with a line.
    record: Option<Py<PyAny>>,
    /// Called with whole lines, instead of `info` with one: `write` of a plain file.
    write: Option<Py<PyAny>>,
    state: GilCell<State>,
}

#[derive(Default)]
struct State {
    /// Lines that have not been written.
    sheet: String,
    /// Whether the hub is going to have them written.
    scheduled: bool,
    /// Until when what is wrong with the log is known.
    quiet_until: u64,
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

/// What there is to say of a request that has been answered.
///
/// `environ` is the request's, or None for what was not a request; `client_ip` and `client_port` tell where the
/// client is, after what proxies say of it; `request_line` is the first line of the request, as it came;
/// `status_code` is that of the response; `body_length` counts the bytes sent, the head included;
/// `wall_seconds` passed from the head of the request to the end of the response.
#[pyclass(frozen, get_all, module = "eventlet._core")]
pub struct RequestRecord {
    // Python's own objects: to read an attribute takes no more than to hand one out.
    environ: Py<PyAny>,
    client_ip: Py<PyString>,
    client_port: Py<PyString>,
    request_line: Py<PyString>,
    status_code: Py<PyInt>,
    body_length: Py<PyInt>,
    wall_seconds: Py<PyFloat>,
}

#[pymethods]
impl RequestRecord {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "each is one attribute")]
    fn new(
        py: Python<'_>,
        environ: Option<Py<PyDict>>,
        client_ip: Py<PyString>,
        client_port: Py<PyString>,
        request_line: Py<PyString>,
        status_code: Py<PyInt>,
        body_length: Py<PyInt>,
        wall_seconds: Py<PyFloat>,
    ) -> Self {
        Self {
            environ: environ.map_or_else(|| py.None(), Py::into_any),
            client_ip,
            client_port,
            request_line,
            status_code,
            body_length,
            wall_seconds,
        }
    }

    /// There is no `__clear__`, as a tuple has none: a cycle goes through the environ, which is a dict and has one.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.environ)
    }
}

impl AccessLog {
    pub fn new(
        info: Py<PyAny>,
        debug: Option<Py<PyAny>>,
        enabled: bool,
        format: Option<Py<PyString>>,
        forwarded: bool,
        record: Option<Py<PyAny>>,
        write: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            info,
            debug,
            enabled,
            format,
            forwarded,
            record,
            write,
            state: GilCell::new(State::default()),
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

    /// Logs a request of `server`.
    ///
    /// # Errors
    ///
    /// What ends programs: an interrupt may come while Python writes. All else is reported and forgotten.
    pub fn request(server: &Bound<'_, WsgiServer>, entry: &Entry<'_>) -> PyResult<()> {
        let py = server.py();
        let this = &server.get().log;
        if !this.enabled {
            return Ok(());
        }
        let result = match &this.format {
            _ if this.record.is_some() => this.recorded(py, entry),
            None if this.write.is_some() => {
                this.state.with(py, |s| {
                    date::with_log(py, |date| line(&mut s.sheet, date, entry));
                    s.sheet.push('\n');
                });
                Self::write_later(server)
            }
            None => {
                let mut text = String::with_capacity(120);
                date::with_log(py, |date| line(&mut text, date, entry));
                this.info.call1(py, (text,)).map(drop)
            }
            Some(format) => {
                let text = formatted(py, format, entry);
                match (text, &this.write) {
                    (Err(error), _) => Err(error),
                    (Ok(text), Some(_)) => text.to_cow().and_then(|text| {
                        this.state.with(py, |s| {
                            s.sheet.push_str(&text);
                            s.sheet.push('\n');
                        });
                        Self::write_later(server)
                    }),
                    (Ok(text), None) => this.info.call1(py, (text,)).map(drop),
                }
            }
        };
        this.settle(py, result)
    }

    /// Has what is gathered written in the next turn of the hub.
    fn write_later(server: &Bound<'_, WsgiServer>) -> PyResult<()> {
        let py = server.py();
        let this = &server.get().log;
        let (length, scheduled) = this.state.with(py, |s| {
            (s.sheet.len(), std::mem::replace(&mut s.scheduled, true))
        });
        if length > SHEET {
            return this.flush(py);
        }
        if scheduled {
            return Ok(());
        }
        let handler = IoHandler {
            target: Arc::new(Flush(server.clone().unbind())),
            expired: false,
        };
        hub::current(py)?
            .get()
            .scheduler
            .with(py, |s| s.push(Task::Handle(handler)));
        Ok(())
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let Some(write) = &self.write else {
            return Ok(());
        };
        let sheet = self.state.with(py, |s| {
            s.scheduled = false;
            std::mem::take(&mut s.sheet)
        });
        if sheet.is_empty() {
            return Ok(());
        }
        let mut result = write.call1(py, (&sheet,)).map(drop);
        if let Err(error) = &result
            && error.is_instance_of::<PyUnicodeError>(py)
        {
            // One that the file cannot take must not take the others with it.
            for line in sheet.split_inclusive('\n') {
                let written = write.call1(py, (line,)).map(drop);
                self.settle(py, written)?;
            }
            result = Ok(());
        }
        self.settle(py, result)
    }

    /// Reports what is wrong with the log, now and then.
    pub(super) fn settle(&self, py: Python<'_>, result: PyResult<()>) -> PyResult<()> {
        let Err(error) = result else {
            return Ok(());
        };
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        let now = clock::now();
        let is_news = self.state.with(py, |s| {
            let is_news = s.quiet_until <= now;
            if is_news {
                s.quiet_until = now + REPORT_PAUSE;
            }
            is_news
        });
        if is_news {
            errors::unraisable(py, error, Some(self.info.bind(py)));
        }
        Ok(())
    }

    fn recorded(&self, py: Python<'_>, entry: &Entry<'_>) -> PyResult<()> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let what = RequestRecord {
            environ: entry
                .environ
                .map_or_else(|| py.None(), |environ| environ.clone().into_any().unbind()),
            client_ip: PyString::new(py, entry.client_ip).unbind(),
            client_port: PyString::new(py, entry.client_port).unbind(),
            request_line: super::environ::latin1(py, entry.request_line)?.unbind(),
            status_code: PyInt::new(py, entry.status_code).unbind(),
            body_length: PyInt::new(py, entry.body_length).unbind(),
            wall_seconds: PyFloat::new(py, entry.wall_seconds).unbind(),
        };
        record.call1(py, (Py::new(py, what)?,)).map(drop)
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
        self.flush(py)?;
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
            Some(debug) => {
                self.flush(py)?;
                self.settle(py, debug.call1(py, (message,)).map(drop))
            }
            None => Ok(()),
        }
    }

    /// Shows the references to the garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.info)?;
        visit.call(&self.debug)?;
        visit.call(&self.record)?;
        visit.call(&self.write)
    }
}

/// Writes what is gathered, in the hub.
struct Flush(Py<WsgiServer>);

impl Ready for Flush {
    fn ready(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        self.0.get().log.flush(hub.py())
    }

    fn expired(self: Arc<Self>, hub: &Bound<'_, Hub>) -> PyResult<()> {
        self.ready(hub)
    }
}

/// Appends a line in the default format.
///
/// What a client sent cannot leave its line: a request line with control characters in it is refused.
fn line(out: &mut String, date: &str, entry: &Entry<'_>) {
    let _ = write!(out, "{} - - [{date}] \"", entry.client_ip);
    out.extend(entry.request_line.iter().map(|&byte| char::from(byte)));
    let _ = write!(
        out,
        "\" {} {} {:.6}",
        entry.status_code, entry.body_length, entry.wall_seconds
    );
}

/// A line in a format of the user's.
fn formatted<'py>(
    py: Python<'py>,
    format: &Py<PyString>,
    entry: &Entry<'_>,
) -> PyResult<Bound<'py, PyString>> {
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
    Ok(format.bind(py).rem(values)?.cast_into()?)
}
