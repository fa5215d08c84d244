//! What an engine gets from the state tier before it serves: a number that no engine had, the farm's secret, the time. It also
//! brings the functions there.
//!
//! Each partition has a copy of the secret (`{pXX}secret`), so that none is missing while one primary is left. Numbers are drawn
//! by `INCR {pXX}engine` in the lowest partition that is there. A counter begins with the seconds since 1970: so one that was lost
//! repeats no number, as engines are not started every second for years.

use std::io;
use std::thread;
use std::time::Instant;

use base::{Duration, Key, Time};
use state::skew::{Clock, Reading};
use state::view::{Partitions, Sight};

use super::call::Call;
use super::greeting::Login;
use super::heard;
use super::settings::Settings;
use crate::functions;
use crate::resp::Value;
use state::links::{Said, Words};

/// Who waits for longer says so.
const SAID_AFTER: Duration = Duration::from_secs(1);

/// Bytes of the farm's secret.
pub const SECRET_BYTES: usize = 32;
/// How long to wait until it is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long replicas have to copy a number or a secret.
const WAIT_MS: &[u8] = b"1000";

/// See the head of this module.
#[derive(Clone)]
pub struct Start {
    /// The engine's number, for this life.
    pub engine: u32,
    pub secret: Key<[u8; SECRET_BYTES]>,
    /// What the clock of the state tier said, in microseconds, and when.
    pub(super) clock: (Time, u64),
}

impl Start {
    /// Waits for the state tier until `patience` is over, and says once what it waits for if that takes more than a second. In
    /// the end it does without primaries that do not answer, if the secret is known to others.
    pub fn wait(
        settings: &Settings,
        clock: &os::Clock,
        patience: Duration,
        say: impl FnOnce(&io::Error),
    ) -> io::Result<Start> {
        let begin = Instant::now();
        let mut say = Some(say);
        loop {
            let is_last = begin.elapsed() >= patience;
            match Farm::reach(settings, is_last).and_then(|mut farm| farm.start(clock)) {
                Err(error) if is_last => return Err(explained(&error)),
                Err(error) => {
                    if begin.elapsed() >= SAID_AFTER
                        && let Some(say) = say.take()
                    {
                        say(&error);
                    }
                    thread::sleep(AGAIN);
                }
                Ok(start) => return Ok(start),
            }
        }
    }

    /// A moment, and the time of the state tier at it, in microseconds since 1970.
    pub fn clock(&self) -> (Time, u64) {
        self.clock
    }

    /// Writes the secret back where it is missing: a primary that was started empty has none. An error if there is another.
    /// Waits for the nodes: not for a worker's thread.
    pub fn keep_secret(&self, settings: &Settings) -> io::Result<()> {
        let mut farm = Farm::reach(settings, true)?;
        let found = farm.secrets()?;
        farm.spread(self.secret.get(), found)
    }
}

/// The error, and what to do about it.
pub(super) fn explained(error: &io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "name the user and the file of the password (--state-user, --state-password-file)"
        }
        _ => "start it (strowger state, or Redis 7.0 or Valkey), and name one of its nodes",
    };
    io::Error::new(error.kind(), format!("the state tier: {error}\n  remedy: {remedy}"))
}

/// A primary that answers.
pub(super) struct Primary {
    pub(super) call: Call,
    partitions: Partitions,
    view: u32,
}

pub(super) struct Farm(Vec<Primary>);

impl Farm {
    pub(super) fn reach(settings: &Settings, may_be_part: bool) -> io::Result<Farm> {
        let login = settings.login();
        let mut error = io::Error::from(io::ErrorKind::NotFound);
        for address in settings.addresses()? {
            match Farm::by(&address, &login, may_be_part) {
                Ok(farm) => return Ok(farm),
                Err(why) => error = why,
            }
        }
        Err(error)
    }

    /// By what one node says.
    fn by(address: &str, login: &Login, may_be_part: bool) -> io::Result<Farm> {
        let (mut found, mut there) = (Vec::new(), Partitions::default());
        for named in look(&mut Call::connect(address, login)?)?.primaries {
            if named.partitions.iter().next().is_none() {
                continue;
            }
            match Primary::reach(&named.address, login) {
                Ok(primary) => {
                    primary.partitions.iter().for_each(|one| there.add(one));
                    found.push(primary);
                }
                Err(error) if !may_be_part => return Err(error),
                Err(_) => {}
            }
        }
        if found.is_empty() || there != Partitions::ALL && !may_be_part {
            let text = format!("{address}: some partitions have no primary");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(Farm(found))
    }

    fn start(&mut self, clock: &os::Clock) -> io::Result<Start> {
        for primary in &mut self.0 {
            primary.call.value(&functions::LOAD)?;
        }
        let found = self.secrets()?;
        let secret = match found.iter().find_map(|(_, secret)| *secret) {
            Some(secret) => secret,
            None => self.draw_secret()?,
        };
        self.spread(&secret, found)?;
        let at = self.time(clock)?;
        let engine = self.draw_number(at.1 / 1_000_000)?;
        Ok(Start { engine, secret: Key::from(secret), clock: at })
    }

    /// The primary of a partition.
    pub(super) fn primary(&mut self, partition: u8) -> io::Result<&mut Primary> {
        let text = format!("partition {partition:02x} has no primary");
        let holds = |primary: &&mut Primary| primary.partitions.holds(partition);
        self.0.iter_mut().find(holds).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// The copies of the secret, of all partitions that are there.
    fn secrets(&mut self) -> io::Result<Vec<(u8, Option<[u8; SECRET_BYTES]>)>> {
        let mut found = Vec::new();
        for primary in &mut self.0 {
            found.extend(primary.secrets()?);
        }
        found.sort_unstable_by_key(|(partition, _)| *partition);
        Ok(found)
    }

    /// The first engine of a farm draws it; of several at once, one has drawn it.
    fn draw_secret(&mut self) -> io::Result<[u8; SECRET_BYTES]> {
        let drawn: [u8; SECRET_BYTES] = os::chance::bytes()?;
        // The first partition decides. Where it does not answer, its copy may be the only one that is left.
        let primary = self.primary(0)?;
        primary.call.value(&[b"SET", name(0, "secret").as_bytes(), &drawn, b"NX"])?;
        primary.wait()?;
        primary
            .secret(0)?
            .ok_or_else(|| primary.call.error(io::ErrorKind::NotFound, "the secret is gone again"))
    }

    fn spread(
        &mut self,
        secret: &[u8; SECRET_BYTES],
        found: Vec<(u8, Option<[u8; SECRET_BYTES]>)>,
    ) -> io::Result<()> {
        for (partition, there) in found {
            let primary = self.primary(partition)?;
            let there = match there {
                Some(there) => Some(there),
                None => {
                    primary.call.value(&[b"SET", name(partition, "secret").as_bytes(), secret, b"NX"])?;
                    primary.secret(partition)?
                }
            };
            if there.as_ref() != Some(secret) {
                let text =
                    "another farm's secret lies there\n  remedy: give each farm a state tier of its own";
                return Err(primary.call.error(io::ErrorKind::InvalidData, text));
            }
        }
        self.0.iter_mut().try_for_each(Primary::wait)
    }

    fn time(&mut self, clock: &os::Clock) -> io::Result<(Time, u64)> {
        let (mut theirs, servers) = (Clock::default(), self.0.len());
        for (server, primary) in (0..).zip(&mut self.0) {
            let asked = clock.now();
            let value = primary.call.value(&[b"TIME"])?;
            let Said::Micros(micros) = heard::said(primary.call.address(), &Words::Time, None, value) else {
                return Err(primary.call.error(io::ErrorKind::InvalidData, "no time"));
            };
            theirs.read(Reading { server, life: 0, asked, answered: clock.now(), micros }, servers);
        }
        let now = clock.now();
        let error = || io::Error::other("the nodes are slow, or their clocks differ by more than a second");
        Ok((now, theirs.micros(now).ok_or_else(error)?))
    }

    fn draw_number(&mut self, seconds: u64) -> io::Result<u32> {
        let lowest = (0..=u8::MAX).find(|one| self.0.iter().any(|primary| primary.partitions.holds(*one)));
        let partition = lowest.unwrap_or(0);
        let (primary, name) = (self.primary(partition)?, name(partition, "engine"));
        primary.call.value(&[b"SET", name.as_bytes(), seconds.to_string().as_bytes(), b"NX"])?;
        let drawn = primary.call.value(&[b"INCR", name.as_bytes()])?;
        primary.wait()?;
        match drawn {
            Value::Integer(number) if u32::try_from(number).is_ok() => Ok(number as u32),
            _ => Err(primary
                .call
                .error(io::ErrorKind::InvalidData, &format!("{name} is no number of an engine"))),
        }
    }
}

impl Primary {
    fn reach(address: &str, login: &Login) -> io::Result<Primary> {
        let mut call = Call::connect(address, login)?;
        let sight = look(&mut call)?;
        let own = sight.primaries.iter().find(|primary| &*primary.address == address);
        match (own, sight.view) {
            (Some(own), Some(view)) => Ok(Primary { partitions: own.partitions, view, call }),
            _ => Err(call.error(io::ErrorKind::NotFound, "it is no primary now")),
        }
    }

    /// The copy in each partition, asked for together.
    fn secrets(&mut self) -> io::Result<Vec<(u8, Option<[u8; SECRET_BYTES]>)>> {
        let partitions: Vec<u8> = self.partitions.iter().collect();
        let names: Vec<String> = partitions.iter().map(|partition| name(*partition, "secret")).collect();
        let commands: Vec<[&[u8]; 2]> = names.iter().map(|name| [&b"GET"[..], name.as_bytes()]).collect();
        let values = self.call.values(&commands)?;
        partitions
            .into_iter()
            .zip(values)
            .map(|(partition, value)| Ok((partition, self.secret_of(value)?)))
            .collect()
    }

    fn secret(&mut self, partition: u8) -> io::Result<Option<[u8; SECRET_BYTES]>> {
        let value = self.call.value(&[b"GET", name(partition, "secret").as_bytes()])?;
        self.secret_of(value)
    }

    fn secret_of(&self, value: Value) -> io::Result<Option<[u8; SECRET_BYTES]>> {
        match value {
            Value::Nil => Ok(None),
            Value::Bytes(bytes) if bytes.len() == SECRET_BYTES => Ok(bytes.first_chunk().copied()),
            _ => Err(self.call.error(io::ErrorKind::InvalidData, "its secret has not 32 bytes")),
        }
    }

    /// Until all replicas of the view have what was written.
    fn wait(&mut self) -> io::Result<()> {
        if self.view == 0 {
            return Ok(());
        }
        match self.call.value(&[b"WAIT", self.view.to_string().as_bytes(), WAIT_MS])? {
            Value::Integer(having) if having >= i64::from(self.view) => Ok(()),
            _ => Err(self.call.error(io::ErrorKind::TimedOut, "its replicas do not follow")),
        }
    }
}

fn look(call: &mut Call) -> io::Result<Sight> {
    let nodes = call.call(&[b"CLUSTER", b"NODES"])?;
    let replication = call.call(&[b"INFO", b"replication"])?;
    if let (Value::Error(_), Value::Error(text)) = (&nodes, &replication) {
        return Err(call.error(io::ErrorKind::PermissionDenied, text));
    }
    match heard::said(call.address(), &Words::Look, Some(nodes), replication) {
        Said::Sight(sight) => Ok(sight),
        _ => Err(call.error(io::ErrorKind::InvalidData, "it does not say what it is")),
    }
}

fn name(partition: u8, what: &str) -> String {
    format!("{{p{partition:02x}}}{what}")
}
