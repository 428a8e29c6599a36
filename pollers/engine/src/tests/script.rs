//! The language of the scripts: a line is a time, an input, and after `->` the effects it must have,
//! in order. A line without inputs after the time is a tick. Lines may be continued with `;` first.
//!
//! ```text
//! 0   tick              -> connect
//! 5   back              -> connected; receive 3 100b 50ms
//! 9   read 10 20/7      -> polled 2           (20/7: 20 bytes, 7 ms old)
//! 12  answer b0 failed  -> failed b0 #1 x2, retry 262
//! ```
//!
//! After the last effect `! N` may follow: the next deadline must be N (`! -`: none).

use crate::{Answer, BatchId, Delay, Effect, Fact, Input, Millis, RecordMeta, Settings, Shard};

/// Runs `script` on a new shard, and panics with the first line that does not hold.
pub(super) fn check(settings: Settings, script: &str) {
    let mut shard = Shard::new(settings);
    let mut out = Vec::new();
    for line in join_continued(script) {
        let (asked, expected) = line.split_once("->").unwrap_or((&line, ""));
        let (effects, deadline) = match expected.split_once('!') {
            Some((effects, deadline)) => (effects, Some(deadline.trim())),
            None => (expected, None),
        };
        let mut words = asked.split_whitespace();
        let now: Millis = words.next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        out.clear();
        step(&mut shard, now, &words.collect::<Vec<_>>(), &mut out);
        let says = out.iter().map(effect).collect::<Vec<_>>().join("; ");
        let wanted = effects.split(';').map(str::trim).filter(|e| !e.is_empty());
        assert_eq!(says, wanted.collect::<Vec<_>>().join("; "), "in the line {line}");
        if let Some(wanted) = deadline {
            let found = shard.next_deadline().map_or_else(|| "-".to_owned(), |at| at.to_string());
            assert_eq!(found, wanted, "deadline after the line {line}");
        }
        assert_eq!(shard.broken_invariant(now), None, "after the line {line}");
    }
}

fn join_continued(script: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match (line.starts_with(';'), lines.last_mut()) {
            (true, Some(last)) => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn step(shard: &mut Shard, now: Millis, words: &[&str], out: &mut Vec<Effect>) {
    let records: Vec<_>;
    let input = match words {
        [] | ["tick"] => Input::Tick,
        ["read", lengths @ ..] => {
            records = lengths.iter().map(|length| record(length)).collect();
            Input::RecordsRead { records: &records }
        }
        ["answer", batch, answer] => Input::InvocationAnswered {
            batch: BatchId(batch.trim_start_matches('b').parse().unwrap()),
            answer: match *answer {
                "ok" => Answer::Succeeded,
                "failed" => Answer::FunctionFailed,
                "throttled" => Answer::Throttled,
                "no-capacity" => Answer::NoCapacity,
                "refused" => Answer::Refused,
                "lost" => Answer::Lost,
                other => panic!("answer {other}"),
            },
        },
        ["stored"] => Input::CheckpointStored,
        ["unstored"] => Input::CheckpointFailed,
        ["back"] => Input::SourceBack,
        ["gone"] => Input::SourceGone,
        ["pause"] => Input::Pause,
        ["resume"] => Input::Resume,
        ["stop"] => Input::Stop,
        other => panic!("input {other:?}"),
    };
    shard.step(now, input, out);
}

fn record(length: &str) -> RecordMeta {
    let (bytes, age_ms) = length.split_once('/').unwrap_or((length, "0"));
    RecordMeta { bytes: bytes.parse().unwrap(), age_ms: age_ms.parse().unwrap() }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Connect => "connect".to_owned(),
        Effect::Receive { records_max, bytes_max, wait_ms } => {
            format!("receive {records_max} {bytes_max}b {wait_ms}ms")
        }
        Effect::Invoke { batch, attempt, records } => {
            format!("invoke b{batch} #{attempt} {records}")
        }
        Effect::StoreCheckpoint { records, verdict } => {
            format!("store {records} {}", format!("{verdict:?}").to_lowercase())
        }
        Effect::Stopped => "stopped".to_owned(),
        Effect::Fact(fact) => fact_says(fact),
    }
}

fn fact_says(fact: &Fact) -> String {
    match fact {
        Fact::SourceConnected => "connected".to_owned(),
        Fact::SourceLost { retry_at } => format!("source lost, retry {retry_at}"),
        Fact::Polled { records } => format!("polled {records}"),
        Fact::Invoking { batch, attempt, records, age_ms } => {
            format!("invoking b{batch} #{attempt} x{records} age {age_ms}")
        }
        Fact::Succeeded { batch, records } => format!("succeeded b{batch} x{records}"),
        Fact::FunctionFailed { batch, attempt, records, retry_at } => {
            format!("failed b{batch} #{attempt} x{records}, retry {retry_at}")
        }
        Fact::Delayed { batch, delay, retry_at } => {
            let why = match delay {
                Delay::Throttled => "throttled",
                Delay::NoCapacity => "no capacity",
                Delay::Refused => "refused",
                Delay::Lost => "lost",
            };
            format!("{why} b{batch}, retry {retry_at}")
        }
        Fact::Oversized { record, bytes } => format!("oversized {record} {bytes}b"),
        Fact::CheckpointStored { records } => format!("settled {records}"),
        Fact::CheckpointFailed { retry_at } => format!("unsettled, retry {retry_at}"),
        Fact::Paused => "paused".to_owned(),
        Fact::Resumed => "resumed".to_owned(),
        Fact::Abandoned { records } => format!("abandoned {records}"),
        Fact::OutOfTurn { input } => format!("out of turn {input}"),
    }
}
