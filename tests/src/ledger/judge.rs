//! The rules: one function an invariant, over a history put in order.

use std::collections::BTreeSet;

use super::book::{Book, Event, Function};
use super::verdict::Restarts;
use super::{EventId, Expect, Invariant, Line, Lost, Verdict};

/// Refusals after which the event may be there all the same: the answer says so, or the broker ended
/// between the write and the answer.
const OPEN_REFUSALS: [&str; 3] = ["STORE_UNKNOWN", "SHUTTING_DOWN", "INTERNAL"];

/// Judges the lines of one history.
#[must_use]
pub fn judge(lines: &[Line]) -> Verdict {
    let mut book = Book::default();
    lines.iter().for_each(|line| book.take(line));
    let survived: BTreeSet<EventId> = book
        .events
        .iter()
        .filter_map(|(event, known)| known.survives().then_some(*event))
        .collect();
    let lost = Lost::of(&book.acked, &survived);
    for event in lost.all() {
        book.find(Invariant::I1, format!("{event} was acknowledged and is lost"));
    }
    let events = std::mem::take(&mut book.events);
    for (id, event) in &events {
        judge_event(&mut book, *id, event);
    }
    judge_calls(&mut book);
    judge_backlog(&mut book);
    sum_up(book, &events, lost)
}

fn judge_event(book: &mut Book, id: EventId, event: &Event) {
    let Some(name) = &event.function else {
        return book.find(Invariant::I3, format!("{id} was seen and never attempted"));
    };
    let Some(function) = book.functions.get(name).cloned() else {
        return book
            .find(Invariant::I3, format!("{id} went to {name}, which is no function of this run"));
    };
    if let Some(reason) = &event.refused
        && event.is_seen()
        && !event.acked
        && !event.unanswered
        && !OPEN_REFUSALS.contains(&reason.as_str())
    {
        book.find(
            Invariant::I3,
            format!("{id} was refused with {reason} and is there all the same"),
        );
    }
    if event.request_ids.len() > 1 {
        let ids: Vec<_> = event.request_ids.iter().map(String::as_str).collect();
        book.find(Invariant::I5, format!("{id} has several request ids: {}", ids.join(", ")));
    }
    judge_end(book, id, event);
    judge_attempts(book, id, event, &function);
    judge_known(book, id, event);
}

/// I1: one terminal record. The same bytes once more are a second delivery, not a second end.
fn judge_end(book: &mut Book, id: EventId, event: &Event) {
    let ends: BTreeSet<_> = event.records.iter().collect();
    if ends.len() > 1 {
        book.find(Invariant::I1, format!("{id} ended {} times: {ends:?}", ends.len()));
    }
    if event.acked && ends.is_empty() && event.survives() {
        book.find(
            Invariant::I1,
            format!("{id} was acknowledged and no destination has its record"),
        );
    }
    for end in ends {
        if end.condition.side() != end.side {
            book.find(
                Invariant::I1,
                format!("{id} ended with {:?} and went to {:?}", end.condition, end.side),
            );
        }
    }
}

/// I2: what is spent is what failed. A kill spends nothing.
fn judge_attempts(book: &mut Book, id: EventId, event: &Event, function: &Function) {
    let Some(end) = event.records.first() else { return };
    let expected = match function.expect {
        Expect::Success => 1,
        Expect::Failure | Expect::LastAttempt => 1 + function.retries,
    };
    let succeeds = function.expect != Expect::Failure;
    if end.attempts != expected {
        let spent = end.attempts;
        book.find(Invariant::I2, format!("{id} ended after {spent} attempts, {expected} were due"));
    }
    if succeeds != (end.condition == super::Condition::Success) {
        book.find(Invariant::I2, format!("{id} ended with {:?}", end.condition));
    }
    if event.starts < end.attempts {
        let (starts, spent) = (event.starts, end.attempts);
        book.find(Invariant::I2, format!("{id} spent {spent} attempts and ran {starts} times"));
    }
    if book.kills == 0 && event.starts > end.attempts {
        let starts = event.starts;
        book.find(Invariant::I3, format!("{id} ran {starts} times although nothing went wrong"));
    }
}

/// I9: the broker's own account and the destinations agree.
fn judge_known(book: &mut Book, id: EventId, event: &Event) {
    let Some(known) = event.known else { return };
    if !known.ended || !known.delivered {
        let what = if known.ended { "delivered" } else { "ended" };
        return book.find(Invariant::I9, format!("{id} has not {what} for the broker"));
    }
    if let Some(end) = event.records.first()
        && end.attempts != known.attempts
    {
        let (recorded, counted) = (end.attempts, known.attempts);
        book.find(
            Invariant::I9,
            format!("{id} has {recorded} attempts in its record and {counted} for the broker"),
        );
    }
}

fn judge_calls(book: &mut Book) {
    let calls = std::mem::take(&mut book.calls);
    for (id, call) in &calls {
        if !call.made {
            book.find(Invariant::I3, format!("{id} ran and was never called"));
        }
        if call.starts > 1 {
            book.find(Invariant::I2, format!("{id} is synchronous and ran {} times", call.starts));
        }
        if call.returned && call.starts == 0 {
            book.find(Invariant::I3, format!("{id} was answered and never ran"));
        }
    }
    book.calls = calls;
}

fn judge_backlog(book: &mut Book) {
    match (book.healed, book.drained) {
        (Some(_), Some((_, 0))) => {}
        (Some(_), Some((_, left))) => {
            book.find(Invariant::I10, format!("{left} events are still queued after the run"));
        }
        _ => book.find(Invariant::I10, "nobody waited for the backlog".to_owned()),
    }
}

fn sum_up(book: Book, events: &std::collections::BTreeMap<EventId, Event>, lost: Lost) -> Verdict {
    let count = |wanted: &dyn Fn(&Event) -> bool| {
        events.values().filter(|event| wanted(event)).count() as u64
    };
    let attempted = |event: &Event| event.function.is_some();
    let ends = |event: &Event| event.records.iter().collect::<BTreeSet<_>>().len() as u64;
    let again = |event: &Event| {
        let spent = event.records.first().map_or(1, |end| end.attempts);
        u64::from(event.starts.saturating_sub(spent))
    };
    Verdict {
        kills: book.kills,
        restarts: restarts(&book.restarts),
        attempted: count(&attempted),
        acked: book.acked.len() as u64,
        refused: count(&|event| !event.acked && event.refused.is_some()),
        unanswered: count(&|event| !event.acked && event.unanswered),
        seen: count(&Event::is_seen),
        recovered: count(&|event| attempted(event) && !event.acked && event.is_seen()),
        lost,
        calls: book.calls.values().filter(|call| call.made).count() as u64,
        calls_returned: book.calls.values().filter(|call| call.returned).count() as u64,
        runs: book.runs,
        duplicate_runs: events.values().map(again).sum(),
        duplicate_records: events
            .values()
            .map(|event| event.records.len() as u64 - ends(event))
            .sum(),
        torn_records: book.torn,
        ended_twice: count(&|event| ends(event) > 1),
        drained: book.healed.zip(book.drained).and_then(|((from, queued), (to, left))| {
            (left == 0).then_some((queued, to.saturating_sub(from)))
        }),
        findings: book.findings,
    }
}

fn restarts(all: &[(u64, u64)]) -> Restarts {
    let mut times: Vec<u64> = all.iter().map(|(after_ms, _)| *after_ms).collect();
    times.sort_unstable();
    let (longest_ms, longest_queued) = all.iter().copied().max().unwrap_or_default();
    let median_ms = times.get(times.len() / 2).copied().unwrap_or_default();
    Restarts { median_ms, longest_ms, longest_queued }
}
