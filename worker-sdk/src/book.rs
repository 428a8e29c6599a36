//! The book of one session: which attempts run, which outcomes wait for a frame, and what else the
//! broker has not been told yet.
//!
//! It does not know the network: `outbox.rs` takes frames from it, `session.rs` and the tasks that
//! run handlers write into it. One lock, held for a few moves and never across an await: an ended
//! attempt must leave the running ones and enter the waiting outcomes in one step, or a full worker
//! would refuse the broker's next attempt, and a drained one would close before its last outcome.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;
use trine_proto::FRAME_BYTES_TARGET;
use trine_proto::v1::{Outcome, WorkerHello, WorkerServiceSessionRequest};

use crate::context::Context;
use crate::outcome::{Lease, wire_bytes};

/// See the module.
#[derive(Debug)]
pub(crate) struct Book {
    state: Mutex<State>,
    /// Notified when the last running attempt has ended.
    idle: Notify,
}

#[derive(Debug)]
struct State {
    /// Attempts whose handler is pending. Bounded by the session's slots.
    running: HashMap<Lease, Context>,
    /// Outcomes that no frame holds yet. Bounded by the session, which stops reading.
    outcomes: VecDeque<Outcome>,
    outcome_bytes: usize,
    /// Attempts of this session that have been taken, and how many of them the broker knows of.
    started: u64,
    started_told: u64,
    hello: Option<WorkerHello>,
    draining: bool,
    /// A frame is due although it may hold nothing new.
    frame_due: bool,
    /// No frame follows those that wait.
    closed: bool,
    last_frame: Instant,
    writer: Option<Waker>,
}

impl Book {
    /// The book of a session that opens with `hello`.
    fn new(hello: WorkerHello) -> Self {
        Self {
            state: Mutex::new(State {
                running: HashMap::new(),
                outcomes: VecDeque::new(),
                outcome_bytes: 0,
                started: 0,
                started_told: 0,
                hello: Some(hello),
                draining: false,
                frame_due: false,
                closed: false,
                last_frame: Instant::now(),
                writer: None,
            }),
            idle: Notify::new(),
        }
    }

    /// Enters an attempt whose handler is pending, the last of `taken`: the broker must not get its
    /// outcome before it has been told of its start. The connection learns of it by `settle`.
    pub(crate) fn run(&self, lease: Lease, context: Context, taken: u64) {
        let mut state = self.lock();
        state.started += taken;
        state.running.insert(lease, context);
    }

    /// Ends a running attempt with `outcome`.
    pub(crate) fn end(&self, lease: Lease, outcome: Outcome) {
        let mut state = self.lock();
        let running = state.running.remove(&lease).is_some();
        if running && !state.closed {
            state.outcome_bytes += wire_bytes(&outcome);
            state.outcomes.push_back(outcome);
        }
        if state.running.is_empty() {
            self.idle.notify_waiters();
        }
        wake(state);
    }

    /// Enters what became of a turn: `taken` attempts, and the outcomes of those that have ended
    /// already. Empties `outcomes`. Says how many outcomes wait for a frame now.
    pub(crate) fn settle(&self, taken: u64, outcomes: &mut Vec<Outcome>) -> usize {
        let mut state = self.lock();
        state.started += taken;
        if state.closed {
            outcomes.clear();
            return 0;
        }
        state.outcome_bytes += outcomes.iter().map(wire_bytes).sum::<usize>();
        if state.outcomes.is_empty() {
            // The usual case moves the whole vector: the outcomes are not copied one by one.
            let next = Vec::with_capacity(outcomes.len());
            state.outcomes = std::mem::replace(outcomes, next).into();
        } else {
            state.outcomes.extend(outcomes.drain(..));
        }
        let waiting = state.outcomes.len();
        wake(state);
        waiting
    }

    /// Attempts that run now.
    pub(crate) fn running(&self) -> usize {
        self.lock().running.len()
    }

    /// Asks one attempt to stop; one that is not running has ended, and its outcome is on its way.
    pub(crate) fn stop(&self, lease: Lease) {
        let context = self.lock().running.get(&lease).cloned();
        if let Some(context) = context {
            context.stop().ask();
        }
    }

    /// Asks every running attempt to stop and says how many there were.
    pub(crate) fn stop_all(&self) -> usize {
        let running: Vec<Context> = self.lock().running.values().cloned().collect();
        for context in &running {
            context.stop().ask();
        }
        running.len()
    }

    /// Tells the broker that the worker goes away.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        state.frame_due = true;
        wake(state);
    }

    /// Sends a frame, if need be an empty one.
    pub(crate) fn beat(&self) {
        let mut state = self.lock();
        state.frame_due = true;
        wake(state);
    }

    /// When the last frame was handed to the network.
    pub(crate) fn last_frame(&self) -> Instant {
        self.lock().last_frame
    }

    /// Ends the frames after those that wait. Later outcomes are dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
    }

    /// Gives the session up: its outcomes are not sent any more, as the broker would refuse them by
    /// their fence, and its handlers are stopped. Says how many there were.
    pub(crate) fn abandon(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.frame_due = false;
        state.outcomes.clear();
        state.outcome_bytes = 0;
        wake(state);
        self.stop_all()
    }

    /// Resolves once no attempt runs.
    pub(crate) async fn idle(&self) {
        loop {
            // Made before the look, so that an end in between is not missed.
            let notified = self.idle.notified();
            if self.lock().running.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// The next frame; `Ready(None)` once there will be none any more.
    pub(crate) fn poll_frame(
        &self,
        cx: &std::task::Context<'_>,
    ) -> Poll<Option<WorkerServiceSessionRequest>> {
        let mut state = self.lock();
        if let Some(frame) = state.next_frame() {
            state.last_frame = Instant::now();
            return Poll::Ready(Some(frame));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        match &mut state.writer {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's own hold on its book. When it goes, at whatever point and for whatever reason, the
/// book is abandoned: nobody would take the outcomes any more, and a stream of frames that never
/// ended would keep a dead session open on the broker's side.
#[derive(Debug)]
pub(crate) struct OpenBook {
    book: Arc<Book>,
}

impl OpenBook {
    pub(crate) fn new(hello: WorkerHello) -> Self {
        Self { book: Arc::new(Book::new(hello)) }
    }
}

impl Deref for OpenBook {
    type Target = Arc<Book>;

    fn deref(&self) -> &Arc<Book> {
        &self.book
    }
}

impl Drop for OpenBook {
    fn drop(&mut self) {
        self.book.abandon();
    }
}

impl State {
    fn has_news(&self) -> bool {
        self.frame_due || self.started > self.started_told || !self.outcomes.is_empty()
    }

    fn next_frame(&mut self) -> Option<WorkerServiceSessionRequest> {
        if let Some(hello) = self.hello.take() {
            return Some(WorkerServiceSessionRequest { hello: Some(hello), ..Default::default() });
        }
        if !self.has_news() {
            return None;
        }
        self.frame_due = false;
        let news = self.started > self.started_told;
        self.started_told = self.started;
        Some(WorkerServiceSessionRequest {
            hello: None,
            started_through: news.then_some(self.started),
            outcomes: self.cut(),
            slots: None,
            draining: self.draining,
        })
    }

    /// The outcomes of one frame: those up to and including the one that reaches the target.
    fn cut(&mut self) -> Vec<Outcome> {
        if self.outcome_bytes <= FRAME_BYTES_TARGET {
            self.outcome_bytes = 0;
            return std::mem::take(&mut self.outcomes).into();
        }
        let mut bytes = 0;
        let mut count = 0;
        for outcome in &self.outcomes {
            bytes += wire_bytes(outcome);
            count += 1;
            if bytes >= FRAME_BYTES_TARGET {
                break;
            }
        }
        self.outcome_bytes -= bytes;
        self.outcomes.drain(..count).collect()
    }
}

/// Wakes whoever writes frames, after the lock is gone.
fn wake(mut state: MutexGuard<'_, State>) {
    let writer = if state.has_news() || state.closed { state.writer.take() } else { None };
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use trine_proto::v1::outcome::Result as Answer;

    use super::*;

    fn outcome(entry: u32, bytes: usize) -> Outcome {
        let response = Answer::Response(Bytes::from(vec![b'1'; bytes]));
        Outcome { entry, result: Some(response), ..Outcome::default() }
    }

    fn opened() -> Book {
        let book = Book::new(WorkerHello::default());
        assert!(frame(&book).is_some_and(|frame| frame.hello.is_some()));
        book
    }

    fn frame(book: &Book) -> Option<WorkerServiceSessionRequest> {
        book.lock().next_frame()
    }

    #[test]
    fn the_hello_goes_first_and_alone() {
        let book = Book::new(WorkerHello::default());
        book.settle(1, &mut vec![outcome(1, 1)]);
        book.drain();
        let hello = WorkerServiceSessionRequest {
            hello: Some(WorkerHello::default()),
            ..WorkerServiceSessionRequest::default()
        };
        assert_eq!(frame(&book), Some(hello));
        let rest = frame(&book).unwrap();
        assert_eq!((rest.started_through, rest.outcomes.len(), rest.draining), (Some(1), 1, true));
    }

    #[test]
    fn a_turn_is_one_frame_and_silence_is_none() {
        let book = opened();
        assert_eq!(frame(&book), None);
        book.settle(3, &mut vec![outcome(1, 1), outcome(2, 1)]);
        book.settle(2, &mut vec![outcome(3, 1)]);
        let sent = frame(&book).unwrap();
        assert_eq!(sent.started_through, Some(5));
        assert_eq!(sent.outcomes.iter().map(|one| one.entry).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(frame(&book), None);
    }

    #[test]
    fn started_is_told_without_an_outcome_and_once() {
        let book = opened();
        book.settle(1, &mut Vec::new());
        assert_eq!(frame(&book).unwrap().started_through, Some(1));
        book.beat();
        assert_eq!(frame(&book), Some(WorkerServiceSessionRequest::default()));
    }

    #[test]
    fn a_frame_is_cut_at_the_target() {
        let book = opened();
        let quarter = FRAME_BYTES_TARGET / 4;
        book.settle(9, &mut (0..9).map(|entry| outcome(entry, quarter)).collect());
        let sizes: Vec<usize> =
            std::iter::from_fn(|| frame(&book)).map(|frame| frame.outcomes.len()).collect();
        assert_eq!(sizes, [4, 4, 1]);
        assert_eq!(book.lock().outcome_bytes, 0);
    }

    #[test]
    fn an_outcome_above_the_target_has_a_frame_of_its_own() {
        let book = opened();
        let large = FRAME_BYTES_TARGET * 3;
        book.settle(2, &mut vec![outcome(1, large), outcome(2, large)]);
        assert_eq!(frame(&book).unwrap().outcomes.len(), 1);
        assert_eq!(frame(&book).unwrap().outcomes.len(), 1);
    }

    #[tokio::test]
    async fn ending_moves_an_attempt_from_running_to_waiting() {
        let book = opened();
        let lease = Lease { entry: 1, fence: 7 };
        book.run(lease, Context::detached("f"), 1);
        assert_eq!(book.running(), 1);
        book.end(lease, outcome(1, 1));
        assert_eq!((book.running(), book.settle(0, &mut Vec::new())), (0, 1));
        book.idle().await;
    }

    #[test]
    fn an_abandoned_book_sends_nothing_and_stops_what_runs() {
        let book = opened();
        let lease = Lease { entry: 1, fence: 7 };
        let context = Context::detached("f");
        book.run(lease, context.clone(), 1);
        book.settle(2, &mut vec![outcome(2, 1)]);
        assert_eq!(book.abandon(), 1);
        assert!(context.cancellation().is_cancelled());
        book.end(lease, outcome(1, 1));
        assert_eq!(book.settle(1, &mut vec![outcome(3, 1)]), 0);
    }
}
