//! The shards that are open, and the bytes of every record that the engine holds. It decides nothing: what is held is what the engine
//! has not let go of.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use trine_poll_engine::{Key, Records, Sequence, ShardId};
use trine_proto::v1::ParkedRecord;

use crate::source::{Content, Envelope, Opened, Reader, Record, ShardName, Want};

/// All shards of a mapping that are open, by the number under which the engine knows them.
#[derive(Debug, Default)]
pub(super) struct Shards {
    open: BTreeMap<ShardId, Shard>,
    /// A number is never given out again: what is late for a shard that is gone must not reach another.
    next: u32,
}

/// One shard.
pub(super) struct Shard {
    pub(super) name: ShardName,
    /// Of the newest connection.
    pub(super) reader: Arc<dyn Reader>,
    pub(super) envelope: Envelope,
    /// The number of the connection that the reader belongs to.
    pub(super) connection: u64,
    /// What the engine has asked for while the shard is not open on the newest connection.
    pub(super) wanted: Option<Want>,
    /// Records that were read and are not over, in order; the first one has the sequence `first`.
    held: VecDeque<Record>,
    first: u64,
    /// What came back from the park and is not over, of all keys, by the sequence that it has there.
    unparked: BTreeMap<u64, Unparked>,
    next_unparked: u64,
    /// What the broker calls the keys that came back.
    keys: HashMap<Key, ParkedAs>,
    /// What the function answered last for the tumbling window that is open, a JSON text.
    pub(super) window_state: Bytes,
    /// Records that the source has beyond what was read.
    pub(super) lag_records: Option<u64>,
    /// What is being settled, and what was settled last, for people.
    pub(super) settling: Option<Arc<str>>,
    pub(super) settled: Option<Arc<str>>,
    pub(super) iterator_age_ms: Option<u64>,
    /// It is to be given back.
    pub(super) revoked: bool,
    /// Dropped when the engine has released the shard.
    pub(super) released: Option<tokio::sync::oneshot::Sender<()>>,
}

/// A key in the broker's park.
#[derive(Debug, Clone, Default)]
pub(super) struct ParkedAs {
    /// Where it was parked: this shard, or one that has ended and that this one stands in for.
    pub(super) shard: String,
    pub(super) key: Bytes,
}

/// A record that came back from the park.
#[derive(Debug)]
struct Unparked {
    key: Key,
    record: ParkedRecord,
}

impl Shards {
    /// Gives an opened shard a number, the one that it had if it is open already.
    pub(super) fn open(&mut self, opened: Opened, connection: u64) -> (ShardId, bool) {
        let Opened { shard: name, reader, envelope, .. } = opened;
        if let Some(id) = self.numbered(&name) {
            if let Some(shard) = self.open.get_mut(&id) {
                (shard.reader, shard.envelope, shard.connection) = (reader, envelope, connection);
            }
            return (id, false);
        }
        let id = ShardId(self.next);
        self.next += 1;
        self.open.insert(id, Shard::new(name, reader, envelope, connection));
        (id, true)
    }

    pub(super) fn numbered(&self, name: &ShardName) -> Option<ShardId> {
        self.open.iter().find(|(_, shard)| shard.name == *name).map(|(id, _)| *id)
    }

    pub(super) fn get(&self, id: ShardId) -> Option<&Shard> {
        self.open.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ShardId) -> Option<&mut Shard> {
        self.open.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: ShardId) -> Option<Shard> {
        self.open.remove(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.open.iter().map(|(id, shard)| (*id, shard))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Shard {
    fn new(name: ShardName, reader: Arc<dyn Reader>, envelope: Envelope, connection: u64) -> Self {
        Self {
            name,
            reader,
            envelope,
            connection,
            wanted: None,
            held: VecDeque::new(),
            first: 0,
            unparked: BTreeMap::new(),
            next_unparked: 0,
            keys: HashMap::new(),
            window_state: Bytes::new(),
            lag_records: None,
            settling: None,
            settled: None,
            iterator_age_ms: None,
            revoked: false,
            released: None,
        }
    }

    /// Takes records that were read; the engine is told of them in the same order.
    pub(super) fn hold(&mut self, records: Vec<Record>) {
        self.held.extend(records);
    }

    /// Forgets what the engine has let go of: everything before `first_held`.
    pub(super) fn let_go(&mut self, first_held: Sequence) {
        while self.first < first_held.0 && self.held.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Frees the bytes of records that the function took; their places are still needed.
    pub(super) fn taken(&mut self, records: &Records) {
        for sequence in records.iter() {
            if let Some(record) = self.at_mut(sequence) {
                record.content = Content::Event(Bytes::new());
                record.body = Bytes::new();
            }
        }
    }

    pub(super) fn at(&self, sequence: Sequence) -> Option<&Record> {
        self.held.get(self.place(sequence)?)
    }

    fn at_mut(&mut self, sequence: Sequence) -> Option<&mut Record> {
        let place = self.place(sequence)?;
        self.held.get_mut(place)
    }

    fn place(&self, sequence: Sequence) -> Option<usize> {
        usize::try_from(sequence.0.checked_sub(self.first)?).ok()
    }

    /// The last record that was read.
    pub(super) fn last(&self) -> Option<&Record> {
        self.held.back()
    }

    pub(super) fn records(&self, records: &Records) -> Vec<&Record> {
        records.iter().filter_map(|sequence| self.at(sequence)).collect()
    }

    /// Takes records that came back from the park of a key.
    pub(super) fn unpark(&mut self, parked: ParkedAs, records: Vec<ParkedRecord>) -> Key {
        let number = number(&parked.key);
        self.keys.insert(number, parked);
        for record in records {
            self.unparked.insert(self.next_unparked, Unparked { key: number, record });
            self.next_unparked += 1;
        }
        number
    }

    /// The engine took none of the last `count` records: they have no place in its order.
    pub(super) fn unpark_refused(&mut self, count: u64) {
        self.next_unparked -= count;
        drop(self.unparked.split_off(&self.next_unparked));
    }

    pub(super) fn parked_records(&self, records: &Records) -> Vec<&ParkedRecord> {
        let at =
            |sequence: Sequence| self.unparked.get(&sequence.0).map(|unparked| &unparked.record);
        records.iter().filter_map(at).collect()
    }

    pub(super) fn parked_as(&self, key: Key) -> ParkedAs {
        self.keys.get(&key).cloned().unwrap_or_default()
    }

    /// Whether records of the key are in hand that were parked elsewhere.
    pub(super) fn returns_another(&self, parked: &ParkedAs) -> bool {
        let number = number(&parked.key);
        let other = self.keys.get(&number).is_some_and(|known| known.shard != parked.shard);
        other && self.unparked.values().any(|unparked| unparked.key == number)
    }

    /// Records that the engine holds and that are not settled.
    pub(super) fn in_hand(&self) -> u64 {
        self.held.len() as u64
    }

    /// The oldest `count` records of the key that came back have ended.
    pub(super) fn unpark_settled(&mut self, key: Key, count: u64) {
        let of_key = self.unparked.iter().filter(|(_, unparked)| unparked.key == key);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let gone: Vec<u64> = of_key.map(|(sequence, _)| *sequence).take(count).collect();
        for sequence in gone {
            self.unparked.remove(&sequence);
        }
    }

    /// What came back of the key and did not end stays parked at the broker.
    pub(super) fn unpark_ended(&mut self, key: Key) {
        self.unparked.retain(|_, unparked| unparked.key != key);
    }
}

/// Bytes of a key that count: the broker parks no longer ones, and keys that begin with as many equal bytes are kept in one order.
const KEY_BYTES_MAX: usize = 64 << 10;

/// The number of a key for the engine.
pub(super) fn number(key: &[u8]) -> Key {
    let mut hasher = DefaultHasher::new();
    hasher.write(&key[..key.len().min(KEY_BYTES_MAX)]);
    Key(hasher.finish())
}

/// The key under which a record is parked: its own, or, since it is in order with nobody, its identifier.
pub(super) fn parking_key(record: &Record) -> Bytes {
    let Some(key) = &record.key else {
        return Bytes::copy_from_slice(record.identifier.as_bytes());
    };
    key.slice(..key.len().min(KEY_BYTES_MAX))
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("name", &self.name)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}
