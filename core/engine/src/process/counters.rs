//! What an engine counts.

use base::Counter;

macro_rules! counters {
    (now { $($gauge:ident: $gauge_text:literal,)* } since_start { $($name:ident: $text:literal,)* }) => {
        /// The worker writes the counts, and any thread reads them.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $gauge_text] pub $gauge: Counter,)*
            $(#[doc = $text] pub $name: Counter,)*
        }

        impl Counters {
            /// Name and text of what there is now.
            pub const GAUGES: &'static [(&'static str, &'static str)] = &[$((stringify!($gauge), $gauge_text),)*];
            /// Name and text of what has happened since the start.
            pub const COUNTS: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $text),)*];

            /// Name, text and value of each, first of what there is now.
            pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![
                    $((stringify!($gauge), $gauge_text, self.$gauge.get()),)*
                    $((stringify!($name), $text, self.$name.get()),)*
                ]
            }
        }
    };
}

counters! {
    now {
        ringing: "calls of this engine that nobody has answered",
        up: "calls of this engine that are up",
        ending: "calls of this engine that were cancelled, have failed or were hung up, and wait for somebody to confirm it",
        cached: "calls in memory, also such as another engine has",
        owed: "ends of calls that the store has not taken yet",
    }
    since_start {
        begun: "calls begun",
        confirmed: "calls answered",
        failed: "calls that failed",
        ended: "calls ended by BYE",
        taken_over: "calls taken over from a dead engine",
        deaths: "engines that this one found dead",
        refused: "INVITEs refused for what they ask or where they go",
        refused_draining: "INVITEs refused because this engine takes no new calls",
        refused_out_of_reach: "INVITEs refused because the state tier does not answer",
        refused_full: "INVITEs refused because the state tier has no room",
        refused_share: "INVITEs refused because their source had too many that were not answered",
        refused_memory: "INVITEs refused because too many calls are in memory",
        commits: "records written",
        conflicts: "writes refused, because another engine wrote first",
        unanswered: "commands that the store did not answer",
        looks: "looks into the store before a request passed on",
        malformed: "messages that are none",
        rejected: "requests refused as invalid",
        strangers: "requests with a tag that this farm did not make",
        unmatched: "responses that no call waits for",
        dropped: "messages dropped, because too many waited for one call",
        copies: "copies of messages that wait already",
        passed: "requests passed on without a record",
        merged: "requests that came on two ways",
        letters: "messages handed to another worker or engine",
        notices: "notices that a server is gone",
        wakeups: "wake-ups that came",
        stood_still: "turns that came too late, after which calls were read anew",
    }
}
