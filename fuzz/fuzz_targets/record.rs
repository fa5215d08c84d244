//! Records as the store gives them, and the heads of records: what is read can be written, and is read again as the same. Tags and branches that come back from outside.

#![no_main]

use engine::FarmSecret;
use engine::names::{Branch, Tag};
use engine::record::Record;
use libfuzzer_sys::fuzz_target;
use state::{Header, Stamp};

fuzz_target!(|bytes: &[u8]| {
    // Most inputs would be refused for their head.
    let mut with_head = Vec::new();
    Header { format: state::FORMAT, least_reader: 1, ..Header::default() }.write(&mut with_head);
    with_head.extend_from_slice(bytes);
    for given in [bytes, &with_head] {
        assert_eq!(Stamp::of(given).is_some(), given.len() >= Stamp::BYTES);
        if let Ok(record) = Record::read(given) {
            // The first write gives it the format of this build.
            let first = written(&record);
            let read = Record::read(&first).expect("what was written is a record");
            assert_eq!(read.legs, record.legs);
            assert_eq!(written(&read), first);
        }
    }
    let secret = FarmSecret::new([7; 32]);
    let (tag, call_id) = bytes.split_at(bytes.len().min(Tag::LENGTH));
    assert_eq!(Tag::read(&secret, tag, call_id), None);
    if let Some(branch) = Branch::read(bytes) {
        assert!(branch.text().eq_ignore_ascii_case(bytes));
    }
});

fn written(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}
