//! File destinations: whole lines, on disk, after whatever was there.

use std::fs;
use std::path::Path;

use trine_broker::DestinationPolicy;
use trine_broker::destinations::{DeliveryOutcome, DestinationRecord, Destinations};
use trine_engine::Destination;

use crate::{failed, failure, success};

fn into(folder: &Path) -> Destinations {
    Destinations::new(DestinationPolicy {
        file_dir: Some(folder.to_owned()),
        ..DestinationPolicy::default()
    })
}

fn file(name: &str) -> Destination {
    Destination::File { name: name.into() }
}

fn line(record: &DestinationRecord) -> String {
    format!("{}\n", std::str::from_utf8(&record.json).unwrap())
}

#[tokio::test]
async fn records_are_lines_in_a_folder_that_is_made() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b");
    let destinations = into(&folder);
    let (first, second) = (failure("{}"), success());
    for record in [&first, &second] {
        let outcome = destinations.deliver(&file("all.jsonl"), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
    }
    let written = fs::read_to_string(folder.join("all.jsonl")).unwrap();
    assert_eq!(written, line(&first) + &line(&second));
}

#[tokio::test]
async fn a_record_is_one_line_whatever_its_payload_looks_like() {
    let home = tempfile::tempdir().unwrap();
    let pretty = "{\r\n  \"text\": \"two\\nlines\",\n  \"n\": 1.0\n}";
    let outcome = into(home.path()).deliver(&file("x"), failure(pretty)).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    let written = fs::read_to_string(home.path().join("x")).unwrap();
    assert_eq!(written.matches('\n').count(), 1);
    assert!(written.contains(r#"{    "text": "two\nlines",   "n": 1.0 }"#), "{written}");
}

#[tokio::test]
async fn a_torn_line_is_ended_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let record = success();
    for (before, between) in
        [("", ""), ("{\"a\":1}\n", ""), ("{\"a\":1}\n{\"tor", "\n"), ("x", "\n"), ("\n", "")]
    {
        let path = home.path().join("torn");
        fs::write(&path, before).unwrap();
        let outcome = into(home.path()).deliver(&file("torn"), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
        let written = fs::read_to_string(path).unwrap();
        assert_eq!(written, format!("{before}{between}{}", line(&record)));
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let destinations = into(home.path());
    let record = success();
    for _ in 0..2 {
        let outcome = destinations.deliver(&file("log"), record.clone()).await;
        assert_eq!(outcome, DeliveryOutcome::Taken);
        fs::rename(home.path().join("log"), home.path().join("log.1")).unwrap();
    }
    assert_eq!(fs::read_to_string(home.path().join("log.1")).unwrap(), line(&record));
}

#[tokio::test]
async fn what_is_no_file_is_a_failure_and_holds_nothing_up() {
    let home = tempfile::tempdir().unwrap();
    let destinations = into(home.path());
    fs::create_dir(home.path().join("folder")).unwrap();
    let pipe = home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/full", home.path().join("device")).unwrap();
    for name in ["folder", "pipe", "device"] {
        let why = failed(destinations.deliver(&file(name), success()).await);
        assert_eq!(why, format!("file {name}: it is not a regular file"));
    }
    let outcome = destinations.deliver(&file("fine"), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);

    // The folder's own name is taken by a file.
    let inside = into(&home.path().join("fine"));
    let why = failed(inside.deliver(&file("x"), success()).await);
    assert!(why.starts_with("file x: Not a directory"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_a_time_are_each_written_once() {
    const RECORDS: usize = 300;
    let home = tempfile::tempdir().unwrap();
    let destinations = into(home.path());
    let deliver = |number: usize| {
        let destinations = destinations.clone();
        async move {
            let name = format!("file-{}", number % 3);
            destinations.deliver(&file(&name), failure(&number.to_string())).await
        }
    };
    let deliveries: Vec<_> = (0..RECORDS).map(|number| tokio::spawn(deliver(number))).collect();
    for delivery in deliveries {
        assert_eq!(delivery.await.unwrap(), DeliveryOutcome::Taken);
    }
    let mut seen = Vec::new();
    for name in ["file-0", "file-1", "file-2"] {
        for line in fs::read_to_string(home.path().join(name)).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            seen.push(record["requestPayload"].as_u64().unwrap());
        }
    }
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..RECORDS as u64));
}
