//! What users change of a mapping: make, update, enable, pause, disable, delete. It does not know who reads a mapping,
//! only that a change that a reader must see waits until it has let go.

use std::sync::Arc;

use super::effect::{MappingAnswer, MappingEffect, MappingRefusal};
use super::mapping::{Definition, Mapping, MappingId, MappingMode, Transition};
use super::record::{MappingMutation, MappingRecord, Put};
use super::registry::{Out, Pending, Registry, refuse};
use super::status::Counts;
use crate::Caller;

/// A change that is being written.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) caller: Caller,
    number: u64,
    transition: Transition,
    /// As it will be.
    record: MappingRecord,
}

pub(super) type SourceKey = (Arc<str>, Arc<str>, Box<str>, Box<str>);

/// Two mappings may not have this in common (LS 4.1).
pub(super) fn source_key(definition: &Definition) -> SourceKey {
    let Definition { function, qualifier, kind, source, .. } = definition;
    let qualifier = if &**qualifier == "$LATEST" { "".into() } else { qualifier.clone() };
    (Arc::clone(kind), Arc::clone(source), function.as_str().into(), qualifier)
}

/// The name that the source knows its reader under; there is no function without a name.
fn reader_key(definition: &Definition) -> Option<SourceKey> {
    let reader = definition.reader.as_ref()?;
    Some((Arc::clone(&definition.kind), Arc::clone(reader), "".into(), "".into()))
}

/// All that is the mapping's alone.
pub(super) fn keys(definition: &Definition) -> Vec<SourceKey> {
    [Some(source_key(definition)), reader_key(definition)].into_iter().flatten().collect()
}

impl Registry {
    pub(super) fn create(
        &mut self,
        caller: Caller,
        id: MappingId,
        definition: Definition,
        mode: MappingMode,
        out: Out<'_>,
    ) {
        if self.draining {
            return refuse(caller, MappingRefusal::ShuttingDown, out);
        }
        if let Some(refusal) = self.taken(&definition, None) {
            return refuse(caller, refusal, out);
        }
        if self.mappings.len() >= self.limits.mappings_max as usize {
            return refuse(caller, MappingRefusal::TooMany, out);
        }
        let number = self.next_mapping;
        self.next_mapping += 1;
        let at = self.now.clock;
        let record = MappingRecord {
            number,
            id,
            definition,
            mode,
            deleting: false,
            created_at: at,
            modified_at: at,
            counts: Counts::default(),
        };
        self.mappings.insert(number, Mapping::new(record.clone()));
        self.by_id.insert(id, number);
        self.by_source.extend(keys(&record.definition).into_iter().map(|key| (key, number)));
        self.write_change(caller, number, Transition::Creating, record, out);
    }

    pub(super) fn update(
        &mut self,
        caller: Caller,
        id: MappingId,
        revision: u64,
        definition: Definition,
        out: Out<'_>,
    ) {
        let Some((number, mapping)) = self.quiet(caller, id, out) else { return };
        if mapping.revision != revision {
            return refuse(caller, MappingRefusal::Changed, out);
        }
        let mut record = mapping.record.clone();
        if let Some(refusal) = self.taken(&definition, Some(number)) {
            return refuse(caller, refusal, out);
        }
        // What it was is taken as well until it is known which one it is.
        self.by_source.extend(keys(&definition).into_iter().map(|key| (key, number)));
        record.definition = definition;
        record.modified_at = self.now.clock;
        self.write_change(caller, number, Transition::Updating, record, out);
    }

    pub(super) fn set_mode(
        &mut self,
        caller: Caller,
        id: MappingId,
        mode: MappingMode,
        out: Out<'_>,
    ) {
        let Some((number, mapping)) = self.quiet(caller, id, out) else { return };
        let mut record = mapping.record.clone();
        let transition = match mode {
            MappingMode::Enabled => Transition::Enabling,
            MappingMode::Disabled => Transition::Disabling,
            MappingMode::Paused => Transition::Pausing,
        };
        record.mode = mode;
        record.modified_at = self.now.clock;
        self.write_change(caller, number, transition, record, out);
    }

    pub(super) fn delete(&mut self, caller: Caller, id: MappingId, out: Out<'_>) {
        let Some((number, mapping)) = self.quiet(caller, id, out) else { return };
        let mut record = mapping.record.clone();
        record.deleting = true;
        record.modified_at = self.now.clock;
        self.write_change(caller, number, Transition::Deleting, record, out);
    }

    /// Whether another mapping has what would be this one's alone.
    fn taken(&self, definition: &Definition, own: Option<u64>) -> Option<MappingRefusal> {
        let holder = |key: &SourceKey| {
            let number = self.by_source.get(key).filter(|number| Some(**number) != own);
            number.and_then(|number| self.id_of(*number))
        };
        let exists = holder(&source_key(definition)).map(|id| MappingRefusal::Exists { id });
        exists.or_else(|| {
            let id = holder(&reader_key(definition)?)?;
            Some(MappingRefusal::ReaderExists { id })
        })
    }

    fn free_keys(&mut self, number: u64, keys: &[SourceKey]) {
        for key in keys {
            if self.by_source.get(key) == Some(&number) {
                self.by_source.remove(key);
            }
        }
    }

    /// A mapping that may be changed now; whoever asks is told why not.
    fn quiet(
        &mut self,
        caller: Caller,
        id: MappingId,
        out: Out<'_>,
    ) -> Option<(u64, &mut Mapping)> {
        let refusal =
            match self.find(id).and_then(|number| Some((number, self.mappings.get(&number)?))) {
                _ if self.draining => MappingRefusal::ShuttingDown,
                None => MappingRefusal::Unknown,
                // One that is not durable is nothing that anybody was told of.
                Some((_, mapping)) if mapping.transition == Some(Transition::Creating) => {
                    MappingRefusal::Unknown
                }
                Some((_, mapping))
                    if mapping.transition.is_some()
                        || mapping.record.deleting
                        || mapping.seek.is_some() =>
                {
                    MappingRefusal::Busy
                }
                Some((number, _)) => {
                    return self.mappings.get_mut(&number).map(|found| (number, found));
                }
            };
        refuse(caller, refusal, out);
        None
    }

    fn id_of(&self, number: u64) -> Option<MappingId> {
        self.mappings.get(&number).map(|mapping| mapping.record.id)
    }

    fn write_change(
        &mut self,
        caller: Caller,
        number: u64,
        transition: Transition,
        record: MappingRecord,
        out: Out<'_>,
    ) {
        if let Some(mapping) = self.mappings.get_mut(&number) {
            mapping.transition = Some(transition);
            mapping.written = false;
        }
        self.waiting.remove(&number);
        let put = Put::Mapping(Box::new(record.clone()));
        let change = Change { caller, number, transition, record };
        self.persist(MappingMutation::put(put), Pending::Change(Box::new(change)), out);
    }

    /// The change is durable: it is told, and the holder must see it.
    pub(super) fn changed(&mut self, change: Change, out: Out<'_>) {
        let Change { caller, number, transition, record } = change;
        let Some(mapping) = self.mappings.get(&number) else { return };
        let new = match transition {
            Transition::Deleting => Vec::new(),
            _ => keys(&record.definition),
        };
        let old = keys(&mapping.record.definition);
        let left: Vec<_> = old.into_iter().filter(|key| !new.contains(key)).collect();
        self.free_keys(number, &left);
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        // Counts may have grown since.
        let counts = mapping.record.counts;
        mapping.record = MappingRecord { counts, ..record };
        mapping.revision += 1;
        mapping.written = true;
        if let Some(view) = self.view_of(number) {
            let answer = MappingAnswer::Changed(Box::new(view));
            out.push(MappingEffect::Reply { caller, answer });
        }
        match transition {
            Transition::Updating | Transition::Disabling | Transition::Deleting
                if self.is_held(number) =>
            {
                self.ask_back(number, None, out);
            }
            Transition::Pausing | Transition::Enabling if self.is_held(number) => {
                self.end_transition(number);
                self.tell_pause(number, out);
            }
            _ => self.free(number, out),
        }
    }

    pub(super) fn change_refused(&mut self, change: Change, out: Out<'_>) {
        let Change { caller, number, transition, record } = change;
        let new = keys(&record.definition);
        if transition == Transition::Creating {
            self.mappings.remove(&number);
            self.by_id.remove(&record.id);
            self.free_keys(number, &new);
        } else if let Some(mapping) = self.mappings.get(&number) {
            let old = keys(&mapping.record.definition);
            let left: Vec<_> = new.into_iter().filter(|key| !old.contains(key)).collect();
            self.free_keys(number, &left);
            self.end_transition(number);
            if !self.is_held(number) {
                self.free(number, out);
            }
        }
        refuse(caller, MappingRefusal::StoreUnavailable, out);
    }

    pub(super) fn end_transition(&mut self, number: u64) {
        if let Some(mapping) = self.mappings.get_mut(&number) {
            mapping.transition = None;
            mapping.written = false;
        }
    }

    /// Nobody holds the mapping: what waited for that goes on, and somebody else may have it.
    pub(super) fn free(&mut self, number: u64, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        if mapping.writing > 0 {
            // The last write goes on from here.
            return;
        }
        if mapping.record.deleting && (mapping.written || mapping.transition.is_none()) {
            return self.erase(number, out);
        }
        if mapping.transition.is_some() && mapping.written {
            self.end_transition(number);
        }
        if self.mappings.get(&number).is_some_and(Mapping::is_assignable) {
            self.waiting.insert(number);
        }
        self.balance(out);
    }
}
