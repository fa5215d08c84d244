//! Any bytes through a whole load manager, by UDP and by TCP, and an answer to whatever it forwards: nothing panics, and
//! nothing leaves that does not parse.

#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use base::{Duration, Time};
use lb::outbox::Outbox;
use lb::way::router::Router;
use lb::farm::server_counters::ServerCounters;
use lb::farm::server_table::ServerTable;
use lb::settings::*;
use lb::shared::Shared;
use lb::farm::snapshot::Snapshot;
use libfuzzer_sys::fuzz_target;
use sip::{ConnectionId, Flow, Parser, Transport};
use turn::Input;

fuzz_target!(|bytes: &[u8]| {
    let now = Time::from_secs(3600);
    // The tables are dear to build and do not change; all that a message can leave behind is made anew.
    static TABLES: OnceLock<(Settings, Arc<Snapshot>)> = OnceLock::new();
    let (settings, snapshot) = TABLES.get_or_init(|| {
        let settings = settings();
        let table = ServerTable::new(now, &settings, ServerCounters::for_settings(&settings, 1)).unwrap();
        (settings, table.snapshot())
    });
    let counters = ServerCounters::for_settings(settings, 1);
    let shared = Arc::new(Shared::new(settings.clone(), counters, snapshot.clone(), 1));
    let mut router = Router::new(shared, 0, base::Chance::seeded(42));
    let id = ConnectionId { worker: 0, slot: 1, generation: 1 };
    let client = SocketAddr::from(([192, 0, 2, 1], 5060));
    let flows = [
        Flow { listener: 0, transport: Transport::Udp, remote: client, connection: None },
        Flow { listener: 1, transport: Transport::Tcp, remote: client, connection: Some(id) },
        Flow { listener: 0, transport: Transport::Udp, remote: SERVER, connection: None },
    ];
    for flow in flows {
        let mut out = Outbox::default();
        router.handle(now, Input::Message { bytes, flow }, &mut out);
        router.handle(now, Input::BrokenFrame { bytes, flow }, &mut out);
        check(&out);
        // What was forwarded comes back as the answer of a server: its Vias lead to the sender.
        let mut back = Outbox::default();
        for send in &out.sends {
            let request = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
            let answer = answer(request);
            let flow = Flow { remote: SERVER, ..flows[0] };
            router.handle(now, Input::Message { bytes: &answer, flow }, &mut back);
        }
        router.handle_timeout(now + Duration::from_millis(600), &mut back);
        check(&back);
    }
});

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 5060);

fn check(out: &Outbox) {
    let mut parser = Parser::new();
    for send in &out.sends {
        let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
        assert!(parser.parse(bytes).is_ok(), "left unreadable: {}", String::from_utf8_lossy(bytes));
    }
}

/// The request with a status line in place of its own, and a To tag of none.
fn answer(request: &[u8]) -> Vec<u8> {
    let end = request.iter().position(|byte| *byte == b'\n').map_or(request.len(), |at| at + 1);
    [b"SIP/2.0 180 Ringing\r\n", &request[end..]].concat()
}

fn settings() -> Settings {
    let listener = |transport| {
        let address = SocketAddr::from(([198, 51, 100, 1], 5060));
        Listener { transport, bind: address, advertise: address, name: None }
    };
    let server = |last: u8| ServerEntry::at(SocketAddr::from(([10, 0, 0, last], 5060)), Transport::Udp);
    let listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
    let small = Settings::small(listeners, (1..=3).map(server).collect(), *b"0123456789abcdef");
    Settings {
        threads: Threads::One,
        tag_header: true,
        names: vec!["sip.example.com".into()],
        new_calls_max: 100,
        sessions_max: 100,
        hold_setup: HoldSetup::All,
        held_max: 16,
        held_bytes_max: 1 << 17,
        why_calls: 16,
        heartbeat: Heartbeats { table_size: Some(8), ..small.heartbeat },
        ..small
    }
}
