//! Load for an echo server.
//!
//! One thread, one edge-triggered epoll, N connections. Each connection has one message in
//! flight: it sends it, waits for the whole echo, checks every byte, and sends the next. A
//! message carries the connection's number and a sequence number, so an echo that comes late,
//! twice or to the wrong connection is seen. After the warm-up the counts start anew; at the end
//! one line of JSON tells messages per second, latency quantiles and errors.
//!
//! `echo-load --port P [--ca FILE] | --unix PATH [--connections N] [--size BYTES] [--seconds S]
//! [--warmup S] [--websocket text|binary]`; with `--ca`, over TLS, to a server whose certificate the
//! file vouches for; with `--websocket`, each message is one of WebSocket

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use eventlet_bench::histogram::Histogram;
use eventlet_bench::options::Options;
use eventlet_bench::stream::{Stream, Target};
use eventlet_bench::websocket::{Frame, Kind, handshake};
use eventlet_bench::{Outcome, context};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};

const MAX_CONNECTIONS: usize = 100_000;
const MAX_SIZE: usize = 16 << 20;

/// What the command line asks for.
struct Plan {
    target: Target,
    connections: usize,
    size: usize,
    websocket: Option<Kind>,
    warmup: Duration,
    seconds: Duration,
}

impl Plan {
    fn read() -> Outcome<Self> {
        let known = [
            "port",
            "unix",
            "ca",
            "connections",
            "size",
            "seconds",
            "warmup",
            "websocket",
        ];
        let options = Options::read(std::env::args().skip(1), &known)?;
        let target = match (options.text("unix"), options.text("port")) {
            (Some(path), None) => Target::Path(path.into()),
            (None, Some(_)) => {
                let port = options.value("port", 0)?;
                match options.text("ca") {
                    Some(ca) => Target::tls(port, Path::new(ca)).map_err(context("--ca"))?,
                    None => Target::Port(port),
                }
            }
            _ => return Err("give either --port or --unix".to_owned()),
        };
        let plan = Self {
            target,
            connections: options.value("connections", 100)?,
            size: options.value("size", 1024)?,
            websocket: match options.text("websocket") {
                Some(_) => Some(options.value("websocket", Kind::Text)?),
                None => None,
            },
            warmup: options.seconds("warmup", 0.5)?,
            seconds: options.seconds("seconds", 3.0)?,
        };
        if !(1..=MAX_CONNECTIONS).contains(&plan.connections) {
            return Err(format!(
                "--connections: must be from 1 to {MAX_CONNECTIONS}"
            ));
        }
        if !(1..=MAX_SIZE).contains(&plan.size) {
            return Err(format!("--size: must be from 1 to {MAX_SIZE}"));
        }
        Ok(plan)
    }
}

/// A message: what is sent, and what has to come back.
enum Message {
    /// The same bytes, over a plain stream.
    Bytes(Vec<u8>),
    /// A frame of WebSocket.
    Frame(Frame),
}

impl Message {
    fn new(websocket: Option<Kind>, size: usize, index: usize) -> Self {
        if let Some(kind) = websocket {
            return Self::Frame(Frame::new(kind, size, index));
        }
        let mut bytes: Vec<u8> = (0..size)
            .map(|at| (at.wrapping_mul(31) ^ index) as u8)
            .collect();
        stamp(&mut bytes, 0, index as u64);
        Self::Bytes(bytes)
    }

    fn number(&mut self, sequence: u64) {
        match self {
            Self::Bytes(bytes) => stamp(bytes, 8, sequence),
            Self::Frame(frame) => frame.stamp(sequence),
        }
    }

    fn outgoing(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Frame(frame) => frame.outgoing(),
        }
    }

    fn incoming(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Frame(frame) => frame.incoming(),
        }
    }
}

/// One connection and the message it has in flight.
struct Connection {
    stream: Stream,
    message: Message,
    sent: usize,
    received: usize,
    sequence: u64,
    since: Instant,
}

/// What came of an attempt to make progress.
enum Progress {
    /// The whole echo has arrived.
    Echoed,
    /// Nothing more to do until the next event.
    Waiting,
}

impl Connection {
    fn new(stream: Stream, message: Message) -> Self {
        Self {
            stream,
            message,
            sent: 0,
            received: 0,
            sequence: 0,
            since: Instant::now(),
        }
    }

    /// Begin the next message at `now`.
    fn next(&mut self, now: Instant) {
        self.sequence += 1;
        self.message.number(self.sequence);
        (self.sent, self.received, self.since) = (0, 0, now);
    }

    /// Send and receive as far as it goes without waiting.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        if self.sent == 0 {
            self.since = Instant::now();
        }
        let (outgoing, incoming) = (self.message.outgoing(), self.message.incoming());
        while self.sent < outgoing.len() {
            match self
                .stream
                .send(outgoing.get(self.sent..).unwrap_or_default())
            {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        loop {
            let count = match self.stream.recv(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Progress::Waiting);
                }
                Err(error) => return Err(error),
            };
            let wanted = incoming.get(self.received..self.received + count);
            if self.received + count > self.sent || wanted != buffer.get(..count) {
                return Err(ErrorKind::InvalidData.into());
            }
            self.received += count;
            if self.received == incoming.len() {
                return Ok(Progress::Echoed);
            }
        }
    }
}

/// Write a number into the message, if there is room for it.
fn stamp(message: &mut [u8], at: usize, number: u64) {
    if let Some(place) = message.get_mut(at..at + 8) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.unsigned_abs(), tv_nsec.unsigned_abs() as u32)
}

/// The state of a run.
struct Load {
    connections: Vec<Option<Connection>>,
    alive: usize,
    latencies: Histogram,
    errors: u64,
    first_error: Option<String>,
    buffer: Vec<u8>,
}

impl Load {
    /// A connection is ready: take its echo, send its next message.
    fn ready(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else {
            return;
        };
        let Some(connection) = slot.as_mut() else {
            return;
        };
        match connection.advance(&mut self.buffer) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Echoed) => {
                let now = Instant::now();
                self.latencies
                    .record((now - connection.since).as_nanos() as u64);
                connection.next(now);
                if let Err(error) = send_first(connection) {
                    self.lost(index, &error);
                }
            }
            Err(error) => self.lost(index, &error),
        }
    }

    /// A connection failed: count it and go on with the others.
    fn lost(&mut self, index: usize, error: &io::Error) {
        if let Some(slot) = self.connections.get_mut(index) {
            *slot = None;
            self.alive -= 1;
            self.errors += 1;
            self.first_error.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Send the beginning of a message, without looking for its echo yet.
fn send_first(connection: &mut Connection) -> io::Result<()> {
    match connection.stream.send(connection.message.outgoing()) {
        Ok(count) => connection.sent = count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn run(plan: &Plan) -> Outcome<String> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
    let poller = poller.map_err(context("epoll_create1"))?;
    let mut load = Load {
        connections: Vec::with_capacity(plan.connections),
        alive: plan.connections,
        latencies: Histogram::default(),
        errors: 0,
        first_error: None,
        buffer: vec![0; plan.size.clamp(1024, 1 << 16)],
    };
    for index in 0..plan.connections {
        let mut stream = plan.target.connect().map_err(context("connect"))?;
        if plan.websocket.is_some() {
            handshake(&mut stream, "/").map_err(context("handshake"))?;
        }
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&poller, &stream, EventData::new_u64(index as u64), flags)
            .map_err(io::Error::from)
            .map_err(context("epoll_ctl"))?;
        let message = Message::new(plan.websocket, plan.size, index);
        load.connections
            .push(Some(Connection::new(stream, message)));
    }
    let mut events = Vec::with_capacity(1024);
    let (mut began, mut busy) = (Instant::now(), processor_time());
    let mut end = began + plan.warmup;
    let mut warming = true;
    loop {
        let now = Instant::now();
        if now >= end {
            if !warming {
                break;
            }
            (warming, began, busy) = (false, now, processor_time());
            end = began + plan.seconds;
            load.latencies.clear();
        }
        if load.alive == 0 {
            break;
        }
        // Bounded, so that the end of the run is seen even when nothing arrives.
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
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
            load.ready(event.data.u64() as usize);
        }
    }
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let client_cpu = processor_time().saturating_sub(busy).as_secs_f64() / seconds;
    let error = load.first_error.as_deref().unwrap_or_default();
    Ok(format!(
        "{{\"messages_per_second\": {:.1}, \"messages\": {}, \"seconds\": {seconds:.3}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"errors\": {}, \"first_error\": \"{}\", \
         \"client_cpu\": {client_cpu:.3}}}",
        load.latencies.total() as f64 / seconds,
        load.latencies.total(),
        load.latencies.quantile(0.5) as f64 / 1e3,
        load.latencies.quantile(0.99) as f64 / 1e3,
        load.errors,
        error.escape_default(),
    ))
}

fn main() -> ExitCode {
    match Plan::read().and_then(|plan| run(&plan)) {
        Ok(line) => match writeln!(io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(message) => {
            drop(writeln!(io::stderr(), "echo-load: {message}"));
            ExitCode::from(2)
        }
    }
}
