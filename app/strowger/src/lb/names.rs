//! The servers of the farm that are found by name: the control side follows their names, and the server table follows the answers.
//! The thread of the resolver asks; nobody waits for it. A server that a name no longer stands for gets no new calls, and leaves when
//! its known calls are over, as a server that the configuration no longer names.

use std::io;
use std::net::SocketAddr;

use base::{Duration, Time};
use config::{Checked, NamedServers, Resolving};
use dns::cache::Cache;
use dns::follow::{Follower, State};
use dns::locate::Reach;
use dns::members::Member;
use lb::farm::server_table::{ServerTable, same};
use lb::settings::{Listener, ServerEntry};
use resolver::Resolver;
use sip::Transport;
use tracing::{info, warn};

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
    cache: Cache,
    resolver: Resolver,
    reach: Reach,
    looked: Option<Time>,
    /// The servers that the table has from here.
    given: Vec<ServerEntry>,
    /// Servers that the table refused; the log says each once.
    refused: Vec<SocketAddr>,
}

impl Names {
    /// `None`: no server has a name.
    pub(crate) fn start(now: Time, checked: &Checked) -> io::Result<Option<Names>> {
        if checked.named_servers.is_empty() {
            return Ok(None);
        }
        let Resolving { name_servers, timeout, limits } = checked.resolving.clone();
        // The control side looks for answers in each of its turns, so nobody need be woken.
        let resolver = Resolver::start(resolver::Settings { name_servers, timeout }, || {})?;
        let mut names = Names {
            followed: Vec::new(),
            cache: Cache::new(limits),
            resolver,
            reach: Reach::default(),
            looked: None,
            given: Vec::new(),
            refused: Vec::new(),
        };
        names.change(now, checked);
        Ok(Some(names))
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
        self.cache.set_limits(checked.resolving.limits);
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
        let answers = self.resolver.take();
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK);
        if answers.is_empty() && !is_due {
            return;
        }
        for (question, answer) in answers {
            self.cache.answered(now, &question, answer);
        }
        self.looked = Some(now);
        let mut is_changed = false;
        for followed in &mut self.followed {
            let news = followed.follower.look(now, &self.reach, &mut self.cache);
            is_changed |= !news.come.is_empty() || !news.gone.is_empty();
            if news.state {
                say(&followed.named, &followed.follower);
            }
        }
        self.cache.sweep(now);
        self.cache.take_wanted().into_iter().for_each(|question| self.resolver.ask(question));
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
        all.push(named(("dns_names_refused", self.cache.refused())));
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

/// What the listeners reach. `trusts`: certificates of servers found by name can be verified.
fn reach(listeners: &[Listener], trusts: bool) -> Reach {
    let by = |transport| {
        [true, false].map(|is_ipv4| {
            listeners.iter().any(|own| own.transport == transport && own.advertise.is_ipv4() == is_ipv4)
        })
    };
    let tls = if trusts { by(Transport::Tls) } else { [false; 2] };
    Reach { udp: by(Transport::Udp), tcp: by(Transport::Tcp), tls }
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

    #[test]
    fn listeners_say_what_can_be_reached() {
        let listener = |transport, text: &str| {
            let address = text.parse().unwrap();
            Listener { transport, bind: address, advertise: address, name: None }
        };
        let listeners = [
            listener(Transport::Udp, "192.0.2.9:5060"),
            listener(Transport::Tls, "192.0.2.9:5061"),
            listener(Transport::Tcp, "[2001:db8::9]:5060"),
        ];
        let found = reach(&listeners, true);
        assert_eq!((found.udp, found.tcp, found.tls), ([true, false], [false, true], [true, false]));
        assert_eq!(reach(&listeners, false).tls, [false; 2]);
    }
}
