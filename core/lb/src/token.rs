//! Bytes as a SIP token: base64 with `-` and `_` and without padding (RFC 4648 §5), all of them token characters.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const fn values() -> [u8; 256] {
    let mut values = [0xFF; 256];
    let mut index = 0;
    while index < 64 {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
}

const VALUES: [u8; 256] = values();

/// Bytes in the longest token that is made at once; all of ours are shorter.
const BYTES_AT_ONCE: usize = 48;

/// Appends `bytes` as a token of ⌈4·n/3⌉ characters.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.chunks(BYTES_AT_ONCE) {
        let mut text = [0u8; BYTES_AT_ONCE / 3 * 4];
        let groups = part.chunks_exact(3);
        let rest = groups.remainder();
        for (group, place) in groups.zip(text.chunks_exact_mut(4)) {
            place.copy_from_slice(&characters([group[0], group[1], group[2]]));
        }
        let whole = part.len() / 3 * 4;
        if !rest.is_empty() {
            let group = [rest[0], rest.get(1).copied().unwrap_or(0), 0];
            text[whole..whole + 4].copy_from_slice(&characters(group));
        }
        let length = whole + [0, 2, 3][rest.len()];
        out.extend_from_slice(&text[..length]);
    }
}

#[inline]
fn characters(group: [u8; 3]) -> [u8; 4] {
    let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63])
}

/// Reads a token into `bytes`; the count read, or `None` when it is no such token, too long, or not what [`write()`]
/// makes of those bytes (so that one value has one form).
pub fn read(token: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let whole = token.len() / 4 * 3;
    let rest = match token.len() % 4 {
        0 => 0,
        1 => return None,
        characters => characters - 1,
    };
    let place = bytes.get_mut(..whole + rest)?;
    // 0xFF marks what is no character of the alphabet; no value has the two high bits otherwise.
    let mut seen = 0u8;
    let groups = token.chunks_exact(4);
    let last = groups.remainder();
    for (group, place) in groups.zip(place.chunks_exact_mut(3)) {
        let values = [group[0], group[1], group[2], group[3]].map(|character| VALUES[usize::from(character)]);
        seen |= values[0] | values[1] | values[2] | values[3];
        place.copy_from_slice(&join(values));
    }
    if rest > 0 {
        let value = |at: usize| last.get(at).map_or(0, |character| VALUES[usize::from(*character)]);
        let values = [value(0), value(1), value(2), 0];
        seen |= values[0] | values[1] | values[2];
        let group = join(values);
        if group[rest..].iter().any(|beyond| *beyond != 0) {
            return None;
        }
        place[whole..].copy_from_slice(&group[..rest]);
    }
    (seen & 0xC0 == 0).then_some(whole + rest)
}

#[inline]
fn join(values: [u8; 4]) -> [u8; 3] {
    let bits = values.iter().fold(0u32, |bits, value| bits << 6 | u32::from(value & 63));
    [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in 0..120usize {
            let bytes: Vec<u8> = (0..length as u8).map(|byte| byte.wrapping_mul(37)).collect();
            let mut token = Vec::new();
            write(&bytes, &mut token);
            let mut back = [0u8; 120];
            assert_eq!(read(&token, &mut back), Some(length));
            assert_eq!(back[..length], bytes);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let mut place = [0u8; 4];
        for token in [&b"A"[..], b"AB=", b"AB C", b"AAAAAAAA", b"AB\xFF", b"AB"].iter().take(5) {
            assert_eq!(read(token, &mut place), None, "{token:?}");
        }
        // The last bits of a short group are zero, or two tokens would say the same.
        assert_eq!(read(b"AB", &mut place), None);
        assert_eq!(read(b"AA", &mut place), Some(1));
    }
}
