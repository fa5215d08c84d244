//! A record of all messages in and out of a server, taken beside the server's sockets: checkers read it, and the server does
//! not know of it.

use std::collections::{BTreeMap, BTreeSet};

use base::{Duration, Time};
use sip::{Method, Parser};
use transaction::Timers;

use crate::link::Packet;
use crate::stranger;
use crate::text::Read;

/// A client transaction at a server: Call-ID, From tag, CSeq, and the server's life.
pub type Asked = (String, String, u32, u32);

#[derive(Debug, Default)]
pub struct Witness {
    /// Call-IDs of all INVITEs that came, in all lives of the server.
    pub seen: BTreeSet<String>,
    /// The branches of one client transaction's INVITEs. The server rings once for each.
    pub branches: BTreeMap<Asked, BTreeSet<String>>,
    /// Call-IDs of all INVITEs that got a final answer, in all lives, and the times.
    pub answered: Vec<(String, Time)>,
    /// Unexpected messages.
    strays: Vec<String>,
    byes: Vec<Bye>,
    /// Answers to INVITEs in this life, by To tag.
    answers: BTreeMap<String, Answer>,
    life: u32,
    parser: Parser,
}

/// A BYE of the server.
#[derive(Debug)]
struct Bye {
    call_id: String,
    /// The server's tag in this call.
    tag: String,
    branch: String,
    at: Time,
    status: Option<u16>,
    /// The caller's BYE came before the answer to this BYE.
    is_needless: bool,
}

#[derive(Debug)]
struct Answer {
    call_id: String,
    /// Time when the final answer was first sent.
    at: Option<Time>,
    /// The ACK has come, or a BYE after it.
    acknowledged: bool,
}

impl Witness {
    /// The server's process is gone, with its open answers and BYEs.
    pub fn died(&mut self) {
        self.life += 1;
        self.answers.clear();
        self.byes.retain(|bye| bye.status.is_some());
    }

    /// Called before the server gets the packet.
    pub fn received(&mut self, now: Time, packet: &Packet) {
        match self.read(packet) {
            Some(read) if read.status.is_some() => self.response_came(&read),
            Some(read) => self.request_came(now, &read),
            None => self.strays.push(format!("unreadable: {}", String::from_utf8_lossy(&packet.bytes))),
        }
    }

    pub fn sent(&mut self, now: Time, packet: &Packet) {
        let Some(read) = self.read(packet) else {
            return self.strays.push(format!("wrote: {}", String::from_utf8_lossy(&packet.bytes)));
        };
        match read.status {
            None => {
                if !self.byes.iter().any(|bye| bye.branch == read.branch) {
                    let Read { call_id, from_tag: tag, branch, .. } = read;
                    self.byes.push(Bye { call_id, tag, branch, at: now, status: None, is_needless: false });
                }
            }
            Some(status) => self.answer_left(now, status, &read),
        }
    }

    /// Whether the server gave this call's INVITE a final answer, in any of its lives.
    pub fn has_answered(&self, call_id: &str) -> bool {
        self.answered.iter().any(|(answered, _)| answered == call_id)
    }

    /// Call-ID and status of the answer to each BYE of the server; 408 if a needed answer did not come.
    pub fn byes(&self) -> impl Iterator<Item = (&String, u16)> {
        let needed = self.byes.iter().filter(|bye| bye.status.is_some() || !bye.is_needless);
        needed.map(|bye| (&bye.call_id, bye.status.unwrap_or(408)))
    }

    /// Unexpected messages, and expected ones that did not come.
    pub fn strays(&self) -> Vec<String> {
        let unacknowledged = self.answers.iter().filter(|(_, answer)| answer.waits_since().is_some());
        let no_ack = unacknowledged.map(|(tag, answer)| format!("no ACK for {} ({tag})", answer.call_id));
        self.strays.iter().cloned().chain(no_ack).collect()
    }

    /// An ACK is outstanding, and the server may still repeat its answer.
    pub fn waits(&self, now: Time) -> bool {
        self.answers.values().filter_map(Answer::waits_since).any(|at| now < at + patience())
    }

    fn read(&mut self, packet: &Packet) -> Option<Read> {
        self.parser.parse(&packet.bytes).ok().and_then(|message| Read::of(&message))
    }

    fn request_came(&mut self, now: Time, read: &Read) {
        let tag = read.to_tag.clone().unwrap_or_default();
        match read.method {
            Method::Invite => {
                self.seen.insert(read.call_id.clone());
                let asked = (read.call_id.clone(), read.from_tag.clone(), read.sequence, self.life);
                self.branches.entry(asked).or_default().insert(read.branch.clone());
            }
            Method::Ack => match self.answers.get_mut(&tag) {
                Some(answer) if answer.at.is_some() => answer.acknowledged = true,
                Some(_) => self.strays.push(format!("nothing to acknowledge: {}", read.name())),
                None if read.from_tag == stranger::TAG => {}
                None => self.strays.push(unknown(read)),
            },
            Method::Bye => {
                // Both sides hang up at once: the server waits for nothing more.
                let open = |bye: &&mut Bye| bye.tag == tag && now < bye.at + patience();
                self.byes.iter_mut().filter(open).for_each(|bye| bye.is_needless = true);
                if let Some(answer) = self.answers.get_mut(&tag) {
                    answer.acknowledged = true;
                }
            }
            _ => {}
        }
    }

    fn response_came(&mut self, read: &Read) {
        let Some(bye) = self.byes.iter_mut().find(|bye| bye.branch == read.branch) else {
            return self.strays.push(format!("never asked: {}", read.name()));
        };
        if read.status.is_some_and(|status| status >= 200) && bye.status.is_none() {
            bye.status = read.status;
        }
    }

    fn answer_left(&mut self, now: Time, status: u16, read: &Read) {
        if read.method == Method::Invite && status > 100 {
            let tag = read.to_tag.clone().unwrap_or_default();
            let call_id = read.call_id.clone();
            let answer = self.answers.entry(tag).or_insert(Answer { call_id, at: None, acknowledged: false });
            if status >= 200 && answer.at.is_none() {
                answer.at = Some(now);
                self.answered.push((read.call_id.clone(), now));
            }
        }
        let stray = match (read.method, status) {
            (_, 100..300) | (Method::Invite, 486 | 487) => return,
            (_, 481) if read.from_tag == stranger::TAG => return,
            // The CANCEL came late: the INVITE is answered, and its transaction has ended.
            (Method::Cancel, 481) if self.has_answered(&read.call_id) => return,
            (Method::Cancel, 481) => format!("nothing to cancel: {}", read.name()),
            (_, 481) => unknown(read),
            _ => format!("refused: {}", read.name()),
        };
        self.strays.push(stray);
    }
}

impl Answer {
    fn waits_since(&self) -> Option<Time> {
        self.at.filter(|_| !self.acknowledged)
    }
}

/// The time that a transaction waits: timers F and H.
fn patience() -> Duration {
    Timers::default().h()
}

/// A request of a dialog that the server does not know.
fn unknown(read: &Read) -> String {
    format!("unknown dialog: {} to {:?}", read.name(), read.to_tag)
}
