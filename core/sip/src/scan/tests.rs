//! The kinds of bytes against the table of them, and the ends of lines however they lie in blocks.

use proptest::prelude::*;

use super::*;

#[test]
fn the_kinds_are_those_of_the_table() {
    for byte in 0..=u8::MAX {
        for place in 0..16 {
            let mut chunk = [b'a'; 16];
            chunk[place] = byte;
            let bit = |stop: bool| u32::from(stop) << place;
            assert_eq!(kinds::byte(&chunk, byte) >> place & 1, 1, "byte {byte:#x}");
            assert_eq!(kinds::byte(&chunk, b'@'), bit(byte == b'@'), "at {byte:#x}");
            assert_eq!(kinds::digits(&chunk), bit(byte.is_ascii_digit()), "digit {byte:#x}");
            assert_eq!(kinds::not_visible(&chunk), bit(!is_visible(byte)), "visible {byte:#x}");
            assert_eq!(kinds::no_value(&chunk), bit(!is_value(byte)), "value {byte:#x}");
            assert_eq!(kinds::no_uri(&chunk), bit(!is_uri(byte)), "uri {byte:#x}");
            assert_eq!(kinds::no_host(&chunk), bit(!is_host(byte)), "host {byte:#x}");
        }
    }
}

fn check(given: &str, at: usize, expected: usize) {
    assert_eq!(value_end(given.as_bytes(), at), expected, "{given} from {at}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn wide_and_narrow_registers_see_the_same() {
    let block = std::array::from_fn(|at| b"\r\nx\0\n\t\x8D\x7F\x1F !"[at * 7 / 3 % 11]);
    if is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has AVX2.
        assert_eq!(unsafe { vectors::line_ends_wide(&block) }, kinds::line_ends(&block));
    }
}

#[test]
fn ends_at_every_length() {
    for length in 0..70 {
        let plain = "x".repeat(length);
        for at in 0..=length {
            check(&plain, at, length);
            check(&format!("{plain};yyyyyyyyyyyyyyyyyyyy"), at, length);
            check(&format!(";{plain};"), at + 1, length + 1);
        }
    }
    assert_eq!(host_end(b"client.atlanta.example.com:5060", 0), 26);
    assert_eq!(uri_end(b"sip:a@b;c,d>;tag=x,y", 0), 11);
}

/// Both ways of looking, which must see the same.
fn head_of(bytes: &[u8]) -> (Vec<u32>, HeadEnd) {
    let (mut ends, mut plain_ends) = (vec![7], vec![]);
    let end = line_ends(bytes, &mut ends);
    assert_eq!(head(bytes, &mut plain_ends, kinds::line_ends), end);
    assert_eq!(plain_ends, ends);
    (ends, end.0)
}

proptest! {
    #[test]
    fn line_ends_are_all_found(
        lines in prop::collection::vec("[a-z]{1,90}", 0..12), rest in "[a-z]{0,9}", empty in any::<bool>()
    ) {
        let mut text = String::new();
        let mut expected = vec![];
        for line in lines {
            text.push_str(&line);
            text.push_str("\r\n");
            expected.push(text.len() as u32);
        }
        let mut end = HeadEnd::Open;
        if empty && !expected.is_empty() {
            text.push_str("\r\n");
            expected.push(text.len() as u32);
            end = HeadEnd::EmptyLine(text.len());
        }
        text.push_str(&rest);
        prop_assert_eq!(head_of(text.as_bytes()), (expected.clone(), end));
        if empty && !expected.is_empty() {
            // The body may be anything.
            text.push_str("\n\r.\r\n\r\n");
            prop_assert_eq!(head_of(text.as_bytes()), (expected, end));
        }
    }

    #[test]
    fn a_line_end_that_is_none_stops(before in 0usize..150, behind in 0usize..90, which in 0..2) {
        let lone = [b'\r', b'\n'][which as usize];
        let mut bytes = b"abc\r\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', before));
        bytes.push(lone);
        bytes.extend(std::iter::repeat_n(b'y', behind + 1));
        bytes.extend_from_slice(b"\r\nz\r\n\r\n");
        let (ends, end) = head_of(&bytes);
        prop_assert_eq!(ends, [5]);
        prop_assert!(matches!(end, HeadEnd::Broken(at) if at == 5 + before || at == 6 + before));
    }
}

#[test]
fn control_characters_of_the_head_are_seen() {
    for byte in 0..=u8::MAX {
        for before in [0, 1, 14, 15, 16, 31, 32, 62, 63, 64, 90] {
            let mut bytes = b"abc\r\n".to_vec();
            bytes.extend(std::iter::repeat_n(b'x', before));
            bytes.extend([byte, b'y', b'\r', b'\n', b'\r', b'\n', 0]);
            let (mut ends, mut plain_ends) = (vec![], vec![]);
            let seen = line_ends(&bytes, &mut ends);
            assert_eq!(seen, head(&bytes, &mut plain_ends, kinds::line_ends));
            if !matches!(byte, b'\r' | b'\n') {
                assert_eq!(seen, (HeadEnd::EmptyLine(bytes.len() - 1), byte.is_ascii_control()), "{byte:#x}");
            }
        }
    }
}
