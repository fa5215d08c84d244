//! What other load managers are told of calls (SPEC A8), so that the next message of a call may reach any of them: which
//! server has the call when it is new or has moved, and for how long that matters. Facts that travel in the message (tag,
//! hop) need not be told.

use heartbeat::notice::{Notice, What};

use crate::farm::server::ServerId;
use crate::outbox::{Ask, Outbox};
use crate::signed::keyring::CallKey;
use crate::way::view::View;

impl View {
    /// To be called before the message concerned is put into the outbox.
    pub(crate) fn tell(&self, call: CallKey, server: ServerId, what: What, out: &mut Outbox) {
        if self.shared.settings.peers.is_some() {
            out.asks.push(Ask::Tell(Notice { call: call.0, server: server.0, what }));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::counters::Counter;
    use crate::memory::calls::told::Told;
    use crate::settings::{Affinity, Peers, Selection, Settings};
    use crate::way::tests::farm::{CLIENT, Farm, Left, request, response, settings};

    /// Two load managers with one key and the same servers, each of which chooses by itself for new calls.
    struct Pair {
        one: Farm,
        other: Farm,
    }

    impl Pair {
        fn new(affinity: Affinity) -> Pair {
            let peers = Peers { listen: "127.0.0.1:1".parse().unwrap(), group: None, to: Vec::new() };
            let settings = Settings { peers: Some(peers), ..settings(affinity, Selection::RoundRobin) };
            Pair { one: Farm::new(settings.clone()), other: Farm::new(settings) }
        }

        /// `one` handles a message, and `other` gets its notices.
        fn one(&mut self, from: &str, text: &str) -> Vec<Left> {
            let left = self.one.udp(from, text);
            self.tell();
            left
        }

        fn tell(&mut self) -> Vec<Told> {
            let notices = std::mem::take(&mut self.one.notices);
            notices.iter().map(|notice| self.other.shared.calls.told(self.other.now, *notice)).collect()
        }

        fn wait(&mut self, seconds: u64) {
            self.one.wait(seconds);
            self.other.wait(seconds);
        }
    }

    fn invite(call: &str) -> String {
        request("INVITE", call, &format!("z9hG4bK{call}"), "")
    }

    #[test]
    fn a_repetition_and_a_cancel_find_their_server_at_the_other() {
        for affinity in [Affinity::Tag, Affinity::Session] {
            let mut pair = Pair::new(affinity);
            for number in 0..20 {
                let call = format!("call-{number}");
                let first = pair.one(CLIENT, &invite(&call));
                let again = pair.other.udp(CLIENT, &invite(&call));
                assert_eq!(again[0].address(), first[0].address());
                assert_eq!(again[0].text, first[0].text, "to the letter, branch and tag");
                let cancel = request("CANCEL", &call, &format!("z9hG4bK{call}"), "");
                assert_eq!(pair.other.udp(CLIENT, &cancel)[0].address(), first[0].address());
            }
            assert_eq!(pair.other.count(Counter::NewCall), 0);
        }
    }

    #[test]
    fn without_being_told_it_would_choose_anew() {
        let mut pair = Pair::new(Affinity::Tag);
        let elsewhere = (0..20).filter(|number| {
            let call = format!("call-{number}");
            let first = pair.one.udp(CLIENT, &invite(&call));
            pair.other.udp(CLIENT, &invite("between"));
            pair.other.udp(CLIENT, &invite(&call))[0].address() != first[0].address()
        });
        assert_eq!(elsewhere.count(), 20);
    }

    #[test]
    fn a_call_that_rings_for_minutes_is_still_known_and_an_answered_one_is_forgotten() {
        let mut pair = Pair::new(Affinity::Tag);
        let first = pair.one(CLIENT, &invite("rings"));
        pair.one(&first[0].address()[4..], &response(&first[0], "180 Ringing"));
        pair.one(&first[0].address()[4..], &response(&first[0], "180 Ringing"));
        assert_eq!(pair.one.notices, [], "told once, and it was taken");
        pair.wait(100);
        let cancel = request("CANCEL", "rings", "z9hG4bKrings", "");
        assert_eq!(pair.other.udp(CLIENT, &cancel)[0].address(), first[0].address());
        pair.one(&first[0].address()[4..], &response(&first[0], "200 OK"));
        pair.wait(40);
        let key = pair.other.shared.keys.call(b"rings");
        assert_eq!(pair.other.shared.calls.server_of(pair.other.now, key), None);
    }

    #[test]
    fn a_call_that_moved_is_followed() {
        let mut pair = Pair::new(Affinity::Tag);
        let first = pair.one(CLIENT, &invite("moves"));
        let dead = first[0].address();
        pair.one.kill(&dead);
        pair.other.kill(&dead);
        let again = pair.one(CLIENT, &invite("moves"));
        assert_ne!(again[0].address(), dead);
        assert_eq!(pair.other.udp(CLIENT, &invite("moves"))[0].address(), again[0].address());
        assert_eq!(pair.other.count(Counter::TakenOver), 0, "it was told of the move");
    }

    #[test]
    fn what_is_known_stands_and_a_quarter_of_the_memory_is_for_our_own() {
        let mut pair = Pair::new(Affinity::Tag);
        pair.one.udp(CLIENT, &invite("first"));
        pair.one.udp(CLIENT, &invite("both"));
        let before = pair.other.udp(CLIENT, &invite("both"));
        assert_eq!(pair.tell(), [Told::Learnt, Told::Otherwise]);
        assert_eq!(pair.other.udp(CLIENT, &invite("both"))[0].address(), before[0].address());
        let max = pair.other.shared.calls.known_calls().entries_max();
        for number in 0..max as u64 {
            let notice = heartbeat::notice::Notice {
                call: number << 32 | number,
                server: 1,
                what: heartbeat::notice::What::Begun,
            };
            let full = pair.other.shared.calls.known_calls().len() >= max / 4 * 3;
            let told = pair.other.shared.calls.told(pair.other.now, notice);
            assert_eq!(told == Told::Full, full);
        }
        assert!(pair.other.shared.calls.known_calls().len() <= max / 4 * 3);
    }

    #[test]
    fn without_peers_nothing_is_told() {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        farm.udp(CLIENT, &invite("a"));
        assert_eq!(farm.notices, []);
    }
}
