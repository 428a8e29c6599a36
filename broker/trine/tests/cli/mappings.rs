//! `trine mapping`.

use crate::program::Served;

/// Until the poller of the broker's own has taken what was changed: before that, another change is refused.
fn until_at_rest(served: &Served, id: &str, state: &str) {
    let describe = format!("mapping describe {id}");
    let is_it = || (served.json(&describe)["state"] == state).then_some(());
    served.soon(is_it, &format!("{describe}: {state}"));
}

#[test]
fn a_mapping_is_created_described_changed_and_deleted() {
    let served = Served::start();
    served.json("function create thumb");
    let line = "mapping create thumb --kafka a:1,b:2 --topic pictures \
                --starting-position trim-horizon --batch-size 50 --on-failure file:failed.jsonl";
    let created = served.json(line);
    assert_eq!(created["state"], "creating");
    assert_eq!(created["source"]["kafka"]["topic"], "pictures");
    assert_eq!(
        created["settings"],
        serde_json::json!({
            "batch_size": 50, "starting_position": "trim_horizon", "on_failure": "file:failed.jsonl"
        })
    );
    let id = created["id"].as_str().expect("an id").to_owned();

    let described = served.trine(&format!("mapping describe {id}")).ok().stdout;
    let from = |name: &str| {
        let line = described.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().last()).map(str::to_owned)
    };
    assert_eq!(from("batch_size").as_deref(), Some("mapping"), "{described}");
    assert_eq!(from("batching_window_ms").as_deref(), Some("default"), "{described}");
    assert!(described.contains("file:failed.jsonl"), "{described}");

    let line =
        format!("mapping update {id} --batching-window 2s --on-failure none --clear batch-size");
    let updated = served.json(&line);
    assert_eq!(
        updated["settings"],
        serde_json::json!({"batching_window_ms": 2000, "starting_position": "trim_horizon"})
    );
    until_at_rest(&served, &id, "enabled");
    assert_eq!(served.json(&format!("mapping disable {id}"))["state"], "disabling");
    until_at_rest(&served, &id, "disabled");
    let why = served.json(&format!("mapping why {id}"));
    assert!(why["message"].as_str().is_some_and(|text| text.contains("disabled")), "{why}");
    served.json(&format!("mapping enable {id}"));
    until_at_rest(&served, &id, "enabled");
    served.json(&format!("mapping pause {id}"));
    until_at_rest(&served, &id, "paused");
    served.json(&format!("mapping resume {id}"));
    until_at_rest(&served, &id, "enabled");
    assert_eq!(served.json(&format!("mapping parked {id}"))["keys"], serde_json::json!([]));

    let listed = served.trine("mapping list").ok().stdout;
    assert!(listed.starts_with("ID") && listed.contains("kafka pictures"), "{listed}");
    assert_eq!(served.json(&format!("mapping delete {id}"))["state"], "deleting");
    let gone = format!("mapping describe {id}");
    served.soon(
        || Some(served.run(&gone.split(' ').collect::<Vec<_>>())).filter(|run| run.exit != 0),
        &gone,
    );
    assert_eq!(served.refused(&gone, 66)["reason"], "UNKNOWN_MAPPING");
    assert!(served.trine("mapping list").ok().stdout.contains("no mappings"));
}

#[test]
fn refusals_have_reason_and_exit_code() {
    let served = Served::start();
    served.json("function create f");
    served.json("mapping create f --file /tmp/orders.jsonl");
    let line = "mapping create f --file /tmp/orders.jsonl";
    assert_eq!(served.refused(line, 73)["reason"], "MAPPING_EXISTS");
    let line = "mapping create f --file /tmp/x --batch-size 0";
    assert_eq!(served.refused(line, 65)["reason"], "INVALID_ARGUMENT");
    let line = "mapping create nobody --file /tmp/x";
    assert_eq!(served.refused(line, 66)["reason"], "UNKNOWN_FUNCTION");
    // Of a kind that no poller of the broker's own reads.
    let custom = served.json("mapping create f --custom modbus --configuration {}");
    let id = custom["id"].as_str().expect("an id");
    let seek = format!("mapping seek {id} --to-start --preview");
    assert_eq!(served.refused(&seek, 75)["reason"], "NO_POLLER");
    let unpark = format!("mapping unpark {id} shard --key customer-1");
    assert_eq!(served.refused(&unpark, 65)["reason"], "INVALID_ARGUMENT");
}
