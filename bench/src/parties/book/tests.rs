//! Calls through a farm that only changes the sender: what the parties do when messages come, are lost, or come twice.

use super::*;

const SECOND: u32 = TICKS_PER_SECOND;

fn book() -> Book {
    let texts =
        Texts { run: 1, farm: "127.0.0.1:5060".parse().unwrap(), callee: "127.0.0.1:7000".parse().unwrap() };
    let phone = Own { address: "127.0.0.1:7200".parse().unwrap(), stream: true };
    Book::new(texts, "127.0.0.1:7100".parse().unwrap(), vec![phone])
}

fn plan(end: End, line: Line) -> Plan {
    Plan { end, line, ring: SECOND, talk: 5 * SECOND }
}

/// Lets `seconds` pass; each message arrives at once at the other party unless `drop` says no.
fn pass(book: &mut Book, from: u32, seconds: u32, mut lose: impl FnMut(&[u8]) -> bool) {
    for tick in 0..seconds * 100 {
        let now = from + tick * SECOND / 100;
        book.expire(now);
        while let Some((way, message)) = book.out.pop() {
            if lose(&message) {
                continue;
            }
            match way {
                Way::Callee => book.caller_receives(&message, Way::Caller, now),
                _ => book.callee_receives(&message, now),
            }
        }
    }
}

fn only(book: &Book) -> &Call {
    assert_eq!((book.rows.len(), book.stray, book.again.len()), (1, 0, 0));
    &book.rows[0].1
}

#[test]
fn each_end_of_a_call_comes_to_its_end() {
    for end in [End::Caller, End::Callee, End::Cancel, End::Refuse] {
        for line in [Line::Udp, Line::Phone(0)] {
            let mut book = book();
            book.begin(plan(end, line), 1);
            pass(&mut book, 1, 20, |_| false);
            let call = only(&book);
            assert_eq!((call.problem, call.rang), (None, 1), "{end:?}");
            assert!(call.ended());
        }
    }
}

#[test]
fn what_is_lost_is_repeated() {
    for end in [End::Caller, End::Callee, End::Cancel, End::Refuse] {
        let mut book = book();
        let mut seen = std::collections::HashSet::new();
        book.begin(plan(end, Line::Udp), 1);
        // The first of each message is lost.
        pass(&mut book, 1, 30, |message| seen.insert(message[..11].to_vec()));
        let call = only(&book);
        assert_eq!((call.problem, call.rang), (None, 1), "{end:?}");
    }
}

#[test]
fn a_caller_that_never_heard_it_ring_cancels_all_the_same() {
    let mut book = book();
    book.begin(plan(End::Cancel, Line::Udp), 1);
    let mut trying = false;
    pass(&mut book, 1, 30, |message| {
        // The load manager has said 100 for it, and has lost the 180.
        trying |= message.starts_with(b"SIP/2.0 180");
        message.starts_with(b"SIP/2.0 180")
    });
    let call = only(&book);
    assert!(trying && !call.has(Moment::Ringing) && call.has(Moment::Cancel));
    assert_eq!(call.problem, None);
}

#[test]
fn a_telephone_repeats_only_over_a_new_connection() {
    let mut book = book();
    book.begin(plan(End::Caller, Line::Phone(0)), 1);
    pass(&mut book, 1, 3, |_| true);
    assert!(book.out.is_empty());
    book.reconnected(0, 3 * SECOND);
    assert_eq!(book.out.len(), 1);
    pass(&mut book, 3 * SECOND, 30, |_| false);
    assert_eq!(only(&book).problem, None);
}

#[test]
fn a_telephone_that_asks_does_so_in_calls_that_are_up_and_ends_them_after() {
    for (end, asking) in [(End::Caller, 1), (End::Callee, 1), (End::Caller, 0)] {
        let mut book = book();
        book.asking = asking;
        book.begin(plan(end, Line::Phone(0)), 1);
        pass(&mut book, 1, 3, |_| false);
        book.reconnected(0, 3 * SECOND);
        book.reconnected(0, 3 * SECOND);
        let asks: Vec<_> =
            book.out.iter().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect();
        let numbers = ["CSeq: 2 OPTIONS", "CSeq: 3 OPTIONS"];
        assert_eq!(asks.len(), 2 * usize::from(asking));
        assert!(asks.iter().zip(numbers).all(|(text, number)| text.contains(number)), "{asks:?}");
        let mut byes = Vec::new();
        pass(&mut book, 3 * SECOND, 30, |message| {
            if message.starts_with(b"BYE ") {
                byes.push(String::from_utf8_lossy(message).into_owned());
            }
            false
        });
        let expected = match (end, asking) {
            (End::Caller, 1) => "CSeq: 4 BYE",
            (End::Caller, _) => "CSeq: 2 BYE",
            _ => "CSeq: 1 BYE",
        };
        assert!(byes.len() == 1 && byes[0].contains(expected), "{byes:?}");
        assert_eq!(only(&book).problem, None);
    }
}

#[test]
fn losses_have_a_name() {
    for (start, expected) in
        [(&b"INVITE"[..], "no answer to INVITE"), (b"ACK", "no ACK"), (b"BYE", "no answer to BYE")]
    {
        let mut book = book();
        book.begin(Plan { talk: 40 * SECOND, ..plan(End::Caller, Line::Udp) }, 1);
        pass(&mut book, 1, 100, |message| message.starts_with(start));
        assert_eq!(only(&book).problem, Some((expected, 0)));
    }
}

#[test]
fn another_invite_is_a_second_ring_and_a_copy_is_none() {
    let mut book = book();
    book.begin(plan(End::Caller, Line::Udp), 1);
    let (_, invite) = book.out.pop().unwrap();
    book.callee_receives(&invite, 2);
    book.callee_receives(&invite, 3);
    assert_eq!((book.calls[&0].rang, book.out.len()), (1, 2));
    let other = String::from_utf8(invite.clone()).unwrap().replace("-0-i", "-0-j");
    book.callee_receives(other.as_bytes(), 4);
    assert_eq!(book.calls[&0].rang, 2);
    book.calls.clear();
    book.callee_receives(&invite, 5);
    assert_eq!(book.again, [(0, 5)]);
}

#[test]
fn what_nobody_sent_is_a_fault() {
    let mut book = book();
    book.begin(plan(End::Caller, Line::Udp), 1);
    pass(&mut book, 1, 3, |_| false);
    let own = Own { address: "127.0.0.1:7000".parse().unwrap(), stream: false };
    let bye = book.texts.within(0, "BYE", own, 1, &book.calls[&0].callee);
    book.caller_receives(&bye, Way::Caller, 4 * SECOND);
    assert_eq!(book.calls[&0].problem, Some(("BYE nobody sent", 0)));
}
