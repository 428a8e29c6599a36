//! How many batches of the mapping may be in flight (LS 4.2, 4.5). It does not know which.

use crate::gate::Gate;
use crate::ramp::Climb;
use crate::{Effect, Fact, Millis, Settings};

#[derive(Debug)]
pub(crate) struct Permits {
    limit: u32,
    gate: Gate,
    ramp: Option<Climb>,
    in_flight: u32,
    /// Batches that did not reach the function and wait to try again.
    held: u32,
}

impl Permits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let gate = Gate::new(settings.not_reached, settings.salt);
        let ramp = settings.ramp.map(Climb::new);
        Self { limit: settings.maximum_concurrency, gate, ramp, in_flight: 0, held: 0 }
    }

    /// Batches that may be sent now.
    pub(crate) fn free(&self) -> u32 {
        self.full().min(self.gate.width()).saturating_sub(self.in_flight)
    }

    fn full(&self) -> u32 {
        self.ramp.as_ref().map_or(self.limit, |ramp| ramp.level().min(self.limit))
    }

    /// Whether a batch may be sent that has not been held.
    pub(crate) fn may_send_new(&self) -> bool {
        self.free() > 0 && !(self.gate.is_probing() && self.held > 0)
    }

    /// Whether records may be fetched: nothing that is in hand has been turned away.
    pub(crate) fn may_fetch(&self) -> bool {
        self.free() > 0 && self.held == 0
    }

    pub(crate) const fn take(&mut self, was_held: bool) {
        self.in_flight += 1;
        self.unhold(was_held);
    }

    /// A batch that was held goes without being sent.
    pub(crate) const fn unhold(&mut self, was_held: bool) {
        if was_held {
            self.held = self.held.saturating_sub(1);
        }
    }

    /// A batch reached the function.
    pub(crate) fn reached(&mut self, failed: bool, out: &mut Vec<Effect>) {
        self.in_flight -= 1;
        if failed && let Some(ramp) = &mut self.ramp {
            ramp.failed();
        }
        if self.gate.reached(self.in_flight, self.limit) {
            out.push(Effect::Fact(Fact::GateOpened));
        }
    }

    /// A batch did not, and is held.
    pub(crate) fn not_reached(&mut self, now: Millis, is_held: bool, out: &mut Vec<Effect>) {
        self.in_flight -= 1;
        self.held += u32::from(is_held);
        if let Some(probe_at) = self.gate.not_reached(now, self.in_flight) {
            out.push(Effect::Fact(Fact::GateShut { probe_at }));
        }
    }

    /// Looks at the time. Whether more batches may be sent than before.
    pub(crate) fn look(&mut self, now: Millis, out: &mut Vec<Effect>) -> bool {
        let mut changed = self.gate.due(now);
        if let Some(ramp) = &mut self.ramp
            && ramp.look(now, self.in_flight)
        {
            changed = true;
            out.push(Effect::Fact(Fact::RampMoved { concurrency: ramp.level() }));
        }
        changed
    }

    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) const fn held(&self) -> u32 {
        self.held
    }

    /// When one batch may try, while the function cannot be reached.
    pub(crate) const fn probe_at(&self) -> Option<Millis> {
        self.gate.until()
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.gate.until().into_iter().chain(self.ramp.as_ref().and_then(Climb::until)).min()
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }
}
