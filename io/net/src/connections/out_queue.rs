//! Messages of one connection that could not be written at once.

use std::collections::VecDeque;

use base::Time;
use sip::Target;

/// A message that was not written, or not completely.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The end of the message, counted in bytes since the queue was made.
    end: u64,
    pub(crate) target: Option<Target>,
    /// The same message for UDP, if the stream cannot be opened.
    pub(crate) fallback: Option<(Box<[u8]>, Target)>,
}

/// Exists only while something waits, so that an idle connection costs nothing for it.
#[derive(Debug)]
pub(crate) struct OutQueue {
    bytes: Vec<u8>,
    /// Bytes at the front of `bytes` that are already written.
    written: usize,
    /// Bytes that were written and removed from `bytes`.
    gone: u64,
    messages: VecDeque<Waiting>,
    fallback_bytes: usize,
    /// When the peer last took a byte, or when the queue was made.
    pub(crate) moved: Time,
}

impl OutQueue {
    pub(crate) fn new(now: Time) -> OutQueue {
        OutQueue {
            bytes: Vec::new(),
            written: 0,
            gone: 0,
            messages: VecDeque::new(),
            fallback_bytes: 0,
            moved: now,
        }
    }

    /// Waiting bytes, including those of fallbacks.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() - self.written + self.fallback_bytes
    }

    /// Bytes of memory for these.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.fallback_bytes
    }

    /// Adds a message, or the rest of one, in parts. False: there is no memory. `target` is `None` for bytes whose loss
    /// nobody needs to know, such as an answer to a keep-alive.
    pub(crate) fn push(
        &mut self,
        rest: &[&[u8]],
        target: Option<Target>,
        fallback: Option<(&[u8], Target)>,
    ) -> bool {
        if self.bytes.try_reserve(rest.iter().map(|part| part.len()).sum()).is_err() {
            return false;
        }
        rest.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let fallback = fallback.map(|(bytes, to)| (Box::from(bytes), to));
        self.fallback_bytes += fallback.as_ref().map_or(0, |(bytes, _): &(Box<[u8]>, _)| bytes.len());
        self.messages.push_back(Waiting { end: self.gone + self.bytes.len() as u64, target, fallback });
        true
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// The peer took this many bytes. Returns how many messages that completed.
    pub(crate) fn advance(&mut self, bytes: usize, now: Time) -> u64 {
        self.written += bytes;
        self.moved = now;
        let position = self.gone + self.written as u64;
        let mut completed = 0;
        while let Some(message) = self.messages.front().filter(|message| message.end <= position) {
            self.fallback_bytes -= message.fallback.as_ref().map_or(0, |(bytes, _)| bytes.len());
            completed += u64::from(message.target.is_some());
            self.messages.pop_front();
        }
        // Written bytes are removed when they are the larger part, so that each byte moves at most once on average.
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.gone = position;
            self.written = 0;
        }
        completed
    }

    /// The unwritten bytes of each message.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&[u8], &Waiting)> {
        let mut at = self.gone + self.written as u64;
        self.messages.iter().map(move |message| {
            let from = (at - self.gone) as usize;
            at = message.end;
            (self.bytes.get(from..(at - self.gone) as usize).unwrap_or_default(), message)
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// The messages that were not completely written.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = Waiting> {
        self.messages.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> Target {
        Target::Stream { listener: 0, to: ([127, 0, 0, 1], port).into() }
    }

    #[test]
    fn whole_messages_are_counted_and_the_rest_is_returned() {
        let mut queue = OutQueue::new(Time::ZERO);
        queue.push(&[b"fi", b"rst"], Some(target(1)), None);
        queue.push(&[b"\r\n"], None, None);
        queue.push(&[b"second"], Some(target(2)), Some((b"for udp", target(3))));
        assert_eq!(queue.unwritten(), b"first\r\nsecond");
        assert_eq!(queue.advance(4, Time::from_secs(1)), 0);
        assert_eq!(queue.advance(5, Time::from_secs(1)), 1);
        assert_eq!(queue.unwritten(), b"cond");
        assert_eq!(queue.size(), 4 + 7);
        let parts: Vec<_> = queue.parts().map(|(bytes, message)| (bytes, message.target)).collect();
        assert_eq!(parts, [(&b"cond"[..], Some(target(2)))]);
        let left: Vec<_> = queue.into_messages().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].target, Some(target(2)));
        assert_eq!(left[0].fallback.as_ref().unwrap().1, target(3));
    }

    #[test]
    fn byte_by_byte_it_empties() {
        let mut queue = OutQueue::new(Time::ZERO);
        for port in 0..50 {
            queue.push(&[b"message"], Some(target(port)), Some((b"x", target(port))));
        }
        let mut completed = 0;
        for _ in 0..350 {
            assert!(!queue.is_empty());
            completed += queue.advance(1, Time::ZERO);
        }
        assert!(queue.is_empty() && queue.size() == 0);
        assert_eq!(completed, 50);
    }
}
