//! Workers that stand still: they go on, or others go on in their place.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::*;

const SOON: Duration = Duration::from_secs(5);

#[test]
fn workers_go_on_when_nobody_takes_their_place() {
    let (server, client) = (socket(), socket());
    let to = [server.local_addr().unwrap()];
    let cores = vec![Forwarder::to(&to), Forwarder::to(&to)];
    let running = Running::several(cores, UdpOptions::default(), Spread::Flow);
    for round in 0..3u8 {
        let standstill = Standstill::of(&running.handles, SOON).unwrap();
        assert_eq!(standstill.parts.len(), 2);
        client.send_to(&[round], running.address).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        assert!(server.recv(&mut [0; 8]).is_err(), "they stand");
        drop(standstill);
        server.set_read_timeout(Some(SOON)).unwrap();
        let mut bytes = [0; 8];
        assert_eq!((server.recv(&mut bytes).unwrap(), bytes[0]), (1, round));
    }
}

#[test]
fn others_go_on_with_their_sockets_and_connections() {
    let (server, client) = (socket(), socket());
    let to = [server.local_addr().unwrap()];
    let mut listeners =
        [Transport::Udp, Transport::Tcp].map(|transport| (transport, "127.0.0.1:0".parse().unwrap()));
    let writer = Arc::new(Mutex::new(None));
    let core = || Forwarder { last_writer: Some(Arc::clone(&writer)), ..Forwarder::to(&to) };
    let first = Worker::new(setup(0, &listeners, UdpOptions::default(), Spread::Flow), core()).unwrap();
    let sockets = first.sockets().unwrap();
    assert_eq!(sockets.iter().map(|(listener, _)| *listener).collect::<Vec<_>>(), [0, 1]);
    listeners[0].1 = first.udp()[0].local_address().unwrap();
    listeners[1].1 = first.stream_addresses().next().unwrap().unwrap();
    let handles = [first.handle()];
    let ended = std::thread::spawn(move || first.run());
    let mut stream = TcpStream::connect(listeners[1].1).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let message = "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(message.as_bytes()).unwrap();
    let start = Instant::now();
    while writer.lock().unwrap().is_none() && start.elapsed() < SOON {
        std::thread::yield_now();
    }
    let standstill = Standstill::of(&handles, SOON).unwrap();
    client.send_to(b"waits in the socket", listeners[0].1).unwrap();
    let part = &standstill.parts[0];
    // SAFETY: the worker stands, so its descriptors are open.
    let borrowed = part.descriptors.iter().map(|fd| unsafe { BorrowedFd::borrow_raw(*fd) });
    let descriptors: Vec<OwnedFd> = borrowed.map(|fd| fd.try_clone_to_owned().unwrap()).collect();
    let mut given: Vec<Option<OwnedFd>> = vec![None, None];
    for (listener, socket) in sockets {
        given[usize::from(listener)] = Some(socket);
    }
    let next = Setup { given, ..setup(0, &listeners, UdpOptions::default(), Spread::Flow) };
    let mut next = Worker::new(next, core()).unwrap();
    assert_eq!(next.restore(&part.bytes, descriptors, Time::from_secs(3600)), (1, 0));
    assert!(standstill.end().wait(SOON));
    ended.join().unwrap().unwrap();
    let running = Running {
        address: listeners[0].1,
        stream_address: listeners[1].1,
        handles: vec![next.handle()],
        threads: vec![std::thread::spawn(move || next.run())],
    };
    // The datagram goes to the connection that last wrote, which the first worker accepted.
    let mut bytes = [0; 19];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"waits in the socket");
    assert_eq!(running.sum("connections_accepted"), 0);
}
