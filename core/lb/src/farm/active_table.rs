//! The active table (SPEC A5, FIG. 5B): which servers get known calls, which get new ones, and the sums that selection
//! draws from. Rebuilt with every snapshot; all lists hold positions in [`crate::farm::snapshot::Snapshot::servers`].

use crate::farm::server::{Server, WHOLE};

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct ActiveTable {
    known: Box<[u16]>,
    active: Box<[Candidate]>,
    weights: Box<[u64]>,
    scores: Box<[u64]>,
    equal_weights: bool,
    limited: bool,
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
}

impl ActiveTable {
    pub(crate) fn build(servers: &[Server]) -> ActiveTable {
        let positions =
            |keep: fn(&Server) -> bool| servers.iter().zip(0u16..).filter(move |(server, _)| keep(server));
        let new_calls = Server::takes_new_calls;
        // In the order in which an operator named the servers: the first call goes to the first server. `known` is in the
        // order of the ids, which is the same at every load manager.
        let mut in_order: Vec<(&Server, u16)> = positions(new_calls).collect();
        in_order.sort_by_key(|(server, _)| server.index);
        let in_order = || in_order.iter().copied();
        let mean_load =
            mean(positions(new_calls).filter_map(|(server, _)| server.load_permille.map(u64::from)));
        let mean_score = mean(
            positions(new_calls)
                .filter_map(|(server, _)| server.score.map(|score| score.hundredths().into())),
        );
        // While some server starts slowly, all weights are a thousand times as large, so that a part of 1 is a
        // whole number too.
        let whole = positions(new_calls).all(|(server, _)| server.share_permille == WHOLE);
        let weight_of = |server: &Server| {
            if whole { server.weight } else { (server.weight * u32::from(server.share_permille)).max(1) }
        };
        let candidate = |(server, position): (&Server, u16)| Candidate {
            position,
            slot: server.seat.slot,
            weight: weight_of(server),
            load_ppm: server.load_permille.unwrap_or(mean_load.unwrap_or(0) as u32).saturating_mul(1000),
            call_load_ppm: server.call_load_ppm,
            residual_calls: server.residual_calls,
            admitted_before: server.admitted_before,
        };
        let weight = |server: &Server| u64::from(weight_of(server));
        // A server without figures counts as an average one, so that only a part of a farm need be measured.
        let score = |server: &Server| match server.score {
            Some(score) => u64::from(score.hundredths()) * weight(server),
            None => mean_score.unwrap_or(1) * weight(server),
        };
        let first_weight = in_order().next().map(|(server, _)| weight_of(server));
        ActiveTable {
            known: positions(Server::is_reachable).map(|(_, position)| position).collect(),
            active: in_order().map(candidate).collect(),
            weights: prefix_sums(in_order().map(|(server, _)| weight(server))),
            scores: prefix_sums(in_order().map(|(server, _)| score(server))),
            equal_weights: positions(new_calls).all(|(server, _)| Some(weight_of(server)) == first_weight),
            limited: positions(new_calls).any(|(server, _)| server.residual_calls.is_some()),
            loads_known: mean_load.is_some(),
        }
    }

    /// Servers that known calls can go to: started, draining or full; not those that failed or stopped. The modulo hash of
    /// known calls is taken over these servers, so that no call moves when a server drains or fills up.
    pub fn known(&self) -> &[u16] {
        &self.known
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

    /// Some server of `active()` takes only a limited number of calls.
    pub fn limited(&self) -> bool {
        self.limited
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
