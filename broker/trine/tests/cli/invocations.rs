//! `trine invocation` and `trine broker advance`.

use crate::program::{Served, Serving};

fn id(accepted: &serde_json::Value) -> String {
    accepted["request_id"].as_str().expect("an id").to_owned()
}

#[test]
fn why_names_the_one_thing() {
    let served = Served::start();
    served.json("function create echo");
    let id = id(&served.json("invoke echo 1 --event"));
    let why = served.json(&format!("invocation why {id}"));
    assert_eq!(why["blocker"], "no_worker");
    assert_eq!(why["invocation"]["state"], "ready");
    let human = served.trine(&format!("invocation why {id}")).ok().stdout;
    assert!(human.starts_with("no_worker: "), "{human}");
    let _worker = Serving::start(&served);
    served.until_ended(&id);
    assert_eq!(served.json(&format!("invocation why {id}"))["blocker"], "finished");
}

#[test]
fn cancel_takes_a_queued_event_out() {
    let served = Served::start();
    served.json("function create echo");
    let id = id(&served.json("invoke echo 1 --event"));
    assert_eq!(served.json(&format!("invocation cancel {id}"))["state"], "cancelled");
    let again = served.refused(&format!("invocation cancel {id}"), 73);
    assert_eq!(again["reason"], "INVOCATION_FINISHED");
    let ghost = "01900000-0000-7000-8000-000000000000";
    let unknown = served.refused(&format!("invocation show {ghost}"), 66);
    assert_eq!(unknown["reason"], "UNKNOWN_INVOCATION");
}

#[test]
fn virtual_time_carries_a_failing_event_through_its_retries() {
    let served = Served::start();
    served.json("function create fail");
    let _worker = Serving::start(&served);
    let id = id(&served.json("invoke fail 1 --event"));
    for (attempt, wait) in [(1, "59s"), (2, "119s")] {
        served.until(&id, |shown| shown["state"] == "scheduled" && shown["attempts"] == attempt);
        served.json(&format!("broker advance {wait}"));
        let shown = served.json(&format!("invocation show {id}"));
        assert_eq!(shown["attempts"], attempt, "too early: {shown}");
        let advanced = served.json("broker advance --to-next-timer");
        assert!(advanced["timers_fired"].as_u64() >= Some(1), "{advanced}");
    }
    let ended = served.until_ended(&id);
    assert_eq!(ended["state"], "dead");
    assert_eq!(ended["condition"], "RetriesExhausted");
    assert_eq!(ended["attempts"], 3);
}

#[test]
fn time_of_the_machine_cannot_be_moved() {
    let served = Served::with(&["--store", "memory"], "");
    assert_eq!(served.refused("broker advance 1s", 73)["reason"], "VIRTUAL_TIME_OFF");
}

#[test]
fn the_dead_are_listed_and_redriven() {
    let served = Served::start();
    served.json("function create fail --max-retries 0");
    served.json("function create echo");
    let _worker = Serving::start(&served);
    for _ in 0..3 {
        assert_eq!(served.trine("invoke fail 1 --event --wait").exit, 1);
    }
    served.json("invoke echo 1 --event --wait");
    let dead = served.json("invocation list --state dead");
    assert_eq!(dead["invocations"].as_array().map(Vec::len), Some(3), "{dead}");
    let cut = served.json("invocation list --state dead --limit 2");
    assert_eq!(
        (cut["invocations"].as_array().map(Vec::len), &cut["more"]),
        (Some(2), &true.into())
    );
    assert_eq!(served.json("invocation list --function fail --condition success")["more"], false);

    let dry = served.json("invocation redrive --function fail --dry-run");
    assert_eq!((&dry["matched"], &dry["redriven"]), (&3.into(), &0.into()), "{dry}");
    let first = dead["invocations"][0]["request_id"].as_str().expect("an id");
    let one = served.json(&format!("invocation redrive {first}"));
    assert_eq!((&one["matched"], &one["redriven"]), (&1.into(), &1.into()), "{one}");
    let new = one["invocations"][0]["new_request_id"].as_str().expect("an id");
    assert_eq!(served.json(&format!("invocation show {first}"))["redriven_to"], new);
    assert_eq!(served.json(&format!("invocation show {new}"))["redriven_from"], first);
    served.until_ended(new);
    let run = served.trine("invocation redrive --all --count-max 2").ok();
    assert!(run.stdout.contains("2 redriven"), "{run:?}");
    let again = served.run(&["--output", "json", "invocation", "redrive", first]);
    assert_eq!(again.exit, 73, "{again:?}");
    assert_eq!(again.json()["invocations"][0]["reason"], "NOT_REDRIVABLE");
}
