//! Where the state tier is, and who we are.

use std::io;

use state::links::Bounds;

use super::address::Address;
use super::greeting::Login;

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Some of its nodes; the others are learned from them.
    pub nodes: Vec<Address>,
    /// A user of the nodes; none: the default user.
    pub user: Option<Box<str>>,
    /// Without one, nobody logs in.
    pub password: Option<base::Key<String>>,
    /// What may wait at each worker.
    pub bounds: Bounds,
}

impl Settings {
    pub(super) fn login(&self) -> Login {
        Login { user: self.user.clone(), password: self.password.clone() }
    }

    /// All addresses in numbers. A name that has none now is passed over where others have some.
    pub(super) fn addresses(&self) -> io::Result<Vec<Box<str>>> {
        let (mut found, mut error) = (Vec::new(), None);
        for node in &self.nodes {
            match node.resolved() {
                Ok(addresses) => found.extend(addresses),
                Err(why) => error = Some(why),
            }
        }
        match error {
            Some(error) if found.is_empty() => Err(error),
            _ if found.is_empty() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "no node of the state tier is given"))
            }
            _ => Ok(found),
        }
    }
}
