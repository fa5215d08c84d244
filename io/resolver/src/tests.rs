//! The thread against a name server of a few lines: answers, silence, failures; nobody waits.

use std::net::UdpSocket;
use std::time::Instant;

use dns::name::Name;
use dns::record::{Kind, Records, Srv};

use super::*;

/// A name server that answers each question by what `answer` makes of it; `None`: silence.
fn server(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = answer(&bytes[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// The head and the question of a message, as an answer with this code and these records.
fn message(asked: &[u8], code: u8, records: &[&[u8]]) -> Vec<u8> {
    let end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut answer = asked[..end].to_vec();
    (answer[2], answer[3]) = (0x81, 0x80 | code);
    answer[4..12].copy_from_slice(&[0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    for record in records {
        // The name is that of the question; class IN, a time of 7 seconds.
        answer.extend([0xc0, 12, asked[end - 4], asked[end - 3], 0, 1, 0, 0, 0, 7, 0, record.len() as u8]);
        answer.extend(*record);
    }
    answer
}

fn asked(servers: Vec<SocketAddr>, kind: Kind) -> Answer {
    let settings = Settings { name_servers: servers, timeout: Duration::from_millis(200) };
    let (deliver, answers) = std::sync::mpsc::channel();
    let deliver = move |question: &Question, answer| deliver.send((question.clone(), answer)).unwrap_or(());
    let resolver = Resolver::start(settings, deliver).unwrap();
    let question = Question { name: Name::new("_sip._udp.a.example").unwrap(), kind, searched: false };
    let before = Instant::now();
    resolver.ask(question.clone());
    assert!(before.elapsed() < Duration::from_millis(100), "asking does not wait");
    let (answered, answer) = answers.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(answered, question);
    answer
}

#[test]
fn records_are_read_with_their_time() {
    let record: &[u8] = &[0, 10, 0, 20, 0x13, 0xc4, 1, b'h', 1, b'A', 0];
    let root: &[u8] = &[0, 1, 0, 0, 0, 1, 0];
    let servers = vec![server(move |asked| Some(message(asked, 0, &[record, root])))];
    let records = Records::Srv(vec![
        Srv { priority: 10, weight: 20, port: 5060, target: Name::new("h.a") },
        Srv { priority: 1, weight: 0, port: 1, target: None },
    ]);
    assert_eq!(asked(servers, Kind::Srv), Answer::Found { records, ttl: Duration::from_secs(7) });
}

#[test]
fn no_record_is_an_answer_and_a_failure_is_none() {
    for (code, expected) in [
        (0, Answer::Nothing { ttl: None }),
        (3, Answer::Nothing { ttl: None }),
        (2, Answer::Failed(Failure::ServerFailure)),
        (5, Answer::Failed(Failure::Refused)),
    ] {
        assert_eq!(asked(vec![server(move |asked| Some(message(asked, code, &[])))], Kind::A), expected);
    }
}

#[test]
fn a_silent_name_server_is_passed_over_and_silence_is_said() {
    let good: &[u8] = &[192, 0, 2, 1];
    let servers = vec![server(|_| None), server(move |asked| Some(message(asked, 0, &[good])))];
    let records = Records::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    assert_eq!(asked(servers, Kind::A), Answer::Found { records, ttl: Duration::from_secs(7) });
    assert_eq!(asked(vec![server(|_| None)], Kind::A), Answer::Failed(Failure::Silent));
}
