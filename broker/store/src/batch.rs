//! What one commit writes.
//!
//! Does not know how a backend writes it, only the order of operations and which of them count.

use bytes::Bytes;

use crate::{Key, Rejection, StoreError};

/// The largest value a row may hold, in bytes. Far above any payload limit of the broker: it is
/// here so that a mistake is refused instead of filling a disk.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// One write.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Op {
    /// The row holds these bytes from now on, whether or not it existed.
    Put(Key, Bytes),
    /// The row does not exist from now on; no error if it did not before.
    Delete(Key),
}

/// Writes that become durable together or not at all. Of several on one key the last one wins.
#[derive(Clone, Default, Eq, PartialEq, Debug)]
pub struct Batch {
    pub ops: Vec<Op>,
}

impl Op {
    #[must_use]
    pub const fn key(&self) -> Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => *key,
        }
    }

    /// Length of the value it carries, in bytes; a delete carries none.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(_, value) => value.len(),
            Self::Delete(_) => 0,
        }
    }
}

impl Batch {
    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) {
        self.ops.push(Op::Put(key, value.into()));
    }

    pub fn delete(&mut self, key: Key) {
        self.ops.push(Op::Delete(key));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Length of all values together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ops.iter().map(Op::bytes).sum()
    }

    /// The writes that remain once the last one on each key has won, in key order.
    ///
    /// Key order because neighbouring rows share a page; the winners alone because an event that
    /// was accepted and finished within one group then never reaches a page at all.
    pub(crate) fn winners(&self) -> Vec<&Op> {
        let mut order: Vec<(Key, usize)> =
            self.ops.iter().enumerate().map(|(at, op)| (op.key(), at)).collect();
        order.sort_unstable();
        let mut winners = Vec::with_capacity(order.len());
        for (place, (key, at)) in order.iter().enumerate() {
            if order.get(place + 1).is_none_or(|(next, _)| next != key) {
                winners.push(&self.ops[*at]);
            }
        }
        winners
    }

    /// Refuses what no backend may hold, before any of it is written.
    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        for op in &self.ops {
            if op.bytes() > VALUE_BYTES_MAX {
                return Err(StoreError::Rejected {
                    cause: Rejection::TooLarge,
                    detail: format!(
                        "row {} would hold {} bytes, at most {VALUE_BYTES_MAX} are allowed",
                        op.key(),
                        op.bytes()
                    ),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    fn key(id: u64) -> Key {
        Key { table: Table::Event, id }
    }

    #[test]
    fn the_last_write_on_a_key_wins_and_keys_come_in_order() {
        let mut batch = Batch::default();
        batch.put(key(9), "first");
        batch.delete(key(3));
        batch.put(key(9), "second");
        batch.put(key(3), "third");
        batch.put(Key { table: Table::Meta, id: 50 }, "meta");
        batch.put(key(4), "gone");
        batch.delete(key(4));

        let winners: Vec<Op> = batch.winners().into_iter().cloned().collect();
        let expected = vec![
            Op::Put(Key { table: Table::Meta, id: 50 }, Bytes::from_static(b"meta")),
            Op::Put(key(3), Bytes::from_static(b"third")),
            Op::Delete(key(4)),
            Op::Put(key(9), Bytes::from_static(b"second")),
        ];
        assert_eq!(winners, expected);
    }
}
