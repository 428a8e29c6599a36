//! Who may write, and that shards know nothing of each other.

use super::{Home, SHARD, event, got, owned, payload, puts, scanned};
use crate::{Fence, Seq, Shard, Store, StoreError, Verdict};

pub fn a_shard_that_nobody_acquired_is_empty(home: &dyn Home) {
    let store = home.open().unwrap();
    assert_eq!(scanned(store.as_ref(), SHARD), (Seq(0), Vec::new()));
    assert_eq!(got(store.as_ref(), payload(1)), None);
    expect_conflict(store.as_ref(), Fence(0));
    expect_conflict(store.as_ref(), Fence(1));
}

pub fn an_older_owner_cannot_write(home: &dyn Home) {
    let (store, old) = owned(home);
    store.commit(SHARD, old, &puts([(event(1), "kept")])).unwrap();
    let new = store.acquire(SHARD).unwrap();
    assert!(new > old);
    expect_conflict(store.as_ref(), old);
    assert_eq!(got(store.as_ref(), event(1)).unwrap(), b"kept", "nothing was written");
    let seq = store.commit(SHARD, new, &puts([(event(1), "newer")])).unwrap();
    assert_eq!(seq, Seq(2), "a refused commit takes no number");
}

pub fn a_fence_that_was_never_given_cannot_write(home: &dyn Home) {
    let (store, fence) = owned(home);
    expect_conflict(store.as_ref(), Fence(fence.0 + 1));
    store.commit(SHARD, fence, &puts([(event(1), "still the owner")])).unwrap();
}

pub fn fences_survive_a_restart(home: &dyn Home) {
    let (store, first) = owned(home);
    drop(store);
    let (store, second) = owned(home);
    assert!(second > first);
    drop(store);
    let store = home.open().unwrap();
    expect_conflict(store.as_ref(), first);
    assert!(store.acquire(SHARD).unwrap() > second);
}

pub fn shards_are_apart(home: &dyn Home) {
    const SHARDS: u16 = 12;
    let store = home.open().unwrap();
    for shard in (0..SHARDS).map(Shard) {
        let fence = store.acquire(shard).unwrap();
        assert_eq!(fence, Fence(1), "shard {shard}");
        for id in 0..=u64::from(shard.0) {
            let mut batch = puts([]);
            batch.put(event(id), format!("{shard}/{id}"));
            store.commit(shard, fence, &batch).unwrap();
        }
    }
    store.acquire(Shard(3)).unwrap();
    drop(store);
    let store = home.open().unwrap();
    for shard in (0..SHARDS).map(Shard) {
        let (seq, rows) = scanned(store.as_ref(), shard);
        assert_eq!(seq, Seq(u64::from(shard.0) + 1));
        let expected: Vec<_> =
            (0..seq.0).map(|id| (event(id), format!("{shard}/{id}").into_bytes())).collect();
        assert_eq!(rows, expected);
        assert_eq!(store.acquire(shard).unwrap(), Fence(if shard.0 == 3 { 3 } else { 2 }));
    }
}

fn expect_conflict(store: &dyn Store, fence: Fence) {
    let error = store.commit(SHARD, fence, &puts([(event(1), "refused")])).unwrap_err();
    assert!(
        matches!(error, StoreError::Conflict { shard: SHARD, offered, .. } if offered == fence),
        "{error}"
    );
    assert_eq!(error.verdict(), Verdict::GiveUp);
}
