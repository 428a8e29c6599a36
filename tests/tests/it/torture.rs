//! A short torture: ten kills under load (the long one is `cargo xtask torture`), and the run without a kill
//! that it is compared with.

use std::time::Duration;

use trine_tests::fixture::folder::Folder;
use trine_tests::fixture::run;
use trine_tests::ledger::Verdict;
use trine_tests::torture::{Plan, run as torture};

async fn tortured(kills: u32, seed: u64) -> Verdict {
    let folder = Folder::new();
    let plan = Plan {
        kills,
        life: Duration::from_millis(200)..=Duration::from_millis(1_200),
        rate: 400,
        workers: 3,
        retries: false,
        seed,
        history: folder.join("history.jsonl"),
    };
    let verdict = torture(&plan, |_| {}).await;
    println!("seed {seed}\n{verdict}");
    assert!(verdict.holds(), "seed {seed}\n{verdict}");
    verdict
}

#[test]
fn ten_kills_lose_nothing() {
    run(async {
        let verdict = tortured(10, 20_251_121).await;
        assert_eq!(verdict.kills, 10);
        assert!(verdict.acked > 100, "{verdict}");
        assert_eq!((verdict.lost.count(), verdict.ended_twice), (0, 0));
    });
}

#[test]
fn without_a_fault_nothing_happens_twice() {
    run(async {
        let verdict = tortured(0, 7).await;
        assert_eq!((verdict.duplicate_runs, verdict.duplicate_records), (0, 0));
        assert_eq!((verdict.recovered, verdict.unanswered, verdict.torn_records), (0, 0, 0));
        assert_eq!(verdict.calls, verdict.calls_returned);
    });
}
