//! The servers of the farm that are found by name: the control side follows their names, and the server table follows the answers.
//! The thread of the resolver asks; nobody waits for it. A server that a name no longer stands for gets no new calls, and leaves when
//! its known calls are over, as a server that the configuration no longer names.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Duration, Time};
use config::{Checked, NamedServers, Resolving};
use dns::follow::{Follower, State};
use dns::locate::Reach;
use dns::members::Member;
use dns::record::Question;
use lb::farm::server_table::{ServerTable, same};
use lb::names::reach;
use lb::settings::ServerEntry;
use net::Clock;
use resolver::Resolver;
use tracing::{info, warn};

mod handed;

use crate::report::names::NameStatus;
use crate::report::status::Counter;

/// Names are looked at this often, and whenever an answer has come.
const LOOK: Duration = Duration::from_secs(1);

struct Followed {
    named: NamedServers,
    follower: Follower,
}

/// See the head of this module.
pub(crate) struct Names {
    followed: Vec<Followed>,
    /// What is known of all names; the workers look here, too.
    known: Arc<lb::names::Names>,
    resolver: Resolver,
    reach: Reach,
    looked: Option<Time>,
    /// Answers that had come at the last look.
    answers: u64,
    /// The servers that the table has from here.
    given: Vec<ServerEntry>,
    /// Servers that the table refused; the log says each once.
    refused: Vec<SocketAddr>,
}

impl Names {
    /// Starts the thread that asks. It asks for the workers, too.
    pub(crate) fn start(clock: Clock, checked: &Checked, known: Arc<lb::names::Names>) -> io::Result<Names> {
        let Resolving { name_servers, timeout, .. } = checked.resolving.clone();
        let answered = Arc::clone(&known);
        // Whoever waits looks for answers by himself, so nobody need be woken.
        let deliver = move |question: &Question, answer| answered.answered(clock.now(), question, answer);
        let resolver = Resolver::start(resolver::Settings { name_servers, timeout }, deliver)?;
        let mut names = Names {
            followed: Vec::new(),
            known,
            resolver,
            reach: Reach::default(),
            looked: None,
            answers: 0,
            given: Vec::new(),
            refused: Vec::new(),
        };
        names.change(clock.now(), checked);
        Ok(names)
    }

    /// The thread that asks.
    pub(crate) fn resolver(&self) -> Resolver {
        self.resolver.clone()
    }

    /// Other names from now on. A name that stays keeps its servers. The table takes [`Names::entries`] next.
    pub(crate) fn change(&mut self, now: Time, checked: &Checked) {
        let mut before = std::mem::take(&mut self.followed);
        for named in &checked.named_servers {
            let known = before.iter().position(|known| known.follower.target() == &named.target);
            let follower = match known {
                Some(at) => before.swap_remove(at).follower,
                None => Follower::new(now, named.target.clone()),
            };
            self.followed.push(Followed { named: named.clone(), follower });
        }
        let trusts =
            checked.process.tls.as_ref().is_some_and(|tls| tls.client.is_some() && tls.server_name.is_some());
        self.reach = reach(&checked.settings.listeners, trusts);
        self.known.cache().set_limits(checked.resolving.limits);
        self.given = self.entries(&checked.settings.servers);
        self.looked = None;
    }

    /// The servers of all names, without those that the configuration has by their addresses.
    pub(crate) fn entries(&self, configured: &[ServerEntry]) -> Vec<ServerEntry> {
        let all = self.followed.iter().map(|followed| (&followed.named, followed.follower.members()));
        entries(all, configured)
    }

    /// The servers that would be left if the configuration named only these: those of names that stay.
    pub(crate) fn entries_after(&self, next: &Checked) -> Vec<ServerEntry> {
        let stays = |named: &NamedServers| {
            self.followed.iter().find(|followed| followed.follower.target() == &named.target)
        };
        let all =
            next.named_servers.iter().filter_map(|named| Some((named, stays(named)?.follower.members())));
        entries(all, &next.settings.servers)
    }

    /// Whether the table has this server from here.
    pub(crate) fn gave(&self, address: SocketAddr) -> bool {
        self.given.iter().any(|entry| same(entry.address, address))
    }

    /// Whether each name has been answered, well or badly.
    pub(crate) fn are_answered(&self) -> bool {
        self.followed.iter().all(|followed| followed.follower.is_answered())
    }

    /// Takes the answers that have come, and asks what is to be asked. The table changes as the answers do.
    pub(crate) fn turn(&mut self, now: Time, configured: &[ServerEntry], table: &mut ServerTable) {
        let answers = self.known.answers();
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK);
        if std::mem::replace(&mut self.answers, answers) == answers && !is_due {
            return;
        }
        self.looked = Some(now);
        let mut is_changed = false;
        let mut cache = self.known.cache();
        for followed in &mut self.followed {
            let news = followed.follower.look(now, &self.reach, &mut cache);
            is_changed |= !news.come.is_empty() || !news.gone.is_empty();
            if news.state {
                say(&followed.named, &followed.follower);
            }
        }
        cache.sweep(now);
        let wanted = cache.take_wanted();
        drop(cache);
        wanted.into_iter().for_each(|question| self.resolver.ask(question));
        if is_changed || !self.refused.is_empty() {
            self.give(now, configured, table);
        }
    }

    /// Brings the table to the servers of the names.
    fn give(&mut self, now: Time, configured: &[ServerEntry], table: &mut ServerTable) {
        let wanted = self.entries(configured);
        for entry in self.given.iter().filter(|entry| !has(&wanted, entry.address)) {
            // A server that the configuration has at its address stays.
            if !has(configured, entry.address) && table.leave(now, entry.address) {
                info!("server {} is no longer among the servers of its name", entry.address);
            }
        }
        let mut given = Vec::new();
        for entry in wanted {
            if self.given.contains(&entry) {
                given.push(entry);
                continue;
            }
            match table.add(now, &entry) {
                Ok(()) => {
                    let (address, transport) = (entry.address, entry.transport.word());
                    info!(
                        "server {transport}:{address} found by name: weight {}, priority {}",
                        entry.weight, entry.priority
                    );
                    self.refused.retain(|refused| *refused != address);
                    given.push(entry);
                }
                Err(refusal) if !self.refused.contains(&entry.address) => {
                    warn!("server found by name, and not taken: {refusal}");
                    self.refused.push(entry.address);
                }
                Err(_) => {}
            }
        }
        let wanted = self.entries(configured);
        self.refused.retain(|refused| has(&wanted, *refused));
        self.given = given;
    }

    pub(crate) fn status(&self, now: Time) -> Vec<NameStatus> {
        let one = |followed: &Followed| {
            let (state, reason) = told(followed.follower.state());
            NameStatus {
                name: followed.named.written.clone(),
                state: state.into(),
                reason,
                since_seconds: now.since(followed.follower.since()).as_secs(),
                servers: followed.follower.members().iter().map(|member| member.address).collect(),
            }
        };
        self.followed.iter().map(one).collect()
    }

    pub(crate) fn counters(&self) -> Vec<Counter> {
        let named = |(name, value): (&str, u64)| Counter { name: name.into(), value };
        let mut all: Vec<Counter> = self.resolver.counters().read().into_iter().map(named).collect();
        all.push(named(("dns_names_refused", self.known.cache().refused())));
        all
    }
}

fn has(entries: &[ServerEntry], address: SocketAddr) -> bool {
    entries.iter().any(|entry| same(entry.address, address))
}

/// Each server once: the configuration's own first, then by the order of the names.
fn entries<'a>(
    all: impl Iterator<Item = (&'a NamedServers, &'a [Member])>,
    configured: &[ServerEntry],
) -> Vec<ServerEntry> {
    let mut entries: Vec<ServerEntry> = Vec::new();
    for (named, members) in all {
        for member in members {
            if !has(configured, member.address) && !has(&entries, member.address) {
                entries.push(entry(named, member));
            }
        }
    }
    entries
}

fn entry(named: &NamedServers, member: &Member) -> ServerEntry {
    ServerEntry {
        address: member.address,
        transport: member.transport,
        weight: member.weight.unwrap_or(named.weight),
        priority: named.priority.saturating_add(member.tier),
        calls_max: named.calls_max,
        calls_per_second_max: named.calls_per_second_max,
    }
}

/// State and reason for people.
fn told(state: State) -> (&'static str, String) {
    match state {
        State::Asking => ("asking", "no answer has come yet".into()),
        State::Current => ("current", String::new()),
        State::Kept(why) => ("kept", why.to_string()),
        State::Nowhere(why) => ("nowhere", why.to_string()),
    }
}

fn say(named: &NamedServers, follower: &Follower) {
    let (name, count) = (&named.written, follower.members().len());
    match follower.state() {
        State::Asking => {}
        State::Current => info!("name {name} stands for {count} servers"),
        State::Kept(why) => {
            warn!("name {name}: {why}; its {count} servers stay those of the last good answer")
        }
        State::Nowhere(why) => warn!("name {name} leads to no server: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use dns::locate::Target;
    use dns::name::Name;
    use sip::Transport;

    use super::*;

    fn named(weight: u32, priority: u8) -> NamedServers {
        let name = Name::new("farm.example").unwrap();
        let target = Target { name, port: None, transport: None, secure: false, searched: true };
        let written = "farm.example".to_owned();
        NamedServers { written, target, weight, priority, calls_max: Some(5), calls_per_second_max: None }
    }

    fn member(port: u16, weight: Option<u32>, tier: u8) -> Member {
        Member { address: SocketAddr::from(([192, 0, 2, 1], port)), transport: Transport::Tcp, weight, tier }
    }

    #[test]
    fn records_say_weights_and_priorities_and_the_section_says_the_rest() {
        let (first, second) = (named(7, 2), named(9, 255));
        let members = [member(1, None, 0), member(2, Some(30), 1)];
        let more = [member(2, Some(1), 0), member(3, None, 1), member(4, None, 0)];
        let configured = [ServerEntry::at(member(4, None, 0).address, Transport::Udp)];
        let all = [(&first, members.as_slice()), (&second, more.as_slice())];
        let found = entries(all.into_iter(), &configured);
        let told: Vec<_> =
            found.iter().map(|e| (e.address.port(), e.weight, e.priority, e.calls_max)).collect();
        assert_eq!(told, [(1, 7, 2, Some(5)), (2, 30, 3, Some(5)), (3, 9, 255, Some(5))]);
        assert!(found.iter().all(|entry| entry.transport == Transport::Tcp));
    }
}
