//! Frames of the other end: their order, and the messages that they make up (RFC 6455 section 5.4).
//!
//! | state | what there is of a frame |
//! |---|---|
//! | `Head` | nothing, or the first bytes of its header |
//! | `Payload` | its header, and a part of the payload |
//! | `Ended` | the other end has closed, or broken a rule: what comes is not looked at |
//!
//! A message in fragments is beside that: control frames may come between its frames.

use std::borrow::Cow;
use std::ops::Range;

use crate::deflate::{Inflater, Parameters};
use crate::mask::{mask, unmask_to};
use crate::{Error, FrameHeader, MAX_HEADER, Opcode, Role, Utf8, close};

/// The most that is reserved for a frame on the word of its header, in bytes.
const RESERVE: u64 = 1 << 20;

/// How much the other end may send at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload of a frame, in bytes as they are sent.
    pub frame: u64,
    /// The longest message, in bytes, decompressed.
    pub message: u64,
}

impl Default for Limits {
    /// Eventlet's 8 MiB.
    fn default() -> Self {
        Self {
            frame: 8 << 20,
            message: 8 << 20,
        }
    }
}

/// The two kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Bytes.
    Binary,
    /// UTF-8.
    Text,
}

/// What has been received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The other end closes. If it has not been told to, it wants a closing frame in return.
    Close {
        /// The code and the reason, if it gave any.
        status: Option<(u16, Cow<'a, str>)>,
        /// The payload as it came.
        payload: Cow<'a, [u8]>,
    },
    /// A message.
    Message {
        /// Whether it is text.
        kind: MessageKind,
        /// What it says; valid UTF-8 if it is text.
        payload: Cow<'a, [u8]>,
    },
    /// The other end wants a pong with the same payload.
    Ping(Cow<'a, [u8]>),
    /// An answer to a ping, or a sign of life.
    Pong(Cow<'a, [u8]>),
}

/// A message that has arrived in one piece and has not been touched: see [`Decoder::whole`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Whether it is text.
    pub kind: MessageKind,
    /// Where its payload is in the input. Its end is how much of the input the message takes.
    pub payload: Range<usize>,
    /// What it is masked with, if it is.
    mask: Option<[u8; 4]>,
}

impl Whole {
    /// Copies the payload out of the input, unmasked, to `target`, which is as long as it. `place` makes of a byte
    /// what `target` consists of.
    ///
    /// Returns whether that is the message. If not, it is text with something in it that is not ASCII, which is for
    /// [`Decoder::decode`] to judge; a part of `target` may be left as it was then.
    #[inline]
    pub fn copy_to<T>(&self, target: &mut [T], place: impl Fn(u8) -> T, input: &[u8]) -> bool {
        let is_text = self.kind == MessageKind::Text;
        let data = &input[self.payload.clone()];
        let key = self.mask.unwrap_or_default();
        unmask_to(target, place, data, key, is_text) || !is_text
    }
}

/// A frame by itself, for those who look below messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Its header.
    pub header: FrameHeader,
    /// Its payload, unmasked and nothing else.
    pub payload: Vec<u8>,
}

/// Makes events of the bytes that one end receives.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    inflater: Option<Box<Inflater>>,
    state: State,
    /// The beginning of a header whose end has not come yet.
    head: [u8; MAX_HEADER],
    head_length: u8,
    /// The message whose frames are coming in.
    message: Option<Message>,
    text: Utf8,
    /// What there is of the message.
    gathered: Vec<u8>,
    /// What there is of a control frame, or of a raw one.
    aside: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Payload { header: FrameHeader, received: u64 },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    kind: MessageKind,
    compressed: bool,
}

/// An event, and where its payload is.
enum Found {
    Control(Opcode, Place),
    Message(MessageKind, Place),
}

enum Place {
    /// In the input.
    Input(Range<usize>),
    /// It was gathered.
    Own(Vec<u8>),
}

impl Decoder {
    /// For the end `role`, which receives what the other one sends.
    pub fn new(role: Role, limits: Limits, parameters: Option<Parameters>) -> Self {
        Self {
            role,
            limits,
            inflater: parameters.map(|parameters| Box::new(Inflater::new(parameters, role))),
            state: State::Head,
            head: [0; MAX_HEADER],
            head_length: 0,
            message: None,
            text: Utf8::default(),
            gathered: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// The limits, which may be changed between two calls.
    pub fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// Forgets what was agreed about compression, and takes this instead.
    pub fn set_deflate(&mut self, parameters: Option<Parameters>) {
        let role = self.role;
        self.inflater = parameters.map(|parameters| Box::new(Inflater::new(parameters, role)));
    }

    /// Whether it waits for the end of something that has begun.
    pub fn is_within(&self) -> bool {
        self.head_length > 0
            || self.message.is_some()
            || matches!(self.state, State::Payload { .. })
    }

    /// How many bytes it holds on the heap, besides the state of the decompression.
    pub fn heap_size(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |_| size_of::<Inflater>());
        self.gathered.capacity() + self.aside.capacity() + inflater
    }

    /// Whether decompression holds memory.
    pub fn is_inflater_allocated(&self) -> bool {
        self.inflater.as_ref().is_some_and(|i| i.is_allocated())
    }

    /// The message that `input` begins with, if all of it is there, in a frame of its own and not compressed.
    ///
    /// A caller that wants the message elsewhere copies and unmasks it in one go, and passes over it in the input:
    /// nothing is to be told to the decoder. For all else, text that is not ASCII included, there is
    /// [`decode`](Self::decode).
    #[inline]
    pub fn whole(&self, input: &[u8]) -> Option<Whole> {
        if self.state != State::Head || self.head_length > 0 || self.message.is_some() {
            return None;
        }
        let (header, used) = FrameHeader::parse(input, self.role, false).ok()??;
        let kind = match header.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ => return None,
        };
        let fits = header.length <= self.limits.frame.min(self.limits.message);
        if !header.fin || !fits || header.length > (input.len() - used) as u64 {
            return None;
        }
        Some(Whole {
            kind,
            payload: used..used + header.length as usize,
            mask: header.mask,
        })
    }

    /// Goes over `input` up to the next event, and unmasks it in place. Returns how much of it was used up, and
    /// the event if there is one; without one that is all of the input.
    ///
    /// After an error or a [`Event::Close`] all of the input is used up, and nothing comes of it.
    ///
    /// # Errors
    ///
    /// Once, for the first rule that the other end breaks.
    pub fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Option<Event<'a>>), Error> {
        let mut used = 0;
        loop {
            let step = self.step(input, used);
            let found = match step {
                Ok((end, found)) => {
                    used = end;
                    found
                }
                Err(error) => {
                    self.end();
                    return Err(error);
                }
            };
            let Some(found) = found else {
                if used == input.len() {
                    return Ok((used, None));
                }
                continue;
            };
            if matches!(found, Found::Control(Opcode::Close, _)) {
                self.end();
                used = input.len();
            }
            return event(found, input).map(|event| (used, Some(event)));
        }
    }

    /// As [`decode`](Self::decode), for the next frame whatever it is; not within a message that has begun.
    ///
    /// # Errors
    ///
    /// For a header that breaks a rule.
    pub fn decode_raw(&mut self, input: &mut [u8]) -> Result<(usize, Option<RawFrame>), Error> {
        let mut used = 0;
        loop {
            match self.state {
                State::Ended => return Ok((input.len(), None)),
                State::Head => {
                    let (end, header) = self.header(input, used)?;
                    used = end;
                    let Some(header) = header else {
                        return Ok((used, None));
                    };
                    self.state = State::Payload {
                        header,
                        received: 0,
                    };
                }
                State::Payload { header, received } => {
                    let (end, complete) = self.unmask(input, used, header, received);
                    self.aside.extend_from_slice(&input[used..end]);
                    used = end;
                    let frame = complete.then(|| RawFrame {
                        header,
                        payload: std::mem::take(&mut self.aside),
                    });
                    return Ok((used, frame));
                }
            }
        }
    }

    /// Ends for good.
    fn end(&mut self) {
        self.state = State::Ended;
        self.gathered = Vec::new();
        self.aside = Vec::new();
        self.inflater = None;
    }

    /// Goes on from `input[used..]`: by a header, or by what there is of a payload.
    #[inline]
    fn step(&mut self, input: &mut [u8], used: usize) -> Result<(usize, Option<Found>), Error> {
        match self.state {
            State::Ended => Ok((input.len(), None)),
            State::Head => {
                let (used, header) = self.header(input, used)?;
                let Some(header) = header else {
                    return Ok((used, None));
                };
                self.begin(&header)?;
                let available = (input.len() - used) as u64;
                if header.length > available {
                    self.state = State::Payload {
                        header,
                        received: 0,
                    };
                    return Ok((used, None));
                }
                let end = used + header.length as usize;
                if let Some(key) = header.mask {
                    mask(&mut input[used..end], key, 0);
                }
                self.complete(header, input, used..end)
                    .map(|found| (end, found))
            }
            State::Payload { header, received } => {
                let (end, complete) = self.unmask(input, used, header, received);
                let found = self.piece(header, &input[used..end], complete)?;
                Ok((end, found))
            }
        }
    }

    /// Reads a header, which may have begun in an earlier input.
    #[inline]
    fn header(&mut self, input: &[u8], used: usize) -> Result<(usize, Option<FrameHeader>), Error> {
        let deflate = self.inflater.is_some();
        let rest = &input[used..];
        let begun = usize::from(self.head_length);
        if begun == 0 {
            if let Some((header, length)) = FrameHeader::parse(rest, self.role, deflate)? {
                self.check_length(&header)?;
                return Ok((used + length, Some(header)));
            }
            self.head[..rest.len()].copy_from_slice(rest);
            self.head_length = rest.len() as u8;
            return Ok((input.len(), None));
        }
        let more = rest.len().min(MAX_HEADER - begun);
        self.head[begun..begun + more].copy_from_slice(&rest[..more]);
        let bytes = &self.head[..begun + more];
        if let Some((header, length)) = FrameHeader::parse(bytes, self.role, deflate)? {
            self.head_length = 0;
            self.check_length(&header)?;
            return Ok((used + length - begun, Some(header)));
        }
        self.head_length = (begun + more) as u8;
        Ok((input.len(), None))
    }

    fn check_length(&self, header: &FrameHeader) -> Result<(), Error> {
        let limit = self.limits.frame;
        if header.length > limit && !header.opcode.is_control() {
            let length = header.length;
            return Err(Error::FrameTooLong { length, limit });
        }
        Ok(())
    }

    /// Whether a frame may come now; begins a message.
    #[inline]
    fn begin(&mut self, header: &FrameHeader) -> Result<(), Error> {
        let kind = match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Error::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Error::UnexpectedMessage),
            (Opcode::Text, None) => MessageKind::Text,
            (Opcode::Binary, None) => MessageKind::Binary,
            (Opcode::Continuation, Some(message)) => return self.check_message(header, message),
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
        };
        let message = Message {
            kind,
            compressed: header.compressed,
        };
        self.message = Some(message);
        self.check_message(header, message)
    }

    fn check_message(&self, header: &FrameHeader, message: Message) -> Result<(), Error> {
        let limit = self.limits.message;
        let length = (self.gathered.len() as u64).saturating_add(header.length);
        if !message.compressed && length > limit {
            return Err(Error::MessageTooLong { limit });
        }
        Ok(())
    }

    /// Unmasks the next part of a payload. Returns where it ends, and whether the payload does.
    fn unmask(
        &mut self,
        input: &mut [u8],
        used: usize,
        header: FrameHeader,
        received: u64,
    ) -> (usize, bool) {
        let left = header.length - received;
        let size = left.min((input.len() - used) as u64) as usize;
        let end = used + size;
        if let Some(key) = header.mask {
            mask(&mut input[used..end], key, (received % 4) as usize);
        }
        let received = received + size as u64;
        let complete = received == header.length;
        self.state = if complete {
            State::Head
        } else {
            State::Payload { header, received }
        };
        (end, complete)
    }

    /// A frame whose payload is all there.
    #[inline]
    fn complete(
        &mut self,
        header: FrameHeader,
        input: &[u8],
        range: Range<usize>,
    ) -> Result<Option<Found>, Error> {
        if header.opcode.is_control() {
            return Ok(Some(Found::Control(header.opcode, Place::Input(range))));
        }
        if let Some(message) = self.message
            && header.fin
            && !message.compressed
            && header.opcode != Opcode::Continuation
        {
            self.message = None;
            if message.kind == MessageKind::Text
                && simdutf8::basic::from_utf8(&input[range.clone()]).is_err()
            {
                return Err(Error::InvalidUtf8);
            }
            return Ok(Some(Found::Message(message.kind, Place::Input(range))));
        }
        self.piece(header, &input[range], true)
    }

    /// A piece of a payload, unmasked; `complete` if it is the last.
    fn piece(
        &mut self,
        header: FrameHeader,
        piece: &[u8],
        complete: bool,
    ) -> Result<Option<Found>, Error> {
        if header.opcode.is_control() {
            self.aside
                .reserve_exact(header.length as usize - self.aside.len());
            self.aside.extend_from_slice(piece);
            return Ok(complete.then(|| {
                let payload = std::mem::take(&mut self.aside);
                Found::Control(header.opcode, Place::Own(payload))
            }));
        }
        let Some(message) = self.message else {
            // A payload belongs to the message that its header has begun, or to one before.
            return Err(Error::UnexpectedContinuation);
        };
        let checked = self.gathered.len();
        let ends = complete && header.fin;
        let inflated = if message.compressed {
            self.inflate(piece, ends)
        } else {
            if self.gathered.capacity() - checked < piece.len() {
                let wanted = header.length.min(RESERVE) as usize;
                self.gathered.reserve(wanted.max(piece.len()));
            }
            self.gathered.extend_from_slice(piece);
            Ok(())
        };
        if message.kind == MessageKind::Text {
            // What came before an error in the stream may be wrong already.
            self.text.push(&self.gathered[checked..])?;
        }
        inflated?;
        if ends {
            self.text.finish()?;
        }
        Ok(ends.then(|| {
            self.message = None;
            let payload = std::mem::take(&mut self.gathered);
            Found::Message(message.kind, Place::Own(payload))
        }))
    }

    fn inflate(&mut self, piece: &[u8], ends: bool) -> Result<(), Error> {
        let limit = self.limits.message;
        let Some(inflater) = &mut self.inflater else {
            return Err(Error::ReservedBit);
        };
        inflater.inflate(piece, limit, &mut self.gathered)?;
        if ends {
            inflater.finish(limit, &mut self.gathered)?;
        }
        Ok(())
    }
}

fn event(found: Found, input: &[u8]) -> Result<Event<'_>, Error> {
    let payload = |place| match place {
        Place::Input(range) => Cow::Borrowed(&input[range]),
        Place::Own(bytes) => Cow::Owned(bytes),
    };
    Ok(match found {
        Found::Message(kind, place) => Event::Message {
            kind,
            payload: payload(place),
        },
        Found::Control(Opcode::Close, place) => {
            let payload = payload(place);
            let status =
                close::parse(&payload)?.map(|(code, reason)| (code, Cow::Owned(reason.to_owned())));
            Event::Close { status, payload }
        }
        Found::Control(Opcode::Ping, place) => Event::Ping(payload(place)),
        Found::Control(_, place) => Event::Pong(payload(place)),
    })
}
