//! Who measures the servers, and how often (SPEC B3): the settings of a performance server, in a process of its own or in
//! the load manager.

use std::net::SocketAddr;

use base::Duration;

/// How figures of a server are obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// "Get data" of its agent ([`crate::stream`]).
    Agent,
    /// "Get data" of a performance server, which answers for many servers.
    PerformanceServer,
    /// HAProxy's agent-check text over TCP, for servers without our agent.
    AgentCheck,
    /// The time to answer OPTIONS over UDP, for servers without any program beside them.
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

/// One polled place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Measured {
    pub by: By,
    /// The address of the place.
    pub address: SocketAddr,
    /// SIP address of the server of the figures. An agent's answer also contains it. If it is set here, a server whose agent
    /// has never answered also has the score 0. A performance server names its servers itself.
    pub server: Option<SocketAddr>,
}

/// Settings of the poll loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures {
    pub measured: Vec<Measured>,
    /// Time between two polls of one place.
    pub poll: Duration,
    /// An answer that takes longer counts as no answer: the server is down.
    pub answer_within: Duration,
    /// The address where load managers fetch the newest data. `None`: the data is not served.
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
    /// How long data counts that nobody renews, neither by an answer nor by a missing answer: two missed polls and the wait
    /// for the third. For this time a load manager may choose by the data when its performance server is gone.
    pub fn good_for(&self) -> Duration {
        self.poll * 3 + self.answer_within
    }
}
