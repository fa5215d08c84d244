//! The share of each source: how many calls one address may have at this worker that are not answered yet. So a flood of INVITEs from
//! one address leaves room for the calls of all others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use sip::headers::{address, via};
use sip::{Flow, Host, Message, Uri};

use crate::settings::Settings;

/// Sources without calls leave when there are so many more sources than calls.
const SLACK: usize = 1024;

/// One call of a source. Who drops it gives the place back: so the count cannot drift.
pub(super) type Place = Arc<()>;

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Shares {
    /// Calls of one source.
    max: usize,
    /// The load manager, whose messages name their source in the second Via.
    lb: Option<IpAddr>,
    /// Each source with the original of its places: its calls have the copies.
    sources: HashMap<IpAddr, Place>,
}

impl Shares {
    pub(super) fn new(settings: &Settings) -> Shares {
        let lb = settings.route.as_ref().and_then(|route| {
            match Uri::parse(address::first(route).ok()?.uri).ok()?.host {
                Host::Ip(ip) => Some(ip),
                Host::Name(_) => None,
            }
        });
        Shares { max: settings.bounds.ringing_per_source, lb, sources: HashMap::new() }
    }

    /// A place for a call that this INVITE begins. `None`: its source has no more. `calls`: how many calls the worker has.
    pub(super) fn take(&mut self, invite: &Message<'_>, flow: Flow, calls: usize) -> Option<Place> {
        if self.sources.len() > 2 * calls + SLACK {
            self.sources.retain(|_, original| Arc::strong_count(original) > 1);
        }
        let source = network(self.source(invite, flow));
        let original = self.sources.entry(source).or_default();
        (Arc::strong_count(original) <= self.max).then(|| Arc::clone(original))
    }

    /// Who sent the INVITE to the farm. The load manager writes into the client's Via where it came from (RFC 3261 §18.2.1).
    fn source(&self, invite: &Message<'_>, flow: Flow) -> IpAddr {
        let direct = flow.remote.ip();
        if self.lb != Some(direct) {
            return direct;
        }
        let below = || via::below(invite, &via::top(invite)?.ok()?)?.ok();
        let named = below().and_then(|client| match client.host {
            _ if client.received.is_some() => client.received,
            Host::Ip(ip) => Some(ip),
            Host::Name(_) => None,
        });
        named.unwrap_or(direct)
    }
}

/// An IPv4 address, or the 64 bits of an IPv6 address that its owner cannot choose.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}
