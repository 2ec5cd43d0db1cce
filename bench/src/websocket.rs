//! The client's side of WebSocket, as far as a load generator needs it: the handshake, and frames
//! made beforehand.
//!
//! No extension is offered, so a message goes to and fro as it is; the server's frames are compared
//! with what they have to be, byte for byte, and not parsed.

use std::io::{self, ErrorKind};
use std::str::FromStr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::stream::Stream;

/// A key and the answer to it, as RFC 6455 has them for an example: a load generator need not
/// guard against a cache that answers for the server.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x3a, 0xc5, 0x91, 0x6e];
const MAX_RESPONSE: usize = 16 << 10;
/// A server may have thousands of others to let in.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// What messages are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    Binary,
    /// Text, which both sides have to validate.
    Text,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "binary" => Ok(Self::Binary),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

/// A message as it is sent, and as it has to come back.
#[derive(Debug)]
pub struct Frame {
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    outgoing_header: usize,
    incoming_header: usize,
}

impl Frame {
    /// A message of `size` bytes that differs between connections.
    pub fn new(kind: Kind, size: usize, connection: usize) -> Self {
        let payload: Vec<u8> = (0..size)
            .map(|at| match kind {
                Kind::Binary => (at.wrapping_mul(31) ^ connection) as u8,
                Kind::Text => b' ' + ((at + connection) % 95) as u8,
            })
            .collect();
        let incoming_header = header(kind, size, 0);
        let mut outgoing_header = header(kind, size, 0x80);
        outgoing_header.extend_from_slice(&MASK);
        let mut frame = Self {
            outgoing: outgoing_header.clone(),
            incoming: incoming_header.clone(),
            outgoing_header: outgoing_header.len(),
            incoming_header: incoming_header.len(),
        };
        frame.incoming.extend_from_slice(&payload);
        let masked = payload.iter().zip(MASK.iter().cycle());
        frame
            .outgoing
            .extend(masked.map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Write a number into the message, if there is room for it, in digits.
    pub fn stamp(&mut self, number: u64) {
        let digits = format!("{number:016x}");
        let incoming = self.incoming.get_mut(self.incoming_header..);
        let outgoing = self.outgoing.get_mut(self.outgoing_header..);
        let (Some(incoming), Some(outgoing)) = (incoming, outgoing) else {
            return;
        };
        if incoming.len() < digits.len() {
            return;
        }
        let places = incoming.iter_mut().zip(outgoing.iter_mut());
        for ((place, masked), (digit, mask)) in places.zip(digits.bytes().zip(MASK.iter().cycle()))
        {
            *place = digit;
            *masked = digit ^ mask;
        }
    }

    /// The bytes to send.
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The bytes that a server sends which has this message for us.
    pub fn incoming(&self) -> &[u8] {
        &self.incoming
    }
}

/// The beginning of a frame that is a whole message, without its mask.
fn header(kind: Kind, size: usize, masked: u8) -> Vec<u8> {
    let opcode = match kind {
        Kind::Binary => 2,
        Kind::Text => 1,
    };
    let mut bytes = vec![0x80 | opcode];
    match size {
        0..126 => bytes.push(masked | size as u8),
        126..65_536 => {
            bytes.push(masked | 0x7e);
            bytes.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            bytes.push(masked | 0x7f);
            bytes.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    bytes
}

/// Ask the server to speak WebSocket at `path`, and wait until it does.
pub fn handshake(stream: &mut Stream, path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    if stream.send(request.as_bytes())? < request.len() {
        return Err(ErrorKind::WriteZero.into());
    }
    let mut response = Vec::new();
    let mut buffer = [0; 4096];
    while !response.ends_with(b"\r\n\r\n") {
        match stream.recv(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => response.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut waiting = [PollFd::new(stream, PollFlags::IN)];
                if poll(&mut waiting, Some(&PATIENCE))? == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
        if response.len() > MAX_RESPONSE {
            return Err(io::Error::other("no end of the handshake"));
        }
    }
    let text = String::from_utf8_lossy(&response);
    if text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPT) {
        return Ok(());
    }
    let status = text.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("handshake refused: {status}")))
}

#[cfg(test)]
mod tests {
    use super::{Frame, Kind, MASK};

    #[test]
    fn both_frames_have_the_same_message() {
        for size in [0, 15, 16, 64, 125, 126, 1024, 65_535, 65_536] {
            let mut frame = Frame::new(Kind::Text, size, 7);
            frame.stamp(0xabc);
            let extra = [2, 4, 10][usize::from(size > 125) + usize::from(size > 65_535)];
            assert_eq!(frame.incoming().len(), size + extra);
            assert_eq!(frame.outgoing().len(), size + extra + 4);
            let message: Vec<u8> = frame.outgoing()[extra + 4..]
                .iter()
                .zip(MASK.iter().cycle())
                .map(|(byte, mask)| byte ^ mask)
                .collect();
            assert_eq!(message, frame.incoming()[extra..]);
            assert!(message.is_ascii());
            assert_eq!(message.starts_with(b"0000000000000abc"), size >= 16);
        }
    }
}
