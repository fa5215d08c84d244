//! What a run counts: messages, calls, and failures by kind.

/// The counts of a run, with the failures by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Messages of the call flow that arrived at their other end without a fault.
    pub(crate) messages: u64,
    pub(crate) attempts: u64,
    /// Calls whose six messages all arrived.
    pub(crate) calls: u64,
    /// 100 responses, which the load manager or proxy sends in addition to the six messages.
    pub(crate) trying: u64,
    /// Transactions without an answer in time.
    pub(crate) timeouts: u64,
    /// Final responses of 300 and above.
    pub(crate) refused: u64,
    /// ACKs and BYEs that reached another server than the INVITE.
    pub(crate) wrong_server: u64,
    /// Messages that do not fit the call flow: missing fields, another branch, another number of Vias.
    pub(crate) wrong: u64,
    /// Correct messages that no call awaits: repeated, late, or invented.
    pub(crate) stray: u64,
    /// INVITEs that reached the server without a Record-Route.
    pub(crate) without_record_route: u64,
    /// Calls that are complete except for their 180. This is no failure: a stateful proxy that has passed on the 200 drops a
    /// later 180, and two workers can swap the two.
    pub(crate) without_ringing: u64,
}

impl Counters {
    pub(crate) fn failures(&self) -> u64 {
        self.timeouts + self.refused + self.wrong_server + self.wrong + self.stray
    }

    pub(crate) fn since(&self, earlier: &Counters) -> Counters {
        Counters {
            messages: self.messages - earlier.messages,
            attempts: self.attempts - earlier.attempts,
            calls: self.calls - earlier.calls,
            trying: self.trying - earlier.trying,
            timeouts: self.timeouts - earlier.timeouts,
            refused: self.refused - earlier.refused,
            wrong_server: self.wrong_server - earlier.wrong_server,
            wrong: self.wrong - earlier.wrong,
            stray: self.stray - earlier.stray,
            without_record_route: self.without_record_route - earlier.without_record_route,
            without_ringing: self.without_ringing - earlier.without_ringing,
        }
    }

    pub(crate) fn describe_failures(&self) -> String {
        format!(
            "{} timed out, {} refused, {} at the wrong server, {} wrong, {} stray",
            self.timeouts, self.refused, self.wrong_server, self.wrong, self.stray
        )
    }
}
