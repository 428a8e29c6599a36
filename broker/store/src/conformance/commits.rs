//! What a commit writes, and that it writes all of it or nothing.

use bytes::Bytes;

use super::{Home, SHARD, event, got, owned, payload, puts, scanned};
use crate::{Batch, Key, Rejection, Seq, StoreError, Table, VALUE_BYTES_MAX, Verdict};

pub fn a_batch_is_read_back(home: &dyn Home) {
    let (store, fence) = owned(home);
    let rows = Table::ALL.map(|table| (Key { table, id: 7 }, table.name()));
    store.commit(SHARD, fence, &puts(rows)).unwrap();
    for (key, value) in rows {
        assert_eq!(got(store.as_ref(), key).as_deref(), Some(value.as_bytes()), "{key}");
        assert_eq!(got(store.as_ref(), Key { id: 8, ..key }), None, "the row beside {key}");
    }
}

pub fn the_last_write_on_a_key_wins(home: &dyn Home) {
    let (store, fence) = owned(home);
    let mut batch = puts([(event(1), "a"), (event(2), "b"), (event(2), "c"), (event(3), "d")]);
    batch.delete(event(3));
    batch.delete(event(4));
    batch.put(event(4), "e");
    batch.put(event(1), "f");
    store.commit(SHARD, fence, &batch).unwrap();
    let expected: Vec<_> = [(1, "f"), (2, "c"), (4, "e")]
        .map(|(id, value)| (event(id), value.as_bytes().to_vec()))
        .into();
    assert_eq!(scanned(store.as_ref(), SHARD).1, expected);
}

pub fn a_later_commit_replaces_and_deletes(home: &dyn Home) {
    let (store, fence) = owned(home);
    store.commit(SHARD, fence, &puts([(event(1), "old"), (payload(1), "gone")])).unwrap();
    let mut batch = puts([(event(1), "a longer value than before")]);
    batch.delete(payload(1));
    batch.delete(payload(99));
    store.commit(SHARD, fence, &batch).unwrap();
    assert_eq!(got(store.as_ref(), event(1)).unwrap(), b"a longer value than before");
    assert_eq!(got(store.as_ref(), payload(1)), None);
}

pub fn every_commit_is_numbered(home: &dyn Home) {
    let (store, fence) = owned(home);
    for number in 1..=5 {
        let seq = store.commit(SHARD, fence, &puts([(event(number), "row")])).unwrap();
        assert_eq!(seq, Seq(number));
    }
    assert_eq!(store.commit(SHARD, fence, &Batch::default()).unwrap(), Seq(6), "an empty batch");
    assert_eq!(scanned(store.as_ref(), SHARD).0, Seq(6));
}

pub fn values_may_be_empty(home: &dyn Home) {
    let (store, fence) = owned(home);
    store.commit(SHARD, fence, &puts([(event(1), ""), (payload(1), "")])).unwrap();
    drop(store);
    let store = home.open().unwrap();
    assert_eq!(got(store.as_ref(), payload(1)).unwrap(), b"");
    assert_eq!(scanned(store.as_ref(), SHARD).1, [(event(1), Vec::new())]);
}

pub fn values_may_be_large(home: &dyn Home) {
    let (store, fence) = owned(home);
    let large = Bytes::from(super::Draw::new(6).bytes(6 << 20));
    let mut batch = Batch::default();
    batch.put(payload(1), large.clone());
    batch.put(event(1), large.slice(..1 << 20));
    batch.put(payload(2), "small");
    store.commit(SHARD, fence, &batch).unwrap();
    assert!(got(store.as_ref(), payload(1)).unwrap() == large, "the blob differs");
    drop(store);
    let store = home.open().unwrap();
    assert!(got(store.as_ref(), payload(1)).unwrap() == large, "the blob differs after a restart");
    assert!(scanned(store.as_ref(), SHARD).1 == [(event(1), large[..1 << 20].to_vec())]);
    assert_eq!(got(store.as_ref(), payload(2)).unwrap(), b"small");
}

pub fn a_value_above_the_bound_is_refused_with_its_batch(home: &dyn Home) {
    let (store, fence) = owned(home);
    let mut batch = puts([(event(1), "innocent")]);
    batch.put(payload(1), vec![0; VALUE_BYTES_MAX + 1]);
    let error = store.commit(SHARD, fence, &batch).unwrap_err();
    assert!(matches!(error, StoreError::Rejected { cause: Rejection::TooLarge, .. }), "{error}");
    assert_eq!(error.verdict(), Verdict::GiveUp);
    assert_eq!(scanned(store.as_ref(), SHARD), (Seq(0), Vec::new()), "nothing was written");
    let seq = store.commit(SHARD, fence, &puts([(event(1), "later")])).unwrap();
    assert_eq!(seq, Seq(1), "the store is as usable as before");
}

pub fn rows_survive_a_restart(home: &dyn Home) {
    let (store, fence) = owned(home);
    let mut expected = Vec::new();
    for id in 0..120 {
        let mut batch = Batch::default();
        batch.put(event(id), format!("event {id}"));
        batch.put(payload(id), format!("payload {id}"));
        if id % 3 == 0 && id > 0 {
            batch.delete(event(id - 1));
            expected.pop();
        }
        expected.push((event(id), format!("event {id}").into_bytes()));
        store.commit(SHARD, fence, &batch).unwrap();
    }
    let before = scanned(store.as_ref(), SHARD);
    assert_eq!(before, (Seq(120), expected));
    drop(store);
    let store = home.open().unwrap();
    assert_eq!(scanned(store.as_ref(), SHARD), before);
    assert_eq!(got(store.as_ref(), payload(98)).unwrap(), b"payload 98");
}
