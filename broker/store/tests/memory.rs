//! The reference backend keeps the contract, and its switches do what they say.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::sync::Arc;

use trine_store::conformance::Home;
use trine_store::{Batch, Fault, Key, Memory, Seq, Shard, Store, StoreError, Table, Verdict};

const SHARD: Shard = Shard(0);
const ROW: Key = Key { table: Table::Event, id: 1 };

struct InMemory(Memory);

impl Home for InMemory {
    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(self.0.reopen()))
    }
}

trine_store::conformance!(InMemory(Memory::new()));

fn row(value: &'static str) -> Batch {
    let mut batch = Batch::default();
    batch.put(ROW, value);
    batch
}

#[test]
fn a_rejected_commit_leaves_everything_as_it_was() {
    let store = Memory::new();
    let fence = store.acquire(SHARD).unwrap();
    store.pass_next();
    store.fail_next(Fault::Rejected);
    store.commit(SHARD, fence, &row("first")).unwrap();
    let error = store.commit(SHARD, fence, &row("second")).unwrap_err();
    assert_eq!(error.verdict(), Verdict::Retry);
    assert_eq!(store.get(SHARD, ROW).unwrap().unwrap(), "first");
    assert_eq!(store.commit(SHARD, fence, &row("second")), Ok(Seq(2)));
}

#[test]
fn after_an_unknown_outcome_only_a_restart_helps() {
    for (fault, found) in [(Fault::UnknownLost, "first"), (Fault::UnknownWritten, "second")] {
        let store = Memory::new();
        let fence = store.acquire(SHARD).unwrap();
        store.commit(SHARD, fence, &row("first")).unwrap();
        store.fail_next(fault);
        let error = store.commit(SHARD, fence, &row("second")).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Unknown);
        let error = store.commit(SHARD, fence, &row("third")).unwrap_err();
        assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
        assert!(store.acquire(SHARD).is_err());

        let store = store.reopen();
        assert_eq!(store.get(SHARD, ROW).unwrap().unwrap(), found);
        let fence = store.acquire(SHARD).unwrap();
        store.commit(SHARD, fence, &row("fourth")).unwrap();
    }
}

#[test]
fn a_damaged_row_is_named() {
    let store = Memory::new();
    let fence = store.acquire(SHARD).unwrap();
    store.commit(SHARD, fence, &row("sound")).unwrap();
    assert!(store.damage(SHARD, ROW));
    for error in
        [store.get(SHARD, ROW).unwrap_err(), store.scan(SHARD, &mut |_, _| Ok(())).unwrap_err()]
    {
        let StoreError::Corrupt { place, .. } = &error else { panic!("{error}") };
        assert_eq!((place.table, place.id), (Some(Table::Event), Some(1)));
    }
}
