//! A WebSocket server on tungstenite with nothing around it: the limit to compare with.
//!
//! One thread, one edge-triggered epoll. At `/` each message goes back to where it came from; at
//! `/broadcast` it goes to everybody who is there. What a peer does not take at once stays in its
//! connection's buffer, and only then is it asked when the socket is writable again. The port goes
//! to standard output.
//!
//! `tungstenite-echo [--port P] [--seconds S]`: it ends by itself after S seconds (an hour).

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use eventlet_bench::options::Options;
use eventlet_bench::{Outcome, context};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::Timespec;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Error, Message, WebSocket, accept_hdr};

const LISTENER: u64 = u64::MAX;
const READS: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// How long a peer may take for its handshake, which holds up all others.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// A connection.
struct Connection {
    socket: WebSocket<TcpStream>,
    broadcasts: bool,
    /// Whether it is known not to be writable.
    full: bool,
}

/// Everybody who is connected.
struct Server<P> {
    poller: P,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

impl<P: AsFd> Server<P> {
    /// Take every connection that waits.
    fn accept(&mut self, listener: &TcpListener) {
        // Bounded by the queue: ends at WouldBlock, or when descriptors run out.
        while let Ok((stream, _)) = listener.accept() {
            let Some(connection) = Connection::new(stream) else {
                continue;
            };
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = EventData::new_u64(index as u64);
            let added = epoll::add(&self.poller, connection.socket.get_ref(), data, READS);
            match self.connections.get_mut(index) {
                Some(slot) if added.is_ok() => *slot = Some(connection),
                _ => self.free.push(index),
            }
        }
    }

    /// Read what has come on a connection, and answer it.
    fn ready(&mut self, index: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
                return;
            };
            let message = match connection.socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => message,
                Ok(_) => continue,
                Err(error) if waits(&error) => {
                    if !connection.full {
                        return;
                    }
                    // Whatever is still in its buffer.
                    if connection.socket.flush().is_err_and(|error| !waits(&error)) {
                        self.drop(index);
                    }
                    return;
                }
                Err(_) => return self.drop(index),
            };
            if !connection.broadcasts {
                if self.send(index, message) {
                    continue;
                }
                return;
            }
            for other in 0..self.connections.len() {
                let slot = self.connections.get(other).and_then(Option::as_ref);
                if slot.is_some_and(|connection| connection.broadcasts) {
                    self.send(other, message.clone());
                }
            }
        }
    }

    /// Send a message, or have it wait; `false` if the peer is gone.
    fn send(&mut self, index: usize, message: Message) -> bool {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else {
            return false;
        };
        let good = match connection.socket.send(message) {
            Ok(()) => true,
            Err(error) if waits(&error) && connection.full => true,
            Err(error) if waits(&error) => {
                connection.full = true;
                let data = EventData::new_u64(index as u64);
                let flags = READS | EventFlags::OUT;
                epoll::modify(&self.poller, connection.socket.get_ref(), data, flags).is_ok()
            }
            Err(_) => false,
        };
        if !good {
            self.drop(index);
        }
        good
    }

    fn drop(&mut self, index: usize) {
        if let Some(slot) = self.connections.get_mut(index) {
            *slot = None;
            self.free.push(index);
        }
    }
}

impl Connection {
    /// Make the handshake; None if that fails.
    #[expect(
        clippy::result_large_err,
        reason = "the error type is that of the library's callback"
    )]
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(false).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(HANDSHAKE)).ok()?;
        let mut broadcasts = false;
        let look = |request: &Request, response: Response| {
            broadcasts = request.uri().path() == "/broadcast";
            Ok(response)
        };
        let socket = accept_hdr(stream, look).ok()?;
        socket.get_ref().set_nonblocking(true).ok()?;
        Some(Self {
            socket,
            broadcasts,
            full: false,
        })
    }
}

/// Is it only that the socket is not ready?
fn waits(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
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
    let data = EventData::new_u64(LISTENER);
    epoll::add(&poller, &listener, data, EventFlags::IN)
        .map_err(io::Error::from)
        .map_err(context("epoll_ctl"))?;
    writeln!(io::stdout(), "{port}").map_err(context("stdout"))?;

    let mut server = Server {
        poller,
        connections: Vec::new(),
        free: Vec::new(),
    };
    let mut events = Vec::with_capacity(1024);
    while Instant::now() < end {
        let wait = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        events.clear();
        match epoll::wait(
            &server.poller,
            rustix::buffer::spare_capacity(&mut events),
            Some(&wait),
        ) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(error) => return Err(format!("epoll_wait: {error}")),
        }
        for event in &events {
            if event.data.u64() == LISTENER {
                server.accept(&listener);
            } else {
                server.ready(event.data.u64() as usize);
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(io::stderr(), "tungstenite-echo: {message}"));
            ExitCode::from(2)
        }
    }
}
