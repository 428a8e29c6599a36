//! Bisect isolates one poison record among n in at most 2 · log2(n) + 2 extra invocations (LS 4.6, R16).

use crate::{
    Answer, Backoff, BatchId, BatchLimits, Effect, Input, Key, Millis, Poll, RecordMeta, Records,
    Sequence, Settings, ShardId,
};

fn settings(records: u64, partial: bool) -> Settings {
    let batch = BatchLimits::new(u32::try_from(records).unwrap(), 0).unwrap();
    Settings {
        bisect: true,
        retries_max: Some(0),
        on_failure_destination: true,
        report_batch_item_failures: partial,
        function_errors: Backoff::new(1, 1),
        ..Settings::new(batch)
    }
}

/// One batch of `records` with one poison record. How often the function was invoked, and what was given up.
fn isolate(records: u64, poison: u64, partial: bool) -> (u64, Vec<Sequence>) {
    let shard = ShardId(0);
    let mut poll = Poll::new(settings(records, partial));
    let mut out = Vec::new();
    poll.step(0, Input::Tick, &mut out);
    poll.step(0, Input::SourceConnected, &mut out);
    let open = Input::ShardOpened { shard, lease_ms: None, parked: &[], window: None };
    poll.step(0, open, &mut out);
    let meta = RecordMeta { bytes: 1, arrived_at: 0, key: Key(0), filtered: false };
    let metas = vec![meta; usize::try_from(records).unwrap()];
    out.clear();
    poll.step(0, Input::RecordsRead { shard, records: &metas }, &mut out);
    let (mut now, mut invocations, mut given_up): (Millis, _, _) = (0, 0, Vec::new());
    let mut next = invoked(&out);
    while let Some((batch, sent)) = next {
        invocations += 1;
        note_given_up(&out, &mut given_up);
        out.clear();
        let failed = [Sequence(poison)];
        let answer = match (sent.iter().any(|record| record.0 == poison), partial) {
            (false, _) => Answer::Succeeded,
            (true, true) => Answer::Partial { failed: &failed },
            (true, false) => Answer::FunctionFailed,
        };
        poll.step(now, Input::BatchAnswered { shard, batch, answer, state_bytes: 0 }, &mut out);
        next = invoked(&out);
        while next.is_none() && poll.next_deadline().is_some() {
            now = poll.next_deadline().unwrap();
            poll.step(now, Input::Tick, &mut out);
            next = invoked(&out);
        }
    }
    note_given_up(&out, &mut given_up);
    (invocations, given_up)
}

fn invoked(out: &[Effect]) -> Option<(BatchId, Records)> {
    out.iter().find_map(|effect| match effect {
        Effect::Invoke { batch, records, .. } => Some((*batch, records.clone())),
        _ => None,
    })
}

fn note_given_up(out: &[Effect], given_up: &mut Vec<Sequence>) {
    for effect in out {
        if let Effect::DeliverFailure { failure, .. } = effect {
            assert_eq!(failure.approximate_invoke_count, 1);
            given_up.extend(failure.records.iter());
        }
    }
}

fn assert_bound(records: u64, poison: u64, partial: bool) {
    let (invocations, given_up) = isolate(records, poison, partial);
    assert_eq!(given_up, [Sequence(poison)], "{records} records, poison {poison}");
    // With a partial answer the remainder is sent once more before it is halved (LS 4.6).
    let remainder = if partial { 1.0 } else { 0.0 };
    let most = 2.0 * f64::from(u32::try_from(records).unwrap()).log2() + 2.0 + remainder;
    let extra = f64::from(u32::try_from(invocations - 1).unwrap());
    assert!(extra <= most, "{records} records, poison {poison}: {extra} extra, at most {most}");
}

#[test]
fn every_position_of_small_batches() {
    for records in 1..=40 {
        for poison in 0..records {
            assert_bound(records, poison, false);
            assert_bound(records, poison, true);
        }
    }
}

#[test]
fn many_positions_of_large_batches() {
    for records in [100, 127, 128, 129, 1_000] {
        for poison in (0..records).step_by(7).chain([records - 1]) {
            assert_bound(records, poison, false);
            assert_bound(records, poison, true);
        }
    }
    for poison in (0..10_000).step_by(397).chain([1, 4_999, 5_000, 9_999]) {
        assert_bound(10_000, poison, false);
        assert_bound(10_000, poison, true);
    }
}
