//! What another build would write in the place of some bytes: a newer one has values that this one does not know, and an older
//! one lacks some. For the tests of all that is written so.

use super::{HEAD_BYTES, Reader, Writer};

/// A name that nothing has.
const UNKNOWN: u8 = 255;

/// With an unknown value before all others, in every group.
pub fn newer(bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.text(UNKNOWN, "what only a newer build knows");
    for (name, value) in Reader(bytes).values() {
        match is_group(value) {
            true => writer.bytes(name, &newer(value)),
            false => writer.bytes(name, value),
        }
    }
    writer.into_bytes()
}

/// Without one of the values, in any group: each of them in turn.
pub fn older(bytes: &[u8]) -> Vec<Vec<u8>> {
    let values: Vec<(u8, &[u8])> = Reader(bytes).values().collect();
    let mut all = Vec::new();
    for (at, (name, value)) in values.iter().enumerate() {
        let with = |instead: Option<&[u8]>| {
            let mut writer = Writer::default();
            values[..at].iter().for_each(|(name, value)| writer.bytes(*name, value));
            instead.iter().for_each(|value| writer.bytes(*name, value));
            values[at + 1..].iter().for_each(|(name, value)| writer.bytes(*name, value));
            writer.into_bytes()
        };
        all.push(with(None));
        if is_group(value) {
            all.extend(older(value).iter().map(|value| with(Some(value))));
        }
    }
    all
}

/// Other bytes look like values only by chance.
fn is_group(bytes: &[u8]) -> bool {
    let whole: usize = Reader(bytes).values().map(|(_, value)| HEAD_BYTES + value.len()).sum();
    !bytes.is_empty() && whole == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_one_more_or_some_group_one_less() {
        let mut writer = Writer::default();
        writer.number(1, 7);
        writer.group(2, |within| {
            within.text(1, "text");
            within.group(3, |within| within.flag(4, true));
        });
        let bytes = writer.into_bytes();
        let more = newer(&bytes);
        let within = Reader(&more).group(2).unwrap();
        let inmost = within.group(3).unwrap();
        assert_eq!((Reader(&more).number(1), within.text(1), inmost.flag(4)), (Some(7), Some("text"), true));
        assert!([Reader(&more), within, inmost].iter().all(|group| group.get(UNKNOWN).is_some()));
        let less = older(&bytes);
        let lacks: Vec<_> = less
            .iter()
            .map(|bytes| {
                let within = Reader(bytes).group(2);
                let inmost = within.and_then(|within| within.group(3));
                (
                    Reader(bytes).get(1).is_none(),
                    within.is_none_or(|within| within.get(1).is_none()),
                    inmost.is_none(),
                    inmost.is_none_or(|inmost| !inmost.flag(4)),
                )
            })
            .collect();
        let wanted = [
            (true, false, false, false),
            (false, true, true, true),
            (false, true, false, false),
            (false, false, true, true),
            (false, false, false, true),
        ];
        assert_eq!(lacks, wanted);
    }
}
