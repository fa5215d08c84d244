//! The sockets of a process by their names, so that the next process gets each of them for the same purpose. A socket that the
//! process before has given is taken; any other is opened. Copies of this value are the same sockets.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};

use crate::process::lock::lock;

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    given: HashMap<String, OwnedFd>,
    kept: Vec<(String, OwnedFd)>,
}

impl Sockets {
    /// Those that the process before has given, in the order of their names.
    pub(super) fn given(names: Vec<String>, sockets: Vec<OwnedFd>) -> Sockets {
        let given = names.into_iter().zip(sockets).collect();
        Sockets(Arc::new(Mutex::new(Inner { given, kept: Vec::new() })))
    }

    /// Whether the process before has given it.
    pub(crate) fn has(&self, name: &str) -> bool {
        lock(&self.0).given.contains_key(name)
    }

    /// The socket of this name, given or opened. It is kept for the process after this one.
    pub(crate) fn take_or<S: AsFd + From<OwnedFd>>(
        &self,
        name: &str,
        open: impl FnOnce() -> io::Result<S>,
    ) -> io::Result<S> {
        let socket = match self.take(name) {
            Some(given) => S::from(given),
            None => open()?,
        };
        self.keep(name, socket.as_fd().try_clone_to_owned()?);
        Ok(socket)
    }

    /// A socket that the process before has given; somebody else opens it otherwise.
    pub(crate) fn take(&self, name: &str) -> Option<OwnedFd> {
        lock(&self.0).given.remove(name)
    }

    /// Keeps a socket for the process after this one.
    pub(crate) fn keep(&self, name: &str, socket: OwnedFd) {
        lock(&self.0).kept.push((name.to_owned(), socket));
    }

    /// Closes what the process before has given and this one does not want.
    pub(crate) fn close_unwanted(&self) {
        lock(&self.0).given.clear();
    }

    /// Closes all that is kept: another process has it.
    pub(super) fn close(&self) {
        lock(&self.0).kept.clear();
    }

    /// What is kept, to be given: the names, and the descriptors in the same order.
    pub(super) fn with<T>(&self, give: impl FnOnce(&[&str], &[RawFd]) -> T) -> T {
        let inner = lock(&self.0);
        let names: Vec<&str> = inner.kept.iter().map(|(name, _)| name.as_str()).collect();
        let descriptors: Vec<RawFd> = inner.kept.iter().map(|(_, socket)| socket.as_raw_fd()).collect();
        give(&names, &descriptors)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_given_socket_is_taken_once_and_kept_for_the_next() {
        let open = || UdpSocket::bind("127.0.0.1:0");
        let first = Sockets::default();
        let opened: UdpSocket = first.take_or("heartbeat", open).unwrap();
        first.with(|names, descriptors| assert_eq!((names, descriptors.len()), (&["heartbeat"][..], 1)));
        let kept = lock(&first.0).kept.remove(0).1;
        let names = vec!["heartbeat".into(), "other".into()];
        let second = Sockets::given(names, vec![kept, open().unwrap().into()]);
        assert!(second.has("heartbeat") && !second.has("api"));
        let taken: UdpSocket = second.take_or("heartbeat", || panic!("it was given")).unwrap();
        assert_eq!(taken.local_addr().unwrap(), opened.local_addr().unwrap());
        assert!(!second.has("heartbeat") && second.has("other"));
        second.close_unwanted();
        assert!(!second.has("other"));
        second.with(|names, _| assert_eq!(names, ["heartbeat"]));
        second.close();
        second.with(|names, _| assert!(names.is_empty()));
    }
}
