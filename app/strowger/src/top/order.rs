//! By which column the picture sorts the servers.

/// The column by which the servers are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// As in the server table
    #[default]
    Index,
    /// Most new calls first
    NewCalls,
    /// Highest load first
    Load,
    /// Most calls in progress first
    Calls,
    /// Servers that are not active first
    State,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Index => "index",
            Order::NewCalls => "new calls",
            Order::Load => "load",
            Order::Calls => "calls",
            Order::State => "state",
        }
    }

    pub(super) fn next(self) -> Order {
        match self {
            Order::Index => Order::NewCalls,
            Order::NewCalls => Order::Load,
            Order::Load => Order::Calls,
            Order::Calls => Order::State,
            Order::State => Order::Index,
        }
    }
}
