//! Whether another process has taken the place of this one. Then everything here that has a socket lets go of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Copies tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Over(Arc<(AtomicBool, watch::Sender<bool>)>);

impl Default for Over {
    fn default() -> Over {
        Over(Arc::new((AtomicBool::new(false), watch::Sender::new(false))))
    }
}

impl Over {
    pub(crate) fn set(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.send_replace(true);
    }

    pub(crate) fn is_so(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// For loops that look at it themselves.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0.0
    }

    /// Returns when it is so.
    pub(crate) async fn wait(&self) {
        let mut changes = self.0.1.subscribe();
        // The sender is in this value, so it is not gone.
        let _ = changes.wait_for(|over| *over).await;
    }

    /// What the work gives; `None`: it is over first.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut over) = (std::pin::pin!(work), std::pin::pin!(self.wait()));
        std::future::poll_fn(|context| {
            if over.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_when_it_is_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let over = Over::default();
        assert_eq!(runtime.block_on(over.or(async { 7 })), Some(7));
        let setter = std::thread::spawn({
            let over = over.clone();
            move || over.set()
        });
        assert_eq!(runtime.block_on(over.or(std::future::pending::<u8>())), None);
        setter.join().unwrap();
        assert!(over.is_so() && over.flag().load(Ordering::Relaxed));
        assert_eq!(runtime.block_on(over.or(async { 7 })), None, "no more work");
    }
}
