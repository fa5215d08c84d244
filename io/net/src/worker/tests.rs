//! A worker over real sockets on loopback, with a core that forwards.

mod standstill;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Instant;

use sip::Target;
use turn::Outgoing;

use super::*;
use crate::{Limits, UdpOptions};

/// Sends every message on to the next address of its list, over the transport it came on, and the name of what could
/// not be sent to the spare one. A datagram goes to the connection that last wrote, when that is wanted.
struct Forwarder {
    servers: Vec<SocketAddr>,
    spare: Option<SocketAddr>,
    next: usize,
    deadline: Option<Time>,
    /// Of all workers: where to send datagrams.
    last_writer: Option<Arc<Mutex<Option<Flow>>>>,
    /// Time that it takes for a message.
    pause: Duration,
}

impl Forwarder {
    fn to(servers: &[SocketAddr]) -> Forwarder {
        Forwarder {
            servers: servers.to_vec(),
            spare: None,
            next: 0,
            deadline: None,
            last_writer: None,
            pause: Duration::ZERO,
        }
    }
}

type Out = turn::Outbox<Question, u32, String>;

/// What the forwarder asks its beside.
#[derive(Debug, PartialEq, Eq)]
struct Question(Vec<u8>);

fn post(out: &mut Out, bytes: &[u8], to: Target) {
    let start = out.bytes.len() as u32;
    out.bytes.extend_from_slice(bytes);
    out.sends.push(Outgoing { bytes: start..out.bytes.len() as u32, to, fallback: None, call: 0 });
}

impl Core for Forwarder {
    type Ask = Question;
    type Answer = String;
    type Letter = u32;
    type Event = String;

    fn handle(&mut self, now: Time, input: Input<'_, String, u32>, out: &mut Out) {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        match input {
            Input::Message { bytes: b"in 100 ms", .. } => {
                self.deadline = Some(now + Duration::from_millis(100))
            }
            Input::Message { bytes: question @ b"who?", .. } => out.asks.push(Question(question.to_vec())),
            Input::Message { bytes: b"tell both", .. } => out.letters.extend([(0, 7), (1, 8)]),
            Input::Answer(answer) => {
                out.events.push(format!("answered {answer}"));
                post(out, answer.as_bytes(), Target::Datagram { listener: 0, to: self.servers[0] });
            }
            Input::Letter(number) => {
                let text = format!("letter {number}");
                post(out, text.as_bytes(), Target::Datagram { listener: 0, to: self.servers[0] });
            }
            Input::Message { bytes, flow } if self.last_writer.is_some() => {
                let mut last = self.last_writer.as_ref().unwrap().lock().unwrap();
                match (flow.connection, *last) {
                    (None, Some(Flow { listener, remote: to, connection: Some(id), .. })) => {
                        post(out, bytes, Target::Connection { listener, id, to, or_connect: false });
                    }
                    _ => *last = Some(flow),
                }
            }
            Input::Message { bytes, flow: Flow { listener, transport: Transport::Tcp, .. } } => {
                post(out, bytes, Target::Stream { listener, to: self.servers[0] });
                let udp = Target::Datagram { listener: 0, to: self.servers[0] };
                let range = out.sends.last().unwrap().bytes.clone();
                out.sends.last_mut().unwrap().fallback = Some((range, udp));
            }
            Input::Message { bytes, flow } => {
                let to = self.servers[self.next % self.servers.len()];
                self.next += 1;
                post(out, bytes, Target::Datagram { listener: flow.listener, to });
            }
            Input::FellBack { bytes, to } if self.servers.contains(&to) => {
                if let Some(spare) = self.spare {
                    post(out, bytes, Target::Datagram { listener: 0, to: spare });
                }
            }
            Input::SendFailed { to: Target::Datagram { listener, to } }
            | Input::Returned { to: Target::Datagram { listener, to }, .. } => {
                if let Some(spare) = self.spare {
                    post(out, to.to_string().as_bytes(), Target::Datagram { listener, to: spare });
                }
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Time, out: &mut Out) {
        self.deadline = None;
        post(out, b"due", Target::Datagram { listener: 0, to: self.servers[0] });
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }
}

impl Worker<Forwarder> {
    /// The addresses of the TCP listeners, in their order.
    fn stream_addresses(&self) -> impl Iterator<Item = io::Result<SocketAddr>> {
        self.edge.connections.local_addresses()
    }
}

struct Running {
    address: SocketAddr,
    stream_address: SocketAddr,
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

fn setup(
    index: usize,
    listeners: &[(Transport, SocketAddr)],
    udp: UdpOptions,
    spread: Spread,
) -> Setup<'_, Forwarder> {
    Setup {
        index: index as u8,
        pin: None,
        clock: Clock::start(),
        listeners,
        given: Vec::new(),
        udp,
        limits: Limits::default(),
        identities: Arc::default(),
        spread,
        late: None,
        beside: Box::new(()),
    }
}

impl Running {
    fn start(core: Forwarder) -> Running {
        Running::several(vec![core], UdpOptions::default(), Spread::Auto)
    }

    /// One worker per core, all on the same two ports: listener 0 is UDP, listener 1 TCP.
    fn several(cores: Vec<Forwarder>, udp: UdpOptions, spread: Spread) -> Running {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut listeners = [Transport::Udp, Transport::Tcp].map(|transport| (transport, any));
        let mut workers: Vec<Worker<Forwarder>> = Vec::new();
        for (index, core) in cores.into_iter().enumerate() {
            let worker = Worker::new(setup(index, &listeners, udp, spread), core).unwrap();
            listeners[0].1 = worker.udp()[0].local_address().unwrap();
            listeners[1].1 = worker.stream_addresses().next().unwrap().unwrap();
            workers.push(worker);
        }
        introduce(&mut workers).unwrap();
        Running {
            address: listeners[0].1,
            stream_address: listeners[1].1,
            handles: workers.iter().map(Worker::handle).collect(),
            threads: workers.into_iter().map(|worker| std::thread::spawn(move || worker.run())).collect(),
        }
    }

    fn sum(&self, name: &str) -> u64 {
        let all = self.handles.iter().flat_map(|handle| handle.counters().read());
        all.filter(|(counter, _)| *counter == name).map(|(_, value)| value).sum()
    }

    /// A worker counts after its visible actions, so its counters may come a moment later.
    fn until(&self, is_so: impl Fn(&Running) -> bool) -> bool {
        let start = std::time::Instant::now();
        while !is_so(self) && start.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        is_so(self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handles.iter().for_each(Handle::stop);
        for thread in self.threads.drain(..) {
            thread.join().unwrap().unwrap();
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 65_536];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn messages_pass_from_socket_to_socket_in_order() {
    let (client, server) = (socket(), socket());
    let worker = Running::start(Forwarder::to(&[server.local_addr().unwrap()]));
    for number in 0..500 {
        client.send_to(format!("message {number}").as_bytes(), worker.address).unwrap();
        if number % 100 == 99 {
            for number in number - 99..=number {
                assert_eq!(receive(&server), format!("message {number}"));
            }
        }
    }
    let counters = worker.handles[0].counters();
    assert_eq!((counters.datagrams_in.get(), counters.datagrams_out.get()), (500, 500));
    assert_eq!(counters.datagram_bytes_in.get(), counters.datagram_bytes_out.get());
}

#[test]
fn a_dead_destination_takes_nothing_from_the_others_and_is_reported() {
    let (client, spare) = (socket(), socket());
    let servers = [socket(), socket()];
    let dead = socket().local_addr().unwrap();
    let mut core = Forwarder::to(&[servers[0].local_addr().unwrap(), dead, servers[1].local_addr().unwrap()]);
    core.spare = Some(spare.local_addr().unwrap());
    let worker = Running::start(core);
    for number in 0..300 {
        client.send_to(format!("{number}").as_bytes(), worker.address).unwrap();
    }
    for number in 0..100 {
        assert_eq!(receive(&servers[0]), format!("{}", 3 * number));
        assert_eq!(receive(&servers[1]), format!("{}", 3 * number + 2));
    }
    assert_eq!(receive(&spare), dead.to_string());
}

#[test]
fn a_deadline_of_the_core_is_kept() {
    let (client, server) = (socket(), socket());
    let worker = Running::start(Forwarder::to(&[server.local_addr().unwrap()]));
    let start = std::time::Instant::now();
    client.send_to(b"in 100 ms", worker.address).unwrap();
    assert_eq!(receive(&server), "due");
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(99) && took < Duration::from_millis(900), "{took:?}");
}

const MESSAGE: &str = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";

#[test]
fn messages_pass_from_stream_to_stream() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let worker = Running::start(Forwarder::to(&[server.local_addr().unwrap()]));
    let mut client = TcpStream::connect(worker.stream_address).unwrap();
    client.write_all(MESSAGE.repeat(3000).as_bytes()).unwrap();
    let mut stream = server.accept().unwrap().0;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut received = vec![0; MESSAGE.len() * 3000];
    stream.read_exact(&mut received).unwrap();
    assert!(received == MESSAGE.repeat(3000).as_bytes());
    assert_eq!((worker.sum("messages_in"), worker.sum("connections_accepted")), (3000, 1));
    assert_eq!(worker.sum("connections_opened"), 1);
}

#[test]
fn a_server_without_tcp_gets_the_message_by_udp() {
    let (server, spare) = (socket(), socket());
    let mut core = Forwarder::to(&[server.local_addr().unwrap()]);
    core.spare = Some(spare.local_addr().unwrap());
    let worker = Running::start(core);
    let mut client = TcpStream::connect(worker.stream_address).unwrap();
    client.write_all(MESSAGE.as_bytes()).unwrap();
    assert_eq!(receive(&server), MESSAGE);
    assert_eq!(worker.sum("fallbacks"), 1);
    assert_eq!(receive(&spare), MESSAGE, "the core is told what fell back");
}

#[test]
fn a_message_reaches_the_connection_of_another_worker() {
    let last_writer = Some(Arc::new(Mutex::new(None)));
    let cores =
        (0..2).map(|_| Forwarder { last_writer: last_writer.clone(), ..Forwarder::to(&[]) }).collect();
    let workers = Running::several(cores, UdpOptions::default(), Spread::Message);
    let mut client = TcpStream::connect(workers.stream_address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.write_all(MESSAGE.as_bytes()).unwrap();
    while workers.sum("messages_in") == 0 {
        std::thread::yield_now();
    }
    // One worker owns the connection; at random either of them gets the datagram.
    let sender = socket();
    for number in 10..50 {
        sender.send_to(format!("{number}").as_bytes(), workers.address).unwrap();
    }
    let mut received = [0; 80];
    client.read_exact(&mut received).unwrap();
    let mut received: Vec<_> =
        received.chunks(2).map(|two| String::from_utf8_lossy(two).into_owned()).collect();
    received.sort();
    assert_eq!(received, (10..50).map(|number| number.to_string()).collect::<Vec<_>>());
    let all_arrived = |workers: &Running| workers.sum("mailbox_out") == workers.sum("mailbox_in");
    assert!(workers.until(all_arrived), "{} posted", workers.sum("mailbox_out"));
    assert!((1..40).contains(&workers.sum("mailbox_out")));
}

#[test]
fn one_flow_reaches_both_workers_when_spread_by_message() {
    let (client, server) = (socket(), socket());
    let to = [server.local_addr().unwrap()];
    let cores = vec![Forwarder::to(&to), Forwarder::to(&to)];
    let workers = Running::several(cores, UdpOptions::default(), Spread::Message);
    for _ in 0..64 {
        client.send_to(b"of one trunk", workers.address).unwrap();
    }
    for _ in 0..64 {
        assert_eq!(receive(&server), "of one trunk");
    }
    let counts: Vec<_> = workers.handles.iter().map(|handle| handle.counters().datagrams_in.get()).collect();
    assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
}

#[test]
fn a_flow_that_is_too_much_for_one_worker_is_spread() {
    let (client, server) = (socket(), socket());
    let core =
        || Forwarder { pause: Duration::from_millis(2), ..Forwarder::to(&[server.local_addr().unwrap()]) };
    let small = UdpOptions { receive_buffer: 64 << 10, ..UdpOptions::default() };
    let workers = Running::several(vec![core(), core()], small, Spread::Auto);
    let (start, mut rounds) = (std::time::Instant::now(), 0);
    let served = || workers.handles.iter().filter(|handle| handle.counters().datagrams_in.get() > 50).count();
    while served() < 2 {
        client.send_to(&[b'x'; 500], workers.address).unwrap();
        rounds += 1;
        if rounds % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{} lost",
            workers.sum("datagrams_lost_in_kernel")
        );
    }
    assert_eq!((workers.sum("spread_changes"), workers.sum("spread_by_message")), (1, 1));
}

/// Answers each question with its letters reversed, through a pipe that wakes the worker.
struct Oracle {
    asked: Vec<Question>,
    recorded: std::sync::mpsc::Sender<String>,
    pipe: (std::io::PipeReader, std::io::PipeWriter),
}

impl Beside<Forwarder> for Oracle {
    fn ask(&mut self, _: Time, asks: &mut Vec<Question>) {
        self.asked.append(asks);
        self.pipe.1.write_all(b"!").unwrap();
    }

    fn record(&mut self, _: Time, events: &mut Vec<String>) {
        events.drain(..).for_each(|event| self.recorded.send(event).unwrap());
    }

    fn source(&self) -> Option<std::os::fd::RawFd> {
        Some(self.pipe.0.as_raw_fd())
    }

    fn answers(&mut self, _: Time, answers: &mut Vec<String>) {
        self.pipe.0.read_exact(&mut [0; 1]).unwrap();
        answers.extend(self.asked.drain(..).map(|Question(mut bytes)| {
            bytes.reverse();
            String::from_utf8(bytes).unwrap()
        }));
    }
}

#[test]
fn what_a_core_asks_comes_back_to_it_and_what_it_records_is_recorded() {
    let (client, server) = (socket(), socket());
    let (recorded, records) = std::sync::mpsc::channel();
    let listeners = [(Transport::Udp, "127.0.0.1:0".parse().unwrap())];
    let beside = Box::new(Oracle { asked: Vec::new(), recorded, pipe: std::io::pipe().unwrap() });
    let setup = Setup { beside, ..setup(0, &listeners, UdpOptions::default(), Spread::Flow) };
    let worker = Worker::new(setup, Forwarder::to(&[server.local_addr().unwrap()])).unwrap();
    let (address, handle) = (worker.udp()[0].local_address().unwrap(), worker.handle());
    let thread = std::thread::spawn(move || worker.run());
    client.send_to(b"who?", address).unwrap();
    assert_eq!(receive(&server), "?ohw");
    assert_eq!(records.recv().unwrap(), "answered ?ohw");
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn what_a_turn_that_stood_still_wanted_to_send_is_thrown_away() {
    let (client, server) = (socket(), socket());
    let listeners = [(Transport::Udp, "127.0.0.1:0".parse().unwrap())];
    // Every turn counts as too long.
    let late = Some(Duration::ZERO);
    let setup = Setup { late, ..setup(0, &listeners, UdpOptions::default(), Spread::Flow) };
    let worker = Worker::new(setup, Forwarder::to(&[server.local_addr().unwrap()])).unwrap();
    let (address, handle) = (worker.udp()[0].local_address().unwrap(), worker.handle());
    let thread = std::thread::spawn(move || worker.run());
    client.send_to(b"hello", address).unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while handle.counters().sends_too_late.get() == 0 {
        assert!(Instant::now() < until, "nothing was thrown away");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(handle.counters().datagrams_out.get(), 0);
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_core_writes_letters_to_the_cores_of_all_workers() {
    let (client, server) = (socket(), socket());
    let to = [server.local_addr().unwrap()];
    let cores = vec![Forwarder::to(&to), Forwarder::to(&to)];
    let workers = Running::several(cores, UdpOptions::default(), Spread::Flow);
    client.send_to(b"tell both", workers.address).unwrap();
    let mut told = [receive(&server), receive(&server)];
    told.sort();
    assert_eq!(told, ["letter 7", "letter 8"]);
    assert!(workers.until(|workers| (workers.sum("mailbox_in"), workers.sum("mailbox_out")) == (2, 2)));
}
