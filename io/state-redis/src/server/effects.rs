//! Brings effects from the partitions to a file, a line of JSON each. A thread of its own writes, so that no call waits for
//! the disk.
//!
//! ```text
//! {"partition":"3f","number":12,"key":"…","body":"…"}
//! ```
//!
//! Bytes that are no UTF-8 come in hexadecimal, under `key_hex` and `body_hex`. An effect leaves its partition when its line is
//! on the disk. It may come twice, if writing failed between: whoever reads the file takes each key once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use state::Effect;
use tracing::error;

use super::store::Store;

/// Effects that are on their way to the disk at a time.
const BATCH: u32 = 1000;

/// Effects of one partition, with their numbers.
type Batch = (u8, Vec<(u64, Effect)>);

#[derive(Debug)]
pub(super) struct Carrier {
    to_disk: Option<SyncSender<Batch>>,
    /// Partition and last number of what is written; `None`: it could not be written.
    from_disk: Receiver<Option<(u8, u64)>>,
    thread: Option<JoinHandle<()>>,
    on_the_way: bool,
    /// The partition to look at first.
    next: u8,
}

impl Carrier {
    pub(super) fn open(path: &Path) -> io::Result<Carrier> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (to_disk, batches) = sync_channel::<Batch>(1);
        let (done, from_disk) = sync_channel(1);
        let write = move || {
            let mut failing = false;
            for (partition, effects) in batches {
                let last = effects.last().map_or(0, |(number, _)| *number);
                let written = write(&file, partition, &effects, failing);
                match (&written, failing) {
                    (Err(why), false) => error!("effects wait: their file cannot be written: {why}"),
                    (Ok(()), true) => error!("effects are written again"),
                    _ => {}
                }
                failing = written.is_err();
                if done.send(written.ok().map(|()| (partition, last))).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("effects".into()).spawn(write)?;
        Ok(Carrier { to_disk: Some(to_disk), from_disk, thread: Some(thread), on_the_way: false, next: 0 })
    }

    /// Takes note of what is on the disk, and sends the next batch there.
    pub(super) fn carry(&mut self, store: &mut Store) {
        if self.on_the_way {
            match self.from_disk.try_recv() {
                Ok(written) => self.arrived(written, store),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        self.send(store);
    }

    fn arrived(&mut self, written: Option<(u8, u64)>, store: &mut Store) {
        self.on_the_way = false;
        if let Some((partition, last)) = written {
            store.carried(partition, last);
            self.next = partition.wrapping_add(1);
        }
    }

    fn send(&mut self, store: &mut Store) {
        if store.effects() == 0 {
            return;
        }
        if let (Some(batch), Some(to_disk)) = (store.lend(self.next, BATCH), &self.to_disk) {
            self.on_the_way = to_disk.send(batch).is_ok();
        }
    }

    /// Brings all that waits to the file, until one batch cannot be written.
    pub(super) fn finish(mut self, store: &mut Store) -> io::Result<()> {
        loop {
            if self.on_the_way {
                let Ok(Some(written)) = self.from_disk.recv() else {
                    return Err(io::Error::other(format!(
                        "{} effects could not be written",
                        store.effects()
                    )));
                };
                self.arrived(Some(written), store);
            }
            self.send(store);
            if !self.on_the_way {
                return Ok(());
            }
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.to_disk = None;
        if let Some(thread) = self.thread.take() {
            // It ends when it has nobody to write for.
            let _ = thread.join();
        }
    }
}

/// `after_failure`: the last line may be half a line.
fn write(mut file: &File, partition: u8, effects: &[(u64, Effect)], after_failure: bool) -> io::Result<()> {
    let mut lines = String::from(if after_failure { "\n" } else { "" });
    for (number, effect) in effects {
        let mut line = serde_json::Map::new();
        line.insert("partition".into(), format!("{partition:02x}").into());
        line.insert("number".into(), (*number).into());
        for (name, bytes) in [("key", &effect.key), ("body", &effect.body)] {
            match std::str::from_utf8(bytes) {
                Ok(text) => line.insert(name.into(), text.into()),
                Err(_) => {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    line.insert(format!("{name}_hex"), hex.into())
                }
            };
        }
        lines.push_str(&serde_json::Value::Object(line).to_string());
        lines.push('\n');
    }
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}
