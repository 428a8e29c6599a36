//! Who reads which mapping: a mapping has at most one poller, and pollers have as many as each other.
//!
//! | when | then |
//! |---|---|
//! | a mapping that should be read has no poller | the least loaded one that reads its kind and has room gets it |
//! | two pollers differ by two or more | the fuller one is asked for a mapping that the other can read |
//! | a poller drains | it is asked for all of its mappings |
//! | it lets go, its session ends, or its time is over | the mapping is free |

use super::effect::{MappingAnswer, MappingEffect, MappingFact, MappingRefusal};
use super::input::{NewPoller, Under};
use super::lease::{AskedBack, MappingLease, PollerId};
use super::mapping::{Mapping, MappingMode};
use super::poller::Poller;
use super::registry::{Out, Registry, Timer, refuse};
use crate::Caller;

/// More than a poller is told, so that its release is still on time.
const DRAIN_GRACE_MS: u64 = 1_000;

/// How long a mapping that only moves may let what runs end: as long as functions may run.
const MOVE_DRAIN_MS: u64 = 900_000;

impl Registry {
    pub(super) fn poller_joined(
        &mut self,
        caller: Caller,
        id: PollerId,
        hello: NewPoller,
        out: Out<'_>,
    ) {
        if self.draining {
            return refuse(caller, MappingRefusal::ShuttingDown, out);
        }
        if self.pollers.len() >= self.limits.pollers_max as usize {
            return refuse(caller, MappingRefusal::TooManyPollers, out);
        }
        let NewPoller { name, kinds, mappings_max } = hello;
        let poller = Poller {
            name,
            kinds: kinds.into_iter().collect(),
            mappings_max,
            draining: false,
            held: std::collections::BTreeSet::new(),
            leaving: 0,
            coming: 0,
        };
        self.pollers.insert(id, poller);
        out.push(MappingEffect::Reply { caller, answer: MappingAnswer::Joined });
        self.balance(out);
    }

    pub(super) fn poller_draining(&mut self, id: PollerId, out: Out<'_>) {
        let Some(poller) = self.pollers.get_mut(&id) else { return };
        if std::mem::replace(&mut poller.draining, true) {
            return;
        }
        for number in poller.held.clone() {
            self.ask_back(number, None, out);
        }
        self.balance(out);
    }

    /// Its mappings are free at once: it cannot be told anything any more, and its reports are refused from the moment
    /// that somebody else has them.
    pub(super) fn poller_left(&mut self, id: PollerId, out: Out<'_>) {
        let Some(poller) = self.pollers.get_mut(&id) else { return };
        // What it gives up must not come back to it.
        poller.draining = true;
        for number in poller.held.clone() {
            self.end_lease(number, false, out);
        }
        self.pollers.remove(&id);
        for mapping in self.mappings.values_mut() {
            if let Some(asked) = mapping.lease.as_mut().and_then(|lease| lease.asked_back.as_mut())
                && asked.to == Some(id)
            {
                // The move goes on, to whoever is the least loaded then.
                asked.to = None;
                self.moving -= 1;
                if let Some(lease) = &mapping.lease
                    && let Some(from) = self.pollers.get_mut(&lease.poller)
                {
                    from.leaving -= 1;
                }
            }
        }
        self.balance(out);
    }

    pub(super) fn release(&mut self, under: Under, out: Out<'_>) {
        let Some(number) = self.holds(under) else { return };
        self.end_lease(number, false, out);
        self.balance(out);
    }

    /// The number of the mapping, if the poller holds it under this fence.
    pub(super) fn holds(&self, under: Under) -> Option<u64> {
        let number = self.find(under.mapping)?;
        let lease = self.mappings.get(&number)?.lease.as_ref()?;
        (lease.poller == under.poller && lease.fence == under.fence).then_some(number)
    }

    pub(super) fn is_held(&self, number: u64) -> bool {
        self.mappings.get(&number).is_some_and(|mapping| mapping.lease.is_some())
    }

    pub(super) fn drain_over(&mut self, number: u64, fence: u64, out: Out<'_>) {
        let lease = self.mappings.get(&number).and_then(|mapping| mapping.lease.as_ref());
        if lease.is_some_and(|lease| lease.fence == fence && lease.asked_back.is_some()) {
            self.end_lease(number, true, out);
            self.balance(out);
        }
    }

    /// Asks the holder for the mapping; once is enough.
    pub(super) fn ask_back(&mut self, number: u64, to: Option<PollerId>, out: Out<'_>) {
        // Nobody is in a hurry when mappings are only spread more evenly: what runs may take as long as a function may (LS 2.3).
        let drain_ms = match to {
            Some(_) => self.limits.drain_ms.max(MOVE_DRAIN_MS),
            None => self.limits.drain_ms,
        };
        let until = self.now.monotonic.saturating_add(drain_ms + DRAIN_GRACE_MS);
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(lease) = mapping.lease.as_mut().filter(|lease| lease.asked_back.is_none()) else {
            return;
        };
        lease.asked_back = Some(AskedBack { until, to });
        let (poller, fence) = (lease.poller, lease.fence);
        self.timers.insert((until, Timer::Drain { mapping: number, fence }));
        out.push(MappingEffect::Revoke { poller, mapping: mapping.record.id, fence, drain_ms });
        if let Some(to) = to {
            self.moving += 1;
            self.counts_of_move(poller, to, 1);
        }
    }

    /// A move has begun (1) or ended (-1).
    fn counts_of_move(&mut self, from: PollerId, to: PollerId, change: i32) {
        if let Some(from) = self.pollers.get_mut(&from) {
            from.leaving = from.leaving.saturating_add_signed(change);
        }
        if let Some(to) = self.pollers.get_mut(&to) {
            to.coming = to.coming.saturating_add_signed(change);
        }
    }

    /// The holder has let go, or is taken to have.
    pub(super) fn end_lease(&mut self, number: u64, overdue: bool, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(lease) = mapping.lease.take() else { return };
        let id = mapping.record.id;
        mapping.parked.nothing_is_sent();
        if let Some(status) = &mut mapping.status {
            status.live = false;
            status.shards.clear();
        }
        let seek = mapping.seek.take();
        let fact = MappingFact::LeaseEnded { mapping: id, poller: lease.poller, overdue };
        out.push(MappingEffect::Fact(fact));
        let mut next = None;
        if let Some(AskedBack { until, to }) = lease.asked_back {
            self.timers.remove(&(until, Timer::Drain { mapping: number, fence: lease.fence }));
            if let Some(to) = to {
                self.moving -= 1;
                self.counts_of_move(lease.poller, to, -1);
                next = Some(to);
            }
        }
        if let Some(poller) = self.pollers.get_mut(&lease.poller) {
            poller.held.remove(&number);
        }
        if let Some(ticket) = seek {
            self.seek_lost(ticket, out);
        }
        let ready = self.mappings.get(&number).is_some_and(Mapping::is_assignable);
        match next.filter(|to| ready && !self.draining && self.takes(*to, number)) {
            Some(to) => self.assign(number, to, out),
            None => self.free(number, out),
        }
    }

    fn takes(&self, poller: PollerId, number: u64) -> bool {
        let kind = self.mappings.get(&number).map(|mapping| &mapping.record.definition.kind);
        let poller = self.pollers.get(&poller);
        poller.zip(kind).is_some_and(|(poller, kind)| poller.takes(kind))
    }

    fn assign(&mut self, number: u64, to: PollerId, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let Some(poller) = self.pollers.get_mut(&to) else { return };
        self.waiting.remove(&number);
        let fence = self.fences.next();
        let paused = mapping.record.mode == MappingMode::Paused;
        mapping.lease = Some(MappingLease { poller: to, fence, paused, asked_back: None });
        // What the last holder said of itself is not true of this one.
        mapping.status = None;
        poller.held.insert(number);
        let id = mapping.record.id;
        out.push(MappingEffect::Assign { poller: to, mapping: id, fence, paused, new: true });
        out.push(MappingEffect::Fact(MappingFact::Assigned { mapping: id, poller: to, fence }));
        self.send_parked(number, out);
    }

    /// Tells the holder whether it may start anything new.
    pub(super) fn tell_pause(&mut self, number: u64, out: Out<'_>) {
        let Some(mapping) = self.mappings.get_mut(&number) else { return };
        let paused = mapping.record.mode == MappingMode::Paused;
        let Some(lease) = &mut mapping.lease else { return };
        if lease.asked_back.is_some() || lease.paused == paused {
            return;
        }
        lease.paused = paused;
        let (poller, fence, id) = (lease.poller, lease.fence, mapping.record.id);
        out.push(MappingEffect::Assign { poller, mapping: id, fence, paused, new: false });
    }

    /// Gives away what nobody has, and begins to even out what they have.
    pub(super) fn balance(&mut self, out: Out<'_>) {
        if self.draining || self.pollers.is_empty() {
            return;
        }
        for number in self.waiting.clone() {
            let Some(mapping) = self.mappings.get(&number) else { continue };
            let kind = &mapping.record.definition.kind;
            let able = self.pollers.iter().filter(|(_, poller)| poller.takes(kind));
            let least = able.min_by_key(|(id, poller)| (poller.load(), **id)).map(|(id, _)| *id);
            if let Some(to) = least {
                self.assign(number, to, out);
            }
        }
        while self.moving < self.limits.moves_max
            && let Some((number, to)) = self.uneven()
        {
            self.ask_back(number, Some(to), out);
        }
    }

    /// A mapping that one poller should give up for another one.
    fn uneven(&self) -> Option<(u64, PollerId)> {
        let mut by_load: Vec<(usize, PollerId, &Poller)> =
            self.pollers.iter().map(|(id, poller)| (poller.load(), *id, poller)).collect();
        by_load.sort_unstable_by_key(|(load, id, _)| (*load, *id));
        for (most, _, from) in by_load.iter().rev() {
            for (least, to, poller) in &by_load {
                if least + 2 > *most {
                    break;
                }
                let movable = from.held.iter().find(|number| {
                    self.mappings.get(number).is_some_and(|mapping| {
                        mapping.transition.is_none()
                            && mapping.seek.is_none()
                            && mapping.lease.as_ref().is_some_and(|one| one.asked_back.is_none())
                            && poller.takes(&mapping.record.definition.kind)
                    })
                });
                if let Some(number) = movable {
                    return Some((*number, *to));
                }
            }
        }
        None
    }
}
