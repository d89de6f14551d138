//! The last check before the bytes go out (rule W2). A check before the request is handed to the HTTP client would be too
//! early: the client may first wait for a connection. So the body itself asks once the connection exists and wants it. The
//! head waits in the same buffer, and nothing leaves if the answer is no.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

const UNTOUCHED: u8 = 0;
const PASSED: u8 = 1;
const REFUSED: u8 = 2;
const CLOSED: u8 = 3;

/// Whether one request went out.
pub(super) struct Gate {
    state: AtomicU8,
    may_send: Box<dyn Fn() -> bool + Send + Sync>,
}

/// What is known of one request after its call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// No connection ever asked for it, and none will get it now.
    NeverAsked,
    /// The gate refused it at the last moment.
    Refused,
    /// Its bytes went to a connection.
    Passed,
}

impl Gate {
    pub(super) fn new(may_send: impl Fn() -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Gate { state: AtomicU8::new(UNTOUCHED), may_send: Box::new(may_send) })
    }

    /// Closes the gate and returns what happened at it. Nothing passes from here on, whatever the client still does with
    /// the request.
    pub(super) fn close(&self) -> Passage {
        match self.state.compare_exchange(UNTOUCHED, CLOSED, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) | Err(CLOSED) => Passage::NeverAsked,
            Err(REFUSED) => Passage::Refused,
            Err(_) => Passage::Passed,
        }
    }

    fn pass(&self) -> bool {
        let decided = if (self.may_send)() { PASSED } else { REFUSED };
        let untouched =
            self.state.compare_exchange(UNTOUCHED, decided, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        untouched && decided == PASSED
    }
}

/// A body that asks its gate first. It can be sent once.
pub(super) struct GatedBody {
    bytes: Option<Bytes>,
    gate: Arc<Gate>,
}

/// The error that stops a refused request inside the HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("the request may not be sent any more")]
pub(super) struct GateClosed;

impl GatedBody {
    pub(super) fn new(bytes: Vec<u8>, gate: Arc<Gate>) -> Self {
        GatedBody { bytes: Some(bytes.into()), gate }
    }
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = GateClosed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GateClosed>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        Poll::Ready(Some(if self.gate.pass() { Ok(Frame::data(bytes)) } else { Err(GateClosed) }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
