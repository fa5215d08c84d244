//! Names of header fields and methods, recognised by length and bytes without a table look-up or a copy.

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
    /// `Strowger-Tag`, the tag for servers that echo header fields (SPEC C3).
    StrowgerTag,
    Other,
}

impl Name {
    /// How many names there are, `Other` included.
    pub(crate) const COUNT: usize = Name::Other as usize + 1;

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }

    /// Field names are compared without regard to case (RFC 3261 §7.3.1).
    pub fn of(name: &[u8]) -> Name {
        match name.len() {
            1 => match name[0] | 0x20 {
                b'v' => Name::Via,
                b'f' => Name::From,
                b't' => Name::To,
                b'i' => Name::CallId,
                b'm' => Name::Contact,
                b'l' => Name::ContentLength,
                b'c' => Name::ContentType,
                b'k' => Name::Supported,
                _ => Name::Other,
            },
            2 if same(name, b"to") => Name::To,
            3 if same(name, b"via") => Name::Via,
            4 if same(name, b"from") => Name::From,
            4 if same(name, b"cseq") => Name::CSeq,
            5 if same(name, b"route") => Name::Route,
            7 => match name[0] | 0x20 {
                b'c' if same(name, b"call-id") => Name::CallId,
                b'c' if same(name, b"contact") => Name::Contact,
                b'r' if same(name, b"require") => Name::Require,
                b'e' if same(name, b"expires") => Name::Expires,
                _ => Name::Other,
            },
            9 if same(name, b"supported") => Name::Supported,
            11 if same(name, b"retry-after") => Name::RetryAfter,
            11 if same(name, b"max-breadth") => Name::MaxBreadth,
            12 => match name[0] | 0x20 {
                b'm' if same(name, b"max-forwards") => Name::MaxForwards,
                b'c' if same(name, b"content-type") => Name::ContentType,
                b'r' if same(name, b"record-route") => Name::RecordRoute,
                b's' if same(name, b"strowger-tag") => Name::StrowgerTag,
                _ => Name::Other,
            },
            13 if same(name, b"proxy-require") => Name::ProxyRequire,
            14 if same(name, b"content-length") => Name::ContentLength,
            _ => Name::Other,
        }
    }
}

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
