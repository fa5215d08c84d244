//! The partitions of a server of records, and what they hold together.

use std::io;
use std::sync::Arc;

use base::Time;
use os::Clock;
use state::{Answer, Bounds, Command, Effect, Partition};

use super::figures::{Figures, Kind};
use super::values::Values;
use crate::functions::ROOM_PERCENT;

#[derive(Debug)]
pub(super) struct Store {
    partitions: Vec<Partition>,
    pub(super) values: Values,
    /// Of all partitions.
    bytes: usize,
    records: usize,
    tombstones: usize,
    effects: usize,
    memory_bytes: usize,
    effects_max: usize,
    clock: Clock,
    begun: Time,
    run_id: String,
    pub(super) figures: Arc<Figures>,
}

/// The number by which the server itself borrows effects. Engines draw theirs from 1 on.
const SERVER: u32 = 0;

impl Store {
    pub(super) fn new(memory_bytes: usize, effects_max: usize, clock: Clock) -> io::Result<Store> {
        let bounds = Bounds { bytes_max: usize::MAX, effects_max };
        let run_id: [u8; 20] = os::chance::bytes()?;
        let figures = Arc::new(Figures::default());
        figures.memory.set(memory_bytes as u64);
        Ok(Store {
            partitions: (0..=u8::MAX).map(|_| Partition::new(bounds)).collect(),
            values: Values::default(),
            bytes: 0,
            records: 0,
            tombstones: 0,
            effects: 0,
            memory_bytes,
            effects_max,
            clock,
            begun: clock.now(),
            run_id: run_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            figures,
        })
    }

    /// Carries out a command in its partition. Tombstones end by the monotonic clock: nobody sets it.
    pub(super) fn apply(&mut self, partition: u8, command: Command) -> Answer {
        let now = self.clock.now().as_millis();
        let room = self.bytes < self.room_bytes();
        let bounds = Bounds { bytes_max: if room { usize::MAX } else { 0 }, effects_max: self.effects_max };
        let partition = &mut self.partitions[usize::from(partition)];
        let (before, kind) = (partition.counts(), Kind::of(&command));
        partition.set_bounds(bounds);
        let answer = partition.apply(now, command);
        let after = partition.counts();
        self.bytes = (self.bytes + after.bytes).saturating_sub(before.bytes);
        self.effects = (self.effects + after.effects).saturating_sub(before.effects);
        self.records = (self.records + after.records).saturating_sub(before.records);
        self.tombstones = (self.tombstones + after.tombstones).saturating_sub(before.tombstones);
        self.figures.count(&kind, &answer);
        self.show();
        answer
    }

    fn show(&self) {
        self.figures.records.set(self.records as u64);
        self.figures.tombstones.set(self.tombstones as u64);
        self.figures.bytes.set(self.bytes() as u64);
        self.figures.effects.set(self.effects as u64);
    }

    /// From this number of bytes on, no call begins.
    fn room_bytes(&self) -> usize {
        self.memory_bytes / 100 * ROOM_PERCENT as usize
    }

    pub(super) fn partition(&self, partition: u8) -> &Partition {
        &self.partitions[usize::from(partition)]
    }

    /// Bytes of all records and what belongs to them.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.values.bytes()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Records, without tombstones.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Effects that wait.
    pub(super) fn effects(&self) -> usize {
        self.effects
    }

    /// Forty digits, as of a Redis server.
    pub(super) fn run_id(&self) -> &str {
        &self.run_id
    }

    pub(super) fn seconds_up(&self) -> u64 {
        self.clock.now().since(self.begun).as_secs()
    }

    /// Effects of one partition, for the server itself. `from`: the partition to look at first; the one that is found
    /// comes back.
    pub(super) fn lend(&mut self, from: u8, limit: u32) -> Option<(u8, Vec<(u64, Effect)>)> {
        let now = self.clock.now().as_millis();
        let waiting = |at: &u8| self.partitions[usize::from(*at)].counts().effects > 0;
        let places = (0..=u8::MAX).map(|step| from.wrapping_add(step)).filter(waiting).collect::<Vec<_>>();
        for partition in places {
            // An engine that fetches effects itself has the lease; nobody else asks in the name of the server.
            let command = Command::Drain { engine: SERVER, now, lease: 0, limit };
            if let Answer::Effects(effects) = self.apply(partition, command)
                && !effects.is_empty()
            {
                return Some((partition, effects));
            }
        }
        None
    }

    /// Effects up to this number are in the file.
    pub(super) fn carried(&mut self, partition: u8, last: u64) {
        // If an engine has fetched them meanwhile, it has the lease, and the answer is a refusal: they come twice.
        self.apply(partition, Command::Drained { engine: SERVER, last });
    }
}
