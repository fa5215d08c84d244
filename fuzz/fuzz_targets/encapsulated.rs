//! Any bytes as an encapsulated response, and a good one with one byte changed.

#![no_main]

use lb::way::encapsulated::{NextHop, read, write};
use libfuzzer_sys::fuzz_target;
use sip::Transport;

const KEY: &[u8] = b"a key that no input is made with";

fuzz_target!(|bytes: &[u8]| {
    assert!(read(bytes, KEY).is_err());
    assert!(read(&[b"ENCAPSULATED ", bytes].concat(), KEY).is_err());
    let Some(([ip @ .., p0, p1, at, value], response)) = bytes.split_first_chunk::<8>() else { return };
    let port = u16::from_be_bytes([*p0, *p1]).max(1);
    let address = (std::net::IpAddr::from(*ip), port).into();
    let mut text = Vec::new();
    write(NextHop { address, transport: Transport::Tcp }, response, KEY, &mut text);
    match read(&text, KEY) {
        Ok(good) => {
            assert_eq!(&text[good.response.clone()], response);
            assert_eq!(good.next_hop.address, address);
        }
        Err(_) => assert!(address.ip().is_unspecified() || address.ip().is_multicast()),
    }
    let at = usize::from(*at) % text.len();
    if text[at] != *value {
        text[at] = *value;
        assert!(read(&text, KEY).is_err());
    }
});
