//! What an engine counts.

use base::Counter;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The worker writes the counts, and any thread reads them.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            /// Name, text and value of each count, in the order of the definition.
            pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $text, self.$name.get()),)*]
            }
        }
    };
}

counters! {
    begun: "calls begun",
    confirmed: "calls answered",
    failed: "calls that failed",
    ended: "calls ended by BYE",
    taken_over: "calls taken over from a dead engine",
    refused: "calls refused before a record was made",
    over_share: "calls refused because their source had too many that were not answered",
    /// Now, not since the start.
    cached: "calls in memory",
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
    owed: "ends of calls that the store has not taken yet",
}
