//! The intake of a session: every attempt the broker sends is started here, in order.
//!
//! A handler is polled once where its attempt was read. One that is done by then cost no task, no
//! timer and no channel, and its outcome leaves in one frame with its neighbours'. One that is
//! pending gets a task of its own, with the function timeout armed, so that handlers run in parallel
//! over the runtime's threads. A handler whose first poll is known to be long skips the first step.
//!
//! It does not read frames and does not decide when the session ends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use trine_proto::v1::{Attempt, Outcome};

use crate::book::Book;
use crate::context::Context;
use crate::function::Function;
use crate::guarded::Guarded;
use crate::handler::Call;
use crate::outcome::{Lease, Stopped};

/// Time after which a turn lets other tasks run, so that the outcomes it has leave and the
/// connection is served however many attempts came at once.
const TURN_MAX: Duration = Duration::from_micros(500);

/// Outcomes that may wait beside two a slot. A broker that keeps to its credit never gets near; one
/// that does not must not fill the worker's memory.
const WAITING_SPARE: usize = 64;

/// What a handler gets in the place of an empty payload (LS 1.1).
const EMPTY_EVENT: Bytes = Bytes::from_static(b"{}");

/// See the module.
pub(crate) struct Intake {
    functions: Arc<[Function]>,
    book: Arc<Book>,
    slots: usize,
    response_bytes_max: usize,
    taking: bool,
    turn: Turn,
}

/// What the turn has done that the book does not hold yet.
struct Turn {
    /// Attempts taken that the book does not count yet.
    taken: u64,
    /// Whether the connection has yet to be told that there is news.
    unsettled: bool,
    outcomes: Vec<Outcome>,
    /// Slots that are free at least. Read anew from the book when used up, not for every attempt.
    free: usize,
    begun: std::time::Instant,
    /// The last look at the clock: the end of one first poll is the start of the next.
    clock: std::time::Instant,
}

/// The broker sent more than the worker's slots allow and took no outcomes.
#[derive(Debug)]
pub(crate) struct Overrun;

impl Intake {
    pub(crate) fn new(
        functions: Arc<[Function]>,
        book: Arc<Book>,
        slots: usize,
        response_bytes_max: usize,
    ) -> Self {
        let now = std::time::Instant::now();
        let turn = Turn {
            taken: 0,
            unsettled: false,
            outcomes: Vec::new(),
            free: 0,
            begun: now,
            clock: now,
        };
        Self { functions, book, slots, response_bytes_max, taking: true, turn }
    }

    /// From now on every attempt goes back unstarted.
    pub(crate) fn stop_taking(&mut self) {
        self.taking = false;
    }

    /// Starts the attempts of one frame. The turn goes on with the next frame if that is there
    /// already; [`settle`](Self::settle) ends it.
    pub(crate) async fn take(&mut self, attempts: Vec<Attempt>) -> Result<(), Overrun> {
        let received = Instant::now();
        let now = std::time::Instant::now();
        if !self.turn.unsettled {
            self.turn.begun = now;
        }
        self.turn.clock = now;
        self.turn.free = 0;
        for attempt in attempts {
            self.start(attempt, received);
            if self.turn.clock - self.turn.begun > TURN_MAX {
                self.settle()?;
                tokio::task::yield_now().await;
                self.turn.clock = std::time::Instant::now();
                self.turn.begun = self.turn.clock;
            }
        }
        Ok(())
    }

    /// Whether attempts were taken since the last settling.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.turn.unsettled
    }

    /// Enters the turn into the book, from which the connection takes it as one frame.
    pub(crate) fn settle(&mut self) -> Result<(), Overrun> {
        self.turn.unsettled = false;
        let taken = std::mem::take(&mut self.turn.taken);
        let waiting = self.book.settle(taken, &mut self.turn.outcomes);
        if waiting > 2 * self.slots + WAITING_SPARE { Err(Overrun) } else { Ok(()) }
    }

    fn start(&mut self, mut attempt: Attempt, received: Instant) {
        let lease = Lease::from(&attempt);
        // Counted whether it starts or goes back: the broker counts what it sent.
        self.turn.taken += 1;
        self.turn.unsettled = true;
        let index = usize::try_from(attempt.function_index).unwrap_or(usize::MAX);
        let has_slot = self.taking && self.has_slot();
        let Some(function) = self.functions.get(index).filter(|_| has_slot) else {
            if index >= self.functions.len() {
                tracing::warn!(index, "the broker sent an attempt for a function not in the hello");
            }
            self.turn.outcomes.push(lease.returned());
            return;
        };
        let payload = std::mem::take(&mut attempt.payload);
        let payload = if payload.is_empty() { EMPTY_EVENT } else { payload };
        let context = Context::of(attempt, function.name.clone(), received);
        let call = Call { payload, context: context.clone() };
        let mut handler = Guarded::new(function.handler.clone(), call);
        let polled = function.cost.is_inline();
        if polled {
            // The handler is polled again at once if it moves to a task of its own, which is when its
            // real waker is registered; until then nobody needs waking.
            let mut cx = std::task::Context::from_waker(Waker::noop());
            let answer = Pin::new(&mut handler).poll(&mut cx);
            let now = std::time::Instant::now();
            function.cost.record(now - self.turn.clock);
            self.turn.clock = now;
            if let Poll::Ready(answer) = answer {
                let outcome = lease.answered(answer, &context, self.response_bytes_max);
                self.turn.outcomes.push(outcome);
                return;
            }
        }
        self.book.run(lease, context.clone(), std::mem::take(&mut self.turn.taken));
        self.turn.free -= 1;
        let running = Running {
            lease,
            context,
            handler,
            book: self.book.clone(),
            response_bytes_max: self.response_bytes_max,
        };
        let unpolled = (!polled).then(|| (self.functions.clone(), index));
        tokio::spawn(running.run(unpolled));
    }

    fn has_slot(&mut self) -> bool {
        if self.turn.free == 0 {
            self.turn.free = self.slots.saturating_sub(self.book.running());
        }
        self.turn.free > 0
    }
}

/// An attempt whose handler has a task of its own.
struct Running {
    lease: Lease,
    context: Context,
    handler: Guarded,
    book: Arc<Book>,
    response_bytes_max: usize,
}

impl Running {
    /// Runs the handler to its end, its timeout or its stop, and enters the outcome. With `unpolled`
    /// the cost of the first poll is recorded for that function.
    async fn run(mut self, unpolled: Option<(Arc<[Function]>, usize)>) {
        if let Some((functions, index)) = unpolled {
            let begun = std::time::Instant::now();
            let polled =
                std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut self.handler).poll(cx)));
            let polled = polled.await;
            if let Some(function) = functions.get(index) {
                function.cost.record(begun.elapsed());
            }
            if let Poll::Ready(answer) = polled {
                let outcome = self.lease.answered(answer, &self.context, self.response_bytes_max);
                return self.book.end(self.lease, outcome);
            }
        }
        let ended = tokio::select! {
            biased;
            () = self.context.stop().asked() => Err(Stopped::Asked),
            answer = &mut self.handler => Ok(answer),
            () = tokio::time::sleep_until(self.context.deadline()) => Err(Stopped::TimedOut),
        };
        let Self { lease, context, handler, book, response_bytes_max } = self;
        // The slot is free only once nothing of the handler runs: drop first, then tell.
        drop(handler);
        let outcome = match ended {
            Ok(answer) => lease.answered(answer, &context, response_bytes_max),
            Err(stopped) => {
                context.stop().ask();
                lease.stopped(stopped, &context)
            }
        };
        book.end(lease, outcome);
    }
}
