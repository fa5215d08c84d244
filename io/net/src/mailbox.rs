//! What one worker gives to another: messages for a connection of the other worker, and letters from core to core. Workers
//! give each other things only here. Mailboxes are bounded, and nobody waits for them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use mio::{Registry, Token, Waker};
use sip::Target;

/// Messages and letters that wait in one mailbox. At 64 KiB each they would be 64 MiB; at a usual size 1 MiB.
pub const LETTERS: usize = 1024;

/// The content of a mailbox. `L`: the letters of the cores that the workers drive.
#[derive(Debug, PartialEq, Eq)]
pub enum Letter<L> {
    Message(Passing),
    Core(L),
}

/// A message on its way to the worker that owns the connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Passing {
    pub bytes: Box<[u8]>,
    pub to: Target,
    pub fallback: Option<(Box<[u8]>, Target)>,
}

#[derive(Debug)]
pub struct Mailbox<L> {
    letters: ArrayQueue<Letter<L>>,
    waker: Arc<Waker>,
    /// The owner has been woken and has not looked yet: one wake-up serves all letters until then.
    woken: AtomicBool,
}

impl<L> Mailbox<L> {
    /// `token`: what the owner's poll reports when letters have come, or when somebody called [`Mailbox::wake`].
    pub fn new(registry: &Registry, token: Token) -> io::Result<Mailbox<L>> {
        Ok(Mailbox {
            letters: ArrayQueue::new(LETTERS),
            waker: Arc::new(Waker::new(registry, token)?),
            woken: AtomicBool::new(false),
        })
    }

    /// Hands a letter over; `false` when the mailbox is full.
    pub fn post(&self, letter: Letter<L>) -> bool {
        if self.letters.push(letter).is_err() {
            return false;
        }
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.wake();
        }
        true
    }

    pub fn wake(&self) {
        // This fails only if the owner's poll is gone, and then there is nobody to wake.
        let _ = self.waker.wake();
    }

    /// Wakes the owner without a letter.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// The owner calls this before it takes letters, so that a letter that is posted meanwhile wakes it again.
    pub fn open(&self) {
        // An exchange, not a store: it sees the letters of everyone who found the flag set.
        self.woken.swap(false, Ordering::AcqRel);
    }

    pub fn take(&self) -> Option<Letter<L>> {
        self.letters.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    fn letter(number: u16) -> Letter<u16> {
        if number % 2 == 1 {
            return Letter::Core(number);
        }
        let to = Target::Stream { listener: 0, to: ([127, 0, 0, 1], number).into() };
        Letter::Message(Passing { bytes: Box::new(number.to_be_bytes()), to, fallback: None })
    }

    fn is_woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().any(|event| event.token() == Token(7))
    }

    #[test]
    fn letters_wake_their_owner_once_until_it_looks() {
        let mut poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(7)).unwrap();
        assert!(mailbox.post(letter(1)) && is_woken(&mut poll));
        assert!(mailbox.post(letter(2)) && !is_woken(&mut poll));
        mailbox.open();
        assert_eq!(mailbox.take(), Some(letter(1)));
        assert!(mailbox.post(letter(3)) && is_woken(&mut poll));
        assert_eq!(
            [mailbox.take(), mailbox.take(), mailbox.take()],
            [Some(letter(2)), Some(letter(3)), None]
        );
    }

    #[test]
    fn a_full_mailbox_takes_no_more() {
        let poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(7)).unwrap();
        for number in 0..LETTERS {
            assert!(mailbox.post(letter(number as u16)));
        }
        assert!(!mailbox.post(letter(0)));
        mailbox.take();
        assert!(mailbox.post(letter(0)) && !mailbox.post(letter(0)));
    }

    #[test]
    fn letters_of_several_threads_all_arrive() {
        let mut poll = Poll::new().unwrap();
        let mailbox = Mailbox::new(poll.registry(), Token(7)).unwrap();
        let mut taken = 0;
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    (0..2000).for_each(|number| {
                        while !mailbox.post(letter(number)) {
                            std::thread::yield_now();
                        }
                    })
                });
            }
            let mut events = Events::with_capacity(8);
            while taken < 6000 {
                poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
                assert!(!events.is_empty(), "a wake-up was lost after {taken} letters");
                mailbox.open();
                while mailbox.take().is_some() {
                    taken += 1;
                }
            }
        });
        assert_eq!(taken, 6000);
    }
}
