//! An echo server with nothing in it: the limit to compare with.
//!
//! One thread, one edge-triggered epoll. A ready connection is read into a buffer that all share
//! and written back at once; a read that does not fill the buffer has emptied the socket, so a
//! message costs one `recv` and one `send`. What the peer does not take at once is kept for that
//! connection until the socket is writable again. The port goes to standard output.
//!
//! `epoll-echo [--port P] [--seconds S]`: it ends by itself after S seconds (an hour).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use eventlet_bench::options::Options;
use eventlet_bench::{Outcome, context};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;

const LISTENER: u64 = u64::MAX;
/// The most that is kept for a peer that does not read: beyond it, reading stops.
const MAX_PENDING: usize = 1 << 20;

/// A connection, and what it still has to be sent.
struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Connection {
    /// Echo as much as possible; `false` once the peer has finished or failed.
    fn echo(&mut self, buffer: &mut [u8], finished: bool) -> bool {
        loop {
            if !self.flush() {
                return false;
            }
            if self.pending.len() >= MAX_PENDING {
                return true;
            }
            let count = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if self.pending.is_empty() {
                let sent = match self.stream.write(bytes) {
                    Ok(sent) => sent,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(_) => return false,
                };
                self.pending
                    .extend_from_slice(bytes.get(sent..).unwrap_or_default());
            } else {
                self.pending.extend_from_slice(bytes);
            }
            if count < buffer.len() && !finished {
                return true;
            }
        }
    }

    /// Send what is pending; `false` if the peer is gone.
    fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

/// Take every connection that waits.
fn accept(
    listener: &TcpListener,
    poller: &impl std::os::fd::AsFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) {
    // Bounded by the queue: ends at WouldBlock, or when descriptors run out.
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
            continue;
        }
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let added = epoll::add(poller, &stream, EventData::new_u64(index as u64), flags);
        match connections.get_mut(index) {
            Some(slot) if added.is_ok() => {
                let pending = Vec::new();
                *slot = Some(Connection { stream, pending });
            }
            _ => free.push(index),
        }
    }
}

fn serve() -> Outcome<()> {
    let options = Options::read(std::env::args().skip(1), &["port", "seconds"])?;
    let port: u16 = options.value("port", 0)?;
    let end = Instant::now() + options.seconds("seconds", 3600.0)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(context("bind"))?;
    listener.set_nonblocking(true).map_err(context("listen"))?;
    let port = listener.local_addr().map_err(context("listen"))?.port();
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
    let poller = poller.map_err(context("epoll_create1"))?;
    epoll::add(
        &poller,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )
    .map_err(io::Error::from)
    .map_err(context("epoll_ctl"))?;
    writeln!(io::stdout(), "{port}").map_err(context("stdout"))?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut events = Vec::with_capacity(1024);
    while Instant::now() < end {
        let wait = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        events.clear();
        match epoll::wait(
            &poller,
            rustix::buffer::spare_capacity(&mut events),
            Some(&wait),
        ) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(format!("epoll_wait: {error}")),
        }
        for event in &events {
            if event.data.u64() == LISTENER {
                accept(&listener, &poller, &mut connections, &mut free);
                continue;
            }
            let index = event.data.u64() as usize;
            let Some(slot) = connections.get_mut(index) else {
                continue;
            };
            let Some(connection) = slot.as_mut() else {
                continue;
            };
            let flags = event.flags;
            let ending = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
            if !connection.echo(&mut buffer, flags.intersects(ending)) {
                *slot = None;
                free.push(index);
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(io::stderr(), "epoll-echo: {message}"));
            ExitCode::from(2)
        }
    }
}
