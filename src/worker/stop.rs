//! SIGTERM and SIGINT, from the first moment of the start: a worker that still waits for Kafka, the registry or its group
//! must end just as one that works.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::metrics::log;

/// Whether the process was asked to stop. Clones see the same request.
#[derive(Clone)]
pub struct StopRequest(watch::Receiver<bool>);

impl StopRequest {
    /// Listens for signals from now on. The first one is the request; the second one ends the process at once, with
    /// status 143 after SIGTERM and 130 after SIGINT.
    ///
    /// # Errors
    /// The operating system refuses a signal handler.
    pub fn listen(runtime: &Runtime) -> std::io::Result<Self> {
        let _guard = runtime.enter();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (requests, requested) = watch::channel(false);
        runtime.spawn(async move {
            loop {
                let status = tokio::select! {
                    _ = terminate.recv() => 143,
                    _ = interrupt.recv() => 130,
                };
                if requests.send_replace(true) {
                    log::flush();
                    std::process::exit(status);
                }
            }
        });
        Ok(StopRequest(requested))
    }

    /// Returns once a stop is requested.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|requested| *requested).await.is_err() {
            // The listener is gone: the runtime is ending.
            std::future::pending::<()>().await;
        }
    }

    /// The result of `work`, or none if a stop is requested first.
    pub async fn unless_requested<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.requested() => None,
            done = work => Some(done),
        }
    }
}
