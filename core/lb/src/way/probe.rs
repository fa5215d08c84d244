//! OPTIONS to a server, to see whether it is well (SPEC G, health checks). The control thread asks for a probe; a worker
//! sends it like any message, from our own address and over the connections that calls use, and reports the answer.

use turn::Outgoing;

use base::{Chance, Time};
use sip::write::With;
use sip::{Message, Name, Target, Transport, Writer};

use crate::counters::Counter;
use crate::farm::probes::{ProbeResult, Probes, push};
use crate::farm::server::{Server, ServerId};
use crate::outbox::Outbox;
use crate::signed::branch::branch_text;
use crate::signed::hop::{self, Asked, Hop};
use crate::signed::keyring::CallKey;
use crate::way::view::View;

/// Sends the probes that the control thread asks for.
pub(crate) fn send_wanted(view: &View, chance: &mut Chance, now: Time, out: &mut Outbox) {
    for server in view.shared.probes.take_wanted() {
        if let Some(server) = view.snapshot.by_id(server) {
            send(view, chance, now, server, out);
        }
    }
}

pub(crate) fn send(view: &View, chance: &mut Chance, now: Time, server: &Server, out: &mut Outbox) {
    let shared = &view.shared;
    let Some(listener) = shared.own.outgoing(0, server.transport, server.address.ip()) else {
        return view.count(Counter::NoListener);
    };
    let own = shared.own.get(listener).expect("outgoing names a listener");
    let hop = Hop {
        listener,
        to: server.address,
        connection: None,
        server: server.id,
        call: CallKey(0),
        asked: Asked::Other,
        first: true,
        held: false,
        to_client: false,
        probe: true,
        sent: Default::default(),
    };
    let unique = unique(chance, now);
    let branch = branch_text(unique);
    let from = out.bytes.len() as u32;
    let transport = match server.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    };
    let (to, us) = (server.address, shared.settings.listeners[usize::from(listener)].known_as());
    let via = |text: &mut Vec<u8>| {
        // The text of a listener is a whole line up to the value of its branch.
        text.extend_from_slice(own.via.strip_prefix(b"Via: ").unwrap_or(&own.via));
        for part in [&branch[..], b";", hop::PARAMETER, b"="] {
            text.extend_from_slice(part);
        }
        hop.write(&shared.keys, &branch, text);
    };
    let written = Writer::request(&mut out.bytes, "OPTIONS", format_args!("sip:{to}{transport}"))
        .via(With(via))
        .max_forwards(70)
        .from(format_args!("<sip:strowger@{us}>;tag={unique:x}"))
        .to(format_args!("<sip:{to}>"))
        .call_id(format_args!("probe-{unique:x}@{us}"))
        .cseq(1)
        .finish();
    debug_assert!(written, "addresses and numbers end no line");
    let target = match server.transport {
        Transport::Udp => Target::Datagram { listener, to },
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => Target::Stream { listener, to },
    };
    out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to: target, fallback: None, call: 0 });
}

pub(crate) fn answered(message: &Message<'_>, server: ServerId, status: u16, probes: &Probes) {
    // A comment or parameters may follow the seconds (RFC 3261 §20.33).
    let retry_after = message.first_value(Name::RetryAfter).and_then(sip::text::leading_decimal);
    push(&probes.results, ProbeResult { server, call: None, status, retry_after });
}

fn unique(chance: &mut Chance, now: Time) -> u64 {
    chance.next_u64() ^ now.as_micros().rotate_left(32)
}
