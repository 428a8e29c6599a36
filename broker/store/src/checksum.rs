//! The checksum that every row carries.
//!
//! It covers the row's place as well as its bytes, so that a sound value under the wrong key, in
//! the wrong table or in another shard's file is caught too. Does not know where it is stored.

use crate::{Key, Shard, Table};

/// CRC-32 of a row: shard, table, id, then the bytes.
pub(crate) fn row(shard: Shard, key: Key, bytes: &[u8]) -> u32 {
    let mut place = [0; 11];
    place[..2].copy_from_slice(&shard.0.to_le_bytes());
    place[2] = tag(key.table);
    place[3..].copy_from_slice(&key.id.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place);
    hasher.update(bytes);
    hasher.finalize()
}

/// CRC-32 of a fixed list of numbers, for the small state beside the rows.
pub(crate) fn numbers(shard: Shard, numbers: &[u64]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&shard.0.to_le_bytes());
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize()
}

/// Part of what is stored: never change one.
const fn tag(table: Table) -> u8 {
    match table {
        Table::Meta => 1,
        Table::Function => 2,
        Table::Event => 3,
        Table::Payload => 4,
        Table::Response => 5,
        Table::Mapping => 6,
        Table::Checkpoint => 7,
        Table::ParkedKey => 8,
        Table::ParkedRecord => 9,
        Table::ParkedPayload => 10,
    }
}
