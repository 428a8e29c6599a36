//! One handler's future from its call to its end, with every panic caught on the way.
//!
//! It does not know which attempt it runs, and keeps no time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::error::Error;
use crate::handler::{Call, HandlerFuture, HandlerService};
use crate::panics::caught;

/// A handler that is called at the first poll. Calling is part of the guard: a closure may panic
/// before it has a future, and a future may panic while it is dropped.
pub(crate) struct Guarded {
    state: State,
}

enum State {
    Uncalled(HandlerService, Call),
    Called(HandlerFuture),
    Ended,
}

impl Guarded {
    pub(crate) fn new(handler: HandlerService, call: Call) -> Self {
        Self { state: State::Uncalled(handler, call) }
    }

    fn end(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if !matches!(state, State::Ended) {
            // A panic in a destructor changes no answer; the hook has printed it.
            let _ = caught(|| drop(state));
        }
    }
}

/// Dropping it cancels the handler where it stands; afterwards nothing of it runs.
impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

impl Future for Guarded {
    type Output = Result<Bytes, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = caught(|| {
            if let State::Uncalled(..) = self.state
                && let State::Uncalled(handler, call) =
                    std::mem::replace(&mut self.state, State::Ended)
            {
                self.state = State::Called(handler.start(call));
            }
            match &mut self.state {
                State::Called(future) => Pin::new(future).poll(cx),
                // Polled after its end, which no caller here does; pending for ever would hide it.
                State::Uncalled(..) | State::Ended => Poll::Ready(Err(ended())),
            }
        });
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(panic),
        };
        self.end();
        Poll::Ready(result)
    }
}

fn ended() -> Error {
    Error::new("Runtime.Internal", "the handler was polled after its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(handler: HandlerService) -> Guarded {
        let context = crate::Context::detached("f");
        Guarded::new(handler, Call { payload: Bytes::from_static(b"{}"), context })
    }

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in the destructor");
        }
    }

    #[tokio::test]
    async fn panics_in_the_closure_and_in_the_future_are_errors() {
        let in_closure = HandlerService::raw(|_, _| -> std::future::Ready<Result<Bytes, Error>> {
            panic!("in the closure")
        });
        assert_eq!(guarded(in_closure).await.unwrap_err().message(), "in the closure");

        let in_future = HandlerService::raw(|_, _| async {
            tokio::task::yield_now().await;
            panic!("in the future");
            #[allow(unreachable_code)]
            Ok::<_, Error>(Bytes::new())
        });
        assert_eq!(guarded(in_future).await.unwrap_err().message(), "in the future");
    }

    #[tokio::test]
    async fn a_destructor_that_panics_takes_nothing_down() {
        let handler = HandlerService::raw(|_, _| {
            let guard = PanicsWhenDropped;
            async move {
                let _guard = guard;
                std::future::pending::<Result<Bytes, Error>>().await
            }
        });
        let mut running = guarded(handler);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut running).poll(&mut cx).is_pending());
        drop(running);
    }
}
