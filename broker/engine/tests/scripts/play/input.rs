//! Owns which input of the engine a command is.

use super::*;

impl Play {
    pub(super) fn input(&mut self, words: &Words<'_>) -> Input {
        let caller = match words.verb() {
            "invoke" | "event" => words.word(0).to_owned(),
            verb => format!("{verb} {}", words.rest(0).first().unwrap_or(&"")),
        };
        match words.verb() {
            "invoke" | "event" => {
                let (caller, request_id) =
                    (self.names.new_caller(&caller), self.names.new_request(words.word(0)));
                self.invoke(caller, request_id, words)
            }
            "gone" => Input::CallerGone {
                caller: self.names.caller_of(words.word(0)),
                request_id: self.names.request_id(words.word(0)),
            },
            "all-gone" => {
                Input::CallersGone { edge: words.word_number(0).try_into().expect("an edge") }
            }
            "cancel" => Input::Cancel {
                caller: self.names.new_caller(&caller),
                request_id: self.names.request_id(words.word(0)),
            },
            "redrive" => Input::Redrive {
                caller: self.names.new_caller(&caller),
                request_id: self.names.request_id(words.word(0)),
                new_request_id: self.names.new_request(words.word(2)),
            },
            "create" => Input::CreateFunction {
                caller: self.names.new_caller(&caller),
                name: FunctionName::new(words.word(0)).expect("a name"),
                settings: settings(words),
            },
            "update" => Input::UpdateFunction {
                caller: self.names.new_caller(&caller),
                function: self.names.function_id(words.word(0)),
                change: Box::new(change(words)),
            },
            "delete" => Input::DeleteFunction {
                caller: self.names.new_caller(&caller),
                function: self.names.function_id(words.word(0)),
            },
            "drain" => Input::Drain,
            _ => self.worker_input(words, &caller),
        }
    }

    pub(super) fn invoke(&self, caller: Caller, request_id: RequestId, words: &Words<'_>) -> Input {
        let mode = if words.verb() == "invoke" {
            Mode::Sync { deadline: words.span("deadline").map(|span| self.clock + span) }
        } else {
            let idempotency = words.text("key").map(|key| {
                let digest = words.number("digest").unwrap_or(0);
                Box::new(Idempotency { key: key.into(), digest })
            });
            let hops = words.number("hops").unwrap_or(0).try_into().expect("a small number");
            let not_before = words.span("in").map(|span| self.clock.saturating_add(span));
            Mode::Event { not_before, hops, idempotency }
        };
        Input::Invoke(Invoke {
            caller,
            function: self.names.function_id(words.word(1)),
            request_id,
            payload_bytes: words.number("bytes").unwrap_or(10).try_into().expect("a small number"),
            mode,
        })
    }

    pub(super) fn worker_input(&mut self, words: &Words<'_>, caller: &str) -> Input {
        let name = words.word(0);
        let outcome = |play: &Self, result| {
            let (worker, lease) = play.names.lease_of(name);
            Input::Outcome { worker, lease, result }
        };
        let bytes = words.number("bytes").unwrap_or(2);
        match words.verb() {
            "join" => {
                self.joining = Some(name.to_owned());
                let functions = words.rest(1).iter();
                Input::WorkerJoined {
                    caller: self.names.new_caller(caller),
                    functions: functions.map(|n| FunctionName::new(n).expect("a name")).collect(),
                    slots: words.number("slots").unwrap_or(1).try_into().expect("a small number"),
                }
            }
            "leave" => Input::WorkerLeft { worker: self.names.worker_id(name) },
            "retire" => Input::WorkerDraining { worker: self.names.worker_id(name) },
            "slots" => {
                let slots = u32::try_from(words.word_number(1)).expect("a small number");
                Input::WorkerSlots { worker: self.names.worker_id(name), slots }
            }
            "started" => {
                Input::Started { worker: self.names.worker_id(name), through: words.word_number(1) }
            }
            "answer" => outcome(self, AttemptResult::Response { bytes }),
            "fail" => outcome(self, AttemptResult::FunctionError { bytes }),
            "stopped" => outcome(self, AttemptResult::Stopped { timed_out: words.has("timeout") }),
            "return" => outcome(self, AttemptResult::Returned),
            "unsent" => {
                let (worker, lease) = self.names.lease_of(name);
                Input::NotSent { worker, lease }
            }
            "delivered" | "undelivered" | "refused" => {
                let result = match words.verb() {
                    "delivered" => DeliveryResult::Taken,
                    "undelivered" => DeliveryResult::Failed,
                    _ => DeliveryResult::Refused,
                };
                let request_id = self.names.request_id(name);
                let offered = self.offered.get(&request_id);
                let entry = *offered.unwrap_or_else(|| panic!("{name} was never offered"));
                Input::Delivered { entry, result }
            }
            verb => panic!("{verb:?} is no command"),
        }
    }
}

/// Sets what is given; `clear=KEY,KEY` clears, and the rest stays.
fn change(words: &Words<'_>) -> SettingsChange {
    let mut change = SettingsChange::from(settings(words));
    for key in words.text("clear").into_iter().flat_map(|keys| keys.split(',')) {
        match key {
            "description" => change.description = Change::Clear,
            "timeout" => change.timeout = Change::Clear,
            "memory" => change.memory = Change::Clear,
            "reserved" => change.reserved_concurrency = Change::Clear,
            "retries" => change.max_retries = Change::Clear,
            "age" => change.max_event_age = Change::Clear,
            "ok" => change.on_success = Change::Clear,
            "bad" => change.on_failure = Change::Clear,
            key => panic!("{key:?} is no setting"),
        }
    }
    change
}

fn settings(words: &Words<'_>) -> FunctionSettings {
    let small = |key: &str| words.number(key).map(|n| u16::try_from(n).expect("a small number"));
    FunctionSettings {
        description: words.text("description").map(Into::into),
        timeout: small("timeout").map(|n| TimeoutSeconds::new(n).expect("a timeout")),
        memory: small("memory").map(|n| MemoryMb::new(n).expect("memory")),
        reserved_concurrency: words
            .number("reserved")
            .map(|n| u32::try_from(n).expect("a small number")),
        max_retries: words
            .number("retries")
            .map(|n| MaxRetries::new(u8::try_from(n).expect("a small number")).expect("retries")),
        max_event_age: small("age").map(|n| MaxEventAgeSeconds::new(n).expect("an age")),
        on_success: words.text("ok").map(destination),
        on_failure: words.text("bad").map(destination),
    }
}
