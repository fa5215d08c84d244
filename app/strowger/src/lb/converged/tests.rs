//! Servers that refuse, break off, are silent or send too much: what the client gets, and what is sent twice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::lb::control::Control;

const GET: &str = "GET /page HTTP/1.1\r\nHost: app\r\n";
const POST: &str = "POST /page HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A server that answers each request with this text, or closes the connection if there is none; and the number of its
/// requests.
fn server(answer: Option<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
    server_of(usize::MAX, answer)
}

/// A server that answers this many requests of each connection, and closes the connection during the next request.
fn server_of(each: usize, answer: Option<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                for _ in 0..each {
                    if !stream.read(&mut bytes).is_ok_and(|length| length > 0) {
                        return;
                    }
                    counted.fetch_add(1, SeqCst);
                    match answer {
                        Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                        None => return,
                    }
                }
                let _ = stream.read(&mut bytes);
            });
        }
    });
    (address, requests)
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn front(first: SocketAddr, second: SocketAddr) -> (Arc<Front>, Control) {
    let text = format!(
        "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n\
         [[server]]\naddress = \"127.0.0.1:7000\"\nhttp = \"{first}\"\n\
         [[server]]\naddress = \"127.0.0.1:7001\"\nhttp = \"{second}\"\n\
         [http]\nlisten = \"127.0.0.1:1\"\nbody_bytes_max = 1000\n"
    );
    let checked = config::parse(&text).unwrap();
    let clock = Clock::start();
    let control = Control::new(clock.now(), checked.settings, 1).unwrap();
    let http = Http {
        listen: "127.0.0.1:0".parse().unwrap(),
        idle: Duration::from_secs(20),
        ..checked.http.unwrap()
    };
    (Front::serve(http, Shared::clone(&control.shared()), clock, base::Chance::seeded(1)).unwrap(), control)
}

/// Silence is short from now on.
fn impatient(front: &Front) {
    let settings = Http::clone(&front.settings.load());
    let idle = Duration::from_millis(300);
    front.set(Http { idle, upgraded_idle: idle, ..settings });
}

fn ask(front: &Front, text: &str) -> String {
    let mut stream = TcpStream::connect(front.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The status of each of four requests, in the order of their numbers.
fn four(front: &Front, head: &str, body: &str) -> Vec<String> {
    let text = format!("{head}Connection: close\r\n\r\n{body}");
    let mut statuses: Vec<String> =
        (0..4).map(|_| ask(front, &text).get(9..12).unwrap_or_default().to_owned()).collect();
    statuses.sort();
    statuses
}

fn count(front: &Front, name: &str) -> u64 {
    front.counters.read().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn a_server_that_refuses_is_passed_over_with_any_request() {
    let (good, requests) = server(Some(HELLO));
    let (front, _control) = front(nobody(), good);
    assert_eq!(four(&front, POST, "12345"), ["200"; 4]);
    assert_eq!(four(&front, GET, ""), ["200"; 4]);
    assert_eq!(requests.load(SeqCst), 8);
    assert!(count(&front, "http_not_connected") >= 1);
    assert_eq!(count(&front, "http_new_sessions"), 8);
}

#[test]
fn what_a_server_may_have_begun_with_is_sent_again_only_if_that_is_the_same() {
    let (good, _) = server(Some(HELLO));
    let (breaks_off, requests) = server(None);
    let (front, _control) = front(breaks_off, good);
    assert_eq!(four(&front, POST, "12345"), ["200", "200", "502", "502"]);
    assert_eq!(requests.load(SeqCst), 2, "each was sent once");
    let begun = four(&front, GET, "");
    let refused = begun.iter().filter(|status| *status == "502").count();
    assert!(refused > 0, "{begun:?}");
    assert_eq!(requests.load(SeqCst), 2 + 4, "each was sent twice, and not to the other server");
    assert_eq!(count(&front, "http_bad_gateway"), 2 + refused as u64);
}

#[test]
fn a_session_whose_server_does_not_answer_goes_to_another_and_is_told() {
    let (first, _) = server(Some(HELLO));
    let (second, requests) = server(Some(HELLO));
    let (front, _control) = front(first, second);
    let begun = ask(&front, &format!("{GET}Connection: close\r\n\r\n"));
    let cookie = begun.split("strowger=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    assert!(begun.contains("; Path=/; HttpOnly; SameSite=Lax\r\n"), "{begun}");
    let mut http = Http::clone(&front.settings.load());
    let here = usize::from(requests.load(SeqCst) == 0);
    let gone = if here == 1 { first } else { second };
    for place in http.places.named.values_mut().filter(|place| **place == gone) {
        *place = nobody();
    }
    front.set(http);
    let with =
        |cookie: &str| ask(&front, &format!("{GET}Connection: close\r\nCookie: strowger={cookie}\r\n\r\n"));
    let moved = with(&cookie);
    let renewed = moved.split("strowger=").nth(1).expect(&moved).split(';').next().unwrap();
    assert_eq!((count(&front, "http_taken_over"), count(&front, "http_by_tag")), (1, 0));
    assert!(!with(renewed).contains("Set-Cookie") && !with(renewed).contains("set-cookie"));
    assert_eq!((count(&front, "http_taken_over"), count(&front, "http_by_tag")), (1, 2));
}

#[test]
fn a_session_stays_though_its_server_closes_a_connection_under_a_request() {
    let (first, _) = server_of(1, Some(HELLO));
    let (second, _) = server_of(1, Some(HELLO));
    let (front, _control) = front(first, second);
    let begun = ask(&front, &format!("{GET}Connection: close\r\n\r\n"));
    let cookie = begun.split("strowger=").nth(1).unwrap().split(';').next().unwrap();
    let head = format!("{GET}Cookie: strowger={cookie}\r\n");
    for _ in 0..10 {
        assert_eq!(four(&front, &head, ""), ["200"; 4]);
    }
    assert_eq!((count(&front, "http_by_tag"), count(&front, "http_taken_over")), (40, 0));
}

#[test]
fn silence_an_unasked_change_of_protocol_and_too_long_a_body_are_answered() {
    let (silent, _) = server(Some(""));
    let (front_of_silent, _control) = front(silent, silent);
    impatient(&front_of_silent);
    assert_eq!(four(&front_of_silent, GET, ""), ["504"; 4]);
    let (odd, _) =
        server(Some("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"));
    let (front_of_odd, _control) = front(odd, odd);
    assert_eq!(four(&front_of_odd, GET, ""), ["502"; 4]);
    let chunked = format!("{}Transfer-Encoding: chunked\r\n", POST.replace("Content-Length: 5\r\n", ""));
    let long = format!("7d0\r\n{}\r\n0\r\n\r\n", "a".repeat(2000));
    assert_eq!(four(&front_of_silent, &chunked, &long), ["413"; 4]);
    for bad in ["zz\r\nhello\r\n0\r\n\r\n", "5\r\nhello!!\r\n0\r\n\r\n"] {
        assert_eq!(four(&front_of_silent, &chunked, bad), ["400"; 4], "{bad}");
    }
    let (front_of_nobody, _control) = front(nobody(), nobody());
    let answer = ask(&front_of_nobody, &format!("{GET}Connection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5\r\n"), "{answer}");
}

/// More bytes than sockets hold, from a client that reads only after sending all of them: a reset would destroy the answer.
#[test]
fn a_client_that_goes_on_sending_gets_its_answer() {
    let (silent, _) = server(Some(""));
    let (front, _control) = front(silent, silent);
    let body = format!("7d0\r\n{}\r\n", "a".repeat(2000)).repeat(4000);
    let head = format!("{}Transfer-Encoding: chunked\r\n", POST.replace("Content-Length: 5\r\n", ""));
    assert_eq!(four(&front, &head, &(body + "0\r\n\r\n")), ["413"; 4]);
}

#[test]
fn whoever_does_not_read_or_says_nothing_is_cut_off() {
    const LENGTH: usize = 40 << 20;
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n{}", "a".repeat(LENGTH));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let talks = listener.local_addr().unwrap();
    let (cut, was_cut) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        cut.send(stream.write_all(long.as_bytes()).is_err()).unwrap();
    });
    let (front_of_talks, _control) = front(talks, talks);
    impatient(&front_of_talks);
    let mut stream = TcpStream::connect(front_of_talks.address()).unwrap();
    stream.write_all(format!("{GET}\r\n").as_bytes()).unwrap();
    assert_eq!(was_cut.recv_timeout(Duration::from_secs(20)), Ok(true));
    // The bytes that already are in the sockets can still be read.
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read);
    assert!(!read.is_empty() && read.len() < LENGTH, "{} bytes", read.len());

    let (changes, _) =
        server(Some("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"));
    let (front, _control) = front(changes, changes);
    impatient(&front);
    let began = std::time::Instant::now();
    let answer = ask(&front, &format!("{GET}Upgrade: x\r\nConnection: upgrade\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: x\r\n"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(10), "the reader lost its patience before");
    assert_eq!(count(&front, "http_upgraded"), 1);
}
