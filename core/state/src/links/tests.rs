//! One worker's links between an engine and servers with real partitions.

mod properties;
mod replicated;
mod server;
mod single;
mod world;

use crate::command::{Also, Create, Del, Put};
use crate::header::{FORMAT, Fence, Header, Stamp, TOMBSTONE};
use crate::{Command, Key};

const PARTITION: u8 = 7;
const KEY: Key = key(1);

const fn key(last: u8) -> Key {
    Key([PARTITION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

fn stamp(version: u64) -> Stamp {
    Stamp { fence: Fence { engine: 3, worker: 1 }, version }
}

fn written(version: u64, flags: u16) -> Box<[u8]> {
    let stamp = stamp(version);
    let mut bytes = Vec::new();
    Header { stamp, owner: 3, format: FORMAT, least_reader: FORMAT, flags, ..Header::default() }
        .write(&mut bytes);
    bytes.into()
}

fn create(key: Key, version: u64) -> Command {
    Command::Create(Create { key, record: written(version, 0), wake: 500, also: Also::default() })
}

fn put(key: Key, expected: u64, version: u64) -> Command {
    let (expected, record) = (stamp(expected), written(version, 0));
    Command::Put(Put { key, expected, record, wake: None, also: Also::default() })
}

fn del(key: Key, expected: u64, version: u64) -> Command {
    let (expected, tombstone) = (stamp(expected), Some(written(version, TOMBSTONE)));
    Command::Del(Del { key, expected, tombstone, also: Also::default() })
}

fn peek(key: Key) -> Command {
    Command::Peek { key, cached: None }
}
