//! What a worker counts. Each has its own set, so that counting costs no shared cache line; `status` adds them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal,)*) => {
        /// One thing that is counted, by the name that status, metrics and docs use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)* }

        impl Counter {
            pub const ALL: &[Counter] = &[$(Counter::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Counter::$name => $text,)* }
            }

            /// What it counts, for people.
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$name => concat!($($doc,)+),)* }
            }
        }
    };
}

counters! {
    /// Requests passed on towards a server.
    RequestToServer => "requests_to_server",
    /// Requests of servers passed on towards a client.
    RequestToClient => "requests_to_client",
    /// Responses passed on.
    Response => "responses",
    /// New calls given to a server by selection.
    NewCall => "new_calls",
    /// Requests that the new-call database or the session list knew.
    Remembered => "remembered",
    /// REGISTERs passed on, by address of record or as else is set.
    Register => "registers",
    /// Of those at several servers: answered 2xx.
    RegisterAccepted => "registers_accepted",
    /// Of those: at least one server refused or was silent, so it lacks the registration.
    RegisterPartial => "registers_partial",
    /// Of those: answered with a challenge, for which the next attempt is waited for.
    RegisterChallenged => "registers_challenged",
    /// Copies of REGISTERs in progress, which went no further.
    RegisterCopy => "register_copies",
    /// REGISTERs refused, or attempts forgotten, because the table of registrations was full.
    RegisterFull => "registers_full",
    /// REGISTERs that were refused, challenges aside (RFC 6076 §4.2).
    RegisterFailed => "registers_failed",
    /// REGISTERs that no server answered.
    RegisterUnanswered => "registers_unanswered",
    /// Path entries of a telephone that no load manager of this farm made: refused with 403.
    ForgedFlow => "forged_flow_tokens",
    /// Requests to a telephone whose connection is gone: refused with 430.
    FlowFailed => "flows_failed",
    /// STUN Binding requests on a UDP port of SIP, which keep a way through a NAT open: answered.
    StunAnswer => "stun_answers",
    /// Messages of a call whose server is gone that went to another one (SPEC A9).
    TakenOver => "taken_over",
    /// Held set-ups given to another server because theirs died or was silent.
    SetupMoved => "setups_moved",
    /// Requests repeated by us on the timers of RFC 3261 §17.
    Repeated => "repeated",
    /// Requests answered by us with an error: bad ones.
    Rejected => "rejected",
    /// Requests answered 503: no server has room.
    NoServer => "no_server",
    /// New calls answered 503 because this load manager is about to end.
    Closing => "refused_closing",
    /// Calls that their server answered 2xx (RFC 6076 §4.6).
    SessionEstablished => "sessions_established",
    /// Calls that their server redirected (3xx), which are no attempts for RFC 6076.
    SessionRedirected => "sessions_redirected",
    /// Calls that ended in 480, 486, 600 or 603, as the callee meant (RFC 6076 §4.7).
    SessionDeclined => "sessions_declined",
    /// Calls that ended in 408, 500, 503 or 504 (RFC 6076 §4.8).
    SessionIneffective => "sessions_ineffective",
    /// Calls that failed otherwise; a challenge does not count.
    SessionFailed => "sessions_failed",
    /// Calls whose BYE was answered 2xx (RFC 6076 §4.9).
    SessionCompleted => "sessions_completed",
    /// Calls whose BYE was refused, a challenge aside.
    SessionNotCompleted => "sessions_not_completed",
    /// No SIP message at all.
    Malformed => "malformed",
    /// Streams whose framing was lost.
    BrokenFrame => "broken_frames",
    /// ACKs to answers of our own: they end here.
    OwnAck => "own_acks",
    /// Bad ACKs: never answered.
    BadAck => "bad_ack",
    /// Responses that are no valid SIP.
    BadResponse => "bad_responses",
    /// Responses whose top Via is none of ours, or whose hop is forged.
    ForeignResponse => "foreign_responses",
    /// Encapsulated responses of servers.
    Encapsulated => "encapsulated",
    /// Encapsulated responses that are not from a server, malformed, or without the right authenticator.
    ForgedEncapsulation => "forged_encapsulations",
    /// Responses that a held set-up had no more use for.
    LateResponse => "late_responses",
    /// Tags that no load manager of this farm made for that Call-ID.
    ForgedTag => "forged_tags",
    /// Requests of a dialog that claim to come from the server's side but do not come from a server.
    NotAServer => "not_a_server",
    /// New calls that found the new-call database or the session list full; they are placed by hash.
    MemoryFull => "memory_full",
    /// Requests that were not held because the table of held set-ups was full.
    HeldFull => "held_full",
    /// Requests and responses for which we have no listener of that transport and address family.
    NoListener => "no_listener",
    /// Requests to a client that took its new connection, as the one of their dialog is gone.
    Rebound => "rebound",
    /// New connections of known clients that were not remembered because the table was full.
    FlowsFull => "flows_full",
    /// Connections of peers that requests to them come back by (RFC 5923).
    AliasTaken => "aliases",
    /// Connections whose peers asked for that and could not prove who they are.
    AliasRefused => "aliases_refused",
    /// Requests towards a host name that we do not resolve.
    Unresolved => "unresolved",
    /// Sends that failed: unreachable, refused, connection lost.
    SendFailed => "sends_failed",
    /// Sends that failed because this host or a bound of ours had no room: descriptors, memory, ports, queues. No server is blamed.
    NoRoom => "sends_without_room",
    /// ICMP messages that name a server and quote no request of ours to it: forged, or by a router that quotes too little.
    ReturnedUnproven => "icmp_unproven",
}

/// WorkerCounters of one worker.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerCounters([AtomicU64; Counter::ALL.len()]);

impl Default for WorkerCounters {
    fn default() -> WorkerCounters {
        WorkerCounters(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl WorkerCounters {
    /// Only the owning worker adds, so a load and a store do without a locked instruction.
    pub fn add(&self, counter: Counter) {
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }
}
