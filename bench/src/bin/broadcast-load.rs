//! Load for a WebSocket server that tells each message to everybody.
//!
//! One thread, one edge-triggered epoll, N connections. One of them sends a message; when all of
//! them, itself included, have the whole of it, it sends the next. Every byte is checked, and each
//! message has a number, so one that comes late or twice is seen. After the warm-up the counts start
//! anew; at the end one line of JSON tells deliveries per second (messages times connections), how
//! long it took until everybody had a message, and errors.
//!
//! `broadcast-load --port P [--connections N] [--size BYTES] [--seconds S] [--warmup S]`

use std::io::{self, ErrorKind, Write};
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
/// A message fits into what the kernel takes at once.
const MAX_SIZE: usize = 16 << 10;
const PATH: &str = "/broadcast";

/// A connection, and how much of the message it has.
struct Connection {
    stream: Stream,
    received: usize,
}

/// The state of a run.
struct Load {
    connections: Vec<Connection>,
    frame: Frame,
    sequence: u64,
    missing: usize,
    since: Instant,
    latencies: Histogram,
    deliveries: u64,
    buffer: Vec<u8>,
}

impl Load {
    fn connect(target: &Target, connections: usize, size: usize) -> Outcome<Self> {
        let mut load = Self {
            connections: Vec::with_capacity(connections),
            frame: Frame::new(Kind::Text, size, 0),
            sequence: 0,
            missing: 0,
            since: Instant::now(),
            latencies: Histogram::default(),
            deliveries: 0,
            buffer: vec![0; 1 << 16],
        };
        for _ in 0..connections {
            let mut stream = target.connect().map_err(context("connect"))?;
            handshake(&mut stream, PATH).map_err(context("handshake"))?;
            load.connections.push(Connection {
                stream,
                received: 0,
            });
        }
        Ok(load)
    }

    /// Say the next message.
    fn say(&mut self) -> io::Result<()> {
        self.sequence += 1;
        self.frame.stamp(self.sequence);
        for connection in &mut self.connections {
            connection.received = 0;
        }
        self.missing = self.connections.len();
        self.since = Instant::now();
        let Some(speaker) = self.connections.first_mut() else {
            return Ok(());
        };
        if speaker.stream.send(self.frame.outgoing())? < self.frame.outgoing().len() {
            return Err(ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// Take what has come on a connection, and go on when everybody has everything.
    fn ready(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(index) else {
            return Ok(());
        };
        let wanted = self.frame.incoming();
        loop {
            let count = match connection.stream.recv(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let end = connection.received + count;
            if wanted.get(connection.received..end) != self.buffer.get(..count) {
                return Err(ErrorKind::InvalidData.into());
            }
            connection.received = end;
            if end == wanted.len() {
                self.deliveries += 1;
                self.missing -= 1;
                break;
            }
        }
        if self.missing > 0 {
            return Ok(());
        }
        self.latencies
            .record(self.since.elapsed().as_nanos() as u64);
        self.say()
    }
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.unsigned_abs(), tv_nsec.unsigned_abs() as u32)
}

fn run() -> Outcome<String> {
    let known = ["port", "connections", "size", "seconds", "warmup"];
    let options = Options::read(std::env::args().skip(1), &known)?;
    let target = Target::Port(options.value("port", 0)?);
    let connections: usize = options.value("connections", 1000)?;
    let size: usize = options.value("size", 64)?;
    let warmup = options.seconds("warmup", 0.5)?;
    let length = options.seconds("seconds", 3.0)?;
    if !(1..=MAX_CONNECTIONS).contains(&connections) {
        return Err(format!(
            "--connections: must be from 1 to {MAX_CONNECTIONS}"
        ));
    }
    // Room for the number, by which one message is told from the next.
    if !(16..=MAX_SIZE).contains(&size) {
        return Err(format!("--size: must be from 16 to {MAX_SIZE}"));
    }

    let mut load = Load::connect(&target, connections, size)?;
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
    let poller = poller.map_err(context("epoll_create1"))?;
    for (index, connection) in load.connections.iter().enumerate() {
        let data = EventData::new_u64(index as u64);
        epoll::add(
            &poller,
            &connection.stream,
            data,
            EventFlags::IN | EventFlags::ET,
        )
        .map_err(io::Error::from)
        .map_err(context("epoll_ctl"))?;
    }

    let mut problem = load.say().err();
    let mut events = Vec::with_capacity(1024);
    let (mut began, mut busy) = (Instant::now(), processor_time());
    let mut end = began + warmup;
    let mut warming = true;
    while problem.is_none() {
        let now = Instant::now();
        if now >= end {
            if !warming {
                break;
            }
            (warming, began, busy) = (false, now, processor_time());
            end = began + length;
            load.latencies.clear();
            load.deliveries = 0;
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
            problem = load.ready(event.data.u64() as usize).err();
            if problem.is_some() {
                break;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let client_cpu = processor_time().saturating_sub(busy).as_secs_f64() / seconds;
    Ok(format!(
        "{{\"messages_per_second\": {:.1}, \"messages\": {}, \"seconds\": {seconds:.3}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}, \"errors\": {}, \"first_error\": \"{}\", \
         \"client_cpu\": {client_cpu:.3}}}",
        load.deliveries as f64 / seconds,
        load.deliveries,
        load.latencies.quantile(0.5) as f64 / 1e3,
        load.latencies.quantile(0.99) as f64 / 1e3,
        u32::from(problem.is_some()),
        problem
            .map(|error| error.to_string())
            .unwrap_or_default()
            .escape_default(),
    ))
}

fn main() -> ExitCode {
    match run() {
        Ok(line) => match writeln!(io::stdout(), "{line}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(message) => {
            drop(writeln!(io::stderr(), "broadcast-load: {message}"));
            ExitCode::from(2)
        }
    }
}
