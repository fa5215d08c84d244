//! What `strowger answer` measures of its processor, for an agent: it reads the neighbour's use of the real processor, and
//! writes CPU use and calls in progress to a file (docs/agent.md, `--figures-from`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::collect::Collector;
use base::{Duration, Time};

use answer::{Load, Meter};

/// Time between two looks: about twenty-five clock ticks of a neighbour, and short enough for an agent that looks once a
/// second.
const PERIOD: Duration = Duration::from_millis(250);

pub(super) struct Figures {
    load: Arc<Load>,
    meter: Meter,
    collector: Collector,
    neighbour: Option<i32>,
    processors: u32,
    file: Option<PathBuf>,
    next: Time,
    complained: bool,
}

impl Figures {
    /// `None`: nobody asks for the figures.
    pub(super) fn new(
        load: Arc<Load>,
        neighbour: Option<i32>,
        file: Option<&Path>,
        now: Time,
    ) -> Option<Figures> {
        (neighbour.is_some() || file.is_some()).then(|| Figures {
            meter: Meter::new(Arc::clone(&load), now),
            load,
            collector: Collector::default(),
            neighbour,
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            file: file.map(Path::to_owned),
            next: now,
            complained: false,
        })
    }

    /// Looks, if it is time.
    pub(super) fn measure(&mut self, now: Time, calls: u64) {
        if now < self.next {
            return;
        }
        self.next = now + PERIOD;
        if self.neighbour.is_some() {
            // The figure is a share of all processors of the host.
            let share = self.collector.collect(self.neighbour).server_cpu_permille.map_or(0, u32::from);
            self.load.set_taken_permille(share * self.processors);
        }
        let cpu = self.meter.cpu_permille(now);
        let Some(file) = &self.file else { return };
        // In one step: an agent may be reading the file.
        let fresh = file.with_extension("new");
        let text = format!("cpu_permille {cpu}\ncalls {calls}\n");
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, file));
        if let Err(error) = written
            && !std::mem::replace(&mut self.complained, true)
        {
            errln!("error: {}: figures cannot be written: {error}", file.display());
        }
    }
}
