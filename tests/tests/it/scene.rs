//! What many tests set up alike.

use std::time::Duration;

use trine_proto::v1::FunctionSettings;
use trine_tests::fixture::LIMIT;
use trine_tests::fixture::broker::Broker;
use trine_tests::fixture::client::file;
use trine_tests::fixture::puppet::Strings;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::wait::until;
use trine_worker::Worker;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// A worker whose handlers are the test's.
pub(crate) async fn serve(
    broker: &Broker,
    functions: &[&str],
    strings: &Strings,
    slots: u32,
) -> Serving {
    let worker = functions.iter().fold(Worker::connect(broker.url()), |worker, name| {
        worker.function_raw(*name, strings.handler())
    });
    Serving::start(worker.slots(slots)).await
}

/// A patient function that sends its records into files.
pub(crate) fn to_files() -> FunctionSettings {
    FunctionSettings {
        on_success: file("success.jsonl"),
        on_failure: file("failure.jsonl"),
        timeout_seconds: Some(900),
        ..FunctionSettings::default()
    }
}

/// Milliseconds since the Unix epoch as the records write them.
pub(crate) fn rfc3339(ms: i64) -> String {
    let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Years begin in March, so that the leap day is the last one.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
    let (second, ms) = (ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[test]
fn a_date_of_these_tests_is_a_date() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(rfc3339(951_827_696_789), "2000-02-29T12:34:56.789Z");
    assert_eq!(rfc3339(1_573_755_365_568), "2019-11-14T18:16:05.568Z");
}

/// A function that is not in a hurry.
pub(crate) fn patient() -> FunctionSettings {
    FunctionSettings {
        timeout_seconds: Some(900),
        on_failure: file("failure.jsonl"),
        ..Default::default()
    }
}

/// Waits until the broker has `count` worker sessions.
pub(crate) async fn sessions(broker: &Broker, count: f64) {
    until("the number of worker sessions", LIMIT, async || {
        broker.metrics().await.value("trine_worker_sessions") == count
    })
    .await;
}
