//! The tag and the hop that come back from outside: any bytes as one, and a good one with one byte changed.

#![no_main]

use lb::signed::tag::{Direction, Tag};
use lb::signed::hop::Hop;
use lb::signed::keyring::KeyRing;
use lb::settings::Keys;
use lb::farm::server::ServerId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let keys = KeyRing::new(&Keys { tag: vec![(1, [7; 16].into()), (2, [9; 16].into())], heartbeat: None });
    let Some(([at, value, server @ ..], rest)) = bytes.split_first_chunk::<6>() else { return };
    let (from_tag, call_id) = rest.split_at(rest.len() / 2);
    let call = keys.call(call_id);
    assert_eq!(Tag::read(&keys, rest, call, call_id), None);
    assert!(Hop::read(&keys, rest, call_id).is_none());

    let tag = Tag::new(&keys, ServerId(u32::from_be_bytes(*server)), Direction::ToServer, from_tag, None);
    let mut text = Vec::new();
    tag.write(&keys, call, call_id, &mut text);
    assert!(text.iter().all(u8::is_ascii_graphic));
    assert_eq!(Tag::read(&keys, &text, call, call_id), Some(tag));
    assert_eq!(tag.direction(&keys, from_tag), Direction::ToServer);

    // A changed character is refused, or stands for the same bits.
    let at = usize::from(*at) % text.len();
    text[at] = *value;
    assert!(Tag::read(&keys, &text, call, call_id).is_none_or(|read| read == tag));
    assert_eq!(Tag::read(&keys, &text[..at], call, call_id), None);
});
