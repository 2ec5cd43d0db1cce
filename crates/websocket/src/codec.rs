//! One end of a connection: both directions, and how it ends (RFC 6455 section 7).

use crate::deflate::{Deflater, Parameters};
use crate::{
    Decoder, Error, Event, FrameHeader, Limits, MAX_CONTROL_PAYLOAD, MessageKind, Opcode, RawFrame,
    Role, Whole, close, mask,
};

/// How far the closing handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has closed.
    Open,
    /// A closing frame has been sent; the other end's is to come.
    CloseSent,
    /// One has been received; it is to be answered.
    CloseReceived,
    /// Both have been, or there is nobody to talk to any more.
    Closed,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Codec {
    role: Role,
    phase: Phase,
    decoder: Decoder,
    deflater: Option<Box<Deflater>>,
    /// Whether a message has been begun and not ended, and is compressed.
    fragment: Option<bool>,
}

impl Codec {
    /// For the end `role`; `parameters` if compression was agreed upon.
    pub fn new(role: Role, limits: Limits, parameters: Option<Parameters>) -> Self {
        Self {
            role,
            phase: Phase::Open,
            decoder: Decoder::new(role, limits, parameters),
            deflater: deflater(role, parameters),
            fragment: None,
        }
    }

    /// Which end it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How far the closing handshake has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether messages may be sent.
    pub fn may_send(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The limits on what is received, which may be changed between two calls.
    pub fn limits_mut(&mut self) -> &mut Limits {
        self.decoder.limits_mut()
    }

    /// Forgets what was agreed about compression, and takes this instead. Not within a message.
    pub fn set_deflate(&mut self, parameters: Option<Parameters>) {
        self.decoder.set_deflate(parameters);
        self.deflater = deflater(self.role, parameters);
    }

    /// Whether nothing has begun that is to be ended.
    pub fn is_idle(&self) -> bool {
        !self.decoder.is_within()
    }

    /// How many bytes it holds, besides the state of the compression.
    pub fn memory(&self) -> usize {
        let deflater = self.deflater.as_ref().map_or(0, |_| size_of::<Deflater>());
        size_of::<Self>() + self.decoder.heap_size() + deflater
    }

    /// Whether there is state of compression or decompression.
    pub fn has_deflate_state(&self) -> bool {
        self.decoder.is_inflater_allocated()
            || self.deflater.as_ref().is_some_and(|d| d.is_allocated())
    }

    /// The message that received bytes begin with, if all of it is there: see [`Decoder::whole`].
    #[inline]
    pub fn whole(&self, input: &[u8]) -> Option<Whole> {
        self.decoder.whole(input)
    }

    /// Goes over received bytes up to the next event: see [`Decoder::decode`].
    ///
    /// # Errors
    ///
    /// Once, for the first rule that the other end breaks. What is left to do is to close.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Option<Event<'a>>), Error> {
        let result = self.decoder.decode(input);
        if let Ok((_, Some(Event::Close { .. }))) = result {
            self.phase = match self.phase {
                Phase::Open | Phase::CloseReceived => Phase::CloseReceived,
                Phase::CloseSent | Phase::Closed => Phase::Closed,
            };
        }
        result
    }

    /// Goes over received bytes up to the end of the next frame: see [`Decoder::decode_raw`].
    ///
    /// # Errors
    ///
    /// For a header that breaks a rule.
    pub fn decode_raw(&mut self, input: &mut [u8]) -> Result<(usize, Option<RawFrame>), Error> {
        self.decoder.decode_raw(input)
    }

    /// The other end has gone, with or without a word.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Closed;
    }

    /// The header of a message, or of a fragment of one, that is sent as it is: neither masked nor compressed.
    ///
    /// `None` if it has to be, and only [`message`](Self::message) will do.
    #[inline]
    pub fn plain_header(&mut self, kind: MessageKind, length: usize) -> Option<FrameHeader> {
        let compresses = self.deflater.as_ref().is_some_and(|d| d.is_usable());
        if self.role == Role::Client || compresses || self.fragment.is_some() {
            return None;
        }
        Some(FrameHeader {
            fin: true,
            compressed: false,
            opcode: opcode(kind),
            mask: None,
            length: length as u64,
        })
    }

    /// Whether a message is being sent in fragments, between which there can be no other.
    pub fn is_sending(&self) -> bool {
        self.fragment.is_some()
    }

    /// Appends a message to `out`, or a fragment of one: `first` if it begins with it, `last` if it ends.
    ///
    /// `key` is what it is masked with: random bytes for a client, `None` for a server.
    pub fn message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        (first, last): (bool, bool),
        key: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        let may_compress = self.deflater.as_ref().is_some_and(|d| d.is_usable());
        // A message of nothing only grows.
        let compress = if first {
            may_compress && !(payload.is_empty() && last)
        } else {
            self.fragment.unwrap_or(false)
        };
        self.fragment = (!last).then_some(compress);
        let mut header = FrameHeader {
            fin: last,
            compressed: compress && first,
            opcode: if first {
                opcode(kind)
            } else {
                Opcode::Continuation
            },
            mask: None,
            length: payload.len() as u64,
        };
        match &mut self.deflater {
            Some(deflater) if compress => {
                let mut compressed = Vec::new();
                deflater.deflate(payload, last, &mut compressed);
                header.length = compressed.len() as u64;
                frame(header, &compressed, key, out);
            }
            _ => frame(header, payload, key, out),
        }
    }

    /// Appends a control frame to `out`. A payload that is too long is cut.
    pub fn control(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        let header = FrameHeader {
            fin: true,
            compressed: false,
            opcode,
            mask: None,
            length: payload.len() as u64,
        };
        frame(header, payload, key, out);
    }

    /// Appends a closing frame with this payload to `out`; nothing if one has been sent.
    pub fn close(&mut self, payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        self.phase = match self.phase {
            Phase::Open => Phase::CloseSent,
            Phase::CloseReceived => Phase::Closed,
            Phase::CloseSent | Phase::Closed => return,
        };
        Self::control(Opcode::Close, payload, key, out);
    }

    /// Appends a closing frame with a code and a reason: see [`close`](Self::close).
    pub fn close_with(&mut self, code: u16, reason: &str, key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        close::write(&mut payload, code, reason);
        self.close(&payload, key, out);
    }

    /// Whether what [`message`](Self::message) has made must be sent, since what follows refers to it.
    pub fn depends_on_sent(&self) -> bool {
        self.fragment.is_some()
            || self
                .deflater
                .as_ref()
                .is_some_and(|d| d.is_usable() && d.keeps_context())
    }
}

fn frame(mut header: FrameHeader, payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    header.mask = key;
    let (bytes, length) = header.encode();
    out.reserve(length + payload.len());
    out.extend_from_slice(&bytes[..length]);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

fn deflater(role: Role, parameters: Option<Parameters>) -> Option<Box<Deflater>> {
    parameters.map(|parameters| Box::new(Deflater::new(parameters, role)))
}

fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Binary => Opcode::Binary,
        MessageKind::Text => Opcode::Text,
    }
}
