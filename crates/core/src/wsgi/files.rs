//! Reading and writing through the files of an `HttpProtocol`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};

use super::transport::{PIECES, READ_SIZE};

/// Reads at most `needed` bytes from `protocol.rfile`: what is there, or else what comes next. 0 is the end.
pub fn read(
    protocol: &Bound<'_, PyAny>,
    timeout: Option<f64>,
    needed: u64,
    append_to: &mut Vec<u8>,
) -> PyResult<usize> {
    let py = protocol.py();
    set_timeout(protocol, timeout)?;
    let file = protocol.getattr(intern!(py, "rfile"))?;
    let size = usize::try_from(needed).map_or(READ_SIZE, |needed| needed.min(READ_SIZE));
    // A file without a buffer has no need for this method, and does not have it.
    let read = match file.getattr_opt(intern!(py, "read1"))? {
        Some(read) => read,
        None => file.getattr(intern!(py, "read"))?,
    };
    let data = read.call1((size,))?.cast_into::<PyBytes>()?;
    append_to.extend_from_slice(data.as_bytes());
    Ok(data.as_bytes().len())
}

/// Writes all pieces in order to `protocol.wfile`, and empties its buffer.
pub fn write(
    protocol: &Bound<'_, PyAny>,
    timeout: Option<f64>,
    pieces: [&[u8]; PIECES],
) -> PyResult<()> {
    let py = protocol.py();
    set_timeout(protocol, timeout)?;
    let file = protocol.getattr(intern!(py, "wfile"))?;
    let data = pieces.concat();
    let mut rest = &data[..];
    while !rest.is_empty() {
        let written = file.call_method1(intern!(py, "write"), (PyBytes::new(py, rest),))?;
        // A file without a buffer may take a part only; others need not say that they have taken it all.
        let count = match written.cast::<PyInt>() {
            Ok(count) => count.extract::<usize>()?.min(rest.len()),
            Err(_) => rest.len(),
        };
        rest = &rest[count..];
    }
    file.call_method0(intern!(py, "flush")).map(drop)
}

fn set_timeout(protocol: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
    let py = protocol.py();
    protocol
        .getattr(intern!(py, "connection"))?
        .call_method1(intern!(py, "settimeout"), (timeout,))
        .map(drop)
}

/// Has whoever reads the connection of `protocol`, or writes to it, see its end.
pub fn shut_down(protocol: &Bound<'_, PyAny>) {
    let py = protocol.py();
    let connection = protocol.getattr(intern!(py, "connection"));
    // What fails is a connection that has ended already.
    let _ended = connection.and_then(|connection| {
        connection.call_method1(intern!(py, "shutdown"), (libc::SHUT_RDWR,))
    });
}
