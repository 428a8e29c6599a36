//! The judge against histories with a planted fault: each rule finds its own, and a sound history passes.

use super::*;

const OK: &str = "ok";

/// A history as a test writes it; the time moves 10 ms a line.
#[derive(Debug, Clone, Default)]
struct Story(Vec<Line>);

impl Story {
    /// One function that succeeds and one that fails, nothing offered yet.
    fn begin() -> Self {
        let function = |name: &str, expect, retries| Entry::Function {
            name: name.to_owned(),
            expect,
            retries,
            reserved: (name == "narrow").then_some(2),
        };
        Self::default()
            .then(function(OK, Expect::Success, 2))
            .then(function("bad", Expect::Failure, 0))
            .then(function("again", Expect::LastAttempt, 1))
            .then(function("narrow", Expect::Success, 2))
    }

    fn then(mut self, entry: Entry) -> Self {
        let at_ms = self.0.last().map_or(0, |line| line.at_ms + 10);
        self.0.push(Line { at_ms, entry });
        self
    }

    fn later(mut self, by_ms: u64, entry: Entry) -> Self {
        let at_ms = self.0.last().map_or(0, |line| line.at_ms) + by_ms;
        self.0.push(Line { at_ms, entry });
        self
    }

    fn attempted(self, event: u64, function: &str) -> Self {
        self.then(Entry::Attempted { event: EventId(event), function: function.to_owned() })
    }

    fn acked(self, event: u64) -> Self {
        let request_id = format!("r{event}");
        self.then(Entry::Acked { event: EventId(event), request_id, duplicate: false })
    }

    fn run(self, run: u64, event: u64, how: Ending) -> Self {
        self.then(started(run, event, OK, 1)).then(Entry::Ended { run: RunId(run), how })
    }

    fn recorded(self, event: u64, condition: Condition) -> Self {
        self.then(record(event, condition, 1, event))
    }

    /// An event that goes the whole way.
    fn succeeded(self, event: u64) -> Self {
        self.attempted(event, OK)
            .acked(event)
            .run(event, event, Ending::Answered)
            .recorded(event, Condition::Success)
    }

    fn killed(self) -> Self {
        self.then(Entry::Killed { epoch: 1 }).then(Entry::Serving {
            epoch: 1,
            after_ms: 120,
            queued: 7,
        })
    }

    fn judged(self) -> Verdict {
        judge(&self.then(Entry::Healed { queued: 3 }).then(Entry::Drained { queued: 0 }).0)
    }
}

fn started(run: u64, event: u64, function: &str, attempt: u32) -> Entry {
    Entry::Started {
        run: RunId(run),
        event: EventId(event),
        function: function.to_owned(),
        request_id: format!("r{event}"),
        attempt,
        epoch: 0,
        sync: false,
    }
}

fn record(event: u64, condition: Condition, attempts: u32, digest: u64) -> Entry {
    Entry::Record {
        side: condition.side(),
        event: EventId(event),
        request_id: format!("r{event}"),
        condition,
        attempts,
        digest,
    }
}

fn broken(verdict: &Verdict) -> Vec<Invariant> {
    verdict.findings.iter().map(|finding| finding.invariant).collect()
}

#[test]
fn a_sound_history_holds_and_its_figures_are_right() {
    let verdict = Story::begin()
        .succeeded(1)
        .attempted(2, "bad")
        .acked(2)
        .then(started(20, 2, "bad", 1))
        .then(Entry::Ended { run: RunId(20), how: Ending::Failed })
        .recorded(2, Condition::RetriesExhausted)
        .attempted(3, OK)
        .killed()
        .then(Entry::Unanswered { event: EventId(3), why: "reset".to_owned() })
        .run(30, 3, Ending::Dropped)
        .run(31, 3, Ending::Answered)
        .recorded(3, Condition::Success)
        .recorded(3, Condition::Success)
        .attempted(4, OK)
        .then(Entry::Refused { event: EventId(4), reason: "QUEUE_FULL".to_owned() })
        .judged();
    assert!(verdict.holds(), "{verdict}");
    assert_eq!((verdict.attempted, verdict.acked, verdict.refused), (4, 2, 1));
    assert_eq!((verdict.unanswered, verdict.recovered, verdict.seen), (1, 1, 3));
    assert_eq!((verdict.runs, verdict.duplicate_runs, verdict.duplicate_records), (4, 1, 1));
    assert_eq!(verdict.restarts, Restarts { median_ms: 120, longest_ms: 120, longest_queued: 7 });
    assert_eq!(verdict.drained, Some((3, 10)));
}

#[test]
fn a_lost_event_is_found_and_placed() {
    let verdict = Story::begin()
        .attempted(1, OK)
        .acked(1)
        .succeeded(2)
        .attempted(3, OK)
        .acked(3)
        .run(3, 3, Ending::Answered)
        .succeeded(4)
        .attempted(5, OK)
        .acked(5)
        .judged();
    assert_eq!(verdict.lost.prefix, [EventId(1)]);
    assert_eq!(verdict.lost.middle, [EventId(3)], "it ran, and ended nowhere");
    assert_eq!(verdict.lost.suffix, [EventId(5)]);
    assert_eq!(broken(&verdict), [Invariant::I1; 3]);
    assert!(!verdict.holds());
}

#[test]
fn an_event_that_only_the_broker_knows_is_not_lost_but_not_done() {
    let known = Entry::Known { event: EventId(1), ended: false, delivered: false, attempts: 0 };
    let verdict = Story::begin().attempted(1, OK).acked(1).then(known).judged();
    assert!(verdict.lost.is_empty());
    assert_eq!(broken(&verdict), [Invariant::I1, Invariant::I9]);
}

#[test]
fn a_second_end_is_found_and_a_second_delivery_is_counted() {
    let once = Story::begin().succeeded(1);
    let again = once.clone().recorded(1, Condition::Success).judged();
    assert!(again.holds(), "{again}");
    assert_eq!(again.duplicate_records, 1);

    let other_bytes = once.clone().then(record(1, Condition::Success, 1, 99)).judged();
    assert_eq!((broken(&other_bytes), other_bytes.ended_twice), (vec![Invariant::I1], 1));
    let both_ways = once.recorded(1, Condition::RetriesExhausted).judged();
    assert_eq!((broken(&both_ways), both_ways.ended_twice), (vec![Invariant::I1], 1));
}

#[test]
fn what_was_not_asked_for_is_found() {
    let unexpected = Story::begin().run(9, 9, Ending::Answered).judged();
    assert_eq!(broken(&unexpected), [Invariant::I3]);
    let refused = Story::begin()
        .attempted(1, OK)
        .then(Entry::Refused { event: EventId(1), reason: "STORE_UNAVAILABLE".to_owned() })
        .run(1, 1, Ending::Answered)
        .recorded(1, Condition::Success)
        .judged();
    assert_eq!(broken(&refused), [Invariant::I3]);
}

#[test]
fn a_second_run_needs_a_fault() {
    let twice = Story::begin().succeeded(1).run(8, 1, Ending::Answered);
    assert_eq!(broken(&twice.clone().judged()), [Invariant::I3]);
    let after_a_kill = twice.killed().judged();
    assert!(after_a_kill.holds(), "{after_a_kill}");
    assert_eq!(after_a_kill.duplicate_runs, 1);
}

#[test]
fn attempts_that_no_failure_explains_are_found() {
    let spent = Story::begin()
        .killed()
        .attempted(1, OK)
        .acked(1)
        .run(1, 1, Ending::Dropped)
        .run(2, 1, Ending::Answered)
        .then(record(1, Condition::Success, 2, 1))
        .judged();
    assert_eq!(broken(&spent), [Invariant::I2], "a kill spends no attempt");
    let unspent = Story::begin().attempted(1, OK).acked(1).recorded(1, Condition::Success).judged();
    assert_eq!(broken(&unspent), [Invariant::I2], "it never ran");
}

#[test]
fn a_synchronous_call_that_runs_twice_is_found() {
    let run = |run: u64| Entry::Started {
        run: RunId(run),
        event: EventId(5),
        function: OK.to_owned(),
        request_id: "r5".to_owned(),
        attempt: 1,
        epoch: 0,
        sync: true,
    };
    let once = Story::begin()
        .then(Entry::Called { call: EventId(5), function: OK.to_owned() })
        .then(run(1))
        .then(Entry::Returned { call: EventId(5) });
    assert!(once.clone().judged().holds());
    assert_eq!(broken(&once.then(run(2)).judged()), [Invariant::I2]);
}

#[test]
fn concurrency_beyond_the_limit_is_found_within_one_life_of_the_broker() {
    let narrow = |story: Story, event: u64| story.attempted(event, "narrow").acked(event);
    let begin = [1, 2, 3].into_iter().fold(Story::begin(), narrow);
    let three = [1, 2, 3]
        .into_iter()
        .fold(begin.clone(), |story, event| story.then(started(event, event, "narrow", 1)));
    let end =
        |story: Story| [1, 2, 3].into_iter().fold(story, |s, e| s.recorded(e, Condition::Success));
    assert_eq!(broken(&end(three).judged()), [Invariant::I4]);

    let of_the_next = Entry::Started {
        run: RunId(3),
        event: EventId(3),
        function: "narrow".to_owned(),
        request_id: "r3".to_owned(),
        attempt: 1,
        epoch: 1,
        sync: false,
    };
    let two = begin.then(started(1, 1, "narrow", 1)).then(started(2, 2, "narrow", 1)).killed();
    assert!(end(two.then(of_the_next)).judged().holds());
}

#[test]
fn a_missing_slot_is_found() {
    let slots = |together, drift| Entry::Slots {
        function: "narrow".to_owned(),
        limit: 2,
        together,
        drift,
        running: 0,
    };
    assert!(Story::begin().then(slots(2, 0)).judged().holds());
    assert_eq!(broken(&Story::begin().then(slots(1, 0)).judged()), [Invariant::I4]);
    assert_eq!(broken(&Story::begin().then(slots(2, 1)).judged()), [Invariant::I4]);
}

#[test]
fn another_request_id_is_found() {
    let renamed = Entry::Record {
        side: Side::Success,
        event: EventId(1),
        request_id: "r2".to_owned(),
        condition: Condition::Success,
        attempts: 1,
        digest: 1,
    };
    let story = Story::begin().attempted(1, OK).acked(1).run(1, 1, Ending::Answered).then(renamed);
    assert_eq!(broken(&story.judged()), [Invariant::I5]);
}

#[test]
fn an_early_retry_is_found() {
    let failed = Story::begin()
        .attempted(1, "again")
        .acked(1)
        .then(started(1, 1, "again", 1))
        .then(Entry::Ended { run: RunId(1), how: Ending::Failed });
    let retried = |after_ms| {
        failed
            .clone()
            .later(after_ms, started(2, 1, "again", 2))
            .then(Entry::Ended { run: RunId(2), how: Ending::Answered })
            .then(record(1, Condition::Success, 2, 1))
            .judged()
    };
    assert!(retried(60_000).holds());
    assert_eq!(broken(&retried(59_000)), [Invariant::I8]);
}

#[test]
fn a_backlog_that_stays_is_found() {
    let story = Story::begin().then(Entry::Healed { queued: 9 }).then(Entry::Drained { queued: 2 });
    let verdict = judge(&story.0);
    assert_eq!((broken(&verdict), verdict.drained), (vec![Invariant::I10], None));
    assert_eq!(broken(&judge(&[])), [Invariant::I10]);
}

#[test]
fn a_history_is_read_as_it_was_noted() {
    let folder = std::env::temp_dir().join(format!("trine-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("history");
    let story = Story::begin().succeeded(1).killed();
    let history = History::begin(&path).unwrap();
    let notes = history.notes();
    story.0.iter().for_each(|line| notes.note(line.entry.clone()));
    drop(notes);
    let lines = history.close().unwrap();
    let entries = |lines: &[Line]| lines.iter().map(|line| line.entry.clone()).collect::<Vec<_>>();
    assert_eq!(entries(&lines), entries(&story.0));
    assert!(History::begin(&path).is_err(), "a history is never written over");
    std::fs::remove_dir_all(&folder).unwrap();
}
