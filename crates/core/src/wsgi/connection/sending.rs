//! Files as bodies.

use pyo3::prelude::*;

use super::Connection;
use crate::hub;
use crate::wsgi::file::Extent;
use crate::wsgi::transport::{self, Transport};

/// How much of a file is sent before others get a turn, in bytes.
const FILE_TURN: u64 = 4 << 20;

impl Connection {
    /// Whether the kernel can copy files to it.
    pub(in crate::wsgi) fn takes_files(&self, py: Python<'_>) -> bool {
        matches!(self.transport(py), Transport::Descriptor(_))
    }

    /// Sends a head, and `count` bytes of a file after it; how many of them there were.
    pub(in crate::wsgi) fn write_file(
        &self,
        py: Python<'_>,
        head: &[u8],
        file: &Extent,
        count: u64,
    ) -> PyResult<u64> {
        self.send_parts(py, head, file, count)
            .inspect_err(|error| self.blame(py, error))
    }

    fn send_parts(&self, py: Python<'_>, head: &[u8], file: &Extent, count: u64) -> PyResult<u64> {
        let timeout = self.server.get().config.send_timeout;
        let mut sent = 0;
        loop {
            // Whoever had a turn may have closed the connection.
            let Transport::Descriptor(fd) = self.transport(py) else {
                return Err(transport::closed(py));
            };
            if sent == 0 {
                transport::send_head(py, fd, timeout, head)?;
            }
            let part = (count - sent).min(FILE_TURN);
            let taken = transport::send_file(py, fd, timeout, file.fd, file.offset + sent, part)?;
            sent += taken;
            if sent == count || taken < part {
                return Ok(sent);
            }
            hub::wait::sleep(py, 0.0)?;
        }
    }
}
