//! Changes to a received message as anchored inserts and deletes, written once into the send buffer.
//!
//! The received buffer stays as it is. Every byte that no edit names is forwarded as it came.

use std::ops::Range;

use crate::work;

/// A list of changes, reused from message to message.
///
/// Edits at the same offset are applied in the order they were made; deletes must not overlap.
#[derive(Debug, Default)]
pub struct Edits {
    pieces: Vec<Piece>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u32,
    delete: u32,
    insert_start: u32,
    insert_end: u32,
}

impl Edits {
    pub fn new() -> Edits {
        Edits::default()
    }

    pub fn clear(&mut self) {
        self.pieces.clear();
        self.text.clear();
    }

    pub fn delete(&mut self, range: Range<u32>) {
        self.replace(range, |_| {});
    }

    /// Inserts the text that `write` appends before the byte at offset `at`.
    pub fn insert(&mut self, at: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace(at..at, write);
    }

    pub fn replace(&mut self, range: Range<u32>, write: impl FnOnce(&mut Vec<u8>)) {
        let insert_start = self.text.len() as u32;
        write(&mut self.text);
        let insert_end = self.text.len() as u32;
        let delete = range.end.saturating_sub(range.start);
        match self.pieces.last_mut() {
            // After an insert at the same place: one piece holds both.
            Some(last) if last.at == range.start && last.delete == 0 => {
                (last.delete, last.insert_end) = (delete, insert_end);
            }
            _ => self.pieces.push(Piece { at: range.start, delete, insert_start, insert_end }),
        }
    }

    /// Appends `original[..end]` with all changes to `out`. A change after `end` is made at the end.
    pub fn write_into(&mut self, original: &[u8], end: u32, out: &mut Vec<u8>) {
        self.sort();
        let original = &original[..(end as usize).min(original.len())];
        out.reserve(original.len() + self.text.len());
        let mut written = 0;
        for piece in &self.pieces {
            work::step();
            let at = (piece.at as usize).min(original.len());
            if at > written {
                out.extend_from_slice(&original[written..at]);
                written = at;
            }
            out.extend_from_slice(&self.text[piece.insert_start as usize..piece.insert_end as usize]);
            written = written.max((at + piece.delete as usize).min(original.len()));
        }
        out.extend_from_slice(&original[written..]);
    }

    /// By offset, in the order of insertion for equal offsets. An insertion sort while the list is short, as it is for
    /// nearly every message. A stranger can make the list long by fields that are removed.
    fn sort(&mut self) {
        if self.pieces.len() > SHORT {
            return self.pieces.sort_by_key(|piece| {
                work::step();
                piece.at
            });
        }
        for next in 1..self.pieces.len() {
            let piece = self.pieces[next];
            let mut place = next;
            while place > 0 && self.pieces[place - 1].at > piece.at {
                work::step();
                self.pieces[place] = self.pieces[place - 1];
                place -= 1;
            }
            self.pieces[place] = piece;
        }
    }
}

/// Up to this many changes, insertion is as good as any other sort; only a message with many fields chosen by a stranger
/// gets more.
const SHORT: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Change = (Range<u32>, &'static str);

    fn check(original: &str, changes: &[Change], expected: &str) {
        let mut edits = Edits::new();
        for (range, text) in changes {
            edits.replace(range.clone(), |out| out.extend_from_slice(text.as_bytes()));
        }
        let mut out = b"> ".to_vec();
        edits.write_into(original.as_bytes(), original.len() as u32, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("> {expected}"));
    }

    #[test]
    fn changes_in_any_order() {
        check("abcdef", &[], "abcdef");
        check("abcdef", &[(0..0, "x"), (6..6, "y")], "xabcdefy");
        check("abcdef", &[(4..6, "y"), (1..2, "")], "acdy");
        check("abcdef", &[(2..2, "1"), (2..4, "2"), (2..2, "3")], "ab123ef");
        check("abcdef", &[(0..3, ""), (3..6, "")], "");
        check("abcdef", &[(9..12, "y")], "abcdefy");
    }

    #[test]
    fn trailing_octets_are_left_out() {
        let mut out = Vec::new();
        Edits::new().write_into(b"messagetrailing", 7, &mut out);
        assert_eq!(out, b"message");
    }

    /// Byte by byte: before each, what is inserted there; then the byte, unless a delete covers it.
    fn naive(original: &[u8], changes: &[(Range<u32>, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for at in 0..=original.len() as u32 {
            for (_, text) in changes.iter().filter(|(range, _)| range.start == at) {
                out.extend_from_slice(text);
            }
            if at < original.len() as u32 && !changes.iter().any(|(range, _)| range.contains(&at)) {
                out.push(original[at as usize]);
            }
        }
        out
    }

    /// Changes whose deletes do not overlap, in mixed order: cut points in pairs are deletes, others inserts.
    fn changes(length: usize) -> impl Strategy<Value = Vec<(Range<u32>, Vec<u8>)>> {
        let end = length as u32;
        let points = prop::collection::btree_set(0..=end, 0..80);
        let inserts = prop::collection::vec((0..=end, prop::collection::vec(any::<u8>(), 0..5)), 0..40);
        let texts = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 40);
        (points, inserts, texts)
            .prop_map(|(points, inserts, texts)| {
                let points: Vec<u32> = points.into_iter().collect();
                let deletes = points.chunks_exact(2).zip(texts).map(|(pair, text)| (pair[0]..pair[1], text));
                deletes.chain(inserts.into_iter().map(|(at, text)| (at..at, text))).collect()
            })
            .prop_flat_map(|changes: Vec<_>| Just(changes).prop_shuffle())
    }

    proptest! {
        #[test]
        fn equals_the_naive_application(
            (original, changes) in prop::collection::vec(any::<u8>(), 0..60)
                .prop_flat_map(|original| { let changes = changes(original.len()); (Just(original), changes) })
        ) {
            let mut edits = Edits::new();
            for (range, text) in &changes {
                edits.replace(range.clone(), |out| out.extend_from_slice(text));
            }
            let mut out = Vec::new();
            edits.write_into(&original, original.len() as u32, &mut out);
            prop_assert_eq!(out, naive(&original, &changes));
        }
    }
}
