//! The `:authority` of gRPC's C core at a Unix socket, made one that HTTP/2 here takes.
//!
//! The C core, which Envoy's `google_grpc` and with it App Mesh's own sidecar image use, sends the socket's path with its
//! slashes percent-encoded (`run%2Fxds.sock`, measured with Envoy 1.40). RFC 3986 has that for a registered name; the
//! `http` crate refuses it, and the stream is reset before anybody sees it. So what is odd in the value is replaced while
//! it is read.
//!
//! **Invariant:** no byte is added or taken away, so that neither the frames' lengths nor the state of header compression
//! change; what is no `:authority` in plain letters passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// The connection preface, which comes before the first frame.
const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes that [`PRIORITY`] puts before the header block.
const PRIORITY_BYTES: usize = 5;
/// Place of `:authority` in HPACK's static table.
const STATIC_AUTHORITY: u32 = 1;
const AUTHORITY: &[u8] = b":authority";
/// Stands for what is odd.
const PLAIN: u8 = b'-';

/// An accepted connection whose requests have an authority that can be read.
#[derive(Debug)]
pub(super) struct UnixConnection {
    pub(super) stream: UnixStream,
    reader: Frames,
}

impl UnixConnection {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            reader: Frames::default(),
        }
    }
}

impl AsyncRead for UnixConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(new) = buffer.filled_mut().get_mut(before..) {
            self.reader.pass(new);
        }
        read
    }
}

impl AsyncWrite for UnixConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Where in the client's frames the reader is.
#[derive(Debug)]
struct Frames {
    at: Frame,
    block: Block,
}

#[derive(Clone, Copy, Debug)]
enum Frame {
    /// Bytes that are of no interest.
    Skip(usize),
    Head {
        bytes: [u8; 9],
        read: usize,
    },
    /// The next byte says how much padding ends the frame.
    PadLength {
        left: usize,
        before: usize,
    },
    /// A header block: first bytes that are none of it, then its own, then padding.
    Block {
        before: usize,
        left: usize,
        padding: usize,
    },
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            at: Frame::Skip(PREFACE),
            block: Block::default(),
        }
    }
}

impl Frame {
    const NEXT: Self = Self::Head {
        bytes: [0; 9],
        read: 0,
    };

    /// What follows a frame's head.
    fn of(head: [u8; 9]) -> Self {
        let [high, middle, low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let before = if flags & PRIORITY == 0 {
            0
        } else {
            PRIORITY_BYTES
        };
        match kind {
            HEADERS if flags & PADDED != 0 && length > 0 => Self::PadLength {
                left: length,
                before,
            },
            HEADERS => Self::block(length, before, 0),
            CONTINUATION => Self::block(length, 0, 0),
            _ => Self::Skip(length),
        }
    }

    /// A frame of this length. One that says of itself what cannot be is left to HTTP/2, which refuses it.
    fn block(length: usize, before: usize, padding: usize) -> Self {
        match length.checked_sub(before + padding) {
            Some(left) => Self::Block {
                before,
                left,
                padding,
            },
            None => Self::Skip(length),
        }
    }
}

impl Frames {
    /// Reads what came, and replaces in place what must be.
    fn pass(&mut self, mut bytes: &mut [u8]) {
        loop {
            match &mut self.at {
                Frame::Skip(0) => self.at = Frame::NEXT,
                Frame::Block {
                    before: 0,
                    left: 0,
                    padding,
                } => self.at = Frame::Skip(*padding),
                Frame::Skip(left)
                | Frame::Block {
                    before: left @ 1.., ..
                } => {
                    let skipped = bytes.len().min(*left);
                    *left -= skipped;
                    bytes = bytes.split_at_mut(skipped).1;
                    if bytes.is_empty() {
                        return;
                    }
                }
                _ => {
                    let Some((byte, rest)) = bytes.split_first_mut() else {
                        return;
                    };
                    self.step(byte);
                    bytes = rest;
                }
            }
        }
    }

    fn step(&mut self, byte: &mut u8) {
        match &mut self.at {
            Frame::Head { bytes, read } => {
                if let Some(place) = bytes.get_mut(*read) {
                    *place = *byte;
                }
                *read += 1;
                if *read == bytes.len() {
                    if bytes.get(3) == Some(&HEADERS) {
                        self.block = Block::default();
                    }
                    self.at = Frame::of(*bytes);
                }
            }
            Frame::PadLength { left, before } => {
                let length = left.saturating_sub(1);
                self.at = Frame::block(length, *before, usize::from(*byte));
            }
            Frame::Block { left, .. } => {
                *left -= 1;
                self.block.step(byte);
            }
            Frame::Skip(_) => {}
        }
    }
}

/// Where in a header block (RFC 7541 §6) the reader is. It needs no table: only literals are of interest.
#[derive(Clone, Copy, Debug, Default)]
enum Block {
    /// At the first byte of a field.
    #[default]
    Field,
    /// In an integer that goes on.
    Integer {
        value: u32,
        shift: u32,
        of: Integer,
    },
    /// At the first byte of a string's length.
    Length(Text),
    Name {
        left: u32,
        /// How much of [`AUTHORITY`] it has been; `None` if it is another name.
        matched: Option<usize>,
    },
    Value {
        left: u32,
        replace: bool,
    },
    /// No sense can be made of it. HTTP/2 will say so.
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Integer {
    /// Of a field that has no string.
    Other,
    /// The place of a literal field's name in the table.
    Index,
    Length(Text, Huffman),
}

#[derive(Clone, Copy, Debug)]
enum Text {
    Name,
    Value { is_authority: bool },
}

type Huffman = bool;

impl Block {
    fn step(&mut self, byte: &mut u8) {
        *self = match *self {
            Self::Field => match *byte {
                first @ 0x80.. => Self::integer(first, 0x7f, Integer::Other),
                first @ 0x40.. => Self::integer(first, 0x3f, Integer::Index),
                first @ 0x20.. => Self::integer(first, 0x1f, Integer::Other),
                first => Self::integer(first, 0x0f, Integer::Index),
            },
            Self::Integer { value, shift, of } => {
                let more = u32::from(*byte & 0x7f).checked_shl(shift);
                match more.and_then(|more| value.checked_add(more)) {
                    Some(value) if shift <= 21 && *byte & 0x80 != 0 => Self::Integer {
                        value,
                        shift: shift + 7,
                        of,
                    },
                    Some(value) if shift <= 21 => Self::read(of, value),
                    _ => Self::Lost,
                }
            }
            Self::Length(text) => {
                Self::integer(*byte, 0x7f, Integer::Length(text, *byte & 0x80 != 0))
            }
            Self::Name { left, matched } => {
                let matched = matched.filter(|read| AUTHORITY.get(*read) == Some(byte));
                let matched = matched.map(|read| read + 1);
                if left > 1 {
                    Self::Name {
                        left: left - 1,
                        matched,
                    }
                } else {
                    let is_authority = matched == Some(AUTHORITY.len());
                    Self::Length(Text::Value { is_authority })
                }
            }
            Self::Value { left, replace } => {
                if replace && !is_plain(*byte) {
                    *byte = PLAIN;
                }
                if left > 1 {
                    Self::Value {
                        left: left - 1,
                        replace,
                    }
                } else {
                    Self::Field
                }
            }
            Self::Lost => Self::Lost,
        }
    }

    /// The first byte of an integer (RFC 7541 §5.1); `mask` are its bits.
    fn integer(first: u8, mask: u8, of: Integer) -> Self {
        let value = u32::from(first & mask);
        if first & mask == mask {
            Self::Integer {
                value,
                shift: 0,
                of,
            }
        } else {
            Self::read(of, value)
        }
    }

    /// What follows an integer.
    fn read(of: Integer, value: u32) -> Self {
        match of {
            Integer::Other => Self::Field,
            Integer::Index if value == 0 => Self::Length(Text::Name),
            Integer::Index => Self::Length(Text::Value {
                is_authority: value == STATIC_AUTHORITY,
            }),
            Integer::Length(Text::Name, _) if value == 0 => Self::Lost,
            Integer::Length(Text::Name, huffman) => Self::Name {
                left: value,
                matched: (!huffman).then_some(0),
            },
            Integer::Length(Text::Value { .. }, _) if value == 0 => Self::Field,
            Integer::Length(Text::Value { is_authority }, huffman) => Self::Value {
                left: value,
                replace: is_authority && !huffman,
            },
        }
    }
}

/// What a host and a port are made of.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']')
}

#[cfg(test)]
mod tests;
