//! Log lines of an engine.

use engine::Event;

pub(super) fn log(event: Event) {
    match event {
        Event::EngineDied { engine } => tracing::warn!("engine {engine} is dead; its calls are taken over"),
        Event::Store { within_reach: true } => tracing::info!("the state tier answers again"),
        Event::Store { within_reach: false } => {
            tracing::error!("the state tier does not answer: new calls get 503, calls that are up go on");
        }
    }
}
