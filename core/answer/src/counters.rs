//! The counts of the server, for its summary.

use base::Counter;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The worker writes the counts, and the printing thread reads them.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            /// Text and value of each count, in the order of the definition.
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name.get()),)*]
            }
        }
    };
}

counters! {
    live: "calls in progress",
    invites: "calls offered",
    answered: "calls answered",
    confirmed: "calls confirmed by ACK",
    ended: "calls ended by BYE of the caller",
    hung_up: "calls ended by our BYE",
    refused: "calls refused",
    full: "calls refused for want of room",
    unacceptable: "offers of sessions that cannot be had (488)",
    merged: "calls that came by two ways (482)",
    cancelled: "calls cancelled",
    changed: "re-INVITE and UPDATE",
    /// Requests within calls of other servers that we answered.
    taken_over: "requests taken over",
    options: "OPTIONS",
    registers: "REGISTER",
    others: "other requests answered",
    repeated: "answers repeated",
    unconfirmed: "calls never confirmed by ACK",
    unknown: "requests of unknown calls (481)",
    unsupported: "requests of unknown methods or extensions",
    rejected: "requests refused as wrong",
    malformed: "messages that could not be read",
    unsent: "messages that could not be sent",
}
