//! What is remembered of ended events, for how long, and how it is forgotten.

use crate::entry::{Entry, State};
use crate::list::List;
use crate::record::{After, Delivery, End, Mutation};
use crate::{Effect, Engine, EntryId, EventSeq, Fact, Millis};

/// Invocations forgotten in one step; the rest follow at the next millisecond.
const FORGOTTEN_PER_STEP_MAX: u32 = 1_000;

impl Engine {
    /// Puts an ended event into its history queue; the oldest beyond the bound is forgotten.
    pub(crate) fn remember(&mut self, place: u32, out: &mut Vec<Effect>) {
        let entry = &mut self.entries[place];
        entry.state = State::Ended;
        let generation = self.entries.generation(place);
        out.push(Effect::Release { entry: EntryId { index: place, generation } });
        let index = self.entries[place].function;
        self.functions[index].unsettled -= 1;
        let list = if is_dead(&self.entries[place]) { &mut self.dead } else { &mut self.past };
        list.push_back(&mut self.entries, place);
        if let Some(oldest) = self.surplus() {
            self.forget_one(oldest, out);
        }
    }

    /// The oldest of a queue that holds more than its bound.
    fn surplus(&self) -> Option<u32> {
        let over = |list: &&List| u64::from(list.len()) > self.limits.history_count_max;
        [&self.dead, &self.past].into_iter().find(over)?.head()
    }

    /// Drops what was remembered long enough.
    pub(crate) fn forget(&mut self, out: &mut Vec<Effect>) {
        for _ in 0..FORGOTTEN_PER_STEP_MAX {
            let heads = [self.dead.head(), self.past.head()];
            let aged = heads.into_iter().flatten().find(|place| self.forget_at(*place) <= self.now);
            let Some(place) = self.surplus().or(aged) else { return };
            self.forget_one(place, out);
        }
    }

    pub(crate) fn next_forgetting(&self) -> Option<Millis> {
        if self.surplus().is_some() {
            return Some(self.now);
        }
        let heads = [self.dead.head(), self.past.head()];
        heads.into_iter().flatten().map(|place| self.forget_at(place)).min()
    }

    fn forget_at(&self, place: u32) -> Millis {
        let entry = &self.entries[place];
        let kept =
            if is_dead(entry) { self.limits.dead_age_ms } else { self.limits.history_age_ms };
        entry.ended().map_or(0, |ended| ended.at).saturating_add(kept)
    }

    /// Puts both queues in the order in which they are forgotten; recovery fills them in that of acceptance.
    pub(crate) fn sort_history(&mut self) {
        for list in [&mut self.dead, &mut self.past] {
            let mut places = Vec::new();
            while let Some(place) = list.head() {
                list.remove(&mut self.entries, place);
                places.push(place);
            }
            let entries = &self.entries;
            places.sort_by_key(|place| entries[*place].ended().map_or(0, |ended| ended.at));
            places.into_iter().for_each(|place| list.push_back(&mut self.entries, place));
        }
    }

    fn forget_one(&mut self, place: u32, out: &mut Vec<Effect>) {
        self.leave_history(place);
        let entry = &self.entries[place];
        if is_dead(entry) {
            let (function, request_id) = (self.function_id(entry.function), entry.request_id);
            Self::tell(out, Fact::DeadForgotten { function, request_id });
        }
        let payload = entry.owns_payload.then_some(EventSeq(entry.payload_seq));
        let mutation = Mutation::Forget { seq: EventSeq(entry.seq), payload };
        self.remove_entry(place, out);
        self.persist(mutation, After::Forgotten, out);
    }

    pub(crate) fn leave_history(&mut self, place: u32) {
        let list = if is_dead(&self.entries[place]) { &mut self.dead } else { &mut self.past };
        list.remove(&mut self.entries, place);
    }
}

/// Dead or undelivered: what somebody may still want to put back.
fn is_dead(entry: &Entry) -> bool {
    entry.ended().is_some_and(|ended| {
        matches!(ended.end, End::Dead(_)) || ended.delivery == Delivery::Undelivered
    })
}
