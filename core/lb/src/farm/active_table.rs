//! The active table (SPEC A5, FIG. 5B): which servers get known calls, which get new ones, and the sums that selection
//! draws from. Rebuilt with every snapshot; all lists hold positions in [`crate::farm::snapshot::Snapshot::servers`].

use crate::farm::server::{Server, WHOLE};

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct ActiveTable {
    known: Box<[u16]>,
    known_priority: u8,
    tiers: Box<[Tier]>,
    limited: bool,
    with_limits: Box<[u16]>,
}

/// The servers of one priority that may get new calls: they get them while no tier before has room.
#[derive(Clone, Debug)]
pub struct Tier {
    priority: u8,
    active: Box<[Candidate]>,
    weights: Box<[u64]>,
    scores: Box<[u64]>,
    equal_weights: bool,
    loads_known: bool,
}

/// A server that may get new calls, with the figures that selection reads, side by side for a quick scan.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub position: u16,
    pub slot: u16,
    pub weight: u32,
    /// Load in millionths; if the server told none, the mean of those that did.
    pub load_ppm: u32,
    /// As in [`Server`].
    pub call_load_ppm: u32,
    pub residual_calls: Option<u32>,
    pub admitted_before: u32,
    /// The configuration limits its calls: the row says how.
    pub has_limit: bool,
}

impl ActiveTable {
    pub(crate) fn build(servers: &[Server]) -> ActiveTable {
        let positions =
            |keep: fn(&Server) -> bool| servers.iter().zip(0u16..).filter(move |(server, _)| keep(server));
        // By priority, then in the order in which an operator named the servers: the first call goes to the first server.
        // `known` is in the order of the ids, which is the same at every load manager.
        let mut in_order: Vec<(&Server, u16)> = positions(Server::takes_new_calls).collect();
        in_order.sort_by_key(|(server, _)| (server.priority, server.index));
        let limits = |server: &Server| server.residual_calls.is_some() || server.has_limit();
        ActiveTable {
            known: positions(Server::is_reachable).map(|(_, position)| position).collect(),
            known_priority: positions(Server::is_reachable)
                .map(|(server, _)| server.priority)
                .min()
                .unwrap_or(0),
            limited: in_order.iter().any(|(server, _)| limits(server)),
            with_limits: in_order
                .iter()
                .filter(|(server, _)| server.has_limit())
                .map(|(_, position)| *position)
                .collect(),
            tiers: in_order
                .chunk_by(|(one, _), (next, _)| one.priority == next.priority)
                .map(Tier::build)
                .collect(),
        }
    }

    /// Servers that known calls can go to: started, draining or full; not those that failed or stopped. The modulo hash of
    /// known calls is taken over these servers, so that no call moves when a server drains or fills up.
    pub fn known(&self) -> &[u16] {
        &self.known
    }

    /// The best priority of the servers in `known()`.
    pub fn known_priority(&self) -> u8 {
        self.known_priority
    }

    /// Servers that new calls can go to, the best priority first.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// All servers of all tiers.
    pub fn active(&self) -> impl Iterator<Item = &Candidate> {
        self.tiers.iter().flat_map(|tier| &tier.active)
    }

    /// Some server of `active()` takes only a limited number of calls.
    pub fn limited(&self) -> bool {
        self.limited
    }

    /// Servers of `active()` whose calls the configuration limits.
    pub fn with_limits(&self) -> &[u16] {
        &self.with_limits
    }
}

impl Tier {
    /// `servers`: those of one priority, in the order of their index.
    fn build(servers: &[(&Server, u16)]) -> Tier {
        let each = || servers.iter().map(|(server, _)| *server);
        let mean_load = mean(each().filter_map(|server| server.load_permille.map(u64::from)));
        let mean_score =
            mean(each().filter_map(|server| server.score.map(|score| score.hundredths().into())));
        // While some server starts slowly, all weights are a thousand times as large, so that a part of 1 is a
        // whole number too.
        let whole = each().all(|server| server.share_permille == WHOLE);
        let weight_of = |server: &Server| {
            if whole { server.weight } else { (server.weight * u32::from(server.share_permille)).max(1) }
        };
        let candidate = |&(server, position): &(&Server, u16)| Candidate {
            position,
            slot: server.seat.slot,
            weight: weight_of(server),
            load_ppm: server.load_permille.unwrap_or(mean_load.unwrap_or(0) as u32).saturating_mul(1000),
            call_load_ppm: server.call_load_ppm,
            residual_calls: server.residual_calls,
            admitted_before: server.admitted_before,
            has_limit: server.has_limit(),
        };
        let weight = |server: &Server| u64::from(weight_of(server));
        // A server without figures counts as an average one, so that only a part of a farm need be measured.
        let score = |server: &Server| match server.score {
            Some(score) => u64::from(score.hundredths()) * weight(server),
            None => mean_score.unwrap_or(1) * weight(server),
        };
        let first_weight = each().next().map(weight_of);
        Tier {
            priority: each().next().map_or(0, |server| server.priority),
            active: servers.iter().map(candidate).collect(),
            weights: prefix_sums(each().map(weight)),
            scores: prefix_sums(each().map(score)),
            equal_weights: each().all(|server| Some(weight_of(server)) == first_weight),
            loads_known: mean_load.is_some(),
        }
    }

    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// Servers that new calls can go to.
    pub fn active(&self) -> &[Candidate] {
        &self.active
    }

    /// Running sums of the weights of `active()`.
    pub fn weights(&self) -> &[u64] {
        &self.weights
    }

    /// Running sums of the scores of `active()` in hundredths, times weight.
    pub fn scores(&self) -> &[u64] {
        &self.scores
    }

    pub fn equal_weights(&self) -> bool {
        self.equal_weights
    }

    /// Some server of `active()` told its load.
    pub fn loads_known(&self) -> bool {
        self.loads_known
    }
}

fn prefix_sums(values: impl Iterator<Item = u64>) -> Box<[u64]> {
    values
        .scan(0, |sum, value| {
            *sum += value;
            Some(*sum)
        })
        .collect()
}

fn mean(values: impl Iterator<Item = u64>) -> Option<u64> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count)
}
