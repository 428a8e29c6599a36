//! The clauses: one function, one MUST. Each starts from an empty world.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::subject::{EVERYTHING, Subject, connected, done, receive, text, texts};
use crate::source::{Connect as _, Content, Source as _, Want};

/// Longest that something may take which has nothing to wait for, on a busy machine.
const PROMPT: Duration = Duration::from_secs(10);

/// SRC-1: never more than `records_max`, and nothing is lost by asking for less.
pub async fn a_receive_brings_no_more_records_than_asked_for<S: Subject>(subject: &mut S) {
    let expected: Vec<_> = (0..7).map(text).collect();
    expected.iter().for_each(|text| subject.produce(text));
    let source = connected(subject).await;
    let mut came = Vec::new();
    while came.len() < 7 {
        let want = Want { records_max: 2, ..EVERYTHING };
        let records = source.receive(want).await.expect("the source works").records;
        assert!((1..=2).contains(&records.len()), "{} records", records.len());
        came.extend(texts(subject, &records));
    }
    assert_eq!(came, expected);
}

/// SRC-2: never more than `bytes_max`, except a single record; and never none because it is large.
pub async fn a_receive_brings_no_more_bytes_than_asked_for_but_always_a_record<S: Subject>(
    subject: &mut S,
) {
    let expected: Vec<_> = (0..6).map(text).collect();
    expected.iter().for_each(|text| subject.produce(text));
    let source = connected(subject).await;
    let first = receive::<S>(&source, 1).await;
    let mut came = texts(subject, &first);
    // Room for two records of this length and not for three; then for none.
    for bytes_max in [first[0].bytes() * 5 / 2, 1] {
        let want = Want { bytes_max, ..EVERYTHING };
        let records = source.receive(want).await.expect("the source works").records;
        let bytes = records.iter().map(crate::Record::bytes).sum::<u64>();
        assert!(bytes <= bytes_max && records.len() <= 2 || records.len() == 1, "{bytes} bytes");
        came.extend(texts(subject, &records));
    }
    let left = 6 - came.len();
    came.extend(texts(subject, &receive::<S>(&source, left).await));
    assert_eq!(came, expected);
}

/// SRC-3: the order of the world, no gap, none twice. SRC-4: an event is a JSON text, and its bytes are
/// what it says.
pub async fn records_come_in_order_once_and_as_events<S: Subject>(subject: &mut S) {
    let source = connected(subject).await;
    let mut came = Vec::new();
    for round in 0..5 {
        (0..20).for_each(|number| subject.produce(&text(round * 20 + number)));
        let records = receive::<S>(&source, 20).await;
        for record in &records {
            let Content::Event(event) = record.content() else { panic!("{record:?}") };
            assert_eq!(record.bytes(), event.len() as u64);
            serde_json::from_slice::<serde_json::Value>(event).expect("an event is a JSON text");
        }
        came.extend(texts(subject, &records));
    }
    assert_eq!(came, (0..100).map(text).collect::<Vec<_>>());
    let more = source.receive(EVERYTHING).await.expect("the source works").records;
    assert!(more.is_empty(), "{more:?}");
}

/// SRC-5: with nothing there, a receive waits as long as it was told, not much longer, and is no error.
pub async fn a_receive_of_nothing_waits_and_brings_nothing<S: Subject>(subject: &mut S) {
    subject.produce(&text(0));
    let source = connected(subject).await;
    receive::<S>(&source, 1).await;
    let asked = Instant::now();
    let received = source.receive(EVERYTHING).await.expect("nothing is no error");
    assert!(received.records.is_empty());
    let waited = asked.elapsed();
    assert!(waited >= EVERYTHING.wait, "{waited:?}: the runner would spin");
    assert!(waited < EVERYTHING.wait + PROMPT, "{waited:?}: the wait has no bound");
}

/// SRC-6: a record that comes while a receive waits ends the wait.
pub async fn a_record_that_comes_ends_the_wait<S: Subject>(subject: &mut S) {
    subject.produce(&text(0));
    let source = connected(subject).await;
    receive::<S>(&source, 1).await;
    let want = Want { wait: PROMPT * 6, ..EVERYTHING };
    let waiting = source.receive(want);
    tokio::pin!(waiting);
    let too_early = timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(too_early.is_err(), "there was nothing to bring");
    subject.produce(&text(1));
    let received = timeout(PROMPT, waiting).await.expect("the record ends the wait");
    assert_eq!(texts(subject, &received.expect("the source works").records), [text(1)]);
}

/// SRC-7: a record larger than any payload is told with its length and its position, without content,
/// and the ones around it come whole.
pub async fn a_record_larger_than_any_payload_is_told_and_the_next_one_comes<S: Subject>(
    subject: &mut S,
) {
    let huge = usize::try_from(BATCH_BYTES_MAX).expect("fits") + 1;
    subject.produce(&text(0));
    subject.produce(&format!("\"{}\"", "x".repeat(huge)));
    subject.produce(&text(2));
    let source = connected(subject).await;
    let records = receive::<S>(&source, 3).await;
    assert_eq!(records[1].bytes().max(BATCH_BYTES_MAX + 1), records[1].bytes());
    assert!(matches!(records[1].content(), Content::TooLarge(_)), "its content is kept in memory");
    assert_eq!(texts(subject, &records[..1]), [text(0)]);
    assert_eq!(texts(subject, &records[2..]), [text(2)]);
    source.settle(done(&records)).await.expect("it can be settled like any other");
}

/// SRC-8: after a restart everything that was not settled comes again, from the first, and nothing else.
pub async fn what_is_settled_does_not_come_again_and_what_is_not_does<S: Subject>(subject: &mut S) {
    (0..6).for_each(|number| subject.produce(&text(number)));
    let source = connected(subject).await;
    receive::<S>(&source, 6).await;
    drop(source);
    for (before, settled) in [(0, 0), (0, 2), (2, 3)] {
        let source = connected(subject).await;
        let records = receive::<S>(&source, 6 - before).await;
        assert_eq!(texts(subject, &records), (before..6).map(text).collect::<Vec<_>>());
        source.settle(done(&records[..settled - before])).await.expect("the source works");
        drop(source);
    }
    let source = connected(subject).await;
    let records = receive::<S>(&source, 3).await;
    assert_eq!(texts(subject, &records), (3..6).map(text).collect::<Vec<_>>());
}

/// SRC-9: a source made anew after it broke gives the record after the one it is told, settled or not.
pub async fn a_source_made_anew_goes_on_where_it_was_told<S: Subject>(subject: &mut S) {
    (0..5).for_each(|number| subject.produce(&text(number)));
    let connect = subject.start();
    let broken = connect.connect(None).await.expect("the source is there");
    let records = receive::<S>(&broken, 3).await;
    drop(broken);
    let position = records[2].position.clone();
    let source = connect.connect(Some(position)).await.expect("the source is there");
    let after = receive::<S>(&source, 2).await;
    assert_eq!(texts(subject, &after), [text(3), text(4)]);
    // Verdicts on what the broken one gave are as good as ever.
    source.settle(done(&records)).await.expect("the source works");
    drop((source, connect));
    let source = connected(subject).await;
    assert_eq!(texts(subject, &receive::<S>(&source, 2).await), [text(3), text(4)]);
}

/// SRC-10: a settle ends while a receive waits.
pub async fn settling_does_not_wait_for_receiving<S: Subject>(subject: &mut S) {
    subject.produce(&text(0));
    let source = connected(subject).await;
    let records = receive::<S>(&source, 1).await;
    let waiting = source.receive(Want { wait: PROMPT * 6, ..EVERYTHING });
    let settling = async {
        let settled = timeout(PROMPT, source.settle(done(&records))).await;
        settled.expect("settle waits for receive").expect("the source works");
    };
    tokio::select! {
        biased;
        received = waiting => panic!("there was nothing to bring: {received:?}"),
        () = settling => {}
    }
}

/// SRC-11: verdicts that come again, because nobody knew whether they were taken, do no harm.
pub async fn settling_twice_does_no_harm<S: Subject>(subject: &mut S) {
    (0..4).for_each(|number| subject.produce(&text(number)));
    let source = connected(subject).await;
    let records = receive::<S>(&source, 3).await;
    source.settle(done(&records)).await.expect("the source works");
    source.settle(done(&records)).await.expect("a second time is no error");
    drop(source);
    let source = connected(subject).await;
    assert_eq!(texts(subject, &receive::<S>(&source, 1).await), [text(3)]);
}
