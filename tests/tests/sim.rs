//! The seeded simulation: every rule of the ledger in 2 000 worlds, each played twice; and worlds with a defect,
//! which the ledger has to notice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use trine_tests::sim::{Counts, Failure, Options, Report, Sabotage, run};

const SEEDS: u64 = 2_000;

#[test]
fn every_rule_holds_in_every_seed_and_a_seed_replays() {
    let (next, total) = (AtomicU64::new(1), Mutex::new(Counts::default()));
    let failures: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    match play_twice(seed) {
                        Ok(report) => total.lock().unwrap().add(&report.counts),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures.join("\n"));
    let total = total.into_inner().unwrap();
    println!("{SEEDS} seeds, each twice: {total:?}");
    total.assert_all_occurred();
}

fn play_twice(seed: u64) -> Result<Report, String> {
    let play = || run(seed, Options::default()).map_err(|failure| failure.to_string());
    let (first, second) = (play()?, play()?);
    if (first.hash, first.steps) != (second.hash, second.steps) {
        return Err(format!(
            "seed {seed}: two runs differ\nplay it again: cargo xtask sim --seed {seed}"
        ));
    }
    Ok(first)
}

/// Plays seeds until the sabotage was noticed `wanted` times, and says by which rules.
fn noticed(sabotage: Sabotage, wanted: usize) -> Vec<Failure> {
    let options = Options { sabotage: Some(sabotage), lines: false };
    let failures = (1..=300).filter_map(|seed| run(seed, options).err());
    let failures: Vec<Failure> = failures.take(wanted).collect();
    assert_eq!(failures.len(), wanted, "{sabotage:?} is not noticed");
    failures
}

fn assert_noticed_by(sabotage: Sabotage, rules: &[&str]) {
    for failure in noticed(sabotage, 10) {
        let by_rule = rules.iter().any(|rule| failure.why.starts_with(rule));
        assert!(by_rule, "{sabotage:?} should break one of {rules:?}: {failure}");
        let healthy = run(failure.seed, Options::default());
        assert!(healthy.is_ok(), "without {sabotage:?} nothing is wrong: {healthy:?}");
    }
}

#[test]
fn a_save_that_is_never_reported_is_noticed() {
    assert_noticed_by(Sabotage::LosePersisted, &["I1:", "I4:", "I10:"]);
}

#[test]
fn an_acknowledged_event_that_the_disk_forgets_is_noticed() {
    assert_noticed_by(Sabotage::LoseRecord, &["I1:"]);
}

#[test]
fn an_end_that_the_disk_forgets_is_noticed() {
    assert_noticed_by(Sabotage::LoseEnd, &["I1:"]);
}

#[test]
fn an_attempt_that_runs_twice_is_noticed() {
    assert_noticed_by(Sabotage::RunTwice, &["I3:"]);
}

#[test]
fn a_slot_whose_outcome_never_came_is_noticed() {
    assert_noticed_by(Sabotage::LoseOutcome, &["I4:"]);
}

#[test]
fn a_clock_that_hurries_is_noticed() {
    assert_noticed_by(Sabotage::HurryClock, &["I2:", "I8:"]);
}

#[test]
fn a_reservation_that_is_exceeded_is_noticed() {
    // An update of other settings makes the wrong one durable, which may come out first.
    assert_noticed_by(Sabotage::WrongReservation, &["I4:", "settings:"]);
    let failures = noticed(Sabotage::WrongReservation, 10);
    assert!(failures.iter().any(|failure| failure.why.starts_with("I4:")), "{failures:?}");
}

#[test]
fn a_record_under_another_id_is_noticed() {
    assert_noticed_by(Sabotage::SwapRecord, &["I5:"]);
}
