//! Frames to messages, as a server receives them: every rule of RFC 6455, bounded memory.

use std::ops::ControlFlow;

use super::encoder::Opcode;
use super::{CONTROL_PAYLOAD_BYTES_MAX, apply_mask, close};

/// Bytes 0 and 1, a length of 8 bytes, a mask of 4.
const HEADER_BYTES_MAX: usize = 14;
/// A whole frame up to this size is unmasked on the stack.
const SCRATCH_BYTES: usize = 512;

/// One message, or one control frame, from the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, checked to be UTF-8.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong(&'a [u8]),
    /// The other side closes, with a valid code or none. Whatever follows is to be ignored.
    Close(Option<u16>),
}

/// How the other side broke the protocol. The connection is to be closed with the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Violation {
    /// 1002, 1007 or 1009.
    pub close_code: u16,
    /// What was wrong; short enough for a close frame's reason.
    pub sentence: &'static str,
}

const fn protocol(sentence: &'static str) -> Violation {
    Violation { close_code: close::PROTOCOL, sentence }
}

const NOT_UTF8: Violation = Violation { close_code: close::NOT_UTF8, sentence: "the text is not UTF-8" };
const TOO_BIG: Violation = Violation { close_code: close::TOO_BIG, sentence: "the message is too big" };

/// The receiving half of one server connection.
///
/// 16 bytes while nothing is half-received; what arrives in pieces is kept in memory that grows
/// with the bytes received, never with the length a frame declares.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    pub(super) partial: Option<Box<Partial>>,
}

/// What has arrived of frames and messages that are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Partial {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The frame whose payload is arriving.
    frame: Option<Arriving>,
    /// The payload so far of a control frame, which may come between a message's fragments.
    control: Vec<u8>,
    /// The message whose last fragment is still to come.
    message: Option<Fragments>,
}

#[derive(Debug)]
struct Arriving {
    header: Header,
    received: usize,
}

#[derive(Debug, Default)]
struct Fragments {
    text: bool,
    bytes: Vec<u8>,
    /// So many bytes are known to be UTF-8.
    valid: usize,
    /// Frames after the first.
    continuations: usize,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    fin: bool,
    opcode: Opcode,
    mask: [u8; 4],
    payload: usize,
}

impl Decoder {
    /// A decoder for a fresh connection that takes messages of up to so many bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, partial: None }
    }

    /// Takes bytes in and hands every whole message to `receive`.
    ///
    /// When `receive` breaks, decoding stops right behind that message. The answer is how many
    /// bytes were consumed: all of them, unless `receive` broke; the rest is to be passed again.
    /// After a violation nothing more is to be passed.
    pub fn decode(
        &mut self,
        input: &[u8],
        receive: &mut dyn FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut at = 0;
        while at < input.len() {
            let (consumed, flow) = self.step(&input[at..], receive)?;
            at += consumed;
            if self.partial.as_ref().is_some_and(|partial| partial.is_idle()) {
                self.partial = None;
            }
            if flow.is_break() {
                break;
            }
        }
        Ok(at)
    }

    /// Consumes one header, or some of a frame's payload.
    fn step(
        &mut self,
        input: &[u8],
        receive: &mut dyn FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(usize, ControlFlow<()>), Violation> {
        if let Some(partial) = self.partial.as_mut().filter(|partial| partial.frame.is_some()) {
            return partial.take_payload(input, receive);
        }
        let mut joined = [0; HEADER_BYTES_MAX];
        let (known, had) = match &self.partial {
            Some(partial) if partial.header_len > 0 => {
                let had = partial.header_len;
                let more = input.len().min(HEADER_BYTES_MAX - had);
                joined[..had].copy_from_slice(&partial.header[..had]);
                joined[had..had + more].copy_from_slice(&input[..more]);
                (&joined[..had + more], had)
            }
            _ => (&input[..input.len().min(HEADER_BYTES_MAX)], 0),
        };
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let Some((header, header_bytes)) = Header::parse(known, message, self.message_bytes_max)? else {
            let partial = self.partial.get_or_insert_default();
            partial.header[had..known.len()].copy_from_slice(&known[had..]);
            partial.header_len = known.len();
            return Ok((known.len() - had, ControlFlow::Continue(())));
        };
        let consumed = header_bytes - had;
        let whole = header.opcode.is_control() || (header.fin && header.opcode != Opcode::Continuation);
        if let Some(payload) = input[consumed..].get(..header.payload).filter(|_| whole) {
            if let Some(partial) = &mut self.partial {
                partial.header_len = 0;
            }
            return Ok((consumed + payload.len(), deliver_masked(header, payload, receive)?));
        }
        let partial = self.partial.get_or_insert_default();
        partial.header_len = 0;
        partial.frame = Some(Arriving { header, received: 0 });
        if !header.opcode.is_control() && header.opcode != Opcode::Continuation {
            let text = header.opcode == Opcode::Text;
            partial.message = Some(Fragments { text, ..Fragments::default() });
        }
        if let (Opcode::Continuation, Some(message)) = (header.opcode, &mut partial.message) {
            message.continuations += 1;
            // Empty ones bring a message no further, however many come.
            if message.continuations > self.message_bytes_max {
                return Err(TOO_BIG);
            }
        }
        // An empty payload has nothing left to wait for.
        let (payload, flow) = partial.take_payload(&input[consumed..], receive)?;
        Ok((consumed + payload, flow))
    }
}

impl Partial {
    fn is_idle(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Consumes payload of the frame that is arriving, and delivers what it completes.
    fn take_payload(
        &mut self,
        input: &[u8],
        receive: &mut dyn FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(usize, ControlFlow<()>), Violation> {
        let arriving = self.frame.as_mut().expect("called while a frame arrives");
        let header = arriving.header;
        let taken = input.len().min(header.payload - arriving.received);
        let control = header.opcode.is_control();
        let into = match &mut self.message {
            Some(message) if !control => &mut message.bytes,
            _ => &mut self.control,
        };
        let start = into.len();
        into.extend_from_slice(&input[..taken]);
        apply_mask(&mut into[start..], header.mask, arriving.received);
        arriving.received += taken;
        let whole = arriving.received == header.payload;
        if whole {
            self.frame = None;
        }
        if control {
            if !whole {
                return Ok((taken, ControlFlow::Continue(())));
            }
            let payload = std::mem::take(&mut self.control);
            return Ok((taken, deliver(header.opcode, &payload, receive)?));
        }
        let message = self.message.as_mut().expect("made with the message's first frame");
        message.check_text()?;
        if !whole || !header.fin {
            return Ok((taken, ControlFlow::Continue(())));
        }
        let message = self.message.take().expect("present above");
        if !message.text {
            return Ok((taken, receive(Message::Binary(&message.bytes))));
        }
        // Also finds a text that ends inside a character.
        let text = std::str::from_utf8(&message.bytes).map_err(|_| NOT_UTF8)?;
        Ok((taken, receive(Message::Text(text))))
    }
}

impl Fragments {
    /// Fails as soon as no continuation could make the text valid.
    fn check_text(&mut self) -> Result<(), Violation> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(text) => self.valid += text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

impl Header {
    /// Reads a header and its length; `None` while bytes are missing. Breaches are found in the
    /// first two bytes where they show there.
    fn parse(
        bytes: &[u8],
        message: Option<&Fragments>,
        message_bytes_max: usize,
    ) -> Result<Option<(Self, usize)>, Violation> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(protocol("a reserved bit is set, no extension was negotiated"));
        }
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(protocol("the opcode is reserved"))?;
        if second & 0x80 == 0 {
            return Err(protocol("frames to a server are masked"));
        }
        let fin = first & 0x80 != 0;
        let short = usize::from(second & 0x7f);
        if opcode.is_control() && (!fin || short > CONTROL_PAYLOAD_BYTES_MAX) {
            return Err(protocol("a control frame is whole and has at most 125 bytes"));
        }
        match (opcode, message) {
            (Opcode::Continuation, None) => return Err(protocol("there is nothing to continue")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(protocol("a new message began before the last was whole"));
            }
            _ => {}
        }
        let (declared, length_bytes) = match short {
            126 => match bytes.get(2..4) {
                Some(length) => (u64::from(u16::from_be_bytes(length.try_into().expect("2 bytes"))), 2),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10) {
                Some(length) => (u64::from_be_bytes(length.try_into().expect("8 bytes")), 8),
                None => return Ok(None),
            },
            short => (short as u64, 0),
        };
        if declared >> 63 != 0 {
            return Err(protocol("the length has its highest bit set"));
        }
        let room = message_bytes_max.saturating_sub(message.map_or(0, |message| message.bytes.len()));
        if !opcode.is_control() && declared > room as u64 {
            return Err(TOO_BIG);
        }
        let mask_at = 2 + length_bytes;
        let Some(mask) = bytes.get(mask_at..mask_at + 4) else { return Ok(None) };
        let mask = mask.try_into().expect("4 bytes");
        Ok(Some((Self { fin, opcode, mask, payload: declared as usize }, mask_at + 4)))
    }
}

/// Unmasks a whole frame that lies in the input, and delivers it.
fn deliver_masked(
    header: Header,
    payload: &[u8],
    receive: &mut dyn FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    let mut scratch = [0; SCRATCH_BYTES];
    let mut heap = Vec::new();
    let unmasked = match scratch.get_mut(..payload.len()) {
        Some(fits) => {
            fits.copy_from_slice(payload);
            fits
        }
        None => {
            heap.extend_from_slice(payload);
            heap.as_mut_slice()
        }
    };
    apply_mask(unmasked, header.mask, 0);
    deliver(header.opcode, unmasked, receive)
}

/// Delivers a whole message or control frame.
fn deliver(
    opcode: Opcode,
    payload: &[u8],
    receive: &mut dyn FnMut(Message<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    Ok(match opcode {
        Opcode::Text => receive(Message::Text(std::str::from_utf8(payload).map_err(|_| NOT_UTF8)?)),
        Opcode::Ping => receive(Message::Ping(payload)),
        Opcode::Pong => receive(Message::Pong(payload)),
        Opcode::Close => receive(Message::Close(close_code(payload)?)),
        Opcode::Binary | Opcode::Continuation => receive(Message::Binary(payload)),
    })
}

/// The code of a close frame; codes that must not be sent, and reasons that are not UTF-8, are breaches.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(protocol("a close frame's code has two bytes")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(protocol("this close code must not be sent"));
    }
    std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
    Ok(Some(code))
}
