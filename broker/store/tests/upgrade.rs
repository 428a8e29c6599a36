//! A store directory of an earlier release is read, and brought to the layout of this one.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use rusqlite::Connection;
use trine_store::conformance::Scratch;
use trine_store::{Batch, Embedded, Fence, Key, Options, Seq, Shard, Store, Table};

const SHARD: Shard = Shard(0);

fn key(table: Table, id: u64) -> Key {
    Key { table, id }
}

/// Makes of a database what release 0.1 wrote: five tables, and a state row that counts those.
fn as_of_layout_1(file: &std::path::Path) {
    let connection = Connection::open(file).unwrap();
    let numbers: Vec<i64> = connection
        .query_row(
            "SELECT fence, seq, meta, function, event, payload, response FROM state",
            [],
            |row| (0..7).map(|at| row.get(at)).collect(),
        )
        .unwrap();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&SHARD.0.to_le_bytes());
    numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    for table in &Table::ALL[5..] {
        connection.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    connection
        .execute_batch(
            "DROP TABLE state;
             CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), fence INTEGER NOT NULL,
                 seq INTEGER NOT NULL, meta INTEGER NOT NULL, function INTEGER NOT NULL,
                 event INTEGER NOT NULL, payload INTEGER NOT NULL, response INTEGER NOT NULL,
                 sum INTEGER NOT NULL) STRICT;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let values = numbers.into_iter().chain([i64::from(hasher.finalize())]);
    connection
        .execute(
            "INSERT INTO state VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            rusqlite::params_from_iter(values),
        )
        .unwrap();
}

#[test]
fn what_release_0_1_wrote_is_kept_and_grows() {
    let scratch = Scratch::new();
    {
        let store = Embedded::open(scratch.path(), Options::default()).unwrap();
        let fence = store.acquire(SHARD).unwrap();
        let mut batch = Batch::default();
        batch.put(key(Table::Function, 1), "f");
        (0..50).for_each(|id| batch.put(key(Table::Event, id), "event"));
        batch.put(key(Table::Payload, 7), "payload");
        store.commit(SHARD, fence, &batch).unwrap();
    }
    as_of_layout_1(&scratch.path().join("shard-00000.db"));
    {
        let store = Embedded::open(scratch.path(), Options::default()).unwrap();
        assert_eq!(store.count(SHARD, Table::Event).unwrap(), 50);
        assert_eq!(store.count(SHARD, Table::Mapping).unwrap(), 0);
        let fence = store.acquire(SHARD).unwrap();
        assert_eq!(fence, Fence(2));
        let mut batch = Batch::default();
        batch.put(key(Table::Mapping, 1), "mapping");
        batch.delete(key(Table::Event, 3));
        assert_eq!(store.commit(SHARD, fence, &batch).unwrap(), Seq(2));
    }
    let store = Embedded::open(scratch.path(), Options::default()).unwrap();
    let mut rows = 0;
    store
        .scan(SHARD, &mut |_, _| {
            rows += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, 51, "a function, 49 events, a mapping");
    assert_eq!(store.get(SHARD, key(Table::Payload, 7)).unwrap().unwrap(), "payload");
    drop(store);
    assert!(Embedded::check(scratch.path()).unwrap().is_sound());
}
