//! The farm's secret stays in the state tier: a server of it that was started empty gets it back from a running engine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use state_redis::link::{Settings, Start};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// See the head of this module.
pub(super) struct Keeper {
    stop: Arc<AtomicBool>,
    /// Another farm's secret lies there: this engine makes names that the others do not know.
    foreign: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn start(settings: Settings, begun: Start) -> io::Result<Keeper> {
        let keeper = Keeper { stop: Arc::default(), foreign: Arc::default() };
        let (stop, foreign) = (Arc::clone(&keeper.stop), Arc::clone(&keeper.foreign));
        std::thread::Builder::new().name("secret".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // While nobody answers there is nobody to tell.
                if let Err(error) = begun.keep_secret(&settings)
                    && error.kind() == io::ErrorKind::InvalidData
                {
                    tracing::error!("this engine ends: {error}");
                    foreign.store(true, Ordering::Relaxed);
                    return;
                }
                std::thread::sleep(EVERY);
            }
        })?;
        Ok(keeper)
    }

    /// Whether this engine must end, to start anew with the secret of the others.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
