//! Faults of engines and of the state tier, when they happen, and what follows.

use base::{Duration, Time};
use heartbeat::death::Death;

use super::case::What;
use super::event::{Event, Who};
use super::member::{Blow, Deed, Incoming, letters_of};
use super::world::World;
use crate::link::Packet;

/// A blow falls at the latest after this time.
const STRIKES_WITHIN: Duration = Duration::from_millis(1_500);
/// The cluster notices a dead primary by itself after this time, and up to `TIMEOUT_SPREAD_MS` more.
const TIMEOUT_MS: u64 = 2_500;
const TIMEOUT_SPREAD_MS: u64 = 1_100;
/// An agent has a replica promoted after this time, and up to as much again.
const FORCE_MS: u64 = 100;
/// A worker throws away what it wanted to send if its turn took longer.
const LATE: Duration = Duration::from_millis(300);

impl World {
    fn after_ms(&mut self, from: u64, spread: u64) -> Time {
        self.now() + Duration::from_micros(from * 1000 + self.chance.below(spread * 1000 + 1))
    }

    /// A new life of an engine.
    pub(super) fn start(&mut self, at: usize) {
        let now = self.now();
        self.engines_started += 1;
        let number = self.engines_started;
        self.note(|| format!("{now:?} member {at} starts as engine {number}"));
        self.members[at].start(now, number);
        self.members[at].believes = self.shard.primary;
        self.spread[at] = true;
        self.wake(Who::Member(at));
    }

    pub(super) fn fault(&mut self, what: What) {
        let now = self.now();
        self.note(|| format!("{now:?} {what:?}"));
        match what {
            What::Strike { member, after, blow } => {
                if self.members[member].runs() {
                    self.members[member].doom = Some((after, blow));
                    let number = self.members[member].number;
                    self.clock.add(now + STRIKES_WITHIN, Event::Strike(member, number));
                }
                return;
            }
            What::PrimaryDies { forced, cut } => self.primary_dies(forced, cut),
            What::FalseForce => self.false_force(),
            What::PrimaryStalls(time) => {
                let primary = self.shard.primary;
                self.shard.stall(primary);
                self.out_of_reach.push((now, now + time));
                self.clock.add(now + time, Event::ServerResumes(primary));
                // The cluster cannot tell a process that stands still from a dead one.
                let replica = self.replica();
                let notices = self.after_ms(TIMEOUT_MS, TIMEOUT_SPREAD_MS);
                if let Some(replica) = replica.filter(|_| notices < now + time) {
                    self.clock.add(notices, Event::Promote(replica));
                }
            }
            What::ReplicaDies => {
                let Some(replica) = self.replica() else { return };
                self.shard.kill(replica);
                let (fails, back) = (self.after_ms(0, 2_900), self.after_ms(3_000, 3_000));
                self.clock.add(fails, Event::LeavesView(replica));
                self.clock.add(back, Event::Empty(replica));
            }
            What::ReplicaLags(time) => {
                let Some(replica) = self.replica() else { return };
                self.lags = Some((replica, now + time));
            }
            What::FalseNotice { member } => self.tell_others(member),
            What::RepliesLost(time) => self.replies_lost_until = now + time,
        }
        self.seen.insert(what.name());
    }

    fn replica(&mut self) -> Option<usize> {
        let replicas = self.shard.replicas();
        let place = self.chance.below(replicas.len() as u64) as usize;
        replicas.get(place).copied()
    }

    fn primary_dies(&mut self, forced: bool, cut: bool) {
        let now = self.now();
        let Some(replica) = self.replica() else { return };
        let primary = self.shard.primary;
        self.shard.kill(primary);
        if cut {
            // What is on its way belongs to no connection any longer.
            self.cut = Some(self.shard.reign());
        }
        let promotes = match forced {
            true => self.after_ms(FORCE_MS, FORCE_MS),
            false => self.after_ms(TIMEOUT_MS, TIMEOUT_SPREAD_MS),
        };
        self.out_of_reach.push((now, promotes));
        self.clock.add(promotes, Event::Promote(replica));
        let back = self.after_ms(4_000, 2_000);
        self.clock.add(back, Event::Empty(primary));
    }

    fn false_force(&mut self) {
        let Some(replica) = self.replica() else { return };
        let primary = self.shard.primary;
        let now = self.now();
        self.clock.add(now, Event::Promote(replica));
        // The former primary hears of it.
        let hears = self.after_ms(0, 300);
        self.clock.add(hears, Event::Empty(primary));
    }

    /// A blow falls; `rest`: effects of the present turn that have not happened.
    pub(super) fn blow(&mut self, at: usize, blow: Blow, mut rest: Vec<Deed>) {
        let now = self.now();
        let number = self.members[at].number;
        self.note(|| format!("{now:?} member {at} {blow:?}, {} effects left", rest.len()));
        self.seen.insert(What::Strike { member: at, after: 0, blow }.name());
        match blow {
            Blow::Dies => {
                self.members[at].engine = None;
                let (hears, starts) = (self.after_ms(5, 1_500), self.after_ms(500, 4_000));
                self.clock.add(hears, Event::Spreads { member: at });
                self.clock.add(starts, Event::Start(at));
                self.tell_others(at);
            }
            Blow::Stops(time) => {
                rest.retain(|deed| time <= LATE || matches!(deed, Deed::Ask(_)));
                self.members[at].frozen = Some((rest, Default::default()));
                self.clock.add(now + time, Event::Resume(at, number));
                let hears = self.after_ms(1_000, 1_000);
                self.clock.add(hears, Event::Spreads { member: at });
            }
        }
    }

    /// The others are told that this member is gone, whether it is or not, and perhaps when it is there again.
    fn tell_others(&mut self, gone: usize) {
        let Some(within) = self.case.notices else { return };
        for member in (0..self.members.len()).filter(|member| *member != gone) {
            let told = self.after_ms(1, within.as_millis() as u64);
            self.clock.add(told, Event::Told { member, gone });
        }
    }

    fn resume(&mut self, at: usize, number: u32) {
        let member = &mut self.members[at];
        if member.number != number || !member.lives() {
            return;
        }
        let Some((rest, backlog)) = member.frozen.take() else { return };
        let now = self.now();
        self.note(|| format!("{now:?} member {at} goes on"));
        self.spread[at] = true;
        self.carry_out(at, rest);
        for incoming in backlog {
            self.receive(at, incoming);
        }
        self.wake(Who::Member(at));
    }

    /// All events but messages, timers and faults.
    pub(super) fn befall(&mut self, event: Event) {
        let millis = self.millis();
        let mut out = Vec::new();
        match event {
            Event::Deliver(_) | Event::Wake(_) | Event::Fault(_) => {}
            Event::Strike(at, number) => {
                if self.members[at].number == number
                    && self.members[at].runs()
                    && let Some((_, blow)) = self.members[at].doom.take()
                {
                    self.blow(at, blow, Vec::new());
                }
            }
            Event::Start(at) => {
                if !self.members[at].lives() {
                    self.start(at);
                }
            }
            Event::Resume(at, number) => self.resume(at, number),
            Event::Told { member, gone } => {
                if self.members[member].lives() {
                    self.receive(member, Incoming::Message(notice(member, gone)));
                }
            }
            Event::Spreads { member } => self.spread[member] = self.members[member].runs(),
            Event::Query { server, query, ask } => self.shard.ask(millis, server, query, &ask, &mut out),
            Event::Reply { query, answer } => self.replied(query, Ok(answer)),
            Event::Moved { query, to } => self.moved(query, to),
            Event::Again { query, attempt } => self.query_again(query, attempt),
            Event::Stream { to, reign, at, write } => {
                if self.cut != Some(reign) {
                    self.shard.stream(to, reign, at, &write, &mut out);
                }
            }
            Event::Ack { primary, reign, replica, count } => {
                self.shard.ack(primary, reign, replica, count, &mut out);
            }
            Event::Promote(server) => self.promote(server),
            Event::Believes { member } => self.members[member].believes = self.shard.primary,
            Event::Empty(server) => {
                self.shard.empty(server);
                let copied = self.after_ms(300, 2_000);
                self.clock.add(copied, Event::Copied(server));
            }
            Event::Copied(server) => self.shard.copied(server),
            Event::LeavesView(replica) => self.shard.leaves_view(replica, &mut out),
            Event::ServerResumes(server) => {
                self.shard.resume(millis, server, &mut out);
                if server != self.shard.primary {
                    // It takes itself for the primary until it hears of the other.
                    let hears = self.after_ms(0, 300);
                    self.clock.add(hears, Event::Empty(server));
                }
            }
        }
        self.travel(out);
    }

    fn promote(&mut self, server: usize) {
        let now = self.now();
        if !self.shard.is_up(server) || server == self.shard.primary {
            return;
        }
        let former = self.shard.primary;
        self.note(|| format!("{now:?} server {server} becomes the primary instead of {former}"));
        let mut out = Vec::new();
        self.shard.promote(server, &mut out);
        self.travel(out);
        for empty in self.shard.empty_ones() {
            let copied = self.after_ms(300, 2_000);
            self.clock.add(copied, Event::Copied(empty));
        }
        for member in 0..self.members.len() {
            let hears = self.after_ms(1, 100);
            self.clock.add(hears, Event::Believes { member });
        }
    }
}

/// The notice of a load manager, as the agent beside this member passes it on.
fn notice(member: usize, gone: usize) -> Packet {
    let death = Death { state_tier: 1, server_id: gone as u32, sip: letters_of(gone) };
    let (from, to) = (([127, 0, 0, 1], 40_000).into(), letters_of(member));
    Packet { from, to, stream: false, bytes: death.encode(1, 1, None).to_vec() }
}
