//! The poll loop against agents that answer, are silent, slow, wrong or greedy, over real sockets on this machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use base::{Duration, Time};
use heartbeat::measure::{By, Measured, Measures};
use heartbeat::stream::{End, Frame};
use heartbeat::{Heartbeat, Load, Query, ServerState};

use crate::poller::Poller;
use crate::serve::{CONNECTIONS_MAX, Server};

const KEY: &[u8] = b"a key of the farm";
const LOCAL: &str = "127.0.0.1:0";
/// Far longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn sip(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

fn told(port: u16, cpu: u16, nonce: Option<u64>, count: u64) -> Heartbeat {
    Heartbeat {
        sip_address: Some(sip(port).ip()),
        load: Some(Load { cpu_permille: Some(cpu), ..Load::default() }),
        nonce,
        count: Some(count),
        ..Heartbeat::plain(1, port, ServerState::Started)
    }
}

/// A poller of these places, with short periods.
fn poller(measured: &[Measured], answer_within_ms: u64) -> Poller {
    poller_each(Duration::from_millis(50), measured, answer_within_ms)
}

fn poller_each(poll: Duration, measured: &[Measured], answer_within_ms: u64) -> Poller {
    let measures = Measures {
        measured: measured.to_vec(),
        poll,
        answer_within: Duration::from_millis(answer_within_ms),
        listen: Some(LOCAL.parse().unwrap()),
    };
    Poller::open(measures, Some(KEY.to_vec().into()), os::Clock::start()).unwrap()
}

fn agent_at(address: SocketAddr) -> Measured {
    Measured { by: By::Agent, address, server: Some(sip(5060)) }
}

/// Turns the loop until `done`. `beside` is what happens elsewhere meanwhile.
#[track_caller]
fn until(poller: &mut Poller, mut beside: impl FnMut(), done: impl Fn(&Poller) -> bool) {
    let began = Instant::now();
    while !done(poller) {
        assert!(began.elapsed() < PATIENCE, "{:?}", poller.counts());
        poller.turn();
        beside();
    }
}

/// The board's data of the server: CPU, and whether the server is down.
fn known(poller: &Poller) -> Option<(Option<u16>, bool)> {
    let all = poller.board().all(poller.time());
    all.first().map(|heartbeat| (heartbeat.load.and_then(|load| load.cpu_permille), heartbeat.down))
}

#[test]
fn one_connection_carries_all_polls_and_notifications_come_between() {
    let mut agent = Server::open(LOCAL.parse().unwrap()).unwrap();
    let mut poller = poller(&[agent_at(agent.address().unwrap())], 5000);
    let (began, mut count) = (Instant::now(), 0);
    let mut serve = |agent: &mut Server| {
        agent.turn(Time::ZERO + began.elapsed(), Some(KEY), |nonce| {
            count += 1;
            let mut answer = Frame::Heartbeat(told(5060, 200, Some(nonce), count)).encode(Some(KEY));
            answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
            answer
        });
    };
    until(&mut poller, || serve(&mut agent), |poller| poller.counts().0.answers >= 5);
    assert_eq!(known(&poller), Some((Some(200), false)));
    assert_eq!((poller.counts().0.connections, poller.counts().0.misses), (1, 0));
    agent.notify(&Frame::Heartbeat(told(5060, 900, None, 1_000_000)).encode(Some(KEY)));
    until(&mut poller, || (), |poller| poller.counts().0.notifications == 1);
    assert_eq!(agent.counts.notified, 1);
}

#[test]
fn a_silent_agent_is_down_and_back_when_it_answers() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    let mut poller = poller(&[agent_at(address)], 100);
    until(&mut poller, || (), |poller| known(poller) == Some((None, true)));
    drop(listener);
    let Ok(mut agent) = Server::open(address) else { return };
    let (began, mut count) = (Instant::now(), 0);
    let beside = || {
        agent.turn(Time::ZERO + began.elapsed(), Some(KEY), |nonce| {
            count += 1;
            let mut answer = Frame::Heartbeat(told(5060, 10, Some(nonce), count)).encode(Some(KEY));
            answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
            answer
        });
    };
    until(&mut poller, beside, |poller| known(poller) == Some((Some(10), false)));
}

/// An agent that answers each query with these bytes.
fn wrong_agent(answer: impl Fn(u64) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut bytes = [0; 2 + heartbeat::query::QUERY_BYTES];
            if stream.read_exact(&mut bytes).is_ok()
                && let Ok(Query { nonce }) = Query::decode(&bytes[2..], Some(KEY))
            {
                let _ = stream.write_all(&answer(nonce));
                // Held open: the other side must end it.
                let _ = stream.read(&mut bytes);
            }
        }
    });
    address
}

#[test]
fn what_is_garbage_forged_replayed_or_too_much_is_no_answer() {
    type Answer = fn(u64) -> Vec<u8>;
    let wrong: [(&str, Answer); 7] = [
        ("garbage", |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a frame too long", |_| vec![0xFF; 100_000]),
        ("unsigned", |nonce| Frame::Heartbeat(told(5060, 1, Some(nonce), 1)).encode(None)),
        ("another key", |nonce| {
            Frame::Heartbeat(told(5060, 1, Some(nonce), 1)).encode(Some(b"another key of a farm"))
        }),
        ("an answer to another query", |nonce| {
            Frame::Heartbeat(told(5060, 1, Some(nonce ^ 1), 1)).encode(Some(KEY))
        }),
        ("more than one server", |nonce| {
            Frame::Heartbeat(told(5060, 1, Some(nonce), 1)).encode(Some(KEY)).repeat(100)
        }),
        ("notifications without end", |_| {
            (1..300)
                .flat_map(|count| Frame::Heartbeat(told(5060, 1, None, count)).encode(Some(KEY)))
                .collect()
        }),
    ];
    for (name, answer) in wrong {
        let mut poller = poller(&[agent_at(wrong_agent(answer))], 5000);
        until(&mut poller, || (), |poller| poller.counts().0.misses > 0);
        let (counts, _) = poller.counts();
        assert_eq!(counts.answers, 0, "{name}");
        assert!(known(&poller).is_some_and(|(_, down)| down), "{name}: {:?}", known(&poller));
        let ignored: u64 = counts.ignored.iter().sum();
        assert!(ignored > 0 || counts.notifications > 60, "{name} is counted: {counts:?}");
    }
}

#[test]
fn an_agent_of_another_server_changes_nothing() {
    let address = wrong_agent(|nonce| {
        let mut answer = Frame::Heartbeat(told(5099, 1, Some(nonce), 1)).encode(Some(KEY));
        answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
        answer
    });
    let mut poller = poller(&[agent_at(address)], 5000);
    until(&mut poller, || (), |poller| poller.counts().0.other_server > 0);
    assert_eq!(known(&poller), None);
}

#[test]
fn an_agent_check_line_is_read_and_a_flood_is_not() {
    let line = |text: &'static [u8]| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(text);
            }
        });
        Measured { by: By::AgentCheck, address, server: Some(sip(5060)) }
    };
    let mut good = poller(&[line(b"75% up\r\n")], 5000);
    until(&mut good, || (), |poller| known(poller) == Some((Some(250), false)));
    let mut down = poller(&[line(b"down # disk full\n")], 5000);
    until(&mut down, || (), |poller| known(poller) == Some((None, true)));
    for wrong in [&[b'x'; 5000][..], b"hello there\n", b"\n"] {
        let mut poller = poller(&[line(Vec::from(wrong).leak())], 5000);
        until(&mut poller, || (), |poller| known(poller) == Some((None, true)));
        assert!(poller.counts().0.ignored.iter().sum::<u64>() > 0);
    }
}

#[test]
fn options_are_timed_and_an_answer_to_another_is_not_one() {
    let server = UdpSocket::bind(LOCAL).unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    let mut poller = poller(&[Measured { by: By::Options, address, server: Some(address) }], 10_000);
    let answer = || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let via = text.lines().find(|line| line.starts_with("Via:")).unwrap().to_owned();
            let _ = server.send_to(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKother\r\n\r\n", from);
            let _ = server.send_to(format!("SIP/2.0 200 OK\r\n{via}\r\n\r\n").as_bytes(), from);
        }
    };
    until(&mut poller, answer, |poller| poller.counts().0.answers >= 2);
    let all = poller.board().all(poller.time());
    assert!(all[0].load.unwrap().latency_us.unwrap() > 0);
    assert_eq!((all[0].sip_address, all[0].sip_port), (Some(address.ip()), address.port()));
}

#[test]
fn what_one_performance_server_knows_another_learns_from_it() {
    let first_agent = wrong_agent(|nonce| {
        let mut answer = Frame::Heartbeat(told(5060, 330, Some(nonce), 1)).encode(Some(KEY));
        answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
        answer
    });
    let mut first = poller(&[agent_at(first_agent)], 5000);
    let address = first.address().unwrap();
    let mut second = poller(&[Measured { by: By::PerformanceServer, address, server: None }], 5000);
    until(&mut second, || first.turn(), |poller| known(poller) == Some((Some(330), false)));
    assert_eq!(second.counts().0.misses, 0);
}

/// An agent, a performance server that polls the agent, and another that polls the first; once an hour, after the first
/// time.
#[test]
fn a_notification_is_passed_on_at_once() {
    let hour = Duration::from_secs(3600);
    let mut agent = Server::open(LOCAL.parse().unwrap()).unwrap();
    let mut first = poller_each(hour, &[agent_at(agent.address().unwrap())], 5000);
    let (began, mut count) = (Instant::now(), 0);
    let mut serve = |agent: &mut Server| {
        agent.turn(Time::ZERO + began.elapsed(), Some(KEY), |nonce| {
            count += 1;
            let mut answer = Frame::Heartbeat(told(5060, 200, Some(nonce), count)).encode(Some(KEY));
            answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
            answer
        });
    };
    until(&mut first, || serve(&mut agent), |poller| poller.counts().0.answers == 1);
    let address = first.address().unwrap();
    let mut second =
        poller_each(hour, &[Measured { by: By::PerformanceServer, address, server: None }], 5000);
    until(&mut second, || first.turn(), |poller| known(poller) == Some((Some(200), false)));
    for cpu in [900, 950] {
        let notice = Frame::Heartbeat(told(5060, cpu, None, 1_000_000 + u64::from(cpu)));
        agent.notify(&notice.encode(Some(KEY)));
        until(&mut second, || first.turn(), |poller| known(poller) == Some((Some(cpu), false)));
    }
    assert_eq!((first.counts().0.polls, second.counts().0.polls), (1, 1), "none of it by a poll");
    assert_eq!((first.counts().0.notifications, second.counts().0.notifications), (2, 2));
}

#[test]
fn that_an_agent_is_down_and_back_is_passed_on_at_once_and_once() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let agent = listener.local_addr().unwrap();
    let mut first = poller(&[agent_at(agent)], 100);
    let measured = Measured { by: By::PerformanceServer, address: first.address().unwrap(), server: None };
    let mut second = poller_each(Duration::from_secs(3600), &[measured], 5000);
    until(&mut second, || first.turn(), |poller| poller.counts().0.answers == 1);
    until(&mut second, || first.turn(), |poller| known(poller) == Some((None, true)));
    until(&mut first, || (), |poller| poller.counts().0.misses >= 5);
    drop(listener);
    let Ok(mut agent) = Server::open(agent) else { return };
    let (began, mut count) = (Instant::now(), 0);
    let mut beside = || {
        first.turn();
        agent.turn(Time::ZERO + began.elapsed(), Some(KEY), |nonce| {
            count += 1;
            let mut answer = Frame::Heartbeat(told(5060, 10, Some(nonce), count)).encode(Some(KEY));
            answer.extend(Frame::End(End { nonce, servers: 1 }).encode(Some(KEY)));
            answer
        });
    };
    until(&mut second, &mut beside, |poller| known(poller) == Some((Some(10), false)));
    let (counts, _) = second.counts();
    assert_eq!(counts.polls, 1, "none of it by a poll");
    assert!(counts.notifications <= 2, "{counts:?}");
}

#[test]
fn connections_are_bounded_and_the_silent_and_the_wrong_are_closed() {
    let mut server = Server::open(LOCAL.parse().unwrap()).unwrap();
    let address = server.address().unwrap();
    let turn =
        |server: &mut Server, seconds| server.turn(Time::from_secs(seconds), Some(KEY), |_| vec![0; 10]);
    let mut clients: Vec<TcpStream> = Vec::new();
    let began = Instant::now();
    while server.counts.connections_refused < 3 {
        assert!(began.elapsed() < PATIENCE);
        if clients.len() < CONNECTIONS_MAX + 3 {
            clients.push(TcpStream::connect(address).unwrap());
        }
        turn(&mut server, 1);
    }
    assert_eq!(server.connections(), CONNECTIONS_MAX);
    // One client asks well, one sends garbage, one begins a frame and never ends it; the others send nothing.
    let query = Frame::Query(Query { nonce: 1 }).encode(Some(KEY));
    clients[0].write_all(&query).unwrap();
    clients[1].write_all(b"GET / HTTP/1.1\r\n").unwrap();
    clients[2].write_all(&query).unwrap();
    while server.counts.answered < 2 || server.counts.ignored.iter().sum::<u64>() < 1 {
        assert!(began.elapsed() < PATIENCE, "{:?}", server.counts);
        turn(&mut server, 2);
    }
    clients[2].write_all(&query[..50]).unwrap();
    // The beginning of the frame must end within five seconds, whenever it arrives; the good client has three minutes.
    for seconds in 3..170 {
        turn(&mut server, seconds);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(server.connections(), 1, "{:?}", server.counts);
    let mut answer = [0; 10];
    clients[0].read_exact(&mut answer).unwrap();
}
