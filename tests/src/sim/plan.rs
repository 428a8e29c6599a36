//! Owns what a seed makes of a world before it begins: its limits, how long it lasts and what may go wrong in it.

use trine_engine::{
    Change, Destination, EngineLimits, FunctionName, FunctionSettings, MaxEventAgeSeconds,
    MaxRetries, SettingsChange, TimeoutSeconds,
};

use super::random::Random;

/// What one world is like.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) limits: EngineLimits,
    pub(super) workers: u32,
    /// Things that clients do.
    pub(super) requests: u32,
    /// Longest time between two of them.
    pub(super) request_gap_ms: u64,
    /// Things that go wrong, at most, and the longest time between two of them.
    pub(super) faults: u32,
    pub(super) fault_gap_ms: u64,
    /// Longest way of a frame between broker and worker.
    pub(super) way_ms: u64,
    /// Longest commit.
    pub(super) commit_ms: u64,
}

pub(super) const FUNCTIONS: [&str; 5] = ["f0", "f1", "f2", "f3", "f4"];

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "plan");
        Self {
            limits: limits(&mut random),
            workers: random.small(1, 5),
            requests: random.small(60, 220),
            request_gap_ms: *random.pick(&[5, 50, 500, 3_000, 20_000]),
            faults: *random.pick(&[0, 4, 12, 12, 30]),
            fault_gap_ms: *random.pick(&[300, 3_000, 20_000, 100_000]),
            way_ms: *random.pick(&[1, 5, 50, 900]),
            commit_ms: *random.pick(&[1, 5, 40, 400]),
        }
    }
}

fn limits(random: &mut Random) -> EngineLimits {
    EngineLimits {
        account_concurrency: random.small(2, 12),
        unreserved_concurrency_min: random.small(1, 2),
        queue_count_max: random.between(5, 80),
        queue_bytes_max: random.between(500, 20_000),
        history_count_max: random.between(3, 60),
        history_age_ms: *random.pick(&[60_000, 3_600_000, 86_400_000]),
        dead_age_ms: *random.pick(&[60_000, 3_600_000, 1_209_600_000]),
        functions_max: random.small(3, 5),
        sync_waiting_max: random.small(1, 20),
        placement_wait_ms: random.between(200, 6_000),
        stop_grace_ms: random.between(200, 6_000),
        delivery_age_ms: *random.pick(&[2_000, 60_000, 3_600_000]),
        response_bytes_max: 1_000,
    }
}

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::new(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// Settings as a client might choose them.
pub(super) fn settings(random: &mut Random) -> FunctionSettings {
    let destination = |random: &mut Random| match random.below(3) {
        0 => None,
        1 => Some(Destination::File { name: "records".into() }),
        _ => Some(Destination::Function(name(FUNCTIONS[random.place(FUNCTIONS.len())]))),
    };
    let reserved = random.weighted(&[(6, None), (1, Some(0)), (3, Some(1)), (2, Some(2))]);
    FunctionSettings {
        timeout: TimeoutSeconds::new(*random.pick(&[1, 1, 3, 10, 60])).ok(),
        reserved_concurrency: reserved,
        max_retries: random
            .weighted(&[(2, None), (1, Some(0)), (1, Some(1)), (1, Some(2))])
            .and_then(|n| MaxRetries::new(n).ok()),
        max_event_age: random
            .weighted(&[(3, None), (1, Some(60)), (1, Some(90)), (1, Some(600))])
            .and_then(|n| MaxEventAgeSeconds::new(n).ok()),
        on_success: destination(random),
        on_failure: destination(random),
        ..FunctionSettings::default()
    }
}

/// A change of them: some are set, of the others some cleared.
pub(super) fn change(random: &mut Random) -> SettingsChange {
    fn some<T>(random: &mut Random, change: &mut Change<T>) {
        match random.below(4) {
            0 if change.set().is_none() => *change = Change::Clear,
            1 | 2 => *change = Change::Keep,
            _ => {}
        }
    }
    let mut change = SettingsChange::from(settings(random));
    some(random, &mut change.timeout);
    some(random, &mut change.reserved_concurrency);
    some(random, &mut change.max_retries);
    some(random, &mut change.max_event_age);
    some(random, &mut change.on_success);
    some(random, &mut change.on_failure);
    change
}
