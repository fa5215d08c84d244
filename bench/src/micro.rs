//! The cost of the parts of a message's way, without a socket: nanoseconds per step, on real messages of the call flow, with
//! tag affinity.

use std::hint::black_box;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Time;
use config::ShortForm;
use lb::farm::server::ServerId;
use lb::farm::server_counters::ServerCounters;
use lb::farm::server_table::ServerTable;
use lb::hold::{Alarms, Class, Held, Kept, Limits};
use lb::memory::expiring::Expiring;
use lb::outbox::Outbox;
use lb::settings::Settings;
use lb::shared::Shared;
use lb::signed::hop::{Asked, Hop};
use lb::signed::keyring::KeyRing;
use lb::signed::tag::{Direction, Tag};
use lb::way::router::Router;
use sip::{Edits, Flow, Parser, Start, Target, Transport};
use turn::Input;

use crate::calls::{Calls, Kind};
use crate::measure::{Spread, layout};
use crate::post::Post;
use crate::process::{self, GENERATOR_CORE};
use crate::report::Report;
use crate::subject::{Affinity, Subject};
use crate::texts::Texts;

/// Calls routed for one figure: 12,000 messages.
const CALLS: usize = 2_000;
/// Repeats of every figure; the result is their median.
const REPEATS: usize = 9;
const SERVERS: usize = 4;
/// Entries in the map whose look-up is timed: more than any cache holds.
const ENTRIES: u64 = 1_000_000;

/// A message as the load manager received it.
struct Received {
    bytes: Vec<u8>,
    remote: SocketAddr,
}

impl Received {
    fn flow(&self) -> Flow {
        Flow { listener: 0, transport: Transport::Udp, remote: self.remote, connection: None }
    }
}

pub(crate) fn run(port: u16) -> io::Result<()> {
    process::pin(GENERATOR_CORE)?;
    let settings = settings(port)?;
    let mut report = Report::new("micro", "Cost of the parts");
    report.header(&["part", "ns"]);
    let mut row = |name: &str, spread: Option<Spread>| report.row(&[name.into(), Spread::show(spread, 0)]);

    let (flow, routing) = route(port, &settings)?;
    row("route: one message of the flow, from bytes to bytes", Some(routing));
    row(
        "parse: one message of the flow",
        parts(&flow, |parser, bytes, _| black_box(parser.parse(bytes)).is_ok()),
    );
    row(
        "parse and validate",
        parts(&flow, |parser, bytes, _| {
            let Ok(message) = parser.parse(bytes) else { return false };
            match message.start() {
                Start::Request { .. } => black_box(sip::validate::request(&message)).is_ok(),
                Start::Response { .. } => black_box(sip::validate::response(&message)).is_ok(),
            }
        }),
    );
    row("parse, two header fields in, written anew", parts(&flow, edit_and_write));
    small_parts(&KeyRing::new(&settings.keys), &mut row);
    report.save()
}

fn settings(port: u16) -> io::Result<Settings> {
    let layout = layout(port, Subject::Strowger(Affinity::Tag), SERVERS);
    let form = ShortForm {
        listen: vec![format!("udp:{}", layout.target)],
        server: layout.servers().iter().map(SocketAddrV4::to_string).collect(),
        ..ShortForm::default()
    }
    .with("affinity", Affinity::Tag.name())
    .with("selection", "round-robin")
    .with("health", "off")
    .with("workers", "1");
    let checked = config::short_form(&form).map_err(|problems| io::Error::other(format!("{problems}")))?;
    Ok(checked.settings)
}

/// Routes calls between the generator's two ends in memory, and times only the router. Also returns the messages of the last
/// calls.
fn route(port: u16, settings: &Settings) -> io::Result<(Vec<Received>, Spread)> {
    let mut times = Vec::new();
    let mut flow = Vec::new();
    for _ in 0..REPEATS {
        let (received, spent) = route_once(port, settings)?;
        times.push(spent.as_nanos() as f64 / received.len() as f64);
        flow = received;
    }
    let spread = Spread::of(times).ok_or_else(|| io::Error::other("nothing was routed"))?;
    Ok((flow, spread))
}

fn route_once(port: u16, settings: &Settings) -> io::Result<(Vec<Received>, Duration)> {
    let layout = layout(port, Subject::Strowger(Affinity::Tag), SERVERS);
    let tables = ServerCounters::for_settings(settings, 1);
    let table = ServerTable::new(Time::ZERO, settings, tables.clone())
        .map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
    let shared = Arc::new(Shared::new(settings.clone(), tables, table.snapshot(), 1));
    let mut router = Router::new(shared, 0, base::Chance::seeded(1));
    let texts = Texts::new("UDP", 1, layout.client, layout.target, &layout.servers());
    let mut calls = Calls::new(texts, Kind::Passes { vias: 2 }, CALLS, false);
    let (mut from_client, mut from_servers, mut out) = (Post::default(), Post::default(), Outbox::default());
    let (mut received, mut spent) = (Vec::new(), Duration::ZERO);
    for index in 0..CALLS {
        calls.start(index as u64, &mut from_client);
        while !(from_client.messages.is_empty() && from_servers.messages.is_empty()) {
            let first = received.len();
            take(&mut from_client, |_| layout.client, &mut received);
            take(&mut from_servers, |server| layout.server(server as usize), &mut received);
            let now = Time::from_micros(index as u64 * 60);
            let begin = Instant::now();
            for message in &received[first..] {
                router.handle(now, Input::Message { bytes: &message.bytes, flow: message.flow() }, &mut out);
            }
            spent += begin.elapsed();
            for send in &out.sends {
                let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
                match send.to {
                    Target::Datagram { to: SocketAddr::V4(to), .. } if to == layout.client => {
                        calls.client_receives(bytes, 0, &mut from_client);
                    }
                    Target::Datagram { to: SocketAddr::V4(to), .. } => {
                        let server = layout.server_number(*to.ip()).unwrap_or_default();
                        calls.server_receives(server, bytes, 0, &mut from_servers);
                    }
                    _ => return Err(io::Error::other("a message for a stream")),
                }
            }
            out.bytes.clear();
            out.sends.clear();
        }
    }
    if calls.counters.calls != CALLS as u64 || calls.counters.failures() > 0 {
        return Err(io::Error::other(calls.counters.describe_failures()));
    }
    Ok((received, spent))
}

fn take(post: &mut Post, from: impl Fn(u32) -> SocketAddrV4, into: &mut Vec<Received>) {
    for message in &post.messages {
        let bytes = post.bytes[message.start as usize..message.end as usize].to_vec();
        into.push(Received { bytes, remote: from(message.key).into() });
    }
    post.clear();
}

/// Applies `work` to every message of the flow; returns the time per message.
fn parts<R>(
    flow: &[Received],
    mut work: impl FnMut(&mut Parser, &[u8], &mut Vec<u8>) -> R,
) -> Option<Spread> {
    let (mut parser, mut out) = (Parser::new(), Vec::with_capacity(4096));
    Spread::of((0..REPEATS).map(|_| {
        let begin = Instant::now();
        for message in flow {
            black_box(work(&mut parser, &message.bytes, &mut out));
        }
        begin.elapsed().as_nanos() as f64 / flow.len() as f64
    }))
}

/// Inserts as much text as our Via and Record-Route, at the same place.
fn edit_and_write(parser: &mut Parser, bytes: &[u8], out: &mut Vec<u8>) {
    let Ok(message) = parser.parse(bytes) else { return };
    let mut edits = Edits::new();
    edits.insert(message.headers_start(), |text| text.extend_from_slice(&[b'v'; 120]));
    edits.insert(message.headers_start(), |text| text.extend_from_slice(&[b'r'; 90]));
    out.clear();
    edits.write_into(bytes, message.end(), out);
    black_box(out);
}

fn small_parts(keys: &KeyRing, row: &mut impl FnMut(&str, Option<Spread>)) {
    let call_id: &[u8] = b"000000070000dead-00000001@127.0.0.1";
    let from_tag: &[u8] = b"000000070000dead";
    let branch: &[u8] = b"z9hG4bK0123456789abc";
    let server = ServerId(7);
    let mut text = Vec::with_capacity(256);

    let call = keys.call(call_id);
    row("call key: keyed hash of a Call-ID", each(|_| keys.call(black_box(call_id))));
    let tag = Tag::new(keys, server, Direction::ToServer, from_tag, None);
    row(
        "tag: written and signed",
        each(|_| {
            text.clear();
            tag.write(keys, black_box(call), call_id, &mut text);
        }),
    );
    text.clear();
    tag.write(keys, call, call_id, &mut text);
    row("tag: read and verified", each(|_| Tag::read(keys, black_box(&text), call, call_id)));
    let to = SocketAddr::from(([127, 0, 0, 1], 5060));
    let hop = Hop {
        listener: 0,
        to,
        connection: None,
        server,
        call,
        asked: Asked::Invite,
        first: true,
        held: false,
        to_client: false,
        probe: false,
        sent: Default::default(),
    };
    let mut text = Vec::with_capacity(256);
    row(
        "hop: written and signed",
        each(|_| {
            text.clear();
            hop.write(keys, black_box(branch), &mut text);
        }),
    );
    row("hop: read and verified", each(|_| Hop::read(keys, black_box(&text), branch)));

    let memory = Expiring::new(2 * ENTRIES as usize);
    let spread = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let until = Time::from_secs(60);
    for number in 0..ENTRIES {
        memory.get_or_insert_with(Time::ZERO, spread(number), until, || Some((1, 0)));
    }
    row(
        "memory: one look-up among 1,000,000 entries",
        each(|index| memory.get(Time::ZERO, spread(spread(index) >> 44))),
    );
    let bytes = memory.bytes() as f64 / memory.len() as f64;
    row("memory: bytes per entry", Spread::of([bytes]));
    held_set_ups(row);
}

/// A held INVITE from its arrival to its 200, with all work of the table for its deadlines; ten thousand others ring meanwhile.
fn held_set_ups(row: &mut impl FnMut(&str, Option<Spread>)) {
    const RINGING: u64 = 10_000;
    let held = Held::new(Limits::new(1_000_000, 1 << 30));
    let mut alarms = Alarms::new(0, 1_000_000);
    let (server, mut message) = (ServerId(7), Vec::new());
    let invite =
        [&b"INVITE sip:bob@example.com SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n"[..], &[b'a'; 800]].concat();
    let kept = Kept {
        class: Class::Invite,
        message: &invite,
        flow: Flow {
            listener: 0,
            transport: Transport::Tcp,
            remote: SocketAddr::from(([127, 0, 0, 1], 5060)),
            connection: None,
        },
        server,
        server_reliable: false,
        to_client: None,
        failover: true,
        in_dialog: false,
        route_fields: b"",
    };
    let mut number = 0_u64;
    let mut ring = |held: &Held, alarms: &mut Alarms| {
        number += 1;
        // Ten thousand calls a second.
        let (now, key) = (Time::from_micros(number * 100), number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let kept = held.keep(now, alarms, key, &kept);
        (now, key, kept.is_ok(), held.response(now, alarms, key, Class::Invite, 180, server))
    };
    for _ in 0..RINGING {
        ring(&held, &mut alarms);
    }
    row(
        "hold: an INVITE kept, its 180, its 200, and what is due meanwhile",
        each(|_| {
            let (now, key, ..) = ring(&held, &mut alarms);
            while let Some(action) = held.next_due(now, &mut alarms, &mut message) {
                black_box(action);
            }
            held.response(now, &mut alarms, key, Class::Invite, 200, server)
        }),
    );
}

fn each<R>(mut work: impl FnMut(u64) -> R) -> Option<Spread> {
    const ROUNDS: u64 = 200_000;
    Spread::of((0..REPEATS).map(|_| {
        let begin = Instant::now();
        for round in 0..ROUNDS {
            black_box(work(round));
        }
        begin.elapsed().as_nanos() as f64 / ROUNDS as f64
    }))
}
