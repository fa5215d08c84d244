//! The counters of a group. At its origin, every offer ends in exactly one of `taken_here`, `redirected` and `refused`.

use crate::datagram::Ignored;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident: $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            pub const ALL: &[Counter] = &[$(Counter::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Counter::$variant => $text,)* }
            }
        }
    };
}

counters! {
    TakenHere: "calls taken here",
    Redirected: "calls sent to another member",
    Refused: "calls refused: all members above the threshold",
    Abandoned: "calls given up by the client while a member was sought",
    TakenForOthers: "calls of other members taken",
    PassedOn: "calls of other members passed on",
    ToldStraight: "clients told straight",
    Redeemed: "calls that came after a redirect to here",
    OffersSent: "offers sent",
    OffersRepeated: "offers repeated",
    Unanswered: "offers that a member left unanswered",
    ReportsSent: "reports sent",
    ReportsReceived: "reports received",
    PollsSent: "polls sent",
    PollsReceived: "polls received",
    Joined: "members that came",
    Left: "members that left",
    Gone: "members gone by silence",
    Late: "answers that nobody waited for any more",
    StaleOffers: "offers made for an earlier life of this member",
    NoRoom: "offers dropped for want of room",
    TooLarge: "calls too large to be offered",
}

/// Written by the group alone.
#[derive(Clone, Debug)]
pub struct Counters {
    counts: Vec<u64>,
    ignored: [u64; Ignored::ALL.len()],
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { counts: vec![0; Counter::ALL.len()], ignored: [0; Ignored::ALL.len()] }
    }
}

impl Counters {
    pub(crate) fn add(&mut self, counter: Counter) {
        self.counts[counter as usize] += 1;
    }

    pub(crate) fn ignore(&mut self, reason: Ignored) {
        self.ignored[reason.index()] += 1;
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    pub fn ignored(&self, reason: Ignored) -> u64 {
        self.ignored[reason.index()]
    }
}
