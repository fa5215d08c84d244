//! The control side of a load manager without workers, for tests of verbs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Map, Value};

use super::Outcome;
use super::asked::Asked as _;
use super::control_side::ControlSide;
use super::desk::{Desk, open};

/// Turns until it is dropped.
pub(crate) struct Owner {
    pub(crate) desk: Desk,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Owner {
    /// From a file if one is given; a reload then reads that file.
    pub(crate) fn of(checked: config::Checked) -> Owner {
        let ControlSide { mut control, host } = ControlSide::of(checked);
        let clock = host.clock;
        let (desk, tray) = open(Arc::new(host));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                control.turn(clock.now(), 1, |now, control| tray.work_on(now, control));
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Owner { desk, stop, thread: Some(thread) }
    }

    /// Two servers on ports 7000 and 7001.
    pub(crate) fn of_two() -> Owner {
        Owner::of(config::parse(TWO).unwrap())
    }

    pub(crate) fn ask(&self, verb: &str, arguments: Value) -> Outcome {
        self.desk.ask(verb, arguments.as_object().cloned().unwrap_or_else(Map::new))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) const TWO: &str = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n\
    [[server]]\naddress = \"127.0.0.1:7000\"\n[[server]]\naddress = \"127.0.0.1:7001\"\n\
    [keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n";
