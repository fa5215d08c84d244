//! One server without replicas, as on one machine.

use base::Duration;
use state::{Answer, Unanswered};

use super::super::{Address, Records};
use super::servers::Folder;
use super::{CLOCK, Server, Settings, Start, Worker, create, del, key, peek, put, record};
use crate::server::tests::Running;

fn start(settings: &Settings) -> Start {
    Start::wait(settings, &CLOCK, Duration::from_secs(10), |_| {}).expect("the state tier")
}

#[test]
fn records_are_written_and_read() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    assert_eq!(worker.answer(put(key(1), 1, 2), true), Ok(Answer::Done));
    assert_eq!(worker.answer(peek(key(1)), false), Ok(Answer::Record(Some(record(2, 0)))));
    assert_eq!(worker.answer(put(key(1), 1, 3), true), Ok(Answer::Refused(Some(record(2, 0)))));
    assert_eq!(worker.answer(del(key(1), 2, 3), true), Ok(Answer::Done));
    let status = worker.store.status(Worker::now());
    assert_eq!((status.links.unreachable, status.links.waiting), (0, 0));
    assert_eq!(status.links.nodes[0].view, Some(0));
    assert_eq!(worker.store.primaries().collect::<Vec<_>>(), [(0, 0)]);
}

#[test]
fn records_are_listed_over_a_connection_of_its_own() {
    let folder = Folder::new();
    let redis = Server::start(&folder, "a", "");
    let own = Running::start(|_, _| {});
    let settings = Settings { nodes: vec![Address::Unix(own.path.clone())], ..Settings::default() };
    for settings in [redis.settings(), settings] {
        let mut worker = Worker::new(&settings);
        for number in [1, 257, 513] {
            assert_eq!(worker.answer(create(key(number), 1), true), Ok(Answer::Done));
        }
        let mut records = Records::connect(&settings).expect("the state tier");
        // All wake together, so the limit does not divide them.
        let (found, next) = records.list(1, 0, 2).expect("records");
        assert_eq!((found.len(), next), (3, None));
        assert!(found.iter().all(|(_, bytes)| **bytes == *record(1, 0)));
        assert_eq!(records.list(2, 0, 9).expect("none"), (Vec::new(), None));
        assert_eq!(records.get(key(257)).expect("a record"), Some(record(1, 0)));
        assert_eq!(records.get(key(2)).expect("none"), None);
    }
}

#[test]
fn all_commits_of_a_turn_come_back() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    for turn in 0..5 {
        for number in 0..2_000 {
            worker.ask(key(number).partition(), create(key(turn << 16 | number), 1), true);
        }
        assert!(worker.replies(2_000).iter().all(|reply| reply.answer == Ok(Answer::Done)));
    }
}

#[test]
fn each_start_draws_another_number_and_finds_the_same_secret() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let (first, second) = (start(&server.settings()), start(&server.settings()));
    assert_eq!(second.engine, first.engine + 1);
    assert!(first.engine > 1_700_000_000, "it begins with the time: {}", first.engine);
    assert!(first.secret == second.secret && first.secret.get() != &[0; 32]);
    // One copy is lost, and is written back.
    server.say(&["DEL", "{p07}secret"]);
    first.keep_secret(&server.settings()).expect("the secret");
    assert!(start(&server.settings()).secret == first.secret);
    // Another farm's engine has written there.
    server.say(&["SET", "{p07}secret", "01234567890123456789012345678901"]);
    assert!(first.keep_secret(&server.settings()).unwrap_err().to_string().contains("another farm"));
    let short = Start::wait(&server.settings(), &CLOCK, Duration::from_millis(200), |_| {});
    assert!(short.err().expect("an error").to_string().contains("another farm"));
}

#[test]
fn without_a_state_tier_the_start_says_what_to_do() {
    let folder = Folder::new();
    let address = super::super::Address::Unix(folder.path().join("none"));
    let settings = Settings { nodes: vec![address], ..Settings::default() };
    let error = Start::wait(&settings, &CLOCK, Duration::from_millis(50), |_| {}).err().expect("an error");
    let text = error.to_string();
    assert!(text.contains("none: No such file") && text.contains("remedy: start it"), "{text}");
}

#[test]
fn a_server_that_was_started_again_is_found_again_and_has_the_functions() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    server.kill();
    worker.ask(0, create(key(2), 1), true);
    worker.run(Duration::from_millis(300));
    assert_eq!(worker.replies, []);
    assert!(worker.store.status(Worker::now()).trouble.is_some());
    server.start_again();
    assert_eq!(worker.replies(1)[0].answer, Ok(Answer::Done));
    assert_eq!(worker.answer(peek(key(1)), false), Ok(Answer::Record(None)), "it came back empty");
}

#[test]
fn a_server_that_does_not_come_back_ends_patience() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    server.kill();
    let begin = std::time::Instant::now();
    assert_eq!(worker.answer(create(key(1), 1), true), Err(Unanswered::OutOfReach));
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(4_990) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_silent_server_is_left_and_what_it_owes_is_asked_again() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    server.signal(libc::SIGSTOP);
    let token = worker.ask(1, put(key(1), 1, 2), true);
    worker.run(Duration::from_millis(1_500));
    server.signal(libc::SIGCONT);
    assert_eq!(worker.replies(1), [state::Reply { token, answer: Ok(Answer::Done) }]);
    assert!(worker.store.status(Worker::now()).links.counters.repeated >= 1);
}

#[test]
fn functions_that_are_gone_are_brought_again() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    server.say(&["FUNCTION", "FLUSH"]);
    assert_eq!(worker.answer(peek(key(1)), false), Ok(Answer::Record(Some(record(1, 0)))));
    server.say(&["FUNCTION", "FLUSH"]);
    assert_eq!(worker.answer(put(key(1), 1, 2), true), Ok(Answer::Done));
}

#[test]
fn a_password_is_needed_and_said() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "user engine on >secret ~* &* +@all\nuser default off\n");
    let with = |password: &str| Settings {
        user: Some("engine".into()),
        password: Some(password.to_owned().into()),
        ..server.settings()
    };
    let start = start(&with("secret"));
    let mut worker = Worker::of(&with("secret"), &start);
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    for wrong in [with("wrong"), server.settings()] {
        let error = Start::wait(&wrong, &CLOCK, Duration::from_millis(100), |_| {}).err().expect("an error");
        assert!(error.to_string().contains("WRONGPASS") || error.to_string().contains("NOAUTH"), "{error}");
        let mut worker = Worker::of(&wrong, &start);
        worker.run(Duration::from_millis(300));
        let trouble = worker.store.status(Worker::now()).trouble.expect("a reason");
        assert!(trouble.contains("WRONGPASS") || trouble.contains("NOAUTH"), "{trouble}");
    }
}

#[test]
fn the_time_is_that_of_the_server() {
    let folder = Folder::new();
    let server = Server::start(&folder, "a", "");
    let mut worker = Worker::new(&server.settings());
    for _ in 0..2 {
        let (ours, theirs) = (worker.store.state_time(Worker::now()), os::since_1970().as_millis() as u64);
        assert!(ours.abs_diff(theirs) < 50, "{ours} {theirs}");
        worker.run(Duration::from_millis(100));
    }
}

#[test]
fn the_server_of_one_machine_is_a_state_tier_as_redis_is() {
    let server = Running::start(|_, _| {});
    let address = super::super::Address::Unix(server.path.clone());
    let settings = Settings { nodes: vec![address], ..Settings::default() };
    let (first, second) = (start(&settings), start(&settings));
    assert!(second.engine == first.engine + 1 && second.secret == first.secret);
    let mut worker = Worker::of(&settings, &first);
    for turn in 0..5 {
        (0..2_000).for_each(|number| {
            worker.ask(key(number).partition(), create(key(turn << 16 | number), 1), true);
        });
        assert!(worker.replies(2_000).iter().all(|reply| reply.answer == Ok(Answer::Done)));
    }
    assert_eq!(worker.answer(put(key(1), 1, 2), true), Ok(Answer::Done));
    assert_eq!(worker.answer(peek(key(1)), false), Ok(Answer::Record(Some(record(2, 0)))));
    let status = worker.store.status(Worker::now());
    assert_eq!((status.links.unreachable, status.links.nodes[0].view, status.trouble), (0, Some(0), None));
}
