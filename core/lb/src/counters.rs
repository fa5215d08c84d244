//! The counters of a worker. Each worker has its own set, so that counting costs no shared cache line; `status` adds them
//! up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal,)*) => {
        /// One counter, with the name that status, metrics and docs use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)* }

        impl Counter {
            pub const ALL: &[Counter] = &[$(Counter::$name,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Counter::$name => $text,)* }
            }

            /// The help text, for people.
            pub const fn help(self) -> &'static str {
                match self { $(Counter::$name => concat!($($doc,)+),)* }
            }
        }
    };
}

counters! {
    /// Requests forwarded to a server.
    RequestToServer => "requests_to_server",
    /// Requests of servers forwarded to a client.
    RequestToClient => "requests_to_client",
    /// Responses forwarded.
    Response => "responses",
    /// New calls given to a server by selection.
    NewCall => "new_calls",
    /// Requests that the new-call database or the session list knew.
    Remembered => "remembered",
    /// REGISTERs forwarded, by address of record or as `register.to` says.
    Register => "registers",
    /// REGISTERs at several servers: answered 2xx.
    RegisterAccepted => "registers_accepted",
    /// REGISTERs at several servers: at least one server refused or was silent, so that server does not know the
    /// registration.
    RegisterPartial => "registers_partial",
    /// REGISTERs at several servers: answered with a challenge; the load manager waits for the next attempt.
    RegisterChallenged => "registers_challenged",
    /// Copies of REGISTERs in progress; they were not forwarded.
    RegisterCopy => "register_copies",
    /// REGISTERs refused, or attempts forgotten, because the table of registrations was full.
    RegisterFull => "registers_full",
    /// REGISTERs that were refused, not counting challenges (RFC 6076 §4.2).
    RegisterFailed => "registers_failed",
    /// REGISTERs that no server answered.
    RegisterUnanswered => "registers_unanswered",
    /// Requests with a telephone's Path entry that no load manager of this farm made: refused with 403.
    ForgedFlow => "forged_flow_tokens",
    /// Requests to a telephone whose connection is gone: refused with 430.
    FlowFailed => "flows_failed",
    /// Datagrams of NUL bytes and line ends alone, dropped (`tolerance.stray_bytes`).
    BlankDatagram => "blank_datagrams",
    /// OPTIONS to the load manager itself (`health.answer_options`), answered 200 or 503.
    OptionsAnswered => "options_answered",
    /// STUN Binding requests on a UDP port of SIP, answered; they keep the way through a NAT open.
    StunAnswer => "stun_answers",
    /// Messages of a call whose server is gone; they went to another server (SPEC A9).
    TakenOver => "taken_over",
    /// Held set-ups given to another server because their server died or was silent.
    SetupMoved => "setups_moved",
    /// Requests that the load manager repeated on the timers of RFC 3261 §17.
    Repeated => "repeated",
    /// Bad requests that the load manager answered with an error.
    Rejected => "rejected",
    /// Requests answered 503: no server has room.
    NoServer => "no_server",
    /// Of those, new calls for which no server had room while at least one was at its `calls_max` or
    /// `calls_per_second_max`.
    LimitsReached => "limits_reached",
    /// New calls answered 503 because this load manager is ending.
    Closing => "refused_closing",
    /// Calls that their server answered 2xx (RFC 6076 §4.6).
    SessionEstablished => "sessions_established",
    /// Calls that their server redirected (3xx); they are not attempts for RFC 6076.
    SessionRedirected => "sessions_redirected",
    /// Calls that ended in 480, 486, 600 or 603: the callee chose so (RFC 6076 §4.7).
    SessionDeclined => "sessions_declined",
    /// Calls that ended in 408, 500, 503 or 504 (RFC 6076 §4.8).
    SessionIneffective => "sessions_ineffective",
    /// Calls that failed otherwise; challenges do not count.
    SessionFailed => "sessions_failed",
    /// Calls whose BYE was answered 2xx (RFC 6076 §4.9).
    SessionCompleted => "sessions_completed",
    /// Calls whose BYE was refused, not counting challenges.
    SessionNotCompleted => "sessions_not_completed",
    /// Messages that are not SIP at all.
    Malformed => "malformed",
    /// Streams whose framing was lost.
    BrokenFrame => "broken_frames",
    /// ACKs to our own answers; they end here.
    OwnAck => "own_acks",
    /// Bad ACKs; an ACK is never answered.
    BadAck => "bad_ack",
    /// Responses that are not valid SIP.
    BadResponse => "bad_responses",
    /// Responses whose top Via is not ours, or whose hop is forged.
    ForeignResponse => "foreign_responses",
    /// Encapsulated responses of servers.
    Encapsulated => "encapsulated",
    /// Encapsulated responses that do not come from a server, are malformed, or have a wrong authenticator.
    ForgedEncapsulation => "forged_encapsulations",
    /// Responses that a held set-up no longer needed.
    LateResponse => "late_responses",
    /// Tags that no load manager of this farm made for that Call-ID.
    ForgedTag => "forged_tags",
    /// Requests of a dialog that claim to come from the server but do not.
    NotAServer => "not_a_server",
    /// New calls that found the new-call database or the session list full; the hash chose their server.
    MemoryFull => "memory_full",
    /// Requests that were not held because the table of held set-ups was full.
    HeldFull => "held_full",
    /// Requests and responses for whose transport and address family there is no listener.
    NoListener => "no_listener",
    /// Requests to a client that went by its new connection, because the connection of their dialog is gone.
    Rebound => "rebound",
    /// New connections of known clients that were not remembered because the table was full.
    FlowsFull => "flows_full",
    /// Connections of peers that also carry requests to them (RFC 5923).
    AliasTaken => "aliases",
    /// Connections whose peers asked for RFC 5923 and could not prove who they are.
    AliasRefused => "aliases_refused",
    /// Requests of servers to a host name that leads nowhere, or to an address of no single host.
    Unresolved => "unresolved",
    /// Requests of servers that waited until a host name was looked up.
    NamesWaited => "names_waited",
    /// Requests of servers that were refused because too many waited for names.
    NamesFull => "names_full",
    /// Sends that failed: unreachable, refused, connection lost.
    SendFailed => "sends_failed",
    /// Sends that failed because this host or a bound had no room: descriptors, memory, ports, queues. No server is blamed.
    NoRoom => "sends_without_room",
    /// ICMP messages that name a server but quote no request of ours: forged, or from a router that quotes too little.
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
