//! All connections of a worker for the process that goes on with them: the same slots and generations, since messages on their
//! way name a connection by these; a descriptor for each.
//!
//! TLS stays where it is, because its keys do: such a connection goes on as one end of a pair, and this process hands through
//! what comes and goes ([`super::relay`]).

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use base::Time;
use base::fields::{Reader, Writer};
use mio::net::TcpStream;
use rustls::pki_types::CertificateDer;
use sip::Transport;

use super::Connections;
use super::connection::Connection;
use super::introducing::Introducing;
use super::slots::Key;
use super::source::source;
use crate::tcp::Stream;

/// Names within a connection, beside those of [`Connection::write`].
mod name {
    pub(super) const SLOT: u8 = 20;
    pub(super) const GENERATION: u8 = 21;
    /// Messages to its address go over this connection.
    pub(super) const REACHES: u8 = 22;
    pub(super) const RELAYED: u8 = 23;
    /// What the peer has proven, its own certificate first.
    pub(super) const CERTIFICATE: u8 = 24;
}

const CONNECTION: u8 = 1;
const GENERATIONS: u8 = 2;
/// A connection whose proxy has not said yet who is behind it. Their descriptors come after those of the others.
const INTRODUCING: u8 = 3;

/// Certificates of one peer: far more than a chain has.
const CERTIFICATES_MAX: usize = 16;

/// What a worker gives.
#[derive(Debug, Default)]
pub struct Part {
    pub bytes: Vec<u8>,
    /// Those of the connections, in the order in which the bytes name them. They are the worker's own, and stay open while the
    /// worker stands still.
    pub descriptors: Vec<RawFd>,
    /// Connections that could not be given: this process had no descriptor left.
    pub left_out: usize,
}

/// The ends of pairs that were made for a hand-over, until it is done or given up.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// The connection, and the end that this process relays to.
    pub(super) kept: Vec<(Key, UnixStream)>,
    given: Vec<UnixStream>,
}

impl Connections {
    /// Nothing changes here.
    pub(crate) fn part(&self) -> (Part, Pairs) {
        let (mut part, mut pairs, mut writer) = (Part::default(), Pairs::default(), Writer::default());
        let mut generations = Vec::with_capacity(4 * self.slots.places());
        for generation in self.slots.generations() {
            generations.extend(generation.to_be_bytes());
        }
        writer.bytes(GENERATIONS, &generations);
        for (key, connection) in self.slots.iter() {
            let relayed = connection.stream.is_secured();
            let descriptor = match relayed {
                false => connection.stream.as_raw_fd(),
                true => match pair() {
                    Ok((kept, given)) => {
                        let descriptor = given.as_raw_fd();
                        pairs.kept.push((key, kept));
                        pairs.given.push(given);
                        descriptor
                    }
                    Err(_) => {
                        part.left_out += 1;
                        continue;
                    }
                },
            };
            part.descriptors.push(descriptor);
            let reaches = self.by_remote.get(&(connection.listener, connection.remote)) == Some(&key);
            writer.group(CONNECTION, |into| {
                into.number(name::SLOT, key.slot.into());
                into.number(name::GENERATION, key.generation.into());
                into.flag(name::REACHES, reaches);
                into.flag(name::RELAYED, relayed || connection.stream.is_relayed());
                for certificate in connection.stream.certificates().iter().take(CERTIFICATES_MAX) {
                    into.bytes(name::CERTIFICATE, certificate);
                }
                connection.write(relayed, into);
            });
        }
        for (_, waiting) in self.introducing.iter() {
            part.descriptors.push(waiting.stream.as_raw_fd());
            writer.group(INTRODUCING, |into| waiting.write(into));
        }
        part.bytes = writer.into_bytes();
        (part, pairs)
    }

    /// Goes on with the connections of another process, before this one has any. Returns how many there were, and how many of
    /// them are not taken: their listener is gone, or there is no room.
    pub(crate) fn restore(&mut self, bytes: &[u8], descriptors: Vec<OwnedFd>, now: Time) -> (usize, usize) {
        let from = Reader::new(bytes);
        let generations = from.get(GENERATIONS).unwrap_or_default().as_chunks::<4>().0;
        self.slots.restore(generations.iter().map(|bytes| u32::from_be_bytes(*bytes)));
        let (all, mut taken, mut descriptors) = (descriptors.len(), 0, descriptors.into_iter());
        for (from, descriptor) in from.groups(CONNECTION).zip(&mut descriptors) {
            taken += usize::from(self.restore_one(from, descriptor, now).is_some());
        }
        for (from, descriptor) in from.groups(INTRODUCING).zip(&mut descriptors) {
            taken += usize::from(self.restore_introducing(from, descriptor, now).is_some());
        }
        self.slots.filled();
        self.counters.connections_open.set(self.slots.len() as u64);
        (all, all - taken)
    }

    fn restore_one(&mut self, from: Reader<'_>, descriptor: OwnedFd, now: Time) -> Option<()> {
        let key = Key { slot: from.small(name::SLOT)?, generation: from.small(name::GENERATION)? };
        let socket = socket(descriptor);
        let certificates = from.all(name::CERTIFICATE).take(CERTIFICATES_MAX);
        let certificates = certificates.map(|bytes| CertificateDer::from(bytes.to_vec())).collect();
        let stream = match from.flag(name::RELAYED) {
            true => Stream::relayed(socket, certificates),
            false => Stream::over(socket, &self.limits),
        };
        let is_served = |listener, transport| self.is_served(listener, transport);
        let stray_bytes = self.limits.stray_bytes;
        let mut connection = Connection::read(from, stream, &is_served, stray_bytes, now)?;
        connection.stream.register(&self.registry, super::token_of(key)).ok()?;
        let (listener, remote) = (connection.listener, connection.remote);
        let (opened, shakes_hands) = (connection.opened, connection.is_shaking_hands());
        if !self.slots.fill(key, connection) {
            return None;
        }
        if from.flag(name::REACHES) {
            self.by_remote.insert((listener, remote), key);
        }
        if !opened {
            let has = self.per_source.entry(source(remote.ip())).or_default();
            has.connections += 1;
            has.handshakes += u32::from(shakes_hands);
            self.accepted += 1;
            self.handshakes += usize::from(shakes_hands);
        }
        self.account(key);
        self.watch(key);
        Some(())
    }

    fn restore_introducing(&mut self, from: Reader<'_>, descriptor: OwnedFd, now: Time) -> Option<()> {
        let stream = Stream::over(socket(descriptor), &self.limits);
        let waiting = Introducing::read(from, stream, now)?;
        let is_served = self.is_served(waiting.place.0, waiting.place.1);
        is_served.then_some(())?;
        self.wait_for_introduction(waiting)
    }

    fn is_served(&self, listener: u8, transport: Transport) -> bool {
        self.bound.get(usize::from(listener)).is_some_and(|(bound, _)| *bound == transport)
    }
}

fn socket(descriptor: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is this process's own, and given away here.
    unsafe { TcpStream::from_raw_fd(descriptor.into_raw_fd()) }
}

/// Two ends that never wait.
fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
}
