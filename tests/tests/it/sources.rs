//! A short edition of `cargo xtask sources`: records through real sources while the broker is killed twice and the source goes away
//! once.

use trine_tests::fixture::run;
use trine_tests::fixture::tools::{address, tool};
use trine_tests::sources::{Kind, Plan, run as run_source};

const RECORDS: u64 = 2_000;

async fn holds(kind: Kind) {
    let plan = Plan { kind, records: RECORDS, kills: 2, outages: 1, lanes: false };
    let verdict = run_source(&plan, |said| println!("{said}")).await.unwrap();
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.ledger.seen_count(), RECORDS);
}

#[test]
fn lines_of_a_file_survive_kills_and_a_rotation() {
    run(holds(Kind::File));
}

#[test]
fn entries_of_redis_survive_kills_and_a_restart() {
    run(async {
        // The server is the test's own: it is killed. The shared one tells that there is one here.
        let test = "entries_of_redis_survive_kills_and_a_restart";
        if address(test, "TRINE_REDIS").is_some() {
            holds(Kind::Redis).await;
        }
    });
}

#[test]
fn messages_of_jetstream_survive_kills_and_a_restart() {
    run(async {
        let test = "messages_of_jetstream_survive_kills_and_a_restart";
        if tool(test, "TRINE_NATS_SERVER", "nats-server").is_some() {
            holds(Kind::Nats).await;
        }
    });
}
