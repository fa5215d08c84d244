//! The first lines of a load manager's log: what it listens on, and how it chooses.

use config::word;
use lb::settings::Settings;
use tracing::info;

pub(crate) fn announce(settings: &Settings, workers: u8, control: &std::path::Path) {
    for listener in &settings.listeners {
        let transport = listener.transport.word();
        info!("listener {transport}:{}, known to others as {}", listener.bind, listener.known_as());
    }
    if let Some(listen) = settings.heartbeat.listen {
        let signed = if settings.keys.heartbeat.is_some() { "signed" } else { "unsigned" };
        info!("heartbeats received at {listen}, {signed}");
    }
    info!(
        "servers configured: {}, affinity {}, selection {}, workers: {workers}, control socket {}",
        settings.servers.len(),
        word(settings.affinity),
        word(settings.selection),
        control.display()
    );
}
