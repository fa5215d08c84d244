//! A stranger takes no part in a call, has learnt its Call-ID, and sends forged messages about it to a load manager. The
//! stranger ignores the answers.

use std::net::SocketAddr;

use base::Time;
use heartbeat::notice::{self, Notice, What};

use crate::addresses::{NOTICE_PORT, address};
use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::text::{self, Ask};

/// The stranger's tag, by which servers recognise its requests.
pub const TAG: &str = "the-stranger";

/// A made-up key.
const KEY: (u8, &[u8]) = (1, b"not the real key");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// A BYE with made-up tags: the server answers 481.
    Bye,
    /// A BYE along a route set with a made-up tag.
    RoutedBye,
    /// A CANCEL with a made-up branch.
    Cancel,
    /// Responses to an INVITE that the load manager sent, with a made-up hop.
    Success,
    Failure,
    /// A batch of notices, signed with a made-up key: another server has the call, or the call is over.
    Moved,
    Over,
}

impl Forgery {
    pub const ALL: [Forgery; 7] = [
        Forgery::Bye,
        Forgery::RoutedBye,
        Forgery::Cancel,
        Forgery::Success,
        Forgery::Failure,
        Forgery::Moved,
        Forgery::Over,
    ];
}

#[derive(Debug)]
pub struct Stranger {
    pub address: SocketAddr,
    sent: u32,
}

impl Default for Stranger {
    fn default() -> Stranger {
        Stranger { address: address(9, 9), sent: 0 }
    }
}

impl Stranger {
    /// `caller`: the caller of the attacked call.
    pub fn forge(
        &mut self,
        forgery: Forgery,
        manager: SocketAddr,
        call_id: &str,
        caller: SocketAddr,
    ) -> Packet {
        self.sent += 1;
        let routes = [format!("<sip:{manager};lr;farmtag=made-up>")];
        let bytes = match forgery {
            Forgery::Bye => self.request("BYE", call_id, &[]),
            Forgery::RoutedBye => self.request("BYE", call_id, &routes),
            Forgery::Cancel => self.request("CANCEL", call_id, &[]),
            Forgery::Success => self.response("200 Fine", manager, call_id, caller),
            Forgery::Failure => self.response("486 Sorry", manager, call_id, caller),
            Forgery::Moved => return self.notice(What::Moved, manager),
            Forgery::Over => return self.notice(What::Over, manager),
        };
        Packet { from: self.address, to: manager, stream: false, bytes }
    }

    /// The datagram that a forged ICMP message quotes, in turn: nothing, or a request that the load manager never sent.
    pub fn quote(&mut self, manager: SocketAddr, server: SocketAddr) -> Vec<u8> {
        self.sent += 1;
        let request = format!(
            "INVITE sip:bob@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {manager};branch=z9hG4bK0000000000a;hop=made-up\r\n"
        );
        if self.sent.is_multiple_of(2) { request.into_bytes() } else { Vec::new() }
    }

    fn request(&self, method: &str, call_id: &str, routes: &[String]) -> Vec<u8> {
        text::request(&Ask {
            method,
            uri: "sip:bob@farm.example",
            transport: sip::Transport::Udp,
            from: self.address,
            branch: &format!("stranger-{}", self.sent),
            from_header: &format!("<sip:mallory@example.com>;tag={TAG}"),
            to_header: &format!("<sip:bob@farm.example>{}", if method == "CANCEL" { "" } else { ";tag=any" }),
            call_id,
            sequence: if method == "CANCEL" { 1 } else { 9 },
            routes,
            body: "",
        })
    }

    fn response(&self, status: &str, manager: SocketAddr, call_id: &str, caller: SocketAddr) -> Vec<u8> {
        format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP {manager};branch=z9hG4bK0000000000a;hop=made-up\r\n\
             Via: SIP/2.0/UDP {caller};branch=z9hG4bKcall-1\r\nFrom: <sip:call@example.com>;tag=from-call\r\n\
             To: <sip:bob@farm.example>;tag={TAG}\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn notice(&self, what: What, manager: SocketAddr) -> Packet {
        let mut bytes = Vec::new();
        let notices = [Notice { call: 1, server: 1, what }];
        notice::encode(u64::from(self.sent), u64::from(self.sent), &notices, KEY, &mut bytes);
        let to = SocketAddr::new(manager.ip(), NOTICE_PORT);
        Packet { from: self.address, to, stream: false, bytes }
    }
}

impl Node for Stranger {
    fn receive(&mut self, _now: Time, _arrival: Arrival<'_>, _out: &mut Vec<Packet>) {}

    fn handle_timeout(&mut self, _now: Time, _out: &mut Vec<Packet>) {}

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}
