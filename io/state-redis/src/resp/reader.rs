//! Reads values of RESP 2 and 3 as their bytes come in.

use std::ops::Range;

use super::Value;

/// What a stranger may have us hold. Beyond it, the stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one value on the wire, with all that lies in it.
    pub bytes_max: usize,
    /// Values in one value, itself included.
    pub values_max: usize,
    /// Arrays in arrays.
    pub depth_max: usize,
}

impl Limits {
    /// For replies of a server that we chose. 64 MiB: ten thousand records of calls at once, in one `Due` or `Owned`.
    pub const REPLIES: Limits = Limits { bytes_max: 64 << 20, values_max: 1 << 20, depth_max: 8 };
}

/// Bytes of a line: a number, a status, an error. Redis writes errors of some hundred bytes.
const LINE_MAX: usize = 4096;

/// The stream breaks RESP or a limit. What follows it cannot be understood: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A value begins with this byte.
    Type(u8),
    /// A length or a number is none.
    Number,
    /// A line or a byte string does not end where it must.
    End,
    /// A limit is passed.
    TooLong,
}

/// An array that is not complete yet.
#[derive(Debug)]
struct Frame {
    push: bool,
    values: Vec<Value>,
    left: usize,
}

/// Bytes in, values out.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    bytes: Vec<u8>,
    /// What of `bytes` is read already.
    start: usize,
    /// Where to look for the end of a line: there is none before.
    looked_at: usize,
    frames: Vec<Frame>,
    /// Bytes and values of the value that is being read.
    value_bytes: usize,
    value_count: usize,
}

impl Reader {
    pub fn new(limits: Limits) -> Reader {
        Reader {
            limits,
            bytes: Vec::new(),
            start: 0,
            looked_at: 0,
            frames: Vec::new(),
            value_bytes: 0,
            value_count: 0,
        }
    }

    /// Takes bytes from the stream. Whoever feeds must take all values ([`Reader::read`]) before feeding again: so no more is
    /// held than one value and what was fed last.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
        } else if self.start > 0 {
            self.bytes.drain(..self.start);
        }
        self.looked_at -= self.start.min(self.looked_at);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing is held: neither bytes nor a part of a value.
    pub fn is_idle(&self) -> bool {
        self.start == self.bytes.len() && self.frames.is_empty()
    }

    /// Gives back what is more than this number of bytes, if nothing is held. For a connection that rests.
    pub fn shrink(&mut self, kept_bytes: usize) {
        if self.is_idle() && self.bytes.capacity() > kept_bytes {
            (self.bytes, self.start, self.looked_at) = (Vec::new(), 0, 0);
        }
    }

    /// The next value; `None`: it is not complete yet.
    pub fn read(&mut self) -> Result<Option<Value>, Malformed> {
        loop {
            let Some(value) = self.simple()? else { return Ok(None) };
            if let Some(whole) = self.place(value) {
                (self.value_bytes, self.value_count) = (0, 0);
                return Ok(Some(whole));
            }
        }
    }

    /// Puts a value into the array that it belongs to. A value that belongs to none is whole.
    fn place(&mut self, part: Part) -> Option<Value> {
        let mut value = match part {
            Part::Open(frame) => {
                self.frames.push(frame);
                return None;
            }
            Part::Value(value) => value,
        };
        while let Some(frame) = self.frames.last_mut() {
            frame.values.push(value);
            frame.left -= 1;
            if frame.left > 0 {
                return None;
            }
            let frame = self.frames.pop()?;
            value = if frame.push { Value::Push(frame.values) } else { Value::Array(frame.values) };
        }
        Some(value)
    }

    /// A value that is no array, or the head of an array.
    fn simple(&mut self) -> Result<Option<Part>, Malformed> {
        let Some(line) = self.line()? else { return Ok(None) };
        let next = line.end + 2;
        let Some((&kind, line)) = self.bytes[line].split_first() else {
            return Err(Malformed::End);
        };
        let text = || String::from_utf8_lossy(line).into_owned().into_boxed_str();
        let part = match kind {
            b'+' | b',' | b'(' => Part::Value(Value::Status(text())),
            b'-' => Part::Value(Value::Error(text())),
            b':' => Part::Value(Value::Integer(integer(line)?)),
            b'#' => Part::Value(Value::Integer(i64::from(line == b"t"))),
            b'_' => Part::Value(Value::Nil),
            b'$' | b'=' | b'!' => {
                let Some(length) = length(line)? else {
                    return Ok(Some(self.taken(next, Part::Value(Value::Nil))?));
                };
                self.fits(next - self.start + length.saturating_add(2))?;
                let Some(bytes) = self.bytes.get(next..next + length + 2) else { return Ok(None) };
                let Some(bytes) = bytes.strip_suffix(b"\r\n") else { return Err(Malformed::End) };
                let value = match kind {
                    b'!' => Value::Error(String::from_utf8_lossy(bytes).into_owned().into()),
                    // The format of the text and a colon come first.
                    b'=' => Value::Bytes(bytes.get(4..).ok_or(Malformed::End)?.into()),
                    _ => Value::Bytes(bytes.into()),
                };
                return Ok(Some(self.taken(next + length + 2, Part::Value(value))?));
            }
            b'*' | b'~' | b'>' | b'%' => {
                let Some(length) = length(line)? else {
                    return Ok(Some(self.taken(next, Part::Value(Value::Nil))?));
                };
                let left = if kind == b'%' { length.saturating_mul(2) } else { length };
                self.opens(kind == b'>', left)?
            }
            other => return Err(Malformed::Type(other)),
        };
        Ok(Some(self.taken(next, part)?))
    }

    fn opens(&self, push: bool, left: usize) -> Result<Part, Malformed> {
        if left > self.limits.values_max.saturating_sub(self.value_count)
            || self.frames.len() >= self.limits.depth_max
        {
            return Err(Malformed::TooLong);
        }
        match left {
            0 if push => Ok(Part::Value(Value::Push(Vec::new()))),
            0 => Ok(Part::Value(Value::Array(Vec::new()))),
            // A stranger may announce more than ever comes.
            _ => Ok(Part::Open(Frame { push, values: Vec::with_capacity(left.min(64)), left })),
        }
    }

    /// Notes that a part ends at `next`.
    fn taken(&mut self, next: usize, part: Part) -> Result<Part, Malformed> {
        self.fits(next - self.start)?;
        self.value_bytes += next - self.start;
        self.value_count += 1;
        if self.value_count > self.limits.values_max {
            return Err(Malformed::TooLong);
        }
        (self.start, self.looked_at) = (next, next);
        Ok(part)
    }

    fn fits(&self, more: usize) -> Result<(), Malformed> {
        let left = self.limits.bytes_max.saturating_sub(self.value_bytes);
        if more > left { Err(Malformed::TooLong) } else { Ok(()) }
    }

    /// Where the first line that is not read lies, without its two last bytes. `None`: it has not ended yet.
    fn line(&mut self) -> Result<Option<Range<usize>>, Malformed> {
        let from = self.looked_at.max(self.start);
        let Some(end) = self.bytes[from..].iter().position(|byte| *byte == b'\n') else {
            self.looked_at = self.bytes.len();
            let long = self.bytes.len() - self.start > LINE_MAX;
            return if long { Err(Malformed::TooLong) } else { Ok(None) };
        };
        let end = from + end;
        // A byte string that is not complete yet is looked at again from its line.
        self.looked_at = end;
        if end - self.start > LINE_MAX {
            return Err(Malformed::TooLong);
        }
        if end == self.start || self.bytes[end - 1] != b'\r' {
            return Err(Malformed::End);
        }
        Ok(Some(self.start..end - 1))
    }
}

enum Part {
    Value(Value),
    Open(Frame),
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(Malformed::Number)
}

/// `None`: the value is nil.
fn length(line: &[u8]) -> Result<Option<usize>, Malformed> {
    match integer(line)? {
        -1 => Ok(None),
        // No value of this length is taken; see `Limits`.
        length if length > i64::from(u32::MAX) => Err(Malformed::TooLong),
        length => usize::try_from(length).map(Some).map_err(|_| Malformed::Number),
    }
}
