//! A REGISTER that goes to all servers, and whatever each of them answers: one answer goes back to the telephone.
//!
//! The input is four parts with a NUL between them: fields of the REGISTER, then of each server's answer; the first byte of an
//! answer chooses its status. Besides not panicking: what leaves can be read, the answer is one to that REGISTER, it holds few
//! bindings, the same comes of the same, and the work is in proportion to the bytes.

#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use base::{Duration, Time};
use lb::farm::server_counters::ServerCounters;
use lb::farm::server_table::ServerTable;
use lb::farm::snapshot::Snapshot;
use lb::outbox::Outbox;
use lb::register::settings::RegisterTo;
use lb::settings::*;
use lb::shared::Shared;
use lb::way::router::Router;
use libfuzzer_sys::fuzz_target;
use sip::headers::address;
use sip::{Flow, Name, Parser, Target, Transport};
use turn::Input;

const SERVERS: usize = 3;
const STATUSES: [u16; 10] = [200, 200, 200, 202, 401, 407, 423, 403, 503, 600];
/// Of the module: bindings in one answer.
const CONTACTS_MAX: usize = 64;
/// Steps of loops for each byte that comes or goes; a Contact may be compared with 64 others.
const STEPS_PER_BYTE_MAX: u64 = 40;

fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<&[u8]> = bytes.splitn(SERVERS + 1, |byte| *byte == 0).collect();
    let (mut answer, mut size) = (None, 0);
    let steps = sip::work::of(|| (answer, size) = register(&parts));
    assert!(steps <= STEPS_PER_BYTE_MAX * size as u64, "{steps} steps of {size} bytes");
    assert_eq!(register(&parts), (answer, size));
});

/// The final answer that the telephone gets, and all bytes that came or went.
fn register(parts: &[&[u8]]) -> (Option<Vec<u8>>, usize) {
    let (mut router, now) = (router(), Time::from_secs(3600));
    let client = SocketAddr::from(([192, 0, 2, 1], 5060));
    let flow = |remote| Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
    let request = [
        b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-a\r\n\
          From: <sip:bob@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n\
          Max-Forwards: 70\r\n",
        &fields(parts.first().unwrap_or(&&b""[..]))[..],
        b"Content-Length: 0\r\n\r\n",
    ]
    .concat();
    let (mut out, mut size) = (Outbox::default(), request.len());
    router.handle(now, Input::Message { bytes: &request, flow: flow(client) }, &mut out);
    let asked = std::mem::take(&mut out);
    for send in &asked.sends {
        let bytes = &asked.bytes[send.bytes.start as usize..send.bytes.end as usize];
        size += bytes.len();
        let server = remote(&send.to);
        let Some(number) = number_of(server) else { continue };
        let said = answer(bytes, number, parts.get(number).unwrap_or(&&b""[..]));
        size += said.len();
        router.handle(now, Input::Message { bytes: &said, flow: flow(server) }, &mut out);
    }
    router.handle_timeout(now + Duration::from_secs(3), &mut out);

    let mut last = None;
    let to_client = asked.sends.iter().map(|send| (send, &asked.bytes)).chain(out.sends.iter().map(|send| (send, &out.bytes)));
    for (send, bytes) in to_client.filter(|(send, _)| number_of(remote(&send.to)).is_none()) {
        let bytes = &bytes[send.bytes.start as usize..send.bytes.end as usize];
        size += bytes.len();
        let mut parser = Parser::new();
        let message = parser.parse(bytes).expect("the answer can be read");
        assert!(message.status().is_some(), "{}", String::from_utf8_lossy(bytes));
        // All that makes it an answer to this REGISTER and no other (RFC 3261 §8.2.6.2).
        for (name, value) in [(Name::CallId, &b"a"[..]), (Name::CSeq, b"1 REGISTER")] {
            assert_eq!(message.first_value(name), Some(value));
            assert!(!message.is_repeated(name));
        }
        let contacts = message.all(Name::Contact).flat_map(|header| address::values(message.value(header)));
        assert!(!message.status().is_some_and(|status| status < 300) || contacts.count() <= CONTACTS_MAX);
        assert!(last.is_none(), "one REGISTER has one answer");
        last = Some(bytes.to_vec());
    }
    (last, size)
}

fn remote(to: &Target) -> SocketAddr {
    match to {
        Target::Datagram { to, .. } | Target::Connection { to, .. } | Target::Stream { to, .. } => *to,
    }
}

/// 1 to 3.
fn number_of(server: SocketAddr) -> Option<usize> {
    match server.ip() {
        std::net::IpAddr::V4(ip) if ip.octets()[..3] == [10, 0, 0] => Some(usize::from(ip.octets()[3])),
        _ => None,
    }
}

/// Lines as a message has them, at most so much that a datagram still holds it all.
fn fields(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(60_000)];
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// What a server says to this request: the fields that make it its answer, and those of the input.
fn answer(request: &[u8], number: usize, said: &[u8]) -> Vec<u8> {
    let mut parser = Parser::new();
    let request = parser.parse(request).expect("the request can be read");
    let (choice, said) = said.split_first().unwrap_or((&0, b""));
    let mut text = format!("SIP/2.0 {} X\r\n", STATUSES[usize::from(*choice) % STATUSES.len()]).into_bytes();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        for header in request.all(name) {
            text.extend_from_slice(&request.bytes()[header.start as usize..header.value_end as usize]);
            text.extend_from_slice(if name == Name::To { format!(";tag=s{number}") } else { String::new() }.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    // What begins with a blank would go on with the field before.
    text.extend_from_slice(b"Server: a\r\n");
    text.extend_from_slice(&fields(said));
    text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    text
}

/// A load manager before three servers; what is dear to build and does not change is built once.
fn router() -> Router {
    static TABLES: OnceLock<(Settings, Arc<Snapshot>)> = OnceLock::new();
    let (settings, snapshot) = TABLES.get_or_init(|| {
        let settings = settings();
        let counters = ServerCounters::for_settings(&settings, 1);
        let table = ServerTable::new(Time::from_secs(3600), &settings, counters).expect("a table");
        (settings, table.snapshot())
    });
    let counters = ServerCounters::for_settings(settings, 1);
    let shared = Arc::new(Shared::new(settings.clone(), counters, snapshot.clone(), 1));
    Router::new(shared, 0, base::Chance::seeded(42))
}

fn settings() -> Settings {
    let address = SocketAddr::from(([198, 51, 100, 1], 5060));
    let listener = Listener { transport: Transport::Udp, bind: address, advertise: address, name: None };
    let server = |last: u8| ServerEntry::at(SocketAddr::from(([10, 0, 0, last], 5060)), Transport::Udp);
    let servers = (1..=SERVERS as u8).map(server).collect();
    let mut settings = Settings::small(vec![listener], servers, *b"0123456789abcdef");
    settings.threads = Threads::One;
    settings.register.to = RegisterTo::All;
    (settings.register.in_progress_max, settings.register.bytes_max) = (16, 1 << 20);
    (settings.new_calls_max, settings.sessions_max, settings.why_calls) = (100, 100, 16);
    (settings.held_max, settings.held_bytes_max) = (16, 1 << 17);
    settings.heartbeat.table_size = Some(8);
    settings
}
