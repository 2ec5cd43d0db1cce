//! The opening handshake, as far as it is more than headers.

use eventlet_websocket::deflate::{NAME, Parameters};
use eventlet_websocket::handshake;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::random;

/// A new `Sec-WebSocket-Key`.
#[pyfunction]
pub fn websocket_key() -> PyResult<String> {
    random::bytes().map(handshake::key)
}

/// Whether it is a `Sec-WebSocket-Key`: 16 bytes in base64.
#[pyfunction]
pub fn websocket_is_key(key: &str) -> bool {
    handshake::is_key(key)
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
#[pyfunction]
pub fn websocket_accept(key: &str) -> String {
    handshake::accept(key)
}

/// What a server agrees to of a client's `Sec-WebSocket-Extensions`: a dict as `RFC6455WebSocket.extensions`, and
/// the header for the answer; or None. Without `context_takeover` each message is compressed by itself.
#[pyfunction]
pub fn websocket_negotiate<'py>(
    py: Python<'py>,
    offers: &str,
    context_takeover: bool,
) -> PyResult<Option<(Bound<'py, PyDict>, String)>> {
    Parameters::accept(offers)
        .map(|agreed| {
            if context_takeover {
                agreed
            } else {
                agreed.without_context()
            }
        })
        .map(|agreed| Ok((extensions(py, agreed)?, agreed.to_string())))
        .transpose()
}

/// What a server has agreed to of a client's offer of permessage-deflate, as it stands in its
/// `Sec-WebSocket-Extensions`. Raises ValueError for an answer that does not fit.
#[pyfunction]
pub fn websocket_agree<'py>(
    py: Python<'py>,
    offer: &str,
    answer: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let agreed = match Parameters::accept(offer) {
        Some(offer) => offer.agree(answer).map_err(PyValueError::new_err)?,
        None if answer.trim().is_empty() => None,
        None => {
            let message = format!("extension that was not offered: {answer}");
            return Err(PyValueError::new_err(message));
        }
    };
    agreed.map_or_else(|| Ok(PyDict::new(py)), |agreed| extensions(py, agreed))
}

/// As Eventlet has it: `{"permessage-deflate": {...}}`.
fn extensions(py: Python<'_>, agreed: Parameters) -> PyResult<Bound<'_, PyDict>> {
    let options = PyDict::new(py);
    options.set_item(
        intern!(py, "server_no_context_takeover"),
        agreed.server_no_context_takeover,
    )?;
    options.set_item(
        intern!(py, "client_no_context_takeover"),
        agreed.client_no_context_takeover,
    )?;
    if let Some(bits) = agreed.server_max_window_bits {
        options.set_item(intern!(py, "server_max_window_bits"), bits)?;
    }
    if let Some(bits) = agreed.client_max_window_bits {
        options.set_item(intern!(py, "client_max_window_bits"), bits)?;
    }
    let extensions = PyDict::new(py);
    extensions.set_item(NAME, options)?;
    Ok(extensions)
}

/// The other way round: what the dict says of permessage-deflate.
pub fn parameters(extensions: Option<&Bound<'_, PyDict>>) -> PyResult<Option<Parameters>> {
    let Some(extensions) = extensions else {
        return Ok(None);
    };
    let Some(options) = extensions.get_item(NAME)? else {
        return Ok(None);
    };
    let options = options.cast_into::<PyDict>()?;
    let flag = |name| match options.get_item(name)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    };
    let bits = |name| match options.get_item(name)? {
        Some(value) if !value.is_none() => {
            let bits = value.extract::<u8>()?;
            if !(8..=15).contains(&bits) {
                let message = format!("{name} is from 8 to 15, not {bits}");
                return Err(PyValueError::new_err(message));
            }
            Ok(Some(bits))
        }
        _ => Ok(None),
    };
    Ok(Some(Parameters {
        server_no_context_takeover: flag("server_no_context_takeover")?,
        client_no_context_takeover: flag("client_no_context_takeover")?,
        server_max_window_bits: bits("server_max_window_bits")?,
        client_max_window_bits: bits("client_max_window_bits")?,
    }))
}
