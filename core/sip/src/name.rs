//! Names of header fields and methods, recognised by length and bytes: field names with one look into a table that is
//! made when this is compiled, and one comparison.

/// The header fields that the product asks for by name; compact forms (RFC 3261 §7.3.3) are the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Name {
    Via,
    Route,
    RecordRoute,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    MaxBreadth,
    Contact,
    ContentLength,
    ContentType,
    ProxyRequire,
    Require,
    Supported,
    RetryAfter,
    Expires,
    /// RFC 3891: the new call takes the place of another.
    Replaces,
    /// RFC 3911: the new call joins another.
    Join,
    /// `Strowger-Tag`, the tag for servers that echo header fields (SPEC C3).
    StrowgerTag,
    Other,
}

impl Name {
    /// How many names there are, `Other` included.
    pub(crate) const COUNT: usize = Name::Other as usize + 1;

    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// Field names are compared without regard to case (RFC 3261 §7.3.1).
    pub fn of(name: &[u8]) -> Name {
        let mut text = [0; LONGEST];
        match text.get_mut(..name.len()) {
            Some(place) => place.copy_from_slice(name),
            None => return Name::Other,
        }
        Name::of_first(&text, name.len())
    }

    /// The name that the first `length` bytes of `text` are; `Other` when they are more than it holds.
    #[inline(always)]
    pub(crate) fn of_first(text: &[u8; LONGEST], length: usize) -> Name {
        let Some(mask) = MASKS.get(length) else { return Name::Other };
        let folded = (u128::from_le_bytes(*text) | FOLD) & mask;
        let (known, name) = &TABLE[place(folded, length, MULTIPLIER)];
        // No two written names fold alike: setting bit 5 folds the letters; besides a hyphen, only a carriage return becomes
        // a hyphen by it, and none of those is in a field name. A longer name differs in its last byte.
        if *known == folded { *name } else { Name::Other }
    }
}

/// Bytes in the longest name that is looked at; all that are known are shorter.
pub(crate) const LONGEST: usize = 16;

/// Every known name as it is written, in lower case.
const WRITTEN: [(&[u8], Name); 28] = [
    (b"via", Name::Via),
    (b"v", Name::Via),
    (b"route", Name::Route),
    (b"record-route", Name::RecordRoute),
    (b"from", Name::From),
    (b"f", Name::From),
    (b"to", Name::To),
    (b"t", Name::To),
    (b"call-id", Name::CallId),
    (b"i", Name::CallId),
    (b"cseq", Name::CSeq),
    (b"max-forwards", Name::MaxForwards),
    (b"max-breadth", Name::MaxBreadth),
    (b"contact", Name::Contact),
    (b"m", Name::Contact),
    (b"content-length", Name::ContentLength),
    (b"l", Name::ContentLength),
    (b"content-type", Name::ContentType),
    (b"c", Name::ContentType),
    (b"proxy-require", Name::ProxyRequire),
    (b"require", Name::Require),
    (b"supported", Name::Supported),
    (b"k", Name::Supported),
    (b"retry-after", Name::RetryAfter),
    (b"expires", Name::Expires),
    (b"replaces", Name::Replaces),
    (b"join", Name::Join),
    (b"strowger-tag", Name::StrowgerTag),
];

/// Setting bit 5 of a letter makes it lower case.
const FOLD: u128 = u128::from_le_bytes([0x20; LONGEST]);

/// By length: the bytes that count.
static MASKS: [u128; LONGEST + 1] = {
    let mut masks = [u128::MAX; LONGEST + 1];
    let mut length = 0;
    while length < LONGEST {
        masks[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    masks
};

/// Places of the table: more than twice the names, so that a multiplier which gives each its own is soon found.
const PLACES: usize = 64;

/// Where a folded name lies: its first eight bytes and its length differ from those of any other.
#[inline(always)]
const fn place(folded: u128, length: usize, multiplier: u64) -> usize {
    let key = (folded as u64) ^ (length as u64) << 56;
    (key.wrapping_mul(multiplier) >> (u64::BITS - PLACES.ilog2())) as usize
}

const fn folded(name: &[u8]) -> u128 {
    let mut folded = 0;
    let mut at = 0;
    while at < name.len() {
        folded |= (name[at] as u128) << (8 * at);
        at += 1;
    }
    folded
}

/// The first odd multiplier, of a row of arbitrary ones, that gives every name a place of its own.
const MULTIPLIER: u64 = {
    let mut multiplier = 0x9E37_79B9_7F4A_7C15;
    'multipliers: loop {
        let (mut taken, mut index) = (0u64, 0);
        while index < WRITTEN.len() {
            let name = WRITTEN[index].0;
            let bit = 1 << place(folded(name), name.len(), multiplier);
            if taken & bit != 0 {
                multiplier = multiplier.wrapping_mul(0xD129_0D3A_6E2B_52F5) | 1;
                continue 'multipliers;
            }
            taken |= bit;
            index += 1;
        }
        break multiplier;
    }
};

static TABLE: [(u128, Name); PLACES] = {
    // No name folds to all ones.
    let mut table = [(u128::MAX, Name::Other); PLACES];
    let mut index = 0;
    while index < WRITTEN.len() {
        let (name, what) = WRITTEN[index];
        table[place(folded(name), name.len(), MULTIPLIER)] = (folded(name), what);
        index += 1;
    }
    table
};

/// Whether `name` is `lower` but for case. Setting bit 5 folds the letters; besides a hyphen, only a carriage return
/// becomes a hyphen by it, and none of those is in a field name.
#[inline]
pub(crate) fn same<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return false };
    let mut different = 0;
    for at in 0..N {
        different |= (name[at] | 0x20) ^ lower[at];
    }
    different == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Subscribe,
    Notify,
    Publish,
    Info,
    Refer,
    Message,
    Update,
    Other,
}

impl Method {
    /// Methods are compared byte for byte (RFC 3261 §7.1): `invite` and `RE%47IST%45R` are others (RFC 4475 §3.1.1.5).
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"PUBLISH" => Method::Publish,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"MESSAGE" => Method::Message,
            b"UPDATE" => Method::Update,
            _ => Method::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: Name) {
        for given in [given.to_string(), given.to_ascii_lowercase(), given.to_ascii_uppercase()] {
            assert_eq!(Name::of(given.as_bytes()), expected, "{given}");
        }
    }

    #[test]
    fn names_in_any_case_and_compact() {
        check("Via", Name::Via);
        check("v", Name::Via);
        check("Route", Name::Route);
        check("Record-Route", Name::RecordRoute);
        check("From", Name::From);
        check("f", Name::From);
        check("To", Name::To);
        check("t", Name::To);
        check("Call-ID", Name::CallId);
        check("i", Name::CallId);
        check("CSeq", Name::CSeq);
        check("Max-Forwards", Name::MaxForwards);
        check("Max-Breadth", Name::MaxBreadth);
        check("Contact", Name::Contact);
        check("m", Name::Contact);
        check("Content-Length", Name::ContentLength);
        check("l", Name::ContentLength);
        check("Content-Type", Name::ContentType);
        check("c", Name::ContentType);
        check("Proxy-Require", Name::ProxyRequire);
        check("Require", Name::Require);
        check("Supported", Name::Supported);
        check("k", Name::Supported);
        check("Retry-After", Name::RetryAfter);
        check("Expires", Name::Expires);
        check("Replaces", Name::Replaces);
        check("JOIN", Name::Join);
        check("Strowger-Tag", Name::StrowgerTag);
    }

    #[test]
    fn neighbours_are_other_names() {
        for other in
            ["", "s", "e", "x", "Vi", "Vias", "C%6Fntact", "Content_Length", "Subject", "Call-IDs", "6"]
        {
            check(other, Name::Other);
        }
    }

    #[test]
    fn methods_mind_case() {
        assert_eq!(Method::of(b"INVITE"), Method::Invite);
        assert_eq!(Method::of(b"invite"), Method::Other);
        assert_eq!(Method::of(b"RE%47IST%45R"), Method::Other);
    }
}
