//! Chooses the member that gets a call (SPEC D3): members with room first, then by the criteria in their order, then by
//! workload, then by name, so that the same knowledge gives the same choice.

use crate::workload::Workload;

/// A criterion. The first in a list decides; if members are equal in it, the next decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Criterion {
    /// The least work.
    Workload,
    /// The first member that answers a poll and has room; workload if no member has room.
    First,
    /// The smallest cost.
    Cost,
    /// The own region before other regions.
    Region,
    /// Members in normal service before those with limited service.
    ServiceState,
    /// The highest quality.
    Quality,
}

impl Criterion {
    pub const ALL: [Criterion; 6] = [
        Criterion::Workload,
        Criterion::First,
        Criterion::Cost,
        Criterion::Region,
        Criterion::ServiceState,
        Criterion::Quality,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Criterion::Workload => "workload",
            Criterion::First => "first",
            Criterion::Cost => "cost",
            Criterion::Region => "region",
            Criterion::ServiceState => "state",
            Criterion::Quality => "quality",
        }
    }
}

/// The service state that a member reports. In the datagram: 0 normal, 1 limited, 2 draining.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceState {
    #[default]
    Normal,
    /// The member works, but has a problem: other members come first, if the criterion `state` is used.
    Limited,
    /// Takes no calls of other members.
    Draining,
}

impl ServiceState {
    pub const fn name(self) -> &'static str {
        match self {
            ServiceState::Normal => "normal",
            ServiceState::Limited => "limited",
            ServiceState::Draining => "draining",
        }
    }
}

/// What the choice needs of one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) index: usize,
    pub(crate) name: &'a str,
    pub(crate) workload: Workload,
    pub(crate) cost: u32,
    pub(crate) same_region: bool,
    pub(crate) state: ServiceState,
    pub(crate) quality: u8,
}

/// The best of these members. `None`: there is none.
pub(crate) fn best<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    criteria: &[Criterion],
) -> Option<Candidate<'a>> {
    candidates.min_by(|a, b| {
        let by_criteria = criteria.iter().fold(std::cmp::Ordering::Equal, |order, criterion| {
            order.then_with(|| match criterion {
                Criterion::Workload | Criterion::First => a.workload.cmp(&b.workload),
                Criterion::Cost => a.cost.cmp(&b.cost),
                Criterion::Region => b.same_region.cmp(&a.same_region),
                Criterion::ServiceState => a.state.cmp(&b.state),
                Criterion::Quality => b.quality.cmp(&a.quality),
            })
        });
        a.workload
            .is_above()
            .cmp(&b.workload.is_above())
            .then(by_criteria)
            .then(a.workload.cmp(&b.workload))
            .then(a.name.cmp(b.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(
        index: usize,
        name: &'static str,
        (workload, cost, same_region): (u32, u32, bool),
        (state, quality): (ServiceState, u8),
    ) -> Candidate<'static> {
        Candidate { index, name, workload: Workload(workload), cost, same_region, state, quality }
    }

    #[test]
    fn each_criterion_has_its_winner() {
        let farm = [
            member(0, "lazy", (10, 9, false), (ServiceState::Limited, 20)),
            member(1, "cheap", (500, 1, false), (ServiceState::Limited, 20)),
            member(2, "near", (510, 9, true), (ServiceState::Limited, 20)),
            member(3, "sound", (520, 9, false), (ServiceState::Normal, 20)),
            member(4, "good", (530, 9, false), (ServiceState::Limited, 90)),
            member(5, "full", (1000, 0, true), (ServiceState::Normal, 100)),
        ];
        let table = [
            (&[Criterion::Workload][..], "lazy"),
            (&[], "lazy"),
            (&[Criterion::First], "lazy"),
            (&[Criterion::Cost], "cheap"),
            (&[Criterion::Region], "near"),
            (&[Criterion::ServiceState], "sound"),
            (&[Criterion::Quality], "good"),
            (&[Criterion::Quality, Criterion::Cost], "good"),
        ];
        for (criteria, expected) in table {
            assert_eq!(best(farm.into_iter(), criteria).map(|m| m.name), Some(expected), "{criteria:?}");
        }
    }

    #[test]
    fn what_is_even_goes_to_the_next_criterion_then_to_workload_then_to_the_name() {
        let state = (ServiceState::Normal, 50);
        let farm = [member(0, "b", (7, 1, true), state), member(1, "a", (7, 1, true), state)];
        assert_eq!(best(farm.into_iter(), &[Criterion::Cost]).map(|m| m.name), Some("a"));
        let farm = [member(0, "b", (6, 1, true), state), member(1, "a", (7, 1, true), state)];
        assert_eq!(best(farm.into_iter(), &[Criterion::Cost]).map(|m| m.index), Some(0));
        assert!(best([].into_iter(), &[Criterion::Cost]).is_none());
    }
}
