//! What comes before the first request: the PROXY header of a trusted proxy.

use std::net::IpAddr;
use std::sync::Arc;

use eventlet_proxy::header::{self, Progress, Said};
use eventlet_proxy::trusted::Peer;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::addresses::remote;
use super::{Connection, Next, Phase};
use crate::wsgi::environ::Addresses;
use crate::wsgi::server::WsgiServer;

impl Connection {
    /// Takes in `input` after what is in the buffer, and looks for a PROXY header at the start of it all.
    pub(super) fn digest_preface(slf: &Bound<'_, Self>, input: &[u8]) -> PyResult<Next> {
        let py = slf.py();
        let this = slf.get();
        let server = this.server.get();
        let mut buffer = this.state.with(py, |s| std::mem::take(&mut s.buffer));
        buffer.extend_from_slice(input);
        let versions = server.config.proxy_protocol.unwrap_or_default();
        match header::parse(&buffer, versions) {
            Ok(Progress::Incomplete(_)) => {
                this.state.with(py, |s| s.buffer = buffer);
                Ok(Next::Wait)
            }
            Ok(Progress::Complete(length, said)) => {
                this.introduce(py, said)?;
                let is_open = this.state.with(py, |s| {
                    s.awaits_proxy = false;
                    let is_open = s.phase != Phase::Closed;
                    if is_open {
                        s.phase = Phase::Idle;
                    }
                    is_open
                });
                if !is_open {
                    Ok(Next::Over)
                } else if length == buffer.len() {
                    Ok(Next::Wait)
                } else {
                    Self::digest(slf, &buffer[length..])
                }
            }
            Err(error) => {
                // There is nobody to answer: it is the proxy that does not do as it was set up to.
                let message = format!("wsgi: a trusted proxy did not send what it should: {error}");
                if this.managed {
                    server.whisper(py, || message);
                } else {
                    server.log.debug(py, &message)?;
                }
                Self::close(slf);
                Ok(Next::Over)
            }
        }
    }

    /// Takes what a proxy said for the client's address.
    pub(super) fn introduce(&self, py: Python<'_>, said: Said) -> PyResult<()> {
        let known = self.addresses(py)?;
        let trusted = &self.server.get().config.trusted;
        let (client, is_proxy) = match said {
            Said::Nothing => return Ok(()),
            Said::Unix => (None, trusted.believes(Peer::Unix)),
            Said::Addresses { source, .. } => {
                (Some(source), trusted.believes(Peer::Ip(source.ip())))
            }
        };
        let (remote_addr, remote_port) = remote(py, client);
        let addresses = Arc::new(Addresses {
            remote_addr,
            remote_port,
            server_name: known.server_name.clone_ref(py),
            server_port: known.server_port.clone_ref(py),
            is_proxy,
        });
        let old = self.state.with(py, |s| s.addresses.replace(addresses));
        drop((known, old));
        Ok(())
    }
}

impl WsgiServer {
    /// Whether a connection is to be refused because it is not from somebody who may send a PROXY header.
    pub(in crate::wsgi) fn refuses(&self, peer: impl FnOnce() -> Peer) -> bool {
        self.config.proxy_protocol.is_some() && !self.config.trusted.believes(peer())
    }
}

/// The peer that a string names, as a connection has it.
pub(in crate::wsgi) fn named(py: Python<'_>, name: &Py<PyString>) -> Peer {
    name.bind(py)
        .to_str()
        .ok()
        .and_then(|text| text.parse::<IpAddr>().ok())
        .map_or(Peer::Unix, Peer::Ip)
}
