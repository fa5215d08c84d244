//! Datagrams that came back: an ICMP message says that a datagram of ours did not arrive.
//!
//! Anybody can send such a message with any source. So it counts against a server only if it quotes a request of ours to that
//! server: our Via with a hop that we authenticated. A forger must at least have seen the request. A report that quotes less,
//! as some old routers do, is counted and has no effect: time-outs and OPTIONS find a server that is gone.

use sip::text::line_end;

use crate::connections::own::OwnAddresses;
use crate::signed::branch::BRANCH_LENGTH;
use crate::signed::hop::{BEHIND_BRANCH, Hop};
use crate::signed::keyring::KeyRing;

/// The hop in our Via of the quoted request: it says whom we asked.
pub(crate) fn hop_of_request(quoted: &[u8], own: &OwnAddresses, keys: &KeyRing) -> Option<Hop> {
    if quoted.starts_with(b"SIP/2.0 ") {
        return None;
    }
    let mut start = line_end(quoted, 0)?;
    loop {
        let line = quoted.get(start..)?;
        let end = line_end(line, 0)?;
        if let Some(behind) = own.via_length(line) {
            let (branch, rest) = line.get(behind..end - 2)?.split_at_checked(BRANCH_LENGTH)?;
            return Hop::read(keys, rest.strip_prefix(BEHIND_BRANCH)?, branch);
        }
        start += end;
    }
}

#[cfg(test)]
mod tests {
    use crate::counters::Counter;
    use crate::settings::{Affinity, Selection};
    use crate::way::tests::farm::Farm;
    use crate::way::tests::farm::{CLIENT, Left, request};

    fn unreachable_and_unproven(farm: &Farm) -> (u64, u64) {
        let snapshot = farm.shared.snapshot();
        let slots = snapshot.servers().iter().map(|server| server.seat.slot);
        let hits = slots.map(|slot| farm.shared.tables.evidence.totals(slot).unreachable).sum();
        (hits, farm.count(Counter::ReturnedUnproven))
    }

    fn asked(farm: &mut Farm, call: &str) -> Left {
        farm.udp(CLIENT, &request("OPTIONS", call, &format!("z9hG4bK{call}"), "X-First: 1\r\n")).remove(0)
    }

    #[test]
    fn a_quoted_request_of_ours_shows_that_its_server_was_not_there() {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let sent = asked(&mut farm, "c1");
        let with_via = sent.text.find("hop=").unwrap() + 80;
        for length in [sent.text.len(), with_via] {
            farm.returned(sent.to, &sent.text.as_bytes()[..length]);
        }
        assert_eq!(unreachable_and_unproven(&farm), (2, 0), "{}", &sent.text[..with_via]);
    }

    #[test]
    fn what_anybody_can_write_says_nothing_of_a_server() {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let (sent, other) = (asked(&mut farm, "c1"), asked(&mut farm, "c2"));
        assert_ne!(sent.to, other.to);
        let hop = sent.text.find("hop=").unwrap() + 9;
        let mut changed = sent.text.clone().into_bytes();
        changed[hop] = if changed[hop] == b'A' { b'B' } else { b'A' };
        let answer = crate::way::tests::farm::response(&sent, "200 OK");
        let forged = [
            &b""[..],
            b"\0\0\0\0",
            b"OPTIONS sip:a@b SIP/2.0\r\n",
            &sent.text.as_bytes()[..hop],
            &changed,
            other.text.as_bytes(),
            answer.as_bytes(),
        ];
        for quoted in forged {
            farm.returned(sent.to, quoted);
        }
        assert_eq!(unreachable_and_unproven(&farm), (0, forged.len() as u64));
    }
}
