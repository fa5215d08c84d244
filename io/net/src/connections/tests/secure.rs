//! TLS on accepted and on opened connections, against `rustls` as a blocking peer in a thread of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use base::Duration;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sip::{Target, Transport};

use super::bench::Bench;
use super::{back, message};
use crate::connections::Limits;
use crate::connections::relay::{CLOSING, SERVED};
use crate::tls::{Identities, Identity};

/// An authority that signs certificates for 127.0.0.1.
struct Authority(CertifiedIssuer<'static, KeyPair>);

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self) -> Chain {
        let params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let provider = Arc::new(default_provider());
                let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots().into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = self.sign();
        builder.with_single_cert(chain, key).unwrap()
    }

    fn client(&self, own: Option<Chain>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        }
    }

    fn identity(&self) -> Identity {
        let client = Some(self.client(None).into());
        let accepting = vec![Some(self.server(None).into())];
        Identity { accepting, client, server_name: None, server_verifier: None }
    }
}

fn bench(identity: Identity, limits: Limits) -> Bench {
    Bench::over(Transport::Tls, limits, Arc::new(Identities::new(Some(identity))))
}

fn address(bench: &Bench) -> SocketAddr {
    bench.connections.local_addresses().next().unwrap().unwrap()
}

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Runs a peer beside the worker's half until it is done.
fn beside<T: Send + 'static>(bench: &mut Bench, peer: impl FnOnce() -> T + Send + 'static) -> T {
    let thread: JoinHandle<T> = std::thread::spawn(peer);
    bench.until("the peer is done", |_| thread.is_finished());
    thread.join().unwrap()
}

fn connect(to: SocketAddr, config: ClientConfig) -> Client {
    let socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let name = ServerName::from(to.ip());
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

/// A client whose handshake is over.
fn client(bench: &mut Bench, config: ClientConfig) -> Result<Client, std::io::Error> {
    client_of(bench, address(bench), config)
}

fn client_of(bench: &mut Bench, to: SocketAddr, config: ClientConfig) -> Result<Client, std::io::Error> {
    let mut client = connect(to, config);
    beside(bench, move || {
        while client.conn.is_handshaking() {
            client.conn.complete_io(&mut client.sock)?;
        }
        Ok(client)
    })
}

#[test]
fn another_process_goes_on_and_this_one_does_the_tls() {
    let authority = Authority::new();
    let mut first = bench(authority.identity(), Limits::default());
    let mut client = client(&mut first, authority.client(None)).unwrap();
    let (one, other) = (message(1), message(2));
    let mut client = beside(&mut first, move || {
        client.write_all(&one.as_bytes()[..30]).unwrap();
        client.flush().unwrap();
        client
    });
    first.until("half a message", |bench| bench.count("stream_bytes_in") == 30);
    let (mut next, relay) = first.handed_over(&[Transport::Tls]);
    let client = beside(&mut next, move || {
        client.write_all(&message(1).as_bytes()[30..]).unwrap();
        client.write_all(other.as_bytes()).unwrap();
        client.flush().unwrap();
        client
    });
    next.until("both arrive", |bench| bench.messages.len() == 2);
    assert_eq!((&next.messages[0].0, &next.messages[1].0), (&message(1), &message(2)));
    assert_eq!(next.messages[0].1.transport, Transport::Tls);
    let long = "x".repeat(300_000);
    next.send(&long, back(next.messages[0].1, false));
    // Over one more process, and back.
    let (mut last, _) = next.handed_over(&[Transport::Tls]);
    let mut client = client;
    let client = beside(&mut last, move || {
        let mut bytes = vec![0; 300_000];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        client.write_all(message(3).as_bytes()).unwrap();
        client.flush().unwrap();
        client
    });
    last.until("the third arrives", |bench| bench.messages.len() == 1);
    assert!(!relay.is_finished());
    drop(client);
    last.until("the end", |bench| bench.closed.len() == 1);
    relay.join().unwrap().unwrap();
}

#[test]
fn connections_that_last_too_long_are_closed_in_turn() {
    let authority = Authority::new();
    let mut bench = bench(authority.identity(), Limits::default());
    let clients: Vec<Client> = (0..4).map(|_| client(&mut bench, authority.client(None)).unwrap()).collect();
    let (_, pairs) = bench.connections.part();
    let mut relay = bench.connections.into_relay(pairs).unwrap();
    let mut left = |age| {
        relay.close_in_turn(age, 4);
        relay.len()
    };
    let half = SERVED + CLOSING / 2;
    assert_eq!([Duration::ZERO, SERVED, half, half, SERVED + CLOSING].map(&mut left), [4, 4, 2, 2, 0]);
    for mut client in clients {
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "with a close_notify");
    }
}

#[test]
fn messages_go_both_ways_and_pings_are_answered() {
    let authority = Authority::new();
    let mut bench = bench(authority.identity(), Limits::default());
    let mut client = client(&mut bench, authority.client(None)).unwrap();
    let all: Vec<String> = (0..3000).map(message).collect();
    let sent = all.concat();
    let mut client = beside(&mut bench, move || {
        client.write_all(b"\r\n\r\n").unwrap();
        client.write_all(sent.as_bytes()).unwrap();
        client.flush().unwrap();
        client
    });
    bench.until("all arrive", |bench| bench.messages.len() == 3000);
    assert!(bench.messages.iter().map(|(text, _)| text).eq(&all));
    assert_eq!(bench.messages[0].1.transport, Transport::Tls);
    assert_eq!((bench.count("pings"), bench.count("handshakes_done")), (1, 1));
    // More than a record, and more than may wait within the session.
    let long = "x".repeat(300_000);
    let to = back(bench.messages[0].1, false);
    bench.send(&long, to);
    let read = beside(&mut bench, move || {
        let mut text = vec![0; 2 + 300_000];
        client.read_exact(&mut text).unwrap();
        text
    });
    assert_eq!(String::from_utf8(read).unwrap(), format!("\r\n{long}"));
    assert_eq!(bench.count("messages_out"), 1);
}

#[test]
fn a_stranger_to_the_authority_is_refused_and_counted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let accepting = vec![Some(ours.server(Some(&ours)).into())];
    let identity = Identity { accepting, client: None, server_name: None, server_verifier: None };
    let mut bench = bench(identity, Limits::default());
    // A client of TLS 1.3 believes that the handshake is done before we have checked its certificate: reading tells.
    for own in [None, Some(other.sign())] {
        let mut client = client(&mut bench, ours.client(own)).unwrap();
        let read = beside(&mut bench, move || client.read(&mut [0; 16]).map(drop));
        assert!(read.is_err());
    }
    bench.until("both are counted", |bench| bench.count("handshakes_failed") == 2);
    assert_eq!(bench.connections.open_count(), 0);
    let mut good = client(&mut bench, ours.client(Some(ours.sign()))).unwrap();
    good.write_all(message(1).as_bytes()).unwrap();
    bench.until("a known one is heard", |bench| bench.messages.len() == 1);
}

#[test]
fn who_does_not_finish_is_let_go_and_too_many_are_turned_away() {
    let authority = Authority::new();
    let limits = Limits { handshakes: 4, handshakes_per_source: 3, ..Limits::default() };
    let mut bench = bench(authority.identity(), limits);
    let mut idle: Vec<TcpStream> = (0..5).map(|_| bench.client()).collect();
    bench.until("three wait, two are refused", |bench| {
        bench.count("connections_refused_source_handshakes_full") == 2
    });
    assert_eq!(bench.connections.open_count(), 3);
    idle[0].write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    bench.until("what is no TLS is refused", |bench| bench.count("handshakes_failed") == 1);
    bench.pass(limits.handshake_time);
    assert_eq!((bench.count("handshakes_slow"), bench.connections.open_count()), (2, 0));
    client(&mut bench, authority.client(None)).unwrap();
}

#[test]
fn a_changed_certificate_is_for_new_connections_and_the_old_ones_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let identities = Arc::new(Identities::new(Some(old.identity())));
    let mut bench = Bench::over(Transport::Tls, Limits::default(), Arc::clone(&identities));
    let mut before = client(&mut bench, old.client(None)).unwrap();
    identities.change(Some(new.identity()));
    client(&mut bench, new.client(None)).unwrap();
    assert!(client(&mut bench, old.client(None)).is_err());
    before.write_all(message(1).as_bytes()).unwrap();
    bench.until("the old connection is heard", |bench| bench.messages.len() == 1);
}

#[test]
fn each_listener_shows_its_own_certificate() {
    let (one, two) = (Authority::new(), Authority::new());
    let accepting = [&one, &two].map(|authority| Some(Arc::new(authority.server(None)))).to_vec();
    let identities =
        Identities::new(Some(Identity { accepting, client: None, server_name: None, server_verifier: None }));
    let transports = [Transport::Tls, Transport::Tls, Transport::Tls];
    let mut bench = Bench::on(&transports, Limits::default(), Arc::new(identities));
    let places: Vec<SocketAddr> = bench.connections.local_addresses().map(Result::unwrap).collect();
    for (place, right, wrong) in [(places[0], &one, &two), (places[1], &two, &one)] {
        client_of(&mut bench, place, right.client(None)).unwrap();
        assert!(client_of(&mut bench, place, wrong.client(None)).is_err());
    }
    // An identity without a certificate lets nobody in.
    assert!(client_of(&mut bench, places[2], one.client(None)).is_err());
    assert_eq!(bench.count("connections_without_identity"), 1);
}

/// Accepts one connection on a listener and reads until its end.
fn serve(listener: TcpListener, config: ServerConfig) -> String {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
    let mut text = vec![0; 8];
    let read = stream.read_exact(&mut text).map(|()| text);
    let _ = stream.write_all(message(1).as_bytes());
    String::from_utf8(read.unwrap_or_default()).unwrap()
}

#[test]
fn a_server_is_connected_to_when_its_certificate_is_good() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (authority, expected) in [(&ours, "one two "), (&other, "")] {
        let mut bench = bench(ours.identity(), Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Target::Stream { listener: 0, to: listener.local_addr().unwrap() };
        bench.send("one ", to);
        bench.send("two ", to);
        let config = authority.server(None);
        let got = beside(&mut bench, move || serve(listener, config));
        assert_eq!(got, expected);
        if expected.is_empty() {
            bench.until("it is closed", |bench| bench.failed.len() == 2);
            assert_eq!(bench.count("handshakes_failed"), 1);
            let (server, why) = bench.handshakes_failed.pop().unwrap();
            assert_eq!((Target::Stream { listener: 0, to: server }, bench.handshakes_failed.len()), (to, 0));
            assert!(why.contains("invalid peer certificate"), "{why}");
        } else {
            bench.until("its request comes the same way", |bench| bench.messages.len() == 1);
        }
    }
}

#[test]
fn without_a_certificate_nobody_is_let_in() {
    let mut bench = Bench::over(Transport::Tls, Limits::default(), Arc::default());
    let _client = bench.client();
    bench.until("it is counted", |bench| bench.count("connections_without_identity") == 1);
    assert_eq!(bench.connections.open_count(), 0);
}

/// What a client with the certificate `own` proves, if servers' certificates must be signed by `servers`.
fn proven(own: Option<Chain>, clients: &Authority, servers: &Authority, name: Option<&str>) -> Vec<bool> {
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(servers.roots().into(), provider).build().unwrap();
    let server = match &own {
        Some(_) => clients.server(Some(clients)),
        None => clients.server(None),
    };
    let server_name = name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
    let identity = Identity {
        accepting: vec![Some(server.into())],
        client: None,
        server_name,
        server_verifier: Some(verifier),
    };
    let mut bench = bench(identity, Limits::default());
    let mut client = client(&mut bench, clients.client(own)).unwrap();
    client.write_all(message(1).as_bytes()).unwrap();
    bench.until("it is heard", |bench| bench.messages.len() == 1);
    let id = bench.messages[0].1.connection.unwrap();
    let claims: [(&str, Option<&[u8]>); 5] = [
        ("127.0.0.1", None),
        ("127.0.0.2", None),
        ("127.0.0.1", Some(b"localhost")),
        ("127.0.0.1", Some(b"other.example")),
        ("127.0.0.1", Some(b"no name")),
    ];
    claims.iter().map(|(ip, name)| bench.connections.proves(id, ip.parse().unwrap(), *name)).collect()
}

#[test]
fn a_connection_proves_what_one_of_ours_to_its_peer_would_have() {
    let (ours, other) = (Authority::new(), Authority::new());
    let none = [false; 5];
    assert_eq!(proven(None, &ours, &ours, None), none, "no certificate");
    assert_eq!(proven(Some(ours.sign()), &ours, &other, None), none, "nobody that servers are believed by");
    assert_eq!(proven(Some(ours.sign()), &ours, &ours, None), [true, false, true, false, false]);
    assert_eq!(
        proven(Some(ours.sign()), &ours, &ours, Some("localhost"))[..2],
        [true, true],
        "by the one name"
    );
    assert_eq!(proven(Some(ours.sign()), &ours, &ours, Some("farm.example")), none);
}

#[test]
fn a_close_notify_ends_both_ways_before_tls_1_3_and_one_way_since() {
    for (versions, answered) in [(&[&rustls::version::TLS13], true), (&[&rustls::version::TLS12], false)] {
        let authority = Authority::new();
        let mut bench = bench(authority.identity(), Limits::default());
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let mut client = client(&mut bench, config).unwrap();
        client.sock.set_nodelay(true).unwrap();
        client.write_all(message(0).as_bytes()).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        bench.until("the request", |bench| bench.messages.len() == 1);
        for _ in 0..5 {
            bench.turn(Duration::from_millis(1));
        }
        let answer = "SIP/2.0 200 OK\r\n\r\n";
        bench.send(answer, back(bench.messages[0].1, false));
        bench.pass(Duration::ZERO);
        let got = beside(&mut bench, move || {
            let mut got = String::new();
            let _ = client.read_to_string(&mut got);
            got
        });
        assert_eq!(got, if answered { answer } else { "" });
        bench.until("it is closed", |bench| bench.connections.open_count() == 0);
    }
}
