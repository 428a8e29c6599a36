//! What a scan and a get show, also while somebody writes.

use std::sync::mpsc;
use std::thread;

use super::{Home, SHARD, event, got, owned, payload, puts, scanned};
use crate::{Batch, Key, Rejection, Seq, StoreError, Table};

pub fn a_scan_shows_records_in_order_and_no_blobs(home: &dyn Home) {
    let (store, fence) = owned(home);
    let mut batch = Batch::default();
    for id in [5, 300, 1, 70_000, 2] {
        for table in Table::ALL.into_iter().rev() {
            batch.put(Key { table, id }, format!("{table}/{id}"));
        }
    }
    store.commit(SHARD, fence, &batch).unwrap();
    let mut expected = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| table.scanned()) {
        for id in [1, 2, 5, 300, 70_000] {
            expected.push((Key { table, id }, format!("{table}/{id}").into_bytes()));
        }
    }
    assert_eq!(scanned(store.as_ref(), SHARD), (Seq(1), expected));
}

pub fn a_count_follows_every_commit(home: &dyn Home) {
    let (store, fence) = owned(home);
    let count = |table| store.count(SHARD, table).unwrap();
    assert_eq!((count(Table::Event), count(Table::Payload)), (0, 0));
    store
        .commit(SHARD, fence, &puts([(event(1), "a"), (event(2), "b"), (payload(1), "c")]))
        .unwrap();
    assert_eq!((count(Table::Event), count(Table::Payload)), (2, 1));
    // Writing over a row, and taking away one that is not there, change nothing.
    let mut batch = puts([(event(1), "d")]);
    batch.delete(event(2));
    batch.delete(event(3));
    store.commit(SHARD, fence, &batch).unwrap();
    assert_eq!((count(Table::Event), count(Table::Payload)), (1, 1));
}

pub fn a_scan_shows_every_id_in_order(home: &dyn Home) {
    const HALF: u64 = 1 << 63;
    let ids = [0, 1, HALF - 1, HALF, HALF + 1, u64::MAX - 1, u64::MAX];
    let (store, fence) = owned(home);
    for id in ids {
        store.commit(SHARD, fence, &puts([(event(id), "row"), (payload(id), "blob")])).unwrap();
    }
    let expected: Vec<_> = ids.iter().map(|id| (event(*id), b"row".to_vec())).collect();
    assert_eq!(scanned(store.as_ref(), SHARD).1, expected);
    for id in ids {
        assert_eq!(got(store.as_ref(), payload(id)).unwrap(), b"blob", "id {id}");
    }
}

pub fn a_scan_shows_one_commit(home: &dyn Home) {
    const ROWS: u64 = 3000;
    let (store, fence) = owned(home);
    let mut batch = Batch::default();
    (0..ROWS).for_each(|id| batch.put(event(id), "before"));
    store.commit(SHARD, fence, &batch).unwrap();
    let mut rows = 0;
    let seq = store
        .scan(SHARD, &mut |key, bytes| {
            assert_eq!(bytes, b"before", "{key}");
            if rows == 0 {
                // A scan may use the store it scans, and does not see what that does.
                let mut batch = Batch::default();
                (0..ROWS).for_each(|id| batch.put(event(id), "after"));
                batch.delete(event(ROWS - 1));
                assert_eq!(store.commit(SHARD, fence, &batch)?, Seq(2));
                assert_eq!(store.get(SHARD, event(1))?.as_deref(), Some(&b"after"[..]));
            }
            rows += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((seq, rows), (Seq(1), ROWS));
    assert_eq!(scanned(store.as_ref(), SHARD).1.len() as u64, ROWS - 1);
}

pub fn a_scan_ends_at_the_first_error(home: &dyn Home) {
    let (store, fence) = owned(home);
    let rows = [(event(1), "a"), (event(2), "b"), (event(3), "c")];
    store.commit(SHARD, fence, &puts(rows)).unwrap();
    let stop =
        StoreError::Rejected { cause: Rejection::Injected, detail: "enough was seen".to_owned() };
    let mut seen = 0;
    let ended = store.scan(SHARD, &mut |_, _| {
        seen += 1;
        if seen == 2 { Err(stop.clone()) } else { Ok(()) }
    });
    assert_eq!((ended, seen), (Err(stop), 2));
    assert_eq!(scanned(store.as_ref(), SHARD).1.len(), 3, "the next scan is whole");
}

pub fn readers_see_whole_rows_that_never_go_back(home: &dyn Home) {
    const VERSIONS: u64 = 80;
    let (store, fence) = owned(home);
    // Two rows that always hold the same version, each many times over.
    let write = |version: u64| {
        let mut batch = Batch::default();
        batch.put(payload(1), version.to_le_bytes().repeat(1000));
        batch.put(event(1), version.to_le_bytes().to_vec());
        store.commit(SHARD, fence, &batch).unwrap();
    };
    let read = |last: &mut u64| {
        let record = version(&store.get(SHARD, event(1)).unwrap().unwrap());
        let blob = version(&store.get(SHARD, payload(1)).unwrap().unwrap());
        assert!(*last <= record && record <= blob, "{last}, {record}, {blob}");
        *last = blob;
    };
    write(0);
    thread::scope(|threads| {
        let writer = threads.spawn(|| (1..=VERSIONS).for_each(write));
        let readers = [0; 2].map(|mut last| {
            let (stop, stopped) = mpsc::channel::<()>();
            threads.spawn(move || {
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    read(&mut last);
                }
            });
            stop
        });
        // Also a writer that failed stops the readers.
        let written = writer.join();
        drop(readers);
        written.unwrap();
    });
    assert_eq!(version(&store.get(SHARD, payload(1)).unwrap().unwrap()), VERSIONS);
}

fn version(bytes: &[u8]) -> u64 {
    let (versions, rest) = bytes.as_chunks();
    assert!(rest.is_empty() && versions.iter().all(|version| *version == versions[0]), "torn");
    u64::from_le_bytes(versions[0])
}
