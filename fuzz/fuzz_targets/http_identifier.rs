//! The session's identifier in the head of an HTTP request: any target, header fields and cookies, and an identifier of ours in
//! each place where it may stand.
//!
//! Besides not panicking: no text passes for one that we signed, ours is found and nothing like it is, few are looked at, and the work
//! is in proportion to the head.

#![no_main]

use lb::farm::server::ServerId;
use lb::http::{Asked, Carrier, Head, Identifier, Names};
use lb::settings::Keys;
use lb::signed::keyring::KeyRing;
use lb::signed::tag::{Direction, Tag};
use libfuzzer_sys::fuzz_target;

/// Of the module: identifiers that are looked at, and the bytes of one.
const LOOKED_AT_MAX: u32 = 8;
const BYTES_MAX: usize = 512;
/// Steps of loops for each byte, and for each line.
const STEPS_PER_BYTE: u64 = 8;
const STEPS_PER_LINE: u64 = 64;

fuzz_target!(|bytes: &[u8]| {
    let keys = KeyRing::new(&Keys { tag: vec![(1, [7; 16].into())], heartbeat: None });
    // A line each: the target, a header field, cookies.
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let header: Vec<&[u8]> = lines.next().into_iter().collect();
    let cookies: Vec<&[u8]> = lines.collect();
    let head = Head { target: &target, header: &header, cookies: &cookies };

    let mut asked = Asked::default();
    let steps = sip::work::of(|| asked = read(&keys, head));
    let size = target.len() + bytes.len();
    let most = STEPS_PER_BYTE * size as u64 + STEPS_PER_LINE * (2 + cookies.len()) as u64;
    assert!(steps <= most, "{steps} steps of {size} bytes");
    assert_eq!(asked, read(&keys, head));
    assert!(asked.forged + u32::from(asked.who.is_some()) <= LOOKED_AT_MAX);
    if let Some((identifier, _, text)) = &asked.who {
        assert!((1..=BYTES_MAX).contains(&text.len()));
        assert_eq!(*identifier, Identifier::Opaque(text.clone()), "nobody has the key");
    }
    ours(&keys, bytes);
});

fn read(keys: &KeyRing, head: Head<'_>) -> Asked {
    let name = || "session".to_owned();
    Asked::read(keys, &Names { cookie: name(), header: name(), parameter: name() }, head)
}

/// A tag of ours for a Call-ID of these bytes, in every place; then with one character changed.
fn ours(keys: &KeyRing, bytes: &[u8]) {
    let Some(([at, value, server @ ..], rest)) = bytes.split_first_chunk::<6>() else { return };
    let honest = |byte: &&u8| byte.is_ascii_graphic() && **byte != b'$';
    let call_id: Vec<u8> = rest.iter().filter(honest).take(200).copied().collect();
    if call_id.is_empty() {
        return;
    }
    let tag = Tag::new(keys, ServerId(u32::from_be_bytes(*server)), Direction::ToServer, b"from", None);
    let mut text = Vec::new();
    tag.write(keys, keys.call(&call_id), &call_id, &mut text);
    let length = text.len();
    text.push(b'$');
    text.extend_from_slice(&call_id);
    let who = Identifier::Tagged { tag, id: call_id };
    everywhere(keys, &text, |asked, carrier| assert_eq!(asked.who, Some((who.clone(), carrier, text.clone()))));

    // A changed character is refused, or stands for the same bits.
    let mut changed = text.clone();
    changed[usize::from(*at) % length] = *value;
    everywhere(keys, &changed, |asked, _| match asked.who {
        Some((Identifier::Tagged { tag: read, .. }, ..)) => assert_eq!(read, tag),
        Some((Identifier::Opaque(_), ..)) | None => {}
    });
}

/// `text` in each place, its characters written as `%XX`.
fn everywhere(keys: &KeyRing, text: &[u8], check: impl Fn(Asked, Carrier)) {
    let escaped: String = text.iter().map(|byte| format!("%{byte:02x}")).collect();
    let (query, path) = (format!("/a?b=c&session={escaped}"), format!("/a;session={escaped}/b"));
    for target in [&query, &path] {
        check(read(keys, Head { target, header: &[], cookies: &[] }), Carrier::Parameter);
    }
    let cookie = format!("b=c; session=\"{escaped}\"");
    check(read(keys, Head { target: "/", header: &[], cookies: &[cookie.as_bytes()] }), Carrier::Cookie);
    // A header field is taken as it stands, without the blanks around it.
    if text.trim_ascii() == text {
        check(read(keys, Head { target: "/", header: &[text], cookies: &[] }), Carrier::Header);
    }
}
