//! Owns the commands that only look.

use super::*;

impl Play {
    pub(super) fn resolve(&mut self, words: &Words<'_>) -> String {
        let qualifier = Qualifier::parse(words.rest(1).first().copied().unwrap_or(""));
        match self.engine.resolve(words.word(0), &qualifier.expect("a qualifier")) {
            Ok(id) => format!("resolved to {}", self.names.function(id)),
            Err(refusal) => {
                self.seen.word("Refusal", &refusal);
                format!("refused, {refusal:?}")
            }
        }
    }

    pub(super) fn look(&self, words: &Words<'_>, said: &mut Vec<String>) {
        match words.verb() {
            "show" => {
                let view = self.engine.invocation(self.names.request_id(words.word(0)));
                said.push(view.map_or_else(|| "unknown".to_owned(), |view| self.names.view(&view)));
            }
            "why" => {
                let why = self.engine.explain(self.names.request_id(words.word(0)));
                said.push(why.map_or_else(|| "unknown".to_owned(), |why| self.names.blocker(why)));
            }
            "usage" => match self.engine.function(words.word(0)) {
                Some(view) => {
                    let u = view.usage;
                    let oldest = u.oldest_ready_age_ms.map_or_else(|| "none".to_owned(), span);
                    said.push(format!(
                        "running {}, queued {} ({} bytes), ready {} (oldest {oldest}), workers {}, free {}",
                        u.running, u.queued, u.queued_bytes, u.ready, u.workers, u.free_slots
                    ));
                }
                None => said.push("unknown".to_owned()),
            },
            "settings" => match self.engine.function(words.word(0)) {
                Some(view) => said.push(settings(&view.settings)),
                None => said.push("unknown".to_owned()),
            },
            "account" => {
                let a = self.engine.account();
                said.push(format!(
                    "concurrency {}, unreserved {}, running {} ({} unreserved), functions {}",
                    a.concurrency, a.unreserved, a.running, a.unreserved_running, a.functions
                ));
                said.push(format!(
                    "queued {} ({} bytes), waiting {}, workers {}, slots {} taken {}, leases {}, remembered {}",
                    a.queued, a.queued_bytes, a.sync_waiting, a.workers, a.slots, a.slots_taken, a.leases, a.remembered
                ));
            }
            "next" => {
                let next = self.engine.next_deadline();
                said.push(next.map_or_else(|| "never".to_owned(), |at| self.names.time(at)));
            }
            _ => {
                let mut from = 0;
                loop {
                    let (page, next) = self.engine.invocations(from, 2, 1, |_| true);
                    said.extend(page.iter().map(|view| {
                        format!(
                            "{}: {}",
                            self.names.request(view.request_id),
                            self.names.view(view)
                        )
                    }));
                    match next {
                        Some(next) => from = next,
                        None => return,
                    }
                }
            }
        }
    }
}

/// As a command would set them.
fn settings(settings: &FunctionSettings) -> String {
    let number = |key: &str, value: Option<u32>| value.map(|value| format!("{key}={value}"));
    let target = |key: &str, value: &Option<trine_engine::Destination>| {
        value.as_ref().map(|value| format!("{key}={}", destination_text(value)))
    };
    let set = [
        settings.description.as_ref().map(|text| format!("description={text}")),
        number("timeout", settings.timeout.map(|timeout| timeout.get().into())),
        number("memory", settings.memory.map(|memory| memory.get().into())),
        number("reserved", settings.reserved_concurrency),
        number("retries", settings.max_retries.map(|retries| retries.get().into())),
        number("age", settings.max_event_age.map(|age| age.get().into())),
        target("ok", &settings.on_success),
        target("bad", &settings.on_failure),
    ];
    let set: Vec<String> = set.into_iter().flatten().collect();
    if set.is_empty() { "nothing is set".to_owned() } else { set.join(" ") }
}
