//! Frames out of a stream of bytes, however it is cut. What is kept of it is bounded: head, number of headers, body.

use bytes::{Buf, BytesMut};

use super::frame::{Body, Frame, unescape};

/// Most bytes of command and headers. Servers have their own bounds below this one.
const HEAD_BYTES_MAX: usize = 1024 * 1024;

/// Most headers of a frame.
const HEADERS_MAX: usize = 4096;

/// Reads frames.
#[derive(Debug)]
pub(crate) struct Decoder {
    body_bytes_max: u64,
    state: State,
    /// Bytes at the start of the buffer that were looked at in vain.
    scanned: usize,
}

#[derive(Debug)]
enum State {
    /// Between frames, or in a head.
    Head,
    Body {
        head: Frame,
        rest: Rest,
    },
}

/// What follows of a body.
#[derive(Debug)]
enum Rest {
    /// So many bytes and a NUL; they may contain NULs.
    Counted(u64),
    /// Everything to the next NUL.
    ToNul,
    /// Too large to be kept: so many bytes are gone, so many follow; without a number, everything to the next NUL.
    Skipping { gone: u64, follow: Option<u64> },
}

/// The bytes are not STOMP, or beyond its bounds here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

impl Decoder {
    /// Keeps bodies up to so many bytes.
    pub(crate) fn new(body_bytes_max: u64) -> Self {
        Self { body_bytes_max, state: State::Head, scanned: 0 }
    }

    /// The next frame that is complete in `buffer`, which loses what was read.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        if matches!(self.state, State::Head) {
            let Some(head) = self.head(buffer)? else { return Ok(None) };
            let rest = match head.header("content-length") {
                None => Rest::ToNul,
                Some(length) => {
                    let length: u64 = length
                        .trim()
                        .parse()
                        .map_err(|_| Malformed(format!("content-length is \"{length}\"")))?;
                    if length > self.body_bytes_max {
                        Rest::Skipping { gone: 0, follow: Some(length) }
                    } else {
                        Rest::Counted(length)
                    }
                }
            };
            self.state = State::Body { head, rest };
        }
        self.body(buffer)
    }

    fn head(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        if self.scanned == 0 {
            // Heart-beats, and what may follow a frame.
            let blank = buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            buffer.advance(blank);
        }
        let Some(length) = head_length(buffer, self.scanned) else {
            // The end may begin in the last two bytes.
            self.scanned = buffer.len().saturating_sub(2);
            if buffer.len() > HEAD_BYTES_MAX {
                return Err(Malformed(format!("a head of more than {HEAD_BYTES_MAX} bytes")));
            }
            return Ok(None);
        };
        self.scanned = 0;
        parse(&buffer.split_to(length)).map(Some)
    }

    fn body(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        let State::Body { rest, .. } = &mut self.state else { return Ok(None) };
        let body = match rest {
            Rest::Counted(length) => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                let Some(&end) = buffer.get(length) else { return Ok(None) };
                if end != 0 {
                    return Err(Malformed("no NUL after the counted body".to_owned()));
                }
                let body = buffer.split_to(length).freeze();
                buffer.advance(1);
                Body::Kept(body)
            }
            Rest::ToNul => {
                let nul = buffer.iter().skip(self.scanned).position(|byte| *byte == 0);
                let Some(nul) = nul else {
                    self.scanned = buffer.len();
                    if buffer.len() as u64 > self.body_bytes_max {
                        self.scanned = 0;
                        *rest = Rest::Skipping { gone: buffer.len() as u64, follow: None };
                        buffer.clear();
                    }
                    return Ok(None);
                };
                let body = buffer.split_to(self.scanned + nul).freeze();
                buffer.advance(1);
                if body.len() as u64 > self.body_bytes_max {
                    Body::Skipped(body.len() as u64)
                } else {
                    Body::Kept(body)
                }
            }
            Rest::Skipping { gone, follow } => {
                let Some(bytes) = skip(buffer, gone, follow)? else { return Ok(None) };
                Body::Skipped(bytes)
            }
        };
        self.scanned = 0;
        let state = std::mem::replace(&mut self.state, State::Head);
        let State::Body { head, .. } = state else { return Ok(None) };
        Ok(Some(Frame { body, ..head }))
    }
}

/// Drops what is there of a body; its length when that was all.
fn skip(
    buffer: &mut BytesMut,
    gone: &mut u64,
    follow: &mut Option<u64>,
) -> Result<Option<u64>, Malformed> {
    let Some(left) = follow else {
        let nul = buffer.iter().position(|byte| *byte == 0);
        *gone += nul.unwrap_or(buffer.len()) as u64;
        buffer.advance(nul.map_or(buffer.len(), |nul| nul + 1));
        return Ok(nul.map(|_| *gone));
    };
    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    buffer.advance(now);
    *gone += now as u64;
    *left -= now as u64;
    match buffer.first() {
        Some(0) => {
            buffer.advance(1);
            Ok(Some(*gone))
        }
        Some(_) => Err(Malformed("no NUL after the counted body".to_owned())),
        None => Ok(None),
    }
}

/// How long the head is, its blank line included, if it is complete.
fn head_length(buffer: &[u8], from: usize) -> Option<usize> {
    let line_ends = buffer.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    for (at, _) in line_ends {
        match buffer.get(at + 1..) {
            Some([b'\n', ..]) => return Some(at + 2),
            Some([b'\r', b'\n', ..]) => return Some(at + 3),
            _ => {}
        }
    }
    None
}

fn parse(head: &[u8]) -> Result<Frame, Malformed> {
    // A server's own mistake in a header's encoding must not block a queue.
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let command = lines.next().unwrap_or_default().to_owned();
    if command.is_empty() || !command.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let shown: String = command.chars().take(40).collect();
        return Err(Malformed(format!("\"{shown}\" is no command of STOMP")));
    }
    let plain = command == "CONNECTED";
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) =
            line.split_once(':').ok_or_else(|| Malformed("a header without a colon".to_owned()))?;
        if headers.len() == HEADERS_MAX {
            return Err(Malformed(format!("more than {HEADERS_MAX} headers")));
        }
        headers.push(if plain {
            (name.to_owned(), value.to_owned())
        } else {
            (unescape(name), unescape(value))
        });
    }
    Ok(Frame { command, headers, body: Body::Skipped(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 8;

    /// Frames of `bytes`, given in pieces of `piece` bytes.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Malformed> {
        let mut decoder = Decoder::new(MAX);
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.next(&mut buffer)? {
                frames.push(frame);
            }
            assert!(buffer.len() <= piece.len() + 64, "it is not kept");
        }
        Ok(frames)
    }

    fn frame(command: &str, headers: &[(&str, &str)], body: Body) -> Frame {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let headers = headers.iter().map(owned).collect();
        Frame { command: command.to_owned(), headers, body }
    }

    fn kept(body: &'static [u8]) -> Body {
        Body::Kept(body.into())
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = b"\n\r\nCONNECTED\nversion:1.2\nserver:a\\cb\n\n\0\n\nMESSAGE\r\na\\cb:c\\nd:e\r\n\r\nbody\0\
            MESSAGE\ncontent-length:4\n\na\0\0b\0MESSAGE\ncontent-length:0\n\n\0MESSAGE\n\n\0\
            MESSAGE\ncontent-length:9\n\n123\0\n6789\0MESSAGE\nx:y\n\n12345678\0MESSAGE\nx:y\n\n123456789\0RECEIPT\nx:1\nx:2\n\n\0";
        let expected = [
            frame("CONNECTED", &[("version", "1.2"), ("server", "a\\cb")], kept(b"")),
            frame("MESSAGE", &[("a:b", "c\nd:e")], kept(b"body")),
            frame("MESSAGE", &[("content-length", "4")], kept(b"a\0\0b")),
            frame("MESSAGE", &[("content-length", "0")], kept(b"")),
            frame("MESSAGE", &[], kept(b"")),
            frame("MESSAGE", &[("content-length", "9")], Body::Skipped(9)),
            frame("MESSAGE", &[("x", "y")], kept(b"12345678")),
            frame("MESSAGE", &[("x", "y")], Body::Skipped(9)),
            frame("RECEIPT", &[("x", "1"), ("x", "2")], kept(b"")),
        ];
        for piece in 1..=bytes.len() {
            assert_eq!(decode(bytes, piece).unwrap(), expected, "in pieces of {piece}");
        }
        assert_eq!(expected[8].header("x"), Some("1"));
    }

    #[test]
    fn what_is_not_stomp_or_too_much_of_it_is_refused() {
        let many = format!("MESSAGE\n{}\n\0", "a:b\n".repeat(HEADERS_MAX + 1));
        for (bytes, why) in [
            (&b"HTTP/1.1 400 Bad Request\r\nA: b\r\n\r\n"[..], "no command"),
            (b"MESSAGE\nno colon\n\n\0", "without a colon"),
            (b"MESSAGE\ncontent-length:-1\n\n\0", "content-length is"),
            (b"MESSAGE\ncontent-length:2\n\nabc\0", "no NUL"),
            (b"MESSAGE\ncontent-length:9\n\n123456789a", "no NUL"),
            (many.as_bytes(), "more than 4096 headers"),
        ] {
            let mut buffer = BytesMut::from(bytes);
            let error = Decoder::new(MAX).next(&mut buffer).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let mut buffer = BytesMut::from(&b"MESSAGE\na:"[..]);
        buffer.extend(std::iter::repeat_n(b'x', HEAD_BYTES_MAX));
        assert!(Decoder::new(MAX).next(&mut buffer).is_err());
    }
}
