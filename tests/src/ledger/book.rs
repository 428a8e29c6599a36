//! A history put in order: all that is known of each event, call and function. What depends on the order
//! of the lines (concurrency, early retries) is judged on the way; the rest in `judge.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Condition, Ending, Entry, EventId, Expect, Finding, Invariant, Line, RunId, Side};

/// Waits before the second and the third attempt (LS 3.1).
const RETRY_WAITS_MS: [u64; 2] = [60_000, 120_000];

/// The broker's clock and ours are read at different moments of one failure.
const CLOCK_SLACK_MS: u64 = 100;

#[derive(Debug, Clone)]
pub(super) struct Function {
    pub(super) expect: Expect,
    pub(super) retries: u32,
    pub(super) reserved: Option<u32>,
}

/// A record, without the event that it is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) side: Side,
    pub(super) condition: Condition,
    pub(super) attempts: u32,
    pub(super) digest: u64,
}

/// What the broker said of an event at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) ended: bool,
    pub(super) delivered: bool,
    pub(super) attempts: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    /// Unknown for an event that nobody attempted.
    pub(super) function: Option<String>,
    pub(super) acked: bool,
    pub(super) refused: Option<String>,
    pub(super) unanswered: bool,
    /// Every request id that anybody named with it.
    pub(super) request_ids: BTreeSet<String>,
    pub(super) starts: u32,
    /// In the order of the destination files.
    pub(super) records: Vec<Seen>,
    pub(super) known: Option<Known>,
    /// When the last failed attempt ended, and which one it was.
    failed: Option<(u64, u32)>,
}

impl Event {
    pub(super) fn is_seen(&self) -> bool {
        self.starts > 0 || !self.records.is_empty()
    }

    /// The destinations or the broker still have it.
    pub(super) fn survives(&self) -> bool {
        !self.records.is_empty() || self.known.is_some()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    pub(super) made: bool,
    pub(super) returned: bool,
    pub(super) starts: u32,
}

#[derive(Debug, Clone)]
struct Run {
    event: EventId,
    function: String,
    attempt: u32,
    epoch: u32,
}

/// Concurrency of one function as its workers see it, since the last kill: the broker that counted the
/// runs before it is dead, and its successor cannot know how long they take to notice.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    epoch: u32,
    now: u32,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) events: BTreeMap<EventId, Event>,
    /// In the order of their acknowledgement.
    pub(super) acked: Vec<EventId>,
    pub(super) calls: BTreeMap<EventId, Call>,
    pub(super) runs: u64,
    pub(super) kills: u64,
    /// Time to serve again and events queued then, one a kill.
    pub(super) restarts: Vec<(u64, u64)>,
    pub(super) torn: u64,
    pub(super) healed: Option<(u64, u64)>,
    /// When the backlog was looked at for the last time, and what was left.
    pub(super) drained: Option<(u64, u64)>,
    pub(super) findings: Vec<Finding>,
    open: HashMap<RunId, Run>,
    running: BTreeMap<String, Running>,
}

impl Book {
    pub(super) fn find(&mut self, invariant: Invariant, says: String) {
        self.findings.push(Finding { invariant, says });
    }

    fn event(&mut self, event: EventId) -> &mut Event {
        self.events.entry(event).or_default()
    }

    pub(super) fn take(&mut self, line: &Line) {
        let at_ms = line.at_ms;
        match &line.entry {
            Entry::Function { name, expect, retries, reserved } => {
                let function = Function { expect: *expect, retries: *retries, reserved: *reserved };
                self.functions.insert(name.clone(), function);
            }
            Entry::Attempted { event, function } => {
                self.event(*event).function = Some(function.clone());
            }
            Entry::Acked { event, request_id, .. } => self.acked(*event, request_id),
            Entry::Refused { event, reason } => {
                self.event(*event).refused = Some(reason.clone());
            }
            Entry::Unanswered { event, .. } => self.event(*event).unanswered = true,
            Entry::Called { call, .. } => self.calls.entry(*call).or_default().made = true,
            Entry::Returned { call } => self.calls.entry(*call).or_default().returned = true,
            Entry::CallFailed { .. } => {}
            Entry::Started { .. } => self.started(at_ms, &line.entry),
            Entry::Ended { run, how } => self.ended(at_ms, *run, *how),
            Entry::Killed { .. } => self.kills += 1,
            Entry::Serving { after_ms, queued, .. } => self.restarts.push((*after_ms, *queued)),
            Entry::Healed { queued } => self.healed = Some((at_ms, *queued)),
            Entry::Drained { queued } => self.drained = Some((at_ms, *queued)),
            Entry::Record { side, event, request_id, condition, attempts, digest } => {
                let seen = Seen {
                    side: *side,
                    condition: *condition,
                    attempts: *attempts,
                    digest: *digest,
                };
                let event = self.event(*event);
                event.request_ids.insert(request_id.clone());
                event.records.push(seen);
            }
            Entry::Torn { .. } => self.torn += 1,
            Entry::Known { event, ended, delivered, attempts } => {
                let known = Known { ended: *ended, delivered: *delivered, attempts: *attempts };
                self.event(*event).known = Some(known);
            }
            Entry::Slots { function, limit, together, drift, running } => {
                self.slots(function, *limit, *together, *drift, *running);
            }
        }
    }

    fn acked(&mut self, event: EventId, request_id: &str) {
        let known = self.event(event);
        known.request_ids.insert(request_id.to_owned());
        if !std::mem::replace(&mut known.acked, true) {
            self.acked.push(event);
        }
    }

    fn started(&mut self, at_ms: u64, entry: &Entry) {
        let Entry::Started { run, event, function, request_id, attempt, epoch, sync } = entry
        else {
            return;
        };
        self.runs += 1;
        let open =
            Run { event: *event, function: function.clone(), attempt: *attempt, epoch: *epoch };
        self.open.insert(*run, open);
        self.count_running(function, *epoch);
        if *sync {
            self.calls.entry(*event).or_default().starts += 1;
            return;
        }
        let known = self.event(*event);
        known.starts += 1;
        known.request_ids.insert(request_id.clone());
        let failed = known.failed;
        if let Some((failed_at, before)) = failed
            && *attempt == before + 1
            && let Some(wait) = RETRY_WAITS_MS.get(before.saturating_sub(1) as usize)
        {
            let earliest = (failed_at + wait).saturating_sub(CLOCK_SLACK_MS);
            if at_ms < earliest {
                let early = earliest - at_ms;
                self.find(
                    Invariant::I8,
                    format!("attempt {attempt} of {event} started {early} ms before its time"),
                );
            }
        }
    }

    fn count_running(&mut self, function: &str, epoch: u32) {
        let running = self.running.entry(function.to_owned()).or_default();
        if epoch > running.epoch {
            *running = Running { epoch, now: 0 };
        }
        // A run of an epoch that is over counts for nobody.
        running.now += u32::from(epoch == running.epoch);
        let now = running.now;
        let reserved = self.functions.get(function).and_then(|known| known.reserved);
        if let Some(limit) = reserved
            && now > limit
        {
            self.find(
                Invariant::I4,
                format!("{now} of {function} ran at once, its limit is {limit}"),
            );
        }
    }

    fn ended(&mut self, at_ms: u64, run: RunId, how: Ending) {
        let Some(open) = self.open.remove(&run) else {
            return self.find(Invariant::I3, format!("run {} ended and never started", run.0));
        };
        if let Some(running) = self.running.get_mut(&open.function)
            && running.epoch == open.epoch
        {
            running.now = running.now.saturating_sub(1);
        }
        if how == Ending::Failed
            && let Some(event) = self.events.get_mut(&open.event)
        {
            event.failed = Some((at_ms, open.attempt));
        }
    }

    fn slots(&mut self, function: &str, limit: u32, together: u32, drift: i64, running: u32) {
        if together < limit {
            self.find(
                Invariant::I4,
                format!(
                    "only {together} of {limit} slots of {function} came together after the run"
                ),
            );
        }
        if drift != 0 || running != 0 {
            self.find(
                Invariant::I4,
                format!("with nothing running the broker counts {running} running and a drift of {drift} slots"),
            );
        }
    }
}
