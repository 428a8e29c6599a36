//! The suite that every backend passes. It, and not a comment, is the contract of a store.
//!
//! A backend says how it is opened ([`Home`]) and writes `trine_store::conformance!(its_home)` in a
//! test file; each case gets a home of its own. Does not know what a backend is made of: damage
//! and full disks are tested where the files are known.

// A suite fails by panicking, like the tests it consists of.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod commits;
mod draw;
mod model;
mod owners;
mod reads;
mod scratch;

use std::sync::Arc;

pub use commits::*;
pub use draw::Draw;
pub use model::*;
pub use owners::*;
pub use reads::*;
pub use scratch::Scratch;

use crate::{Batch, Fence, Key, Seq, Shard, Store, StoreError, Table};

/// Where a store under test keeps its rows.
pub trait Home {
    /// Opens the store as a new process would, the earlier handles having been dropped.
    fn open(&self) -> Result<Arc<dyn Store>, StoreError>;
}

/// Defines one test per case for the home that the expression makes.
#[macro_export]
macro_rules! conformance {
    ($home:expr) => {
        $crate::conformance! { @cases $home;
            a_batch_is_read_back,
            the_last_write_on_a_key_wins,
            a_later_commit_replaces_and_deletes,
            every_commit_is_numbered,
            values_may_be_empty,
            values_may_be_large,
            a_value_above_the_bound_is_refused_with_its_batch,
            rows_survive_a_restart,
            a_shard_that_nobody_acquired_is_empty,
            an_older_owner_cannot_write,
            a_fence_that_was_never_given_cannot_write,
            fences_survive_a_restart,
            shards_are_apart,
            a_scan_shows_records_in_order_and_no_blobs,
            a_count_follows_every_commit,
            a_scan_shows_every_id_in_order,
            a_scan_shows_one_commit,
            a_scan_ends_at_the_first_error,
            readers_see_whole_rows_that_never_go_back,
            any_history_matches_a_map,
        }
    };
    (@cases $home:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::$case(&$home);
            }
        )*
    };
}

const SHARD: Shard = Shard(0);

const fn event(id: u64) -> Key {
    Key { table: Table::Event, id }
}

const fn payload(id: u64) -> Key {
    Key { table: Table::Payload, id }
}

fn puts<const N: usize>(rows: [(Key, &'static str); N]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(key, value);
    }
    batch
}

fn owned(home: &dyn Home) -> (Arc<dyn Store>, Fence) {
    let store = home.open().unwrap();
    let fence = store.acquire(SHARD).unwrap();
    (store, fence)
}

/// Everything a scan shows.
fn scanned(store: &dyn Store, shard: Shard) -> (Seq, Vec<(Key, Vec<u8>)>) {
    let mut rows = Vec::new();
    let seq = store
        .scan(shard, &mut |key, bytes| {
            rows.push((key, bytes.to_vec()));
            Ok(())
        })
        .unwrap();
    (seq, rows)
}

fn got(store: &dyn Store, key: Key) -> Option<Vec<u8>> {
    store.get(SHARD, key).unwrap().map(Vec::from)
}
