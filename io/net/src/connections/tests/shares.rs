//! Who loses when the room that strangers share runs out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base::Duration;
use sip::Transport;
use socket2::{Domain, Socket, Type};

use super::bench::Bench;
use super::{message, server};
use crate::connections::Limits;

const GREEDY: [u8; 4] = [127, 0, 0, 2];
const HONEST: [u8; 4] = [127, 0, 0, 3];

fn from(bench: &Bench, ip: [u8; 4]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&bench.connections.local_addresses().next().unwrap().unwrap().into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.into()
}

/// This many connections, accepted one after the other, each a second later than the last.
fn crowd(bench: &mut Bench, ip: [u8; 4], count: usize) -> Vec<TcpStream> {
    let admitted = |bench: &mut Bench| {
        let (client, before) = (from(bench, ip), bench.count("connections_accepted"));
        bench.until("it is in", |bench| bench.count("connections_accepted") == before + 1);
        bench.now = bench.now + Duration::from_secs(1);
        client
    };
    (0..count).map(|_| admitted(bench)).collect()
}

fn is_closed(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let read = client.read(&mut [0]);
    client.set_nonblocking(false).unwrap();
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn who_holds_the_most_bytes_loses_first() {
    let mut bench = Bench::with(Limits { buffered_bytes: 40_000, ..Limits::default() });
    let (mut greedy, mut honest) = (crowd(&mut bench, GREEDY, 10), crowd(&mut bench, HONEST, 2));
    let part =
        |bytes| format!("MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(bytes));
    let mut sent = 0;
    for client in &mut honest {
        client.write_all(part(5000).as_bytes()).unwrap();
        sent += part(5000).len();
    }
    for client in &mut greedy {
        client.write_all(part(4500).as_bytes()).unwrap();
        sent += part(4500).len();
        bench.until("it arrives", |bench| bench.count("stream_bytes_in") == sent as u64);
    }
    assert!(bench.count("buffered_bytes") <= 40_000);
    assert!((4..=6).contains(&bench.count("connections_closed_memory")));
    assert!(!honest.iter_mut().any(is_closed));
    for client in &mut honest {
        client.write_all(&[b'x'; 4000]).unwrap();
    }
    bench.until("both are whole", |bench| bench.messages.len() == 2);
}

#[test]
fn an_idle_connection_of_who_has_the_most_gives_way() {
    let mut bench = Bench::with(Limits { accepted: 4, connections: 5, ..Limits::default() });
    let mut greedy = crowd(&mut bench, GREEDY, 4);
    greedy[0].write_all(message(0).as_bytes()).unwrap();
    bench.until("the first is not idle", |bench| bench.messages.len() == 1);
    let _first = crowd(&mut bench, HONEST, 1);
    assert_eq!((bench.connections.open_count(), bench.count("connections_displaced")), (4, 1));
    assert!(is_closed(&mut greedy[1]) && !is_closed(&mut greedy[0]));
    // A source that has the most gets no more.
    let mut refused = from(&bench, GREEDY);
    bench.until("it is refused", |bench| bench.count("connections_refused_worker_full") == 1);
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    let _second = crowd(&mut bench, HONEST, 1);
    assert_eq!((bench.count("connections_displaced"), bench.count("connections_accepted")), (2, 6));
    // Both have two. A server gets a reserved place, and then the place of a client.
    let (servers, targets): (Vec<_>, Vec<_>) = (0..2).map(|_| server()).unzip();
    for (to, displaced) in targets.into_iter().zip(2..) {
        bench.send("request", to);
        bench.turn(Duration::ZERO);
        assert_eq!(bench.count("connections_displaced"), displaced);
    }
    bench.until("both are written", |bench| bench.count("messages_out") == 2);
    assert!(bench.failed.is_empty() && bench.without_room.is_empty() && servers.len() == 2);
}

#[test]
fn a_bound_of_ours_is_no_fault_of_a_server() {
    let mut bench = Bench::with(Limits { connections: 1, ..Limits::default() });
    let ((_one, to_one), (_other, to_other)) = (server(), server());
    bench.send("request", to_one);
    bench.send("no room", to_other);
    bench.turn(Duration::ZERO);
    assert_eq!((&bench.failed[..], &bench.without_room[..]), (&[][..], &[to_other][..]));
}

#[test]
fn handshakes_are_shared_out() {
    let limits = Limits { handshakes: 4, handshakes_per_source: 3, ..Limits::default() };
    let mut bench = Bench::over(Transport::Ws, limits, Default::default());
    let mut greedy = crowd(&mut bench, GREEDY, 3);
    let _more = from(&bench, GREEDY);
    bench.until("refused", |bench| bench.count("connections_refused_source_handshakes_full") == 1);
    let _other = crowd(&mut bench, [127, 0, 0, 4], 1);
    let _honest = crowd(&mut bench, HONEST, 2);
    assert_eq!((bench.count("handshakes_displaced"), bench.connections.open_count()), (2, 4));
    assert!(is_closed(&mut greedy[0]) && is_closed(&mut greedy[1]) && !is_closed(&mut greedy[2]));
    // A crowd that comes at once does not displace itself.
    let mut bench = Bench::over(Transport::Ws, limits, Default::default());
    let _crowd: Vec<_> = (10..14).map(|last| from(&bench, [127, 0, 0, last])).collect();
    bench.until("all are in", |bench| bench.count("connections_accepted") == 4);
    let _late = from(&bench, HONEST);
    bench.until("refused", |bench| bench.count("connections_refused_handshakes_full") == 1);
    bench.now = bench.now + Duration::from_secs(1);
    let _later = crowd(&mut bench, HONEST, 1);
    assert_eq!(bench.count("handshakes_displaced"), 1);
}
