//! What the benchmark programs share: command-line options, a latency histogram, a stream that is
//! either TCP or a Unix socket, and the frames of WebSocket.
//!
//! The programs are measuring instruments, so they stay small, do one system call where one is
//! enough, and never trust what the other end sends.

pub mod histogram;
pub mod options;
pub mod stream;
pub mod websocket;

use std::io;

/// A result whose error is a message for the person who ran the program.
pub type Outcome<T> = Result<T, String>;

/// Put the name of what failed before an operating-system error.
pub fn context(what: &str) -> impl FnOnce(io::Error) -> String + '_ {
    move |error| format!("{what}: {error}")
}
