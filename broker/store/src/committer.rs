//! Group commit: many small batches, one fsync.
//!
//! Owns the thread that blocks on the disk. While one commit runs, the next group gathers; there
//! is no timer, so a lone batch costs one fsync and waits for nothing. Does not know what a batch
//! is for, and does not bound its backlog: the owner, who can refuse work, reads
//! [`Committer::backlog`] and does.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Batch, Fence, Seq, Shard, Store, StoreError};

/// The most operations one commit takes, unless a single batch has more.
pub const COMMIT_OPS_MAX: usize = 8192;

/// The most value bytes one commit takes, unless a single batch has more, which its owner is to avoid.
/// Bounds how long one commit can hold up the ones behind it, and how far a log grows with it.
pub const COMMIT_BYTES_MAX: usize = 8 << 20;

/// Commits batches of one shard in the order of [`submit`](Self::submit).
///
/// Dropping it finishes everything that was submitted, then ends the thread. The handle has one
/// owner on purpose: tickets only mean something in one order.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What became of the batches `from_ticket..=up_to_ticket`, which shared one commit.
#[derive(Clone, Debug)]
pub struct Committed {
    pub from_ticket: u64,
    pub up_to_ticket: u64,
    /// The number of the commit that holds them all, or why none of them is known to be durable.
    pub outcome: Result<Seq, StoreError>,
    pub batches: usize,
    pub ops: usize,
    /// Length of all values, in bytes.
    pub bytes: usize,
    /// How long the store took; zero if it was not asked.
    pub took: Duration,
}

/// Submitted and not yet answered, the commit that is running included.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub struct Backlog {
    pub batches: usize,
    pub ops: usize,
    /// Length of all values, in bytes.
    pub bytes: usize,
}

type Done = Box<dyn FnMut(Committed) + Send>;

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    submitted: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    backlog: Backlog,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    batch: Batch,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    from_ticket: u64,
    up_to_ticket: u64,
    batch: Batch,
    size: Backlog,
}

impl Committer {
    /// Starts the thread. `done` is called on it once per group, in order, and should only hand
    /// the news on: while it runs no commit does.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn start(
        store: Arc<dyn Store>,
        shard: Shard,
        fence: Fence,
        mut done: Done,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let queue = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("commit-{shard}"))
            .spawn(move || run(&queue, store.as_ref(), shard, fence, &mut done))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands in a batch; never waits for the disk. Tickets are the owner's and must rise.
    pub fn submit(&self, ticket: u64, batch: Batch) {
        let waiting = Waiting { ticket, bytes: batch.bytes(), batch };
        let mut queue = self.shared.lock();
        queue.backlog.batches += 1;
        queue.backlog.ops += waiting.batch.ops.len();
        queue.backlog.bytes += waiting.bytes;
        // Only a thread that found the queue empty can be asleep.
        let asleep = queue.waiting.is_empty();
        queue.waiting.push_back(waiting);
        drop(queue);
        if asleep {
            self.shared.submitted.notify_one();
        }
    }

    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.shared.lock().backlog
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.submitted.notify_one();
        if let Some(thread) = self.thread.take() {
            // An error means `done` panicked, which that thread has already reported.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Every change under the lock is complete before anything that can panic.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` once closed and empty.
    fn next_group(&self) -> Option<Group> {
        let mut queue = self.lock();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.submitted.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.take_group()
    }

    fn answered(&self, size: Backlog) {
        let mut queue = self.lock();
        queue.backlog.batches -= size.batches;
        queue.backlog.ops -= size.ops;
        queue.backlog.bytes -= size.bytes;
    }
}

impl Queue {
    /// Everything that waits, as far as it fits into one commit; always the first batch.
    fn take_group(&mut self) -> Option<Group> {
        let first = self.waiting.pop_front()?;
        let mut group = Group::new(first);
        while let Some(next) = self.waiting.pop_front_if(|next| group.fits(next)) {
            group.push(next);
        }
        Some(group)
    }
}

impl Group {
    fn new(first: Waiting) -> Self {
        let size = Backlog { batches: 1, ops: first.batch.ops.len(), bytes: first.bytes };
        Self { from_ticket: first.ticket, up_to_ticket: first.ticket, batch: first.batch, size }
    }

    fn fits(&self, next: &Waiting) -> bool {
        self.size.ops + next.batch.ops.len() <= COMMIT_OPS_MAX
            && self.size.bytes + next.bytes <= COMMIT_BYTES_MAX
    }

    fn push(&mut self, mut next: Waiting) {
        debug_assert!(next.ticket > self.up_to_ticket, "tickets must rise");
        self.up_to_ticket = next.ticket;
        self.size.batches += 1;
        self.size.ops += next.batch.ops.len();
        self.size.bytes += next.bytes;
        self.batch.ops.append(&mut next.batch.ops);
    }

    fn answer(&self, outcome: Result<Seq, StoreError>, took: Duration) -> Committed {
        Committed {
            from_ticket: self.from_ticket,
            up_to_ticket: self.up_to_ticket,
            outcome,
            batches: self.size.batches,
            ops: self.size.ops,
            bytes: self.size.bytes,
            took,
        }
    }
}

fn run(shared: &Shared, store: &dyn Store, shard: Shard, fence: Fence, done: &mut Done) {
    let mut stopped: Option<StoreError> = None;
    while let Some(group) = shared.next_group() {
        let committed = if let Some(error) = &stopped {
            // The store has given its last word to this owner: it is never touched again.
            group.answer(Err(error.clone()), Duration::ZERO)
        } else {
            // Measuring only; no decision depends on the clock here.
            let start = Instant::now();
            let outcome = store.commit(shard, fence, &group.batch);
            group.answer(outcome, start.elapsed())
        };
        stopped = stopped.or_else(|| committed.outcome.clone().err().filter(StoreError::is_final));
        shared.answered(group.size);
        done(committed);
    }
}
