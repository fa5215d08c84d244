//! What the server counts, for its summary.

use net::Counter;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// Written by the worker, read by whoever prints.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$doc])* pub(crate) $name: Counter,)* }

        impl Counters {
            /// Text and value of each, in the order of the definition.
            pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
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
