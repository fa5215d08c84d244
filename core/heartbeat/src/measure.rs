//! Who measures the servers, and how often (SPEC B3): the settings of a performance server, whether it is a process of its
//! own or a part of the load manager.

use std::net::SocketAddr;

use base::Duration;

/// How figures of a server are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// "Get data" of its agent ([`crate::stream`]).
    Agent,
    /// The same of a performance server, which answers for many servers.
    PerformanceServer,
    /// HAProxy's agent-check text over TCP, for servers without our agent.
    AgentCheck,
    /// The time that it takes to answer OPTIONS over UDP, for servers with nothing beside them.
    Options,
}

impl By {
    pub const fn name(self) -> &'static str {
        match self {
            By::Agent => "agent",
            By::PerformanceServer => "performance-server",
            By::AgentCheck => "agent-check",
            By::Options => "options",
        }
    }
}

/// One place that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Measured {
    pub by: By,
    /// Where it is asked.
    pub address: SocketAddr,
    /// SIP address of the server that the answer is about. An agent's answer says it; named here too, a server whose
    /// agent has never answered has the score 0 as well. A performance server names its servers itself.
    pub server: Option<SocketAddr>,
}

/// Settings of the poll loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures {
    pub measured: Vec<Measured>,
    /// Between two polls of one place.
    pub poll: Duration,
    /// An answer that takes longer did not come: the server is down.
    pub answer_within: Duration,
    /// Where the newest data is served to load managers; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Default for Measures {
    fn default() -> Measures {
        Measures {
            measured: Vec::new(),
            poll: Duration::from_secs(1),
            answer_within: Duration::from_secs(2),
            listen: None,
        }
    }
}

impl Measures {
    /// How long data is good that nobody renews, neither by an answer nor by the lack of one: two polls missed, and the
    /// wait for the third. So long may a load manager choose by it when its performance server is gone.
    pub fn good_for(&self) -> Duration {
        self.poll * 3 + self.answer_within
    }
}
