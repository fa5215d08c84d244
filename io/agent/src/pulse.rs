//! Whether a server that runs still answers: OPTIONS over UDP, one behind the other. A process that hangs keeps its port and its
//! calls, and nobody takes them over as long as it might go on; so the agent ends it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base::{Chance, Time};

use crate::ready::{open, options};

/// Questions without an answer before a server hangs. They are counted, because an agent that stood still itself has asked
/// nobody.
const UNANSWERED_MAX: u32 = 10;

/// Answers read at a time.
const BATCH: usize = 32;

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Pulse {
    sip: SocketAddr,
    every: Duration,
    socket: Option<UdpSocket>,
    next: Time,
    unanswered: u32,
}

impl Pulse {
    /// A server at `sip` that has just answered, or has just become ready. It hangs when it does not answer for so long.
    pub(crate) fn new(sip: SocketAddr, hung_after: Duration, now: Time) -> Pulse {
        let every = hung_after / UNANSWERED_MAX;
        Pulse { sip, every, socket: None, next: now + every, unanswered: 0 }
    }

    /// The time of the next question.
    pub(crate) fn wake(&self) -> Time {
        self.next
    }

    /// Whether the server hangs.
    pub(crate) fn hangs(&mut self, now: Time, chance: &mut Chance) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.every;
        if self.socket.is_none() {
            self.socket = open(self.sip).ok();
        }
        let Some(socket) = &self.socket else { return false };
        let mut answer = [0; 64];
        for _ in 0..BATCH {
            match socket.recv(&mut answer) {
                Ok(length) if answer[..length].starts_with(b"SIP/2.0 ") => self.unanswered = 0,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // Its port is closed: it is ending.
                Err(_) => {}
            }
        }
        if self.unanswered == UNANSWERED_MAX {
            return true;
        }
        if let Ok(local) = socket.local_addr()
            && socket.send(&options(self.sip, local, chance.next_u64())).is_ok()
        {
            self.unanswered += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_hangs_that_leaves_ten_questions_unanswered() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut chance = Chance::seeded(1);
        let at = |round: u64| Time::from_millis(1000 + 100 * round);
        let mut pulse = Pulse::new(server.local_addr().unwrap(), Duration::from_secs(1), at(0));
        assert!(!pulse.hangs(at(0), &mut chance), "it is not asked before the first period is over");
        let mut answered = |pulse: &mut Pulse, round, answers: bool| {
            let hangs = pulse.hangs(at(round), &mut chance);
            if answers {
                let mut question = [0; 600];
                let (length, from) = server.recv_from(&mut question).unwrap();
                assert!(question[..length].starts_with(b"OPTIONS sip:"));
                server.send_to(b"SIP/2.0 503 Service Unavailable\r\n\r\n", from).unwrap();
            }
            hangs
        };
        for round in 1..=30 {
            assert!(!answered(&mut pulse, round, true));
        }
        for round in 31..=40 {
            assert!(!answered(&mut pulse, round, false));
        }
        // The last answer came to the first of these.
        let hangs = (41..=42).position(|round| answered(&mut pulse, round, false));
        assert_eq!(hangs, Some(0));
    }
}
