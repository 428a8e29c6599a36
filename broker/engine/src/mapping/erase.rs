//! The end of a mapping: its rows go in portions, its own row last, so that a crash on the way leaves a mapping that is
//! on its way out and no row without a mapping.

use super::record::{MappingMutation, Row};
use super::registry::{Out, Pending, Registry, Timer};

/// Rows that go in one write, at most.
const PORTION_ROWS: usize = 4_096;

/// Wait before the disk is asked again.
const AGAIN_MS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Erasing {
    mapping: u64,
    rows: Vec<Row>,
    last: bool,
}

impl Registry {
    pub(super) fn erase(&mut self, number: u64, out: Out<'_>) {
        self.waiting.remove(&number);
        if let Some(refused) = self.erase_again.remove(&number) {
            return self.write_erasing(refused, out);
        }
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let mut deletes: Vec<Row> = Vec::new();
        while deletes.len() < PORTION_ROWS
            && let Some((_, kept)) = mapping.checkpoints.pop_first()
        {
            deletes.push(Row::Checkpoint(kept.number));
        }
        mapping.parked.take_rows(PORTION_ROWS, &mut deletes);
        let last = deletes.len() < PORTION_ROWS;
        if last {
            deletes.push(Row::Mapping(number));
        }
        self.write_erasing(Erasing { mapping: number, rows: deletes, last }, out);
    }

    fn write_erasing(&mut self, erasing: Erasing, out: Out<'_>) {
        let mutation = MappingMutation { puts: Vec::new(), deletes: erasing.rows.clone() };
        self.persist(mutation, Pending::Erase(erasing), out);
    }

    pub(super) fn erased(&mut self, erasing: Erasing, out: Out<'_>) {
        let Erasing { mapping: number, last, .. } = erasing;
        if !last {
            return self.erase(number, out);
        }
        if let Some(mapping) = self.mappings.remove(&number) {
            self.by_id.remove(&mapping.record.id);
            self.timers.retain(|(_, timer)| *timer != Timer::Counts { mapping: number });
        }
    }

    pub(super) fn erase_refused(&mut self, erasing: Erasing) {
        self.after(AGAIN_MS, Timer::Erase { mapping: erasing.mapping });
        self.erase_again.insert(erasing.mapping, erasing);
    }
}
