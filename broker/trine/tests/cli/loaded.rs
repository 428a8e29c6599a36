//! `trine bench`.

use crate::program::{Served, Serving};

fn served() -> (Served, Serving) {
    let served = Served::start();
    served.json("function create echo");
    served.json("function create fail --max-retries 0");
    let serving = Serving::start(&served);
    (served, serving)
}

#[test]
fn every_call_is_counted_once() {
    let (served, _worker) = served();
    for (line, mode) in [
        ("bench --function echo --count 500 --in-flight 32 --connections 3", "stream"),
        ("bench --function echo --count 500 --in-flight 8 --connections 2 --unary", "unary"),
    ] {
        let figures = served.json(line);
        assert_eq!(figures["answered"], 500, "{figures}");
        assert_eq!(figures["unfinished"], 0, "{figures}");
        assert_eq!(figures["refused"], serde_json::json!({}), "{figures}");
        assert_eq!(figures["mode"], mode);
        let latency = &figures["latency_us"];
        assert!(latency["p50"].as_u64() <= latency["max"].as_u64(), "{figures}");
    }
    served.until_metric("trine_invocations_total{function=\"echo\"} 1000");
}

#[test]
fn function_errors_are_answers() {
    let (served, _worker) = served();
    let figures = served.json("bench --function fail --count 50 --in-flight 4");
    assert_eq!((&figures["answered"], &figures["function_errors"]), (&50.into(), &50.into()));
}

#[test]
fn events_are_accepted_durably() {
    let (served, _worker) = served();
    let figures = served.json("bench --function echo --count 200 --in-flight 16 --event");
    assert_eq!(figures["answered"], 200, "{figures}");
    assert_eq!(figures["durability"], "local_disk", "{figures}");
}

#[test]
fn a_time_ends_it_and_people_see_no_bar_in_a_log() {
    let (served, _worker) = served();
    let run = served.trine("bench --function echo --duration 100ms --in-flight 4").ok();
    assert!(run.stdout.contains("throughput"), "{run:?}");
    assert!(run.stdout.contains("p99"), "{run:?}");
    assert!(run.stderr.is_empty(), "{run:?}");
}

#[test]
fn what_cannot_be_loaded_is_told_at_once() {
    let served = Served::start();
    assert_eq!(served.refused("bench --function ghost", 66)["reason"], "UNKNOWN_FUNCTION");
    served.json("function create echo");
    let run = served.trine("bench --function echo --count 20 --in-flight 2");
    assert_eq!(run.exit, 75, "{run:?}");
    assert!(run.stdout.contains("20 NO_WORKER"), "{run:?}");
}
