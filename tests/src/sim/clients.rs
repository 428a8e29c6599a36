//! Owns what clients do: invoke in both ways, repeat, cancel, redrive, go away, and change functions.

use trine_engine::{
    Caller, Deliver, Destination, End, EventStage, FunctionId, Idempotency, Input, Invoke, Mode,
    RequestId,
};

use super::ledger::{Asked, Call, Judged};
use super::plan::{FUNCTIONS, change, name, settings};
use super::world::{Happening, World};

/// Invocations that clients remember.
const KNOWN_MAX: usize = 40;

#[derive(Debug, Clone, Copy)]
enum Request {
    Sync,
    Event,
    Burst,
    Cancel,
    Redrive,
    Gone,
    Update,
    Create,
    Delete,
    Look,
}

const REQUESTS: [(u64, Request); 10] = [
    (25, Request::Sync),
    (36, Request::Event),
    (4, Request::Burst),
    (7, Request::Cancel),
    (8, Request::Redrive),
    (4, Request::Gone),
    (7, Request::Update),
    (3, Request::Create),
    (2, Request::Delete),
    (4, Request::Look),
];

impl World {
    pub(super) fn create_functions(&mut self) -> Judged {
        for text in &FUNCTIONS[..3] {
            self.create(text)?;
        }
        Ok(())
    }

    /// One request, and the next one after a while.
    pub(super) fn request(&mut self) -> Judged {
        self.requests_left = self.requests_left.saturating_sub(1);
        if self.requests_left > 0 {
            let span = self.clients.span(self.plan.request_gap_ms);
            self.after(span, Happening::Request);
        }
        let functions = self.function_ids();
        let function = match functions.len() {
            0 => FunctionId { index: 0, generation: 0 },
            len => functions[self.clients.place(len)],
        };
        match self.clients.weighted(&REQUESTS) {
            Request::Sync => {
                let deadline = self.clients.span(10_000);
                let deadline = self.clients.chance(60).then(|| self.clock() + deadline);
                self.invoke_sync(function, deadline)
            }
            Request::Event => self.invoke_event(function),
            Request::Burst => {
                for _ in 0..self.clients.between(2, 12) {
                    self.invoke_event(function)?;
                }
                Ok(())
            }
            Request::Cancel => self.cancel(),
            Request::Redrive => self.redrive(),
            Request::Gone => match self.some_known() {
                Some((request_id, caller)) => self.input(Input::CallerGone { caller, request_id }),
                None => Ok(()),
            },
            Request::Update => self.update(function),
            Request::Create => {
                let text = *self.clients.pick(&FUNCTIONS);
                self.create(text)
            }
            Request::Delete => {
                let caller = self.new_caller();
                self.ledger.calls(caller.tag, Call::Delete { function });
                self.input(Input::DeleteFunction { caller, function })
            }
            Request::Look => self.look(),
        }
    }

    fn new_id(&mut self) -> RequestId {
        RequestId((u128::from(self.clients.next()) << 64) | u128::from(self.clients.next()))
    }

    fn remember(&mut self, id: RequestId, caller: Caller) {
        if self.known.len() >= KNOWN_MAX {
            let place = self.clients.place(self.known.len());
            self.known.swap_remove(place);
        }
        self.known.push((id, caller));
    }

    fn some_known(&mut self) -> Option<(RequestId, Caller)> {
        let len = self.known.len();
        (len > 0).then(|| self.known[self.clients.place(len)])
    }

    pub(super) fn invoke_sync(&mut self, function: FunctionId, deadline: Option<u64>) -> Judged {
        let (caller, request_id) = (self.new_caller(), self.new_id());
        self.remember(request_id, caller);
        self.ledger.calls_sync(caller.tag, request_id, function);
        let payload_bytes = self.clients.small(0, 200);
        let mode = Mode::Sync { deadline };
        self.input(Input::Invoke(Invoke { caller, function, request_id, payload_bytes, mode }))
    }

    fn invoke_event(&mut self, function: FunctionId) -> Judged {
        let not_before = match self.clients.below(10) {
            0 => Some(self.clock() + self.clients.span(3_600_000)),
            1 => Some(self.clock().saturating_sub(self.clients.span(60_000))),
            _ => None,
        };
        let idempotency = self.clients.chance(25).then(|| {
            let key = format!("key {}", self.clients.below(6));
            Box::new(Idempotency { key: key.into(), digest: self.clients.below(2) })
        });
        self.event(function, not_before, 0, idempotency)
    }

    fn event(
        &mut self,
        function: FunctionId,
        not_before: Option<u64>,
        hops: u8,
        idempotency: Option<Box<Idempotency>>,
    ) -> Judged {
        let (caller, id) = (self.new_caller(), self.new_id());
        self.remember(id, caller);
        let known = self.ledger.active.get(&function);
        let of = known.map_or_else(|| name("f0"), |active| active.name.clone());
        let asked = Asked { function: of, not_before, idempotency: idempotency.clone(), hops };
        self.ledger.calls(caller.tag, Call::Event { id, asked });
        let payload_bytes = self.clients.small(0, 200);
        let mode = Mode::Event { not_before, hops, idempotency };
        self.input(Input::Invoke(Invoke { caller, function, request_id: id, payload_bytes, mode }))
    }

    /// A record that goes to another function is an invocation of that function, one hop further.
    pub(super) fn next_in_chain(&mut self, deliver: &Deliver) -> Judged {
        let EventStage::Ended(ended) = &deliver.record.stage else { return Ok(()) };
        let settings = self.engine.settings(deliver.function).map(|(_, settings)| settings);
        let destination = settings.and_then(|settings| match ended.end {
            End::Succeeded => settings.on_success.clone(),
            _ => settings.on_failure.clone(),
        });
        let Some(Destination::Function(next)) = destination else { return Ok(()) };
        let function = self.ledger.active.iter().find(|(_, active)| active.name == next);
        let Some(function) = function.map(|(id, _)| *id) else { return Ok(()) };
        // Not always: a world of nothing but chains would hide the rest. Long chains come in at their end.
        match self.clients.below(100) {
            0..=19 => self.event(function, None, deliver.record.hops + 1, None),
            20 => self.event(function, None, 16, None),
            _ => Ok(()),
        }
    }

    fn cancel(&mut self) -> Judged {
        let Some((request_id, _)) = self.some_known() else { return Ok(()) };
        let caller = self.new_caller();
        self.ledger.calls(caller.tag, Call::Cancel { id: request_id });
        self.input(Input::Cancel { caller, request_id })
    }

    fn redrive(&mut self) -> Judged {
        let Some((request_id, _)) = self.some_known() else { return Ok(()) };
        let (caller, new_request_id) = (self.new_caller(), self.new_id());
        self.remember(new_request_id, caller);
        self.ledger.calls(caller.tag, Call::Redrive { id: request_id, new: new_request_id });
        self.input(Input::Redrive { caller, request_id, new_request_id })
    }

    fn create(&mut self, text: &str) -> Judged {
        let (caller, settings) = (self.new_caller(), settings(&mut self.clients));
        let call = Call::Create { name: name(text), settings: settings.clone() };
        self.ledger.calls(caller.tag, call);
        self.input(Input::CreateFunction { caller, name: name(text), settings })
    }

    fn update(&mut self, function: FunctionId) -> Judged {
        let (caller, change) = (self.new_caller(), Box::new(change(&mut self.clients)));
        self.ledger.calls(caller.tag, Call::Update { function, change: change.clone() });
        self.input(Input::UpdateFunction { caller, function, change })
    }

    /// Looking changes nothing and finds what the ledger knows.
    fn look(&mut self) -> Judged {
        let ids: Vec<RequestId> = self.known.iter().map(|(id, _)| *id).collect();
        for id in ids {
            let (view, why) = (self.engine.invocation(id), self.engine.explain(id));
            if view.is_some() != why.is_some() {
                return Err(format!("{id} is seen as {view:?} and explained as {why:?}"));
            }
            if let Some(view) = view {
                self.ledger.judge_view(&view)?;
            }
        }
        let (found, _) = self.engine.invocations(0, 1_000_000, 1_000_000, |_| true);
        found.iter().try_for_each(|view| self.ledger.judge_view(view))
    }
}
