//! The request to stop one running attempt: seen by the task that runs the handler, and by whatever
//! the handler started on the side.
//!
//! It does not know why an attempt is stopped.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio_util::sync::CancellationToken;

/// One lock over three small fields rather than three atomics: "asked, then looked for a token" and
/// "made a token, then looked whether asked" must not miss each other. The token is made for a
/// handler that wants it and for no other: most attempts end without anybody asking.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: bool,
    waiting: Option<Waker>,
    token: Option<CancellationToken>,
}

impl Stop {
    /// Asks the attempt to stop. Asking twice is asking once.
    pub(crate) fn ask(&self) {
        let (waiting, token) = {
            let mut state = self.lock();
            state.asked = true;
            (state.waiting.take(), state.token.clone())
        };
        // Outside the lock: both run code of others.
        if let Some(token) = token {
            token.cancel();
        }
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// The token that is cancelled when the attempt is asked to stop.
    pub(crate) fn token(&self) -> CancellationToken {
        let mut state = self.lock();
        let asked = state.asked;
        let token = state.token.get_or_insert_default().clone();
        if asked {
            token.cancel();
        }
        token
    }

    /// Resolves once the attempt was asked to stop. For one waiter: the task that runs the handler.
    pub(crate) async fn asked(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.asked {
                return Poll::Ready(());
            }
            match &mut state.waiting {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_token_is_cancelled_whether_made_before_or_after() {
        let stop = Stop::default();
        let before = stop.token();
        assert!(!before.is_cancelled());
        stop.ask();
        assert!(before.is_cancelled() && stop.token().is_cancelled());
    }

    #[tokio::test]
    async fn the_waiter_is_woken() {
        let stop = Arc::new(Stop::default());
        let waiter = tokio::spawn({
            let stop = stop.clone();
            async move { stop.asked().await }
        });
        tokio::task::yield_now().await;
        stop.ask();
        waiter.await.unwrap();
    }
}
