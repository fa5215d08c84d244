//! The side of the load manager that starts: it asks the running one, makes everything of its sockets, and begins where that
//! one stands.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use config::Checked;
use lb::hand_over::Amount;
use lb::way::router::Router;
use net::{Clock, Spread, Worker};
use os::handing::Channel;
use tracing::{info, warn};

use super::offer::Offer;
use super::{expect, kind};
use crate::lb::control::Control;
use crate::lb::origin::Origin;
use crate::lb::sockets::Sockets;

/// Longer than the running load manager needs for any step.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the head of this module.
pub(crate) struct Taking {
    channel: Channel,
    offer: Offer,
}

impl Taking {
    /// Over a connection to the control socket of the running load manager, which has answered with this offer. The
    /// configuration gets keys from it that no file has. `Err`: it was not disturbed; why, and the remedy.
    pub(crate) fn begin(
        stream: UnixStream,
        offer: serde_json::Value,
        checked: &mut Checked,
    ) -> io::Result<(Taking, Sockets)> {
        let offer: Offer = serde_json::from_value(offer)?;
        offer.adopt_keys(checked);
        if let Some(why) = offer.refuses(checked) {
            return Err(io::Error::other(why));
        }
        let mut channel = Channel::over(stream)?;
        channel.set_patience(PATIENCE)?;
        let sockets = expect(&mut channel, kind::SOCKETS)?;
        let names = serde_json::from_slice(&sockets.bytes)?;
        Ok((Taking { channel, offer }, Sockets::given(names, sockets.descriptors)))
    }

    /// The clock that both share.
    pub(crate) fn clock(&self) -> io::Result<Clock> {
        Clock::begun_at(self.offer.began_us).ok_or_else(|| io::Error::other("its clock began in the future"))
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { run: self.offer.run, clock_began_us: self.offer.clock_began_us }
    }

    /// Everything is made. Takes the memories and the connections; when this returns, the other process serves no more.
    pub(crate) fn take(
        &mut self,
        control: &mut Control,
        workers: &mut [Worker<Router>],
        clock: Clock,
    ) -> io::Result<()> {
        let channel = &mut self.channel;
        channel.send(kind::READY, b"", &[])?;
        let memories = expect(channel, kind::MEMORIES)?.bytes;
        let now = clock.now();
        let mut amount =
            control.take_over(&memories, now).map_err(|why| io::Error::other(why.to_string()))?;
        let count = workers.len() as u8;
        let (mut connections, mut lost) = (0, 0);
        for worker in &mut *workers {
            let part = expect(channel, kind::WORKER)?;
            let (all, left_out) = worker.restore(&part.bytes, part.descriptors, now);
            (connections, lost) = (connections + all, lost + left_out);
            let Amount { held, registrations, left_out, .. } =
                worker.core_mut().take_over(&memories, count, now);
            amount.held += held;
            amount.registrations += registrations;
            amount.left_out += left_out;
        }
        let first = workers.first();
        channel.send(kind::TAKEN, b"", &[])?;
        expect(channel, kind::GO)?;
        for socket in first.map(Worker::udp).unwrap_or_default() {
            // Here the balance begins by flow; what the other process has set is forgotten. If not, it is only slower.
            let _ = net::spread::apply(Spread::Flow, socket, usize::from(count));
        }
        info!(
            "hand-over: this process goes on for process {}, with {} calls, {} held requests, {} registrations in progress and \
             {connections} connections",
            self.offer.pid, amount.calls, amount.held, amount.registrations
        );
        if amount.left_out + lost > 0 {
            warn!(
                "hand-over: {lost} connections are closed and {} entries are forgotten: their listener is gone, or there is no room here",
                amount.left_out
            );
        }
        Ok(())
    }

    /// All threads run.
    pub(crate) fn serves(mut self, control: &Path) {
        // The other process ends if it can no longer be told, too.
        let _ = self.channel.send(kind::SERVING, b"", &[]);
        if self.offer.control != control {
            // Nobody serves it any more.
            let _ = std::fs::remove_file(&self.offer.control);
        }
    }
}
