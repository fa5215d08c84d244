//! Byte classes of the grammar (RFC 3261 §25.1), in one table, so that each scan costs one look per byte.

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const LWS: u8 = 4;
const URI: u8 = 8;
const HOST: u8 = 16;
const VISIBLE: u8 = 32;

/// What each byte may be part of.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = byte as u8;
        if letter.is_ascii_alphanumeric() || is_one_of(letter, b"-.!%*_+`'~") {
            table[byte] |= TOKEN;
        }
        if letter.is_ascii_alphanumeric() || is_one_of(letter, b"-._") {
            table[byte] |= HOST;
        }
        if letter > b' ' && letter != 0x7F {
            table[byte] |= VISIBLE;
            if !is_one_of(letter, b";,\"<>") {
                table[byte] |= VALUE;
            }
            if !is_one_of(letter, b"\"<>") {
                table[byte] |= URI;
            }
        }
        if is_one_of(letter, b" \t\r\n") {
            table[byte] |= LWS;
        }
        byte += 1;
    }
    table
}

const fn is_one_of(byte: u8, list: &[u8]) -> bool {
    let mut at = 0;
    while at < list.len() {
        if list[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// A byte of a `token`: method, field name, parameter name.
pub(crate) fn is_token(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// A byte of an unquoted parameter value. Wider than the grammar: branches and tags in use hold `=`, `@`, `/` and
/// bytes above 127, which are harmless as long as no separator is among them.
pub(crate) fn is_value(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & VALUE != 0
}

/// White space, and the line ends of a fold.
pub(crate) fn is_lws(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & LWS != 0
}

/// A byte that may be unescaped in a URI; bytes above 127 are accepted as they are.
pub(crate) fn is_uri(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & URI != 0
}

/// Neither white space nor a control character.
pub(crate) fn is_visible(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & VISIBLE != 0
}

/// A byte of a host name; underscores are in use though no host name has them.
pub(crate) fn is_host(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & HOST != 0
}
