//! Any bytes as a heartbeat and as a load query, with and without a key: no panic, and what is believed is encoded again to
//! what is believed.
#![no_main]

use heartbeat::{Heartbeat, Query};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"a key that no input is signed with";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(heartbeat) = Heartbeat::decode(bytes, None) {
        let again = heartbeat.encode(Some(KEY));
        assert_eq!(Heartbeat::decode(&again, Some(KEY)), Ok(heartbeat));
    }
    assert!(Heartbeat::decode(bytes, Some(KEY)).is_err());
    if let Ok(query) = Query::decode(bytes, None) {
        assert_eq!(Query::decode(&query.encode(Some(KEY)), Some(KEY)), Ok(query));
    }
});
