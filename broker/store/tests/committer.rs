//! Group commit: what shares a commit, what each ticket is told, and what ends it.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use trine_store::{
    Backlog, Batch, COMMIT_BYTES_MAX, COMMIT_OPS_MAX, Committed, Committer, Fault, Fence, Key,
    Memory, Seq, Shard, Store, StoreError, Table, Visit,
};

const SHARD: Shard = Shard(0);

/// A store whose commits wait to be let through, so that a test decides what gathers meanwhile.
struct Gated {
    memory: Memory,
    entered: Mutex<Sender<()>>,
    allowed: Mutex<Receiver<()>>,
    commits: AtomicUsize,
}

struct Bench {
    store: Arc<Gated>,
    committer: Committer,
    entered: Receiver<()>,
    allow: Sender<()>,
    told: Receiver<Committed>,
}

impl Store for Gated {
    fn acquire(&self, shard: Shard) -> Result<Fence, StoreError> {
        self.memory.acquire(shard)
    }

    fn commit(&self, shard: Shard, fence: Fence, batch: &Batch) -> Result<Seq, StoreError> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.entered.lock().unwrap().send(()).unwrap();
        // Nobody left to allow it: the test has let everything through.
        let _ = self.allowed.lock().unwrap().recv();
        self.memory.commit(shard, fence, batch)
    }

    fn scan(&self, shard: Shard, visit: Visit<'_>) -> Result<Seq, StoreError> {
        self.memory.scan(shard, visit)
    }

    fn count(&self, shard: Shard, table: Table) -> Result<u64, StoreError> {
        self.memory.count(shard, table)
    }

    fn get(&self, shard: Shard, key: Key) -> Result<Option<Bytes>, StoreError> {
        self.memory.get(shard, key)
    }
}

impl Bench {
    fn new() -> Self {
        let (enter, entered) = channel();
        let (allow, allowed) = channel();
        let (tell, told) = channel();
        let store = Arc::new(Gated {
            memory: Memory::new(),
            entered: Mutex::new(enter),
            allowed: Mutex::new(allowed),
            commits: AtomicUsize::new(0),
        });
        let fence = store.acquire(SHARD).unwrap();
        let done = Box::new(move |committed| tell.send(committed).unwrap());
        let committer = Committer::start(store.clone(), SHARD, fence, done).unwrap();
        Self { store, committer, entered, allow, told }
    }

    /// Submits ticket 0 and returns once its commit is under way.
    fn busy() -> Self {
        let bench = Self::new();
        bench.committer.submit(0, row(0));
        bench.entered.recv().unwrap();
        bench
    }

    fn finish(&self) -> Committed {
        self.allow.send(()).unwrap();
        self.told.recv().unwrap()
    }

    fn commits(&self) -> usize {
        self.store.commits.load(Ordering::Relaxed)
    }
}

const fn key(id: u64) -> Key {
    Key { table: Table::Event, id }
}

fn row(id: u64) -> Batch {
    let mut batch = Batch::default();
    batch.put(key(id), "0123456789");
    batch
}

fn tickets(committed: &Committed) -> (u64, u64) {
    (committed.from_ticket, committed.up_to_ticket)
}

#[test]
fn a_lone_batch_costs_one_commit() {
    let bench = Bench::busy();
    let committed = bench.finish();
    assert_eq!(tickets(&committed), (0, 0));
    assert_eq!(committed.outcome, Ok(Seq(1)));
    assert_eq!((committed.batches, committed.ops, committed.bytes), (1, 1, 10));
    assert_eq!(bench.commits(), 1);
}

#[test]
fn what_arrives_during_a_commit_shares_the_next_one() {
    let bench = Bench::busy();
    (1..=9).for_each(|ticket| bench.committer.submit(ticket, row(ticket)));
    assert_eq!(tickets(&bench.finish()), (0, 0));
    let committed = bench.finish();
    assert_eq!(tickets(&committed), (1, 9));
    assert_eq!(committed.outcome, Ok(Seq(2)));
    assert_eq!((committed.batches, committed.ops, committed.bytes), (9, 9, 90));
    assert_eq!(bench.commits(), 2);
}

#[test]
fn within_a_group_the_later_batch_wins() {
    let bench = Bench::busy();
    let (mut deleted, mut replaced) = (row(1), row(2));
    deleted.delete(key(1));
    replaced.put(key(0), "last");
    bench.committer.submit(1, deleted);
    bench.committer.submit(2, replaced);
    bench.finish();
    bench.finish();
    assert_eq!(bench.store.get(SHARD, key(0)).unwrap().unwrap(), "last");
    assert_eq!(bench.store.get(SHARD, key(1)).unwrap(), None);
}

#[test]
fn a_group_ends_at_the_bound_on_operations() {
    let bench = Bench::busy();
    let half = |first: u64| {
        let mut batch = Batch::default();
        (0..COMMIT_OPS_MAX as u64 / 2).for_each(|id| batch.put(key(first + id), ""));
        batch
    };
    bench.committer.submit(1, half(0));
    bench.committer.submit(2, half(1 << 32));
    bench.committer.submit(3, row(0));
    bench.finish();
    assert_eq!(tickets(&bench.finish()), (1, 2), "exactly the bound fits");
    assert_eq!(tickets(&bench.finish()), (3, 3));
}

#[test]
fn a_group_ends_at_the_bound_on_bytes_and_a_larger_batch_goes_alone() {
    let bench = Bench::busy();
    let blob = |id: u64, bytes: usize| {
        let mut batch = Batch::default();
        batch.put(Key { table: Table::Payload, id }, vec![7; bytes]);
        batch
    };
    bench.committer.submit(1, blob(1, COMMIT_BYTES_MAX - 1));
    bench.committer.submit(2, blob(2, 2));
    bench.committer.submit(3, blob(3, COMMIT_BYTES_MAX + 1));
    bench.committer.submit(4, blob(4, 1));
    bench.finish();
    for ticket in 1..=4 {
        assert_eq!(tickets(&bench.finish()), (ticket, ticket));
    }
}

#[test]
fn the_backlog_counts_what_is_not_answered() {
    let bench = Bench::busy();
    (1..=3).for_each(|ticket| bench.committer.submit(ticket, row(ticket)));
    assert_eq!(bench.committer.backlog(), Backlog { batches: 4, ops: 4, bytes: 40 });
    bench.finish();
    assert_eq!(bench.committer.backlog(), Backlog { batches: 3, ops: 3, bytes: 30 });
    bench.finish();
    assert_eq!(bench.committer.backlog(), Backlog::default());
}

#[test]
fn a_rejected_group_is_told_so_and_the_next_one_goes_on() {
    let bench = Bench::busy();
    bench.store.memory.pass_next();
    bench.store.memory.fail_next(Fault::Rejected);
    (1..=5).for_each(|ticket| bench.committer.submit(ticket, row(ticket)));
    bench.finish();
    let rejected = bench.finish();
    assert_eq!(tickets(&rejected), (1, 5));
    assert!(matches!(rejected.outcome, Err(StoreError::Rejected { .. })));
    bench.committer.submit(6, row(6));
    assert_eq!(bench.finish().outcome, Ok(Seq(2)));
}

#[test]
fn after_a_last_word_the_store_is_never_touched_again() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten] {
        let bench = Bench::new();
        bench.store.memory.fail_next(fault);
        bench.committer.submit(0, row(0));
        let first = bench.finish().outcome.unwrap_err();
        assert!(matches!(first, StoreError::Unknown { .. }));
        for ticket in 1..=3 {
            bench.committer.submit(ticket, row(ticket));
            let told = bench.told.recv().unwrap();
            assert_eq!(tickets(&told), (ticket, ticket));
            assert_eq!(told.outcome, Err(first.clone()));
        }
        assert_eq!(bench.commits(), 1);
    }
}

#[test]
fn a_deposed_owner_is_stopped() {
    let bench = Bench::new();
    bench.store.acquire(SHARD).unwrap();
    bench.committer.submit(0, row(0));
    let first = bench.finish().outcome.unwrap_err();
    assert!(matches!(first, StoreError::Conflict { .. }));
    bench.committer.submit(1, row(1));
    assert_eq!(bench.told.recv().unwrap().outcome, Err(first));
    assert_eq!(bench.commits(), 1);
}

#[test]
fn dropping_it_finishes_what_was_submitted() {
    let bench = Bench::busy();
    (1..=100).for_each(|ticket| bench.committer.submit(ticket, row(ticket)));
    let Bench { store, committer, allow, told, .. } = bench;
    drop(allow);
    drop(committer);
    let last = told.iter().last().unwrap();
    assert_eq!(last.up_to_ticket, 100);
    let mut rows = 0;
    store
        .scan(SHARD, &mut |_, _| {
            rows += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, 101);
}
