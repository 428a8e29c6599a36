//! The whole file poller: options in, events at the broker, a checkpoint on disk.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tonic::transport::Channel;

use super::{Folder, line};
use crate::tests::broker::{Broker, Call};
use crate::tests::watching::until;
use crate::{FilePollerOptions, PollerError, PollerHandle, PollerState, start_file_poller};

const LONG: Duration = Duration::from_secs(60);

fn start(channel: &Channel, folder: &Folder) -> PollerHandle {
    start_file_poller(channel.clone(), folder.options()).unwrap()
}

fn lines(call: &Call) -> Vec<String> {
    let line = |record: &serde_json::Value| line(record.to_string().as_bytes()).to_string();
    call.records().iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn lines_become_events_of_the_documented_shape() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    folder.append("{\"n\":1}\nplain \"text\"\n");
    let _poller = start(&channel, &folder);
    let call = broker.call().await;
    let path = folder.path();
    assert_eq!(
        call.records(),
        [
            json!({"eventSource": "trine:file", "eventSourceName": "app", "path": path, "offset": 0,
                   "format": "json", "line": {"n": 1}}),
            json!({"eventSource": "trine:file", "eventSourceName": "app", "path": path, "offset": 8,
                   "format": "text", "line": "plain \"text\""}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_missing_at_the_start_is_waited_for() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    let poller = start(&channel, &folder);
    let status = until(&poller, "the wait", |s| s.state == PollerState::WaitingForSource).await;
    assert!(status.last_error.unwrap().contains("app.log does not exist yet: waiting for it"));
    folder.append("1\n");
    let call = broker.call().await;
    assert_eq!(lines(&call), ["1"]);
    assert_eq!(poller.status().last_error, None);
    call.succeed();
    until(&poller, "settled", |s| s.checkpoint.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_at_the_checkpoint_and_repeats_only_what_was_in_flight() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    let options = || FilePollerOptions { batch_size: 2, ..folder.options() };
    folder.append("1\n2\n3\n4\n5\n");
    let poller = start_file_poller(channel.clone(), options()).unwrap();
    broker.call().await.succeed();
    let in_flight = broker.call().await;
    assert_eq!(lines(&in_flight), ["3", "4"]);
    // As a crash would: nothing is waited for.
    poller.shutdown(Duration::ZERO).await.unwrap_err();
    drop(in_flight);
    folder.append("6\n");
    let poller = start_file_poller(channel.clone(), options()).unwrap();
    for expected in [["3", "4"], ["5", "6"]] {
        let call = broker.call().await;
        assert_eq!(lines(&call), expected);
        call.succeed();
    }
    until(&poller, "settled", |s| {
        s.counts.succeeded_batches == 2 && s.state == PollerState::Polling
    })
    .await;
    poller.shutdown(LONG).await.unwrap();
    let poller = start_file_poller(channel, options()).unwrap();
    until(&poller, "polling", |s| s.state == PollerState::Polling).await;
    broker.quiet(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn rotation_under_a_running_poller_loses_nothing() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    folder.append("1\n");
    let poller = start(&channel, &folder);
    broker.call().await.succeed();
    folder.append("2\n");
    folder.rotate();
    folder.append("3\n");
    for expected in ["2", "3"] {
        let call = broker.call().await;
        assert_eq!(lines(&call), [expected]);
        call.succeed();
    }
    let status = until(&poller, "settled", |s| s.counts.succeeded_batches == 3).await;
    assert!(status.last_notice.unwrap().contains("was moved away"));
    assert_eq!(status.counts.source_gaps, 0);
}

#[tokio::test(start_paused = true)]
async fn truncation_under_a_running_poller_is_told() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    folder.append("1\n2\n");
    let poller = start(&channel, &folder);
    broker.call().await.succeed();
    until(&poller, "settled", |s| s.checkpoint.is_some()).await;
    fs::write(folder.path(), "3\n").unwrap();
    let call = broker.call().await;
    assert_eq!(lines(&call), ["3"]);
    let status = until(&poller, "the gap", |s| s.counts.source_gaps == 1).await;
    assert!(status.last_notice.unwrap().contains("shrank"));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_checkpoint_is_refused_with_its_name_and_left_alone() {
    let (_broker, channel) = Broker::start();
    let folder = Folder::new();
    fs::create_dir_all(folder.checkpoint().parent().unwrap()).unwrap();
    for damage in ["", "trine checkpoint 1\n{}\ncrc32 00000000\n"] {
        fs::write(folder.checkpoint(), damage).unwrap();
        let error = start_file_poller(channel.clone(), folder.options()).unwrap_err();
        assert!(matches!(error, PollerError::Checkpoint(_)), "{error}");
        assert!(error.to_string().contains("app.checkpoint is damaged"), "{error}");
        assert_eq!(fs::read_to_string(folder.checkpoint()).unwrap(), damage);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_file_or_of_a_running_poller_is_refused() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    folder.append("1\n");
    let poller = start(&channel, &folder);
    broker.call().await.succeed();
    until(&poller, "settled", |s| s.checkpoint.is_some()).await;
    let error = start_file_poller(channel.clone(), folder.options()).unwrap_err();
    assert!(error.to_string().contains("another poller uses"), "{error}");
    poller.shutdown(LONG).await.unwrap();
    let other = FilePollerOptions { path: folder.rotated(1), ..folder.options() };
    let error = start_file_poller(channel, other).unwrap_err().to_string();
    assert!(error.contains("app.log, not to") && error.contains("app.log.1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_stored_holds_everything_up_until_it_can() {
    let (mut broker, channel) = Broker::start();
    let folder = Folder::new();
    let poller = start(&channel, &folder);
    // A folder in the way of the file that every store writes first.
    let in_the_way = folder.checkpoint().with_extension("checkpoint.new");
    fs::create_dir(&in_the_way).unwrap();
    folder.append("1\n");
    broker.call().await.succeed();
    let status = until(&poller, "the failure", |s| s.counts.checkpoint_failures > 2).await;
    assert!(status.last_error.unwrap().contains("app.checkpoint.new"));
    folder.append("2\n");
    broker.quiet(LONG).await;
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(lines(&broker.call().await), ["2"]);
    assert_eq!(poller.status().last_error, None);
}

#[tokio::test(start_paused = true)]
async fn wrong_options_are_all_told_and_nothing_is_made() {
    let (_broker, channel) = Broker::start();
    let folder = Folder::new();
    let options = FilePollerOptions { batch_size: 0, name: String::new(), ..folder.options() };
    let error = start_file_poller(channel, options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "name is \"\", expected 1 to 64 characters [a-zA-Z0-9-_]; batch_size is 0, expected 1..=10000"
    );
    assert!(!folder.checkpoint().parent().unwrap().exists());
}
