//! The way of parked records back: a user unparks a key, its records go to the poller in portions, and each record goes
//! for good once the poller has settled it. A new holder gets what was not settled, from the first record on.

use std::sync::Arc;

use super::checkpoint::{NO_ROOM_ON_DISK, answer};
use super::effect::{MappingAnswer, MappingEffect, MappingRefusal, ReportOutcome};
use super::input::ParkReport;
use super::lease::PollerId;
use super::mapping::MappingId;
use super::parked::{KeyName, Parked, ParkedKey};
use super::record::{MappingMutation, Put, Row};
use super::registry::{Out, Pending, Registry, refuse};
use crate::Caller;

/// Records of a key that are being taken away, or a key that changes.
#[derive(Debug)]
pub(super) struct Settle {
    mapping: u64,
    name: KeyName,
    /// The first this many go.
    count: usize,
    unparking: bool,
    error: Option<Box<str>>,
    whose: Whose,
}

#[derive(Debug)]
enum Whose {
    Poller { poller: PollerId, ticket: u64 },
    User(Caller),
}

impl Settle {
    pub(super) fn caller(&self) -> Option<Caller> {
        match self.whose {
            Whose::User(caller) => Some(caller),
            Whose::Poller { .. } => None,
        }
    }
}

impl Registry {
    pub(super) fn unpark(
        &mut self,
        caller: Caller,
        id: MappingId,
        shard: &str,
        key: &[u8],
        skip_first: bool,
        out: Out<'_>,
    ) {
        let Some(number) = self.find(id) else {
            return refuse(caller, MappingRefusal::Unknown, out);
        };
        let Some(mapping) = self.mappings.get(&number).filter(|found| !found.record.deleting)
        else {
            return refuse(caller, MappingRefusal::Busy, out);
        };
        let name = Parked::name(shard, key);
        let Some(key) = mapping.parked.keys.get(&name).filter(|key| !key.records.is_empty()) else {
            return refuse(caller, MappingRefusal::UnknownKey, out);
        };
        if key.settling || (key.unparking && skip_first) {
            return refuse(caller, MappingRefusal::Busy, out);
        }
        if key.unparking {
            let records = key.records.len() as u64;
            let answer = MappingAnswer::Unparked { records };
            return out.push(MappingEffect::Reply { caller, answer });
        }
        let (count, whose) = (usize::from(skip_first), Whose::User(caller));
        let settle = Settle { mapping: number, name, count, unparking: true, error: None, whose };
        self.write_settle(settle, out);
    }

    /// The poller has settled the first records of a key; or one failed again, and the key stays parked.
    pub(super) fn settle_parked(
        &mut self,
        number: u64,
        poller: PollerId,
        report: ParkReport,
        out: Out<'_>,
    ) {
        let ParkReport { ticket, shard, key, error, settled, .. } = report;
        let name = Parked::name(&shard, &key);
        let parked = self.mappings.get(&number).map(|mapping| &mapping.parked);
        let failed = |error, out: Out<'_>| {
            answer(poller, ticket, ReportOutcome::Failed, error, out);
        };
        let Some(key) = parked.and_then(|parked| parked.keys.get(&name)) else {
            return failed("No such key is parked of the mapping.", out);
        };
        if key.settling {
            return failed("Another report settles the key; wait for its answer.", out);
        }
        let count = settled as usize;
        if count > key.sent {
            return failed("More records were settled than had been sent.", out);
        }
        let unparking = key.unparking && error.is_empty();
        let error = Some(error).filter(|error| !error.is_empty());
        let whose = Whose::Poller { poller, ticket };
        self.write_settle(Settle { mapping: number, name, count, unparking, error, whose }, out);
    }

    fn write_settle(&mut self, settle: Settle, out: Out<'_>) {
        let number = settle.mapping;
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(key) = mapping.parked.keys.get_mut(&settle.name) else { return };
        key.settling = true;
        mapping.writing += 1;
        // A user may unpark what nobody holds; then nobody gets it before that is written.
        self.waiting.remove(&number);
        let mut mutation = MappingMutation::default();
        let going = key.records.iter().take(settle.count);
        mutation.deletes.extend(going.map(|record| Row::ParkedRecord(record.number)));
        if settle.count == key.records.len() && key.joining == 0 {
            mutation.deletes.push(Row::ParkedKey(key.number));
        } else {
            let mut record = key.record(number, &settle.name);
            record.unparking = settle.unparking;
            if let Some(error) = &settle.error {
                record.error = error.clone();
            }
            mutation.puts.push(Put::ParkedKey(record));
        }
        self.persist(mutation, Pending::Settle(Box::new(settle)), out);
    }

    pub(super) fn settled(&mut self, settle: Settle, out: Out<'_>) {
        let Settle { mapping: number, name, count, unparking, error, whose } = settle;
        let mut left = 0;
        if let Some(mapping) = self.mappings.get_mut(&number)
            && let Some(key) = mapping.parked.keys.get_mut(&name)
        {
            key.settling = false;
            key.unparking = unparking;
            if let Some(error) = error {
                key.error = error;
            }
            let bytes: u64 = key.records.drain(..count).map(|record| u64::from(record.bytes)).sum();
            key.sent = if unparking { key.sent.saturating_sub(count) } else { 0 };
            let by_user = matches!(whose, Whose::User(_)) && count > 0;
            if by_user {
                key.dropped += count as u64;
            }
            // Otherwise it is told with what is sent of the key.
            let none_left = by_user && key.records.is_empty();
            left = key.records.len() as u64;
            mapping.parked.records -= count as u64;
            mapping.parked.bytes -= bytes;
            if none_left && let Some(lease) = mapping.lease.as_ref() {
                let dropped = std::mem::take(&mut key.dropped);
                let (poller, fence, id) = (lease.poller, lease.fence, mapping.record.id);
                let (shard, key) = (Arc::clone(&name.0), Arc::clone(&name.1));
                let records = Vec::new();
                out.push(MappingEffect::Unpark {
                    poller,
                    mapping: id,
                    fence,
                    shard,
                    key,
                    records,
                    left,
                    dropped,
                });
            }
            mapping.parked.forget_if_empty(&name);
        }
        match whose {
            Whose::Poller { poller, ticket } => {
                answer(poller, ticket, ReportOutcome::Done, "", out);
            }
            Whose::User(caller) => {
                let answer = MappingAnswer::Unparked { records: left };
                out.push(MappingEffect::Reply { caller, answer });
            }
        }
        self.write_ended(number, out);
        self.send_parked(number, out);
    }

    pub(super) fn settle_refused(&mut self, settle: Settle, out: Out<'_>) {
        let Settle { mapping: number, name, whose, .. } = settle;
        if let Some(mapping) = self.mappings.get_mut(&number)
            && let Some(key) = mapping.parked.keys.get_mut(&name)
        {
            key.settling = false;
        }
        match whose {
            Whose::Poller { poller, ticket } => {
                answer(poller, ticket, ReportOutcome::Failed, NO_ROOM_ON_DISK, out);
            }
            Whose::User(caller) => refuse(caller, MappingRefusal::StoreUnavailable, out),
        }
        self.write_ended(number, out);
    }

    /// Sends the next portion of every key that has none under way.
    pub(super) fn send_parked(&mut self, number: u64, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(lease) = mapping.lease.as_ref().filter(|lease| lease.asked_back.is_none()) else {
            return;
        };
        let (poller, fence, id) = (lease.poller, lease.fence, mapping.record.id);
        let open = mapping.parked.keys.values().filter(|key| key.sent > 0).count();
        let limits = &self.limits;
        let ready = |key: &ParkedKey| {
            key.unparking && key.sent == 0 && !key.settling && !key.records.is_empty()
        };
        let room = limits.unpark_keys_max.saturating_sub(open);
        let next = mapping.parked.keys.iter_mut().filter(|(_, key)| ready(key)).take(room);
        for (name, key) in next {
            let mut bytes = 0;
            let fitting = key.records.iter().take(limits.unpark_records_max).take_while(|record| {
                let first = bytes == 0;
                bytes += u64::from(record.bytes);
                first || bytes <= limits.unpark_bytes_max
            });
            let records: Vec<u64> = fitting.map(|record| record.number).collect();
            key.sent = records.len();
            let left = (key.records.len() - records.len()) as u64;
            let dropped = std::mem::take(&mut key.dropped);
            let (shard, key) = (Arc::clone(&name.0), Arc::clone(&name.1));
            out.push(MappingEffect::Unpark {
                poller,
                mapping: id,
                fence,
                shard,
                key,
                records,
                left,
                dropped,
            });
        }
    }
}
