//! What is known of host names: for requests of servers to clients, on all workers, and for the control side, which follows the names
//! of servers. The answers come from a thread of the edge.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Time;
use dns::cache::{Cache, Limits};
use dns::locate::Reach;
use dns::record::{Answer, Question};
use sip::Transport;

use crate::connections::refusing::Refusing;
use crate::settings::Listener;

/// Until the configuration says something else.
const LIMITS: Limits = Limits {
    ttl_min: Duration::from_secs(1),
    ttl_max: Duration::from_secs(3600),
    failure: Duration::from_secs(5),
    entries_max: 8192,
};

/// See the head of this module.
#[derive(Debug)]
pub struct Names {
    /// Held for a look at a few entries. Only requests to host names, answers, and the control side look.
    cache: Mutex<Cache>,
    answers: AtomicU64,
    /// Places of names that refused a request.
    refusing: Mutex<Refusing>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            cache: Mutex::new(Cache::new(LIMITS)),
            answers: AtomicU64::new(0),
            refusing: Mutex::default(),
        }
    }
}

impl Names {
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer has come.
    pub fn answered(&self, now: Time, question: &Question, answer: Answer) {
        self.cache().answered(now, question, answer);
        self.answers.fetch_add(1, Release);
    }

    /// A request to this place came back, or found no connection.
    pub(crate) fn refused(&self, now: Time, place: SocketAddr) {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner).note(now, place);
    }

    /// Whether a request was refused there lately.
    pub(crate) fn refuses(&self, now: Time, place: SocketAddr) -> bool {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner).contains(now, place)
    }

    /// How many answers have come: whoever waits for one looks here, without a lock.
    pub fn answers(&self) -> u64 {
        self.answers.load(Acquire)
    }
}

/// What the listeners reach. `trusts`: certificates of peers that are found by name can be verified.
pub fn reach(listeners: &[Listener], trusts: bool) -> Reach {
    let by = |transport| {
        [true, false].map(|is_ipv4| {
            listeners.iter().any(|own| own.transport == transport && own.advertise.is_ipv4() == is_ipv4)
        })
    };
    let tls = if trusts { by(Transport::Tls) } else { [false; 2] };
    Reach { udp: by(Transport::Udp), tcp: by(Transport::Tcp), tls }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_say_what_can_be_reached() {
        let listener = |transport, text: &str| {
            let address = text.parse().unwrap();
            Listener { transport, bind: address, advertise: address, name: None }
        };
        let listeners = [
            listener(Transport::Udp, "192.0.2.9:5060"),
            listener(Transport::Tls, "192.0.2.9:5061"),
            listener(Transport::Tcp, "[2001:db8::9]:5060"),
        ];
        let found = reach(&listeners, true);
        assert_eq!((found.udp, found.tcp, found.tls), ([true, false], [false, true], [true, false]));
        assert_eq!(reach(&listeners, false).tls, [false; 2]);
    }
}
