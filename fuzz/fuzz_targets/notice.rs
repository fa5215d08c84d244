//! Any bytes as a batch of notices of another load manager: no panic, nothing believed without the key; and what is sound but
//! for its authenticator is read without a panic once it is signed.
#![no_main]

use heartbeat::notice::{Disbelieved, NOTICES_MAX, Notice, Senders, What, decode, encode};
use libfuzzer_sys::fuzz_target;

const KEY: (u8, &[u8]) = (1, b"a key that no input is signed with");

fuzz_target!(|bytes: &[u8]| {
    assert!(decode(bytes, |_| Some(KEY.1)).is_err());
    let _ = decode(bytes, |id| (id == 0).then_some(KEY.1));
    // The same bytes as content: whatever is signed comes back as it was.
    let notices: Vec<Notice> = bytes
        .chunks_exact(13)
        .take(NOTICES_MAX)
        .map(|part| Notice {
            call: u64::from_le_bytes(part[..8].try_into().unwrap()),
            server: u32::from_le_bytes(part[8..12].try_into().unwrap()),
            what: [What::Begun, What::Moved, What::Ringing, What::Answered, What::Over][usize::from(part[12] % 5)],
        })
        .collect();
    let (mut signed, mut senders) = (Vec::new(), Senders::default());
    let count = bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    encode(7, count, &notices, KEY, &mut signed);
    let batch = decode(&signed, |id| (id == KEY.0).then_some(KEY.1)).expect("ours");
    assert_eq!(batch.notices().collect::<Vec<_>>(), notices);
    if senders.admit(count, &batch).is_ok() {
        assert_eq!(senders.admit(count, &batch), Err(Disbelieved::Replayed));
    }
});
