//! Keep-alives of RFC 5626: STUN on the UDP ports of SIP is answered (§5.4, §8), and a client whose flow we keep is told how
//! often to send a keep-alive. Keep-alives on streams, CRLF and the pings of WebSocket, are answered where streams are read
//! (`io/net`).

use sip::headers::via;
use sip::{Edits, Message, Name, Start, Transport, work};

/// Interval in seconds of the keep-alives of a client on a stream: the default of RFC 5626 §4.4.1, far below the time after
/// which `io/net` closes a silent connection. Over UDP no interval is given: clients there take 24 s to 29 s (§4.4.2), which
/// is right.
const FLOW_TIMER: &[u8] = b"Flow-Timer: 120\r\n";

/// Puts Flow-Timer into the answer to a REGISTER that came over `transport`, if the registrar says that outbound is used
/// (RFC 5626 §5.4) and gives no Flow-Timer itself. `first_hop`: no proxy is between the telephone and us.
pub(crate) fn add_flow_timer(answer: &Message<'_>, first_hop: bool, transport: Transport, edits: &mut Edits) {
    let has_one = |header| answer.name(header).eq_ignore_ascii_case(b"Flow-Timer");
    if transport.is_reliable()
        && first_hop
        && matches!(answer.start(), Start::Response { status: 200..300, .. })
        && names(answer, &[Name::Require], b"outbound")
        && !answer.headers().iter().any(has_one)
    {
        edits.insert(answer.headers_start(), |text| text.extend_from_slice(FLOW_TIMER));
    }
}

/// Whether the message has exactly this many Vias.
pub(crate) fn has_vias(message: &Message<'_>, count: usize) -> bool {
    via::all(message).take(count + 1).count() == count
}

/// Whether one of these fields has the option tag.
pub(crate) fn names(message: &Message<'_>, fields: &[Name], option: &[u8]) -> bool {
    let fields = fields.iter().flat_map(|name| message.all(*name));
    let mut options = fields.flat_map(|header| message.value(header).split(|byte| *byte == b','));
    options.any(|known| {
        work::bytes(known.len());
        known.trim_ascii().eq_ignore_ascii_case(option)
    })
}
