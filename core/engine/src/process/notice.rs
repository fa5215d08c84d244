//! A load manager says that a server is gone (docs/heartbeat.md). It may be wrong: only the way between the two may be cut. So
//! the engine there is asked first. Whoever does not answer is dead, long before its marks in the state tier show it.

use std::net::SocketAddr;

use base::{Duration, Time};
use heartbeat::death;
use sip::{Flow, Target};

use super::stand_in::flow_listener;
use super::tier::Suspect;
use super::{Engine, Letter, Outbox};
use crate::probe::Probe;

/// Time between two questions, and after the last: an answer within a site takes a millisecond, and a turn of a busy engine
/// some more.
const ASK_EVERY: Duration = Duration::from_millis(40);
/// Questions before an engine is dead: two datagrams may be lost.
const ASKED_MAX: u8 = 3;
/// Engines that are asked at a time. Of the death of any other, the state tier tells.
const SUSPECTS_MAX: usize = 32;

impl Engine {
    /// Anybody may send a notice: all that it leads to is a question to an engine of the farm.
    pub(super) fn noticed(&mut self, now: Time, notice: &[u8], out: &mut Outbox) {
        let Ok(told) = death::decode(notice, None) else { return self.counters.malformed.add(1) };
        self.counters.notices.add(1);
        let address = told.death.sip;
        let text = address.to_string();
        if text.as_bytes() == &*self.settings.letters {
            // Whoever was here before this engine.
            return self.gone_from(now, address, self.settings.engine, out);
        }
        let suspects = &self.tier.suspects;
        let is_asked = suspects.iter().any(|suspect| suspect.address == address);
        if is_asked || suspects.len() == SUSPECTS_MAX || self.tier.living.at(text.as_bytes()).is_empty() {
            return;
        }
        // No life of this engine asks under a number again, and the answer finds its worker.
        let last = suspects.iter().map(|suspect| suspect.number >> 8).max().unwrap_or_default();
        let number = self.tier.micros(now).max(last + 1) << 8 | u64::from(self.settings.worker);
        self.tier.suspects.push(Suspect { address, number, asked: 0, next: now });
        self.ask_suspects(now, out);
    }

    /// Asks those who have not answered, and takes over from those who will not.
    pub(super) fn ask_suspects(&mut self, now: Time, out: &mut Outbox) {
        let listener = flow_listener(&self.settings);
        let mut silent = Vec::new();
        let secret = &self.settings.secret;
        self.tier.suspects.retain_mut(|suspect| {
            if suspect.next > now {
                return true;
            }
            if suspect.asked == ASKED_MAX {
                silent.push(suspect.address);
                return false;
            }
            suspect.asked += 1;
            suspect.next = now + ASK_EVERY;
            let question = Probe::Question { number: suspect.number };
            out.post(&question.seal(secret), Target::Datagram { listener, to: suspect.address });
            true
        });
        for address in silent {
            self.gone_from(now, address, self.settings.engine, out);
        }
    }

    /// A question of another engine, or its answer to ours.
    pub(super) fn probed(&mut self, now: Time, datagram: &[u8], flow: Flow, out: &mut Outbox) {
        match Probe::open(&self.settings.secret, datagram) {
            None => self.counters.malformed.add(1),
            Some(Probe::Question { number }) => {
                let answer = Probe::Answer { number, engine: self.settings.engine };
                let to = Target::Datagram { listener: flow.listener, to: flow.remote };
                out.post(&answer.seal(&self.settings.secret), to);
            }
            Some(Probe::Answer { number, engine }) => {
                let worker = number as u8;
                if worker == self.settings.worker {
                    self.has_answered(now, number, engine, out);
                } else if worker < self.settings.workers {
                    out.letters.push((worker, Letter::Lives { number, engine }));
                }
            }
        }
    }

    /// An engine that was asked has answered.
    pub(super) fn has_answered(&mut self, now: Time, number: u64, engine: u32, out: &mut Outbox) {
        let suspects = &mut self.tier.suspects;
        let Some(at) = suspects.iter().position(|suspect| suspect.number == number) else { return };
        let suspect = suspects.swap_remove(at);
        self.gone_from(now, suspect.address, engine, out);
    }

    /// All who had this address are dead, but this one.
    fn gone_from(&mut self, now: Time, address: SocketAddr, but: u32, out: &mut Outbox) {
        for engine in self.tier.living.at(address.to_string().as_bytes()) {
            if engine != but {
                self.told_dead(now, engine, out);
            }
        }
    }
}
