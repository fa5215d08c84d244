//! A name that stands for servers of a farm, followed as its records change. The servers are those of the last answer that named
//! some: a failure changes nothing, and neither does an answer without any server. That is far more often a mistake than the end of a farm,
//! and servers that are gone are noticed by other means.

use std::net::SocketAddr;

use base::Time;

use crate::cache::{Cache, Seen};
use crate::locate::{Located, Reach, Target, Why, locate};
use crate::members::{Member, members};
use crate::record::Question;

/// What the name is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was never answered.
    Asking,
    Current,
    /// The servers are those of an earlier answer: what was asked last failed, or named no server.
    Kept(Why),
    /// No answer has ever named a server.
    Nowhere(Why),
}

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// New servers, and those with another weight, tier or transport.
    pub come: Vec<Member>,
    pub gone: Vec<SocketAddr>,
    /// The state is another one.
    pub state: bool,
}

#[derive(Debug)]
pub struct Follower {
    target: Target,
    members: Vec<Member>,
    state: State,
    since: Time,
    /// What the last look depended on.
    questions: Vec<Question>,
}

impl Follower {
    pub fn new(now: Time, target: Target) -> Follower {
        Follower { target, members: Vec::new(), state: State::Asking, since: now, questions: Vec::new() }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The servers now.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Before the first answer: the servers that it had in another process.
    pub fn go_on_with(&mut self, members: Vec<Member>) {
        if self.members.is_empty() {
            self.members = members;
        }
    }

    /// When it came into that state.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Whether there was an answer, good or bad.
    pub fn is_answered(&self) -> bool {
        self.state != State::Asking
    }

    /// Looks what the cache knows, and asks what it does not know or what is no longer fresh.
    pub fn look(&mut self, now: Time, reach: &Reach, cache: &mut Cache) -> News {
        let questions = &mut self.questions;
        questions.clear();
        let mut see = |question: &Question| -> Seen {
            questions.push(question.clone());
            cache.see(now, question)
        };
        let located = locate(&self.target, reach, &mut see);
        let failing = self.questions.iter().find_map(|question| cache.failing(question));
        let (state, members) = match located {
            Located::Waiting => return News::default(),
            Located::Found(choices) => {
                let members = members(&choices);
                let failing = failing.map(|(failure, _)| Why::Failed(failure));
                (failing.map_or(State::Current, State::Kept), members)
            }
            Located::Nowhere(why) if self.members.is_empty() => (State::Nowhere(why), Vec::new()),
            Located::Nowhere(why) => (State::Kept(why), self.members.clone()),
        };
        let before = std::mem::replace(&mut self.members, members);
        let is_there = |address: &SocketAddr| self.members.iter().any(|member| member.address == *address);
        let news = News {
            come: self.members.iter().filter(|member| !before.contains(member)).copied().collect(),
            gone: before.iter().map(|member| member.address).filter(|address| !is_there(address)).collect(),
            state: state != self.state,
        };
        if news.state {
            (self.state, self.since) = (state, now);
        }
        news
    }

    /// When the first of the answers is to be asked for again.
    pub fn due(&self, cache: &Cache) -> Option<Time> {
        self.questions.iter().filter_map(|question| cache.due(question)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::{Answer, Failure, Kind, Records};
    use crate::testing::{addresses, limits, name, srv};

    const REACH: Reach = Reach { udp: [true, false], tcp: [false; 2], tls: [false; 2] };

    /// A follower with its cache; the name servers are the test.
    struct Bed {
        follower: Follower,
        cache: Cache,
        now: Time,
    }

    impl Bed {
        fn new() -> Bed {
            let now = Time::from_secs(100);
            let name = name("_sip._udp.farm.example");
            let target = Target { name, port: None, transport: None, secure: false, searched: true };
            Bed { follower: Follower::new(now, target), cache: Cache::new(limits()), now }
        }

        fn look(&mut self) -> News {
            self.follower.look(self.now, &REACH, &mut self.cache)
        }

        /// Answers what is asked until nothing more is.
        fn answered(&mut self, answer: impl Fn(&Question) -> Answer) -> News {
            let mut all = self.look();
            loop {
                let wanted = self.cache.take_wanted();
                if wanted.is_empty() {
                    return all;
                }
                for question in &wanted {
                    self.cache.answered(self.now, question, answer(question));
                }
                let news = self.look();
                all.come.extend(news.come);
                all.gone.extend(news.gone);
                all.state |= news.state;
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now + Duration::from_secs(seconds);
        }

        fn ports(&self) -> Vec<u16> {
            self.follower.members().iter().map(|member| member.address.port()).collect()
        }
    }

    fn found(records: Records) -> Answer {
        Answer::Found { records, ttl: Duration::from_secs(10) }
    }

    /// A name server with SRV records of these ports.
    fn zone(ports: &[u16]) -> impl Fn(&Question) -> Answer {
        let records: Vec<_> = ports.iter().map(|port| (0, 1, *port, "host.example")).collect();
        let records = srv(&records);
        move |question| match question.kind {
            Kind::Srv => found(records.clone()),
            _ => found(addresses(&["192.0.2.1"])),
        }
    }

    #[test]
    fn servers_come_and_go_with_the_records() {
        let mut bed = Bed::new();
        assert!(!bed.follower.is_answered());
        let news = bed.answered(zone(&[1, 2]));
        assert_eq!((news.come.len(), news.gone.len(), bed.ports()), (2, 0, vec![1, 2]));
        assert_eq!(bed.follower.state(), State::Current);
        bed.pass(9);
        assert_eq!(bed.answered(zone(&[9])), News::default(), "the answer is still good");
        assert_eq!(bed.follower.due(&bed.cache), Some(bed.now + Duration::from_secs(1)));
        bed.pass(1);
        let news = bed.answered(zone(&[2, 3]));
        assert_eq!(
            (news.come.len(), news.gone, news.state),
            (1, vec!["192.0.2.1:1".parse().unwrap()], false)
        );
        assert_eq!(bed.ports(), [2, 3]);
    }

    #[test]
    fn silence_and_failures_change_no_server() {
        let mut bed = Bed::new();
        bed.answered(zone(&[1, 2]));
        for (failure, seconds) in [(Failure::Silent, 10), (Failure::Silent, 5), (Failure::ServerFailure, 5)] {
            bed.pass(seconds);
            let news = bed.answered(|_| Answer::Failed(failure));
            assert!(news.come.is_empty() && news.gone.is_empty());
            assert_eq!((bed.follower.state(), bed.ports()), (State::Kept(Why::Failed(failure)), vec![1, 2]));
        }
        bed.pass(5);
        let news = bed.answered(zone(&[1, 2]));
        assert_eq!((news.state, bed.follower.state(), bed.follower.since()), (true, State::Current, bed.now));
    }

    #[test]
    fn an_answer_without_servers_takes_none_away() {
        let mut bed = Bed::new();
        bed.answered(zone(&[1]));
        bed.pass(10);
        bed.answered(|_| Answer::Nothing { ttl: None });
        assert_eq!((bed.follower.state(), bed.ports()), (State::Kept(Why::NoRecord), vec![1]));
        bed.pass(5);
        bed.answered(zone(&[4]));
        assert_eq!((bed.follower.state(), bed.ports()), (State::Current, vec![4]));
    }

    #[test]
    fn a_name_that_never_led_anywhere_says_why() {
        let mut bed = Bed::new();
        let news = bed.answered(|_| Answer::Nothing { ttl: None });
        assert_eq!((news.state, bed.follower.state()), (true, State::Nowhere(Why::NoRecord)));
        bed.pass(5);
        bed.answered(|_| Answer::Failed(Failure::Refused));
        // "Nothing" was a good answer; a later failure does not make it worse.
        assert_eq!(bed.follower.state(), State::Nowhere(Why::NoRecord));
    }
}
