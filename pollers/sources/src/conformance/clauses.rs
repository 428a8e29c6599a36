//! The clauses: one function, one MUST. Each starts from an empty world.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::reading::{EVERYTHING, PROMPT, Read, Reading, texts};
use super::subject::Subject;
use crate::{Content, Keeper, Ordering, Places, SeekTo, Settling, Target, Verdict, Want};

/// A JSON string that tells which record it is.
fn text(number: usize) -> String {
    format!("\"record {number}\"")
}

async fn produce<S: Subject>(subject: &mut S, numbers: std::ops::Range<usize>) {
    for number in numbers {
        subject.produce("k", &text(number)).await;
    }
}

async fn reading<S: Subject>(subject: &mut S) -> Reading {
    Reading::start(subject.connector(), Places::new()).await
}

/// As they were produced if the source keeps an order, else as a set.
fn assert_came(reading: &Reading, mut came: Vec<String>, expected: impl Iterator<Item = usize>) {
    let mut expected: Vec<_> = expected.map(text).collect();
    if reading.descriptor.ordering == Ordering::None {
        came.sort();
        expected.sort();
    }
    assert_eq!(came, expected);
}

/// SRC-1: never more than `records_max`, and nothing is lost by asking for less.
pub async fn a_receive_brings_no_more_records_than_asked_for<S: Subject>(subject: &mut S) {
    produce(subject, 0..7).await;
    let mut reading = reading(subject).await;
    let mut came = Vec::new();
    let until = Instant::now() + PROMPT;
    while came.len() < 7 {
        assert!(Instant::now() < until, "{} of 7 records came", came.len());
        let mut round = Vec::new();
        for (shard, opened) in &reading.shards {
            let want = Want { records_max: 2, ..EVERYTHING };
            let records = opened.reader.receive(want).await.expect("the source works").records;
            assert!(records.len() <= 2, "{} records", records.len());
            round.extend(records.into_iter().map(|record| Read { shard: shard.clone(), record }));
        }
        if reading.descriptor.ordering == Ordering::Key {
            // A message group gives nothing more while some of it is in flight.
            reading.settle(&round, Verdict::Done).await;
        }
        came.extend(round);
    }
    assert_came(&reading, texts(subject, &came), 0..7);
}

/// SRC-2: the order of the world, no gap, none twice. SRC-3: an event is a JSON object, and its bytes are what it says.
pub async fn records_come_once_in_their_order_and_as_events<S: Subject>(subject: &mut S) {
    let mut reading = reading(subject).await;
    let mut came = Vec::new();
    for round in 0..3 {
        produce(subject, round * 10..round * 10 + 10).await;
        let records = reading.receive(10).await;
        for Read { record, .. } in &records {
            let Content::Event(event) = &record.content else { panic!("{record:?}") };
            let event: serde_json::Value =
                serde_json::from_slice(event).expect("an event is a JSON text");
            assert!(event.is_object(), "{event}");
            assert!(!record.identifier.is_empty(), "a function could not report it");
        }
        came.extend(texts(subject, &records));
        reading.settle(&records, Verdict::Done).await;
    }
    assert_came(&reading, came, 0..30);
    let more = reading.receive_once(EVERYTHING).await.records;
    assert!(more.is_empty(), "{more:?}");
}

/// SRC-4: with nothing there, a receive waits as long as it was told, not much longer, and is no error.
pub async fn a_receive_of_nothing_waits_and_brings_nothing<S: Subject>(subject: &mut S) {
    let reading = reading(subject).await;
    let want = Want { wait: Duration::from_secs(1), ..EVERYTHING };
    let asked = Instant::now();
    let received = reading.receive_once(want).await;
    assert!(received.records.is_empty());
    let waited = asked.elapsed();
    assert!(waited >= want.wait - Duration::from_millis(50), "{waited:?}: the runner would spin");
    assert!(waited < want.wait + PROMPT, "{waited:?}: the wait has no bound");
}

/// SRC-5: a record that comes while a receive waits ends the wait.
pub async fn a_record_that_comes_ends_the_wait<S: Subject>(subject: &mut S) {
    let reading = reading(subject).await;
    let want = Want { wait: PROMPT * 2, ..EVERYTHING };
    // Any of the shards may be the one that gets the record.
    let (told, mut first) = tokio::sync::mpsc::channel(1);
    let mut waiting = tokio::task::JoinSet::new();
    for (shard, opened) in &reading.shards {
        let (shard, reader, told) =
            (shard.clone(), std::sync::Arc::clone(&opened.reader), told.clone());
        waiting.spawn(async move {
            let received = reader.receive(want).await.expect("the source works");
            for record in received.records {
                // Nobody listens after the first.
                let _ = told.send(Read { shard: shard.clone(), record }).await;
            }
        });
    }
    let too_early = timeout(Duration::from_millis(300), first.recv()).await;
    assert!(too_early.is_err(), "there was nothing to bring");
    subject.produce("k", &text(1)).await;
    let came =
        timeout(PROMPT, first.recv()).await.expect("the record ends the wait").expect("it is told");
    assert_eq!(texts(subject, &[came]), [text(1)]);
}

/// SRC-6: a record larger than any payload is told with its length, without content, or refused by the source itself; the ones around
/// it come whole.
pub async fn a_record_larger_than_any_payload_blocks_nothing<S: Subject>(subject: &mut S) {
    let huge = usize::try_from(BATCH_BYTES_MAX).expect("fits") + 1;
    if subject.record_bytes_max() < huge {
        return;
    }
    subject.produce("k", &text(0)).await;
    subject.produce("k", &format!("\"{}\"", "x".repeat(huge))).await;
    subject.produce("k", &text(2)).await;
    let mut reading = reading(subject).await;
    let records = reading.receive(3).await;
    let large: Vec<_> =
        records.iter().filter(|read| matches!(read.record.content, Content::TooLarge(_))).collect();
    assert_eq!(large.len(), 1, "its content is kept in memory");
    assert!(large[0].record.content.bytes() > BATCH_BYTES_MAX);
    reading.settle(&records, Verdict::Done).await;
    let kept = reading.stop().await;
    let reading = Reading::start(subject.connector(), kept).await;
    assert!(
        reading.receive_once(EVERYTHING).await.records.is_empty(),
        "it can be settled like any other"
    );
}

/// SRC-7: after a restart everything that was not settled comes again, and nothing else.
pub async fn what_is_settled_does_not_come_again_and_what_is_not_does<S: Subject>(subject: &mut S) {
    produce(subject, 0..6).await;
    let mut kept = Places::new();
    let mut left: Vec<_> = (0..6).map(text).collect();
    for settled in [0, 2, 1] {
        let mut reading = Reading::start(subject.connector(), kept).await;
        let records = reading.receive(left.len()).await;
        let mut came = texts(subject, &records);
        if reading.descriptor.ordering == Ordering::None {
            came.sort();
        }
        assert_eq!(came, left);
        let done = &records[..settled];
        let gone = texts(subject, done);
        left.retain(|text| !gone.contains(text));
        reading.settle(done, Verdict::Done).await;
        if reading.descriptor.settling == Settling::PerRecord {
            reading.settle(&records[settled..], Verdict::Released).await;
        }
        kept = reading.stop().await;
    }
    let mut reading = Reading::start(subject.connector(), kept).await;
    let records = reading.receive(left.len()).await;
    let mut came = texts(subject, &records);
    came.sort();
    assert_eq!(came, left);
}

/// SRC-8: a connection made anew, by a process that has already read on, gives the records after those it is told of.
pub async fn a_new_connection_goes_on_where_it_was_told<S: Subject>(subject: &mut S) {
    produce(subject, 0..5).await;
    let mut first = reading(subject).await;
    if first.descriptor.settling == Settling::PerRecord {
        return;
    }
    let records = first.receive(3).await;
    let mut places = Places::new();
    for Read { shard, record } in &records {
        places.insert(shard.clone(), crate::Place::After(record.position.clone()));
    }
    let connector = std::sync::Arc::clone(&first.connector);
    drop(first.stop().await);
    let mut second = Reading::start(connector, places).await;
    let after = second.receive(2).await;
    assert_came(&second, texts(subject, &after), 3..5);
}

/// SRC-9: a settle ends while a receive waits.
pub async fn settling_does_not_wait_for_receiving<S: Subject>(subject: &mut S) {
    subject.produce("k", &text(0)).await;
    let mut reading = reading(subject).await;
    let records = reading.receive(1).await;
    let reader = std::sync::Arc::clone(&reading.shards[&records[0].shard].reader);
    let waiting = reader.receive(Want { wait: PROMPT * 4, ..EVERYTHING });
    tokio::select! {
        biased;
        received = waiting => panic!("there was nothing to bring: {received:?}"),
        () = reading.settle(&records, Verdict::Done) => {}
    }
}

/// SRC-10: verdicts that come again, because nobody knew whether they were taken, do no harm.
pub async fn settling_twice_does_no_harm<S: Subject>(subject: &mut S) {
    produce(subject, 0..4).await;
    let mut first = reading(subject).await;
    let records = first.receive(4).await;
    first.settle(&records[..3], Verdict::Done).await;
    first.settle(&records[..3], Verdict::Done).await;
    if first.descriptor.settling == Settling::PerRecord {
        first.settle(&records[3..], Verdict::Released).await;
    }
    let left = texts(subject, &records[3..]);
    let kept = first.stop().await;
    let mut second = Reading::start(subject.connector(), kept).await;
    assert_eq!(texts(subject, &second.receive(1).await), left);
}

/// SRC-11: a record that was given back untouched comes again soon, on the same connection (per-record sources).
pub async fn a_released_record_comes_again<S: Subject>(subject: &mut S) {
    subject.produce("k", &text(0)).await;
    let mut reading = reading(subject).await;
    if reading.descriptor.settling != Settling::PerRecord {
        return;
    }
    let records = reading.receive(1).await;
    reading.settle(&records, Verdict::Released).await;
    let again = reading.receive(1).await;
    assert_eq!(texts(subject, &again), [text(0)]);
}

/// SRC-12: a record that is held again and again does not come a second time, however short its lease (sources with leases). The
/// subject gives its source the shortest lease that the source allows.
pub async fn a_held_record_outlives_its_lease<S: Subject>(subject: &mut S) {
    subject.produce("k", &text(0)).await;
    let mut reading = reading(subject).await;
    let records = reading.receive(1).await;
    let Some(lease) = reading.shards[&records[0].shard].lease else { return };
    assert!(lease <= Duration::from_secs(10), "the subject's lease is the shortest there is");
    let until = Instant::now() + lease * 2;
    let look = Want { wait: lease / 3, ..EVERYTHING };
    while Instant::now() < until {
        reading.settle(&records, Verdict::Held).await;
        let came = reading.receive_once(look).await.records;
        assert!(came.is_empty(), "a held record came again: {came:?}");
    }
    reading.settle(&records, Verdict::Done).await;
    let after = Want { wait: lease * 2, ..EVERYTHING };
    assert!(reading.receive_once(after).await.records.is_empty(), "it was settled in time");
}

/// SRC-13: a seek to the start has everything read again; its preview changes nothing (sources with a place).
pub async fn a_seek_to_the_start_reads_everything_again<S: Subject>(subject: &mut S) {
    produce(subject, 0..3).await;
    let mut first = reading(subject).await;
    if first.descriptor.settling == Settling::PerRecord {
        return;
    }
    let records = first.receive(3).await;
    first.settle(&records, Verdict::Done).await;
    let kept = first.stop().await;
    let start = || Target { shard: None, to: SeekTo::Start };
    let connector = subject.connector();
    let preview = connector.seek(kept.clone(), start(), true).await.expect("a preview");
    let again: u64 = preview.iter().filter_map(|sought| sought.read_again).sum();
    assert!(again == 3 || preview.iter().any(|sought| sought.read_again.is_none()), "{preview:?}");
    let unchanged = Reading::start(subject.connector(), kept.clone()).await;
    assert!(unchanged.receive_once(EVERYTHING).await.records.is_empty(), "a preview moves nothing");
    drop(unchanged.stop().await);
    let sought = connector.seek(kept.clone(), start(), false).await.expect("a seek");
    let mut places = kept;
    if connector.descriptor().settling == Settling::LowWater(Keeper::Broker) {
        places.clear();
        places.extend(sought.into_iter().filter_map(|sought| Some((sought.shard, sought.place?))));
    }
    let mut second = Reading::start(subject.connector(), places).await;
    let came = second.receive(3).await;
    assert_came(&second, texts(subject, &came), 0..3);
}

/// SRC-14: what an on-failure record says of records names their shard and is an object.
pub async fn a_batch_member_names_its_records<S: Subject>(subject: &mut S) {
    produce(subject, 0..2).await;
    let mut reading = reading(subject).await;
    let records = reading.receive(1).await;
    let given_up = [&records[0].record];
    let (name, member) = reading.connector.batch_member(&records[0].shard, &given_up);
    assert!(name.ends_with("BatchInfo"), "{name}");
    assert_eq!(member["batchSize"], 1, "{member}");
}

/// SRC-15: records of one key come in their order, whatever comes between them (sources that keep one).
pub async fn records_of_one_key_stay_in_order<S: Subject>(subject: &mut S) {
    let mut reading = reading(subject).await;
    if reading.descriptor.ordering == Ordering::None {
        return;
    }
    for number in 0..30 {
        subject.produce(&format!("key {}", number % 5), &text(number)).await;
    }
    let mut by_key: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut came = 0;
    while came < 30 {
        let records = reading.receive(1).await;
        came += records.len();
        for said in texts(subject, &records) {
            let number: usize = said
                .trim_matches('"')
                .rsplit(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .expect("a number");
            by_key.entry(number % 5).or_default().push(said);
        }
        reading.settle(&records, Verdict::Done).await;
    }
    for (key, said) in by_key {
        let expected: Vec<_> = (0..6).map(|round| text(round * 5 + key)).collect();
        assert_eq!(said, expected, "key {key}");
    }
}
