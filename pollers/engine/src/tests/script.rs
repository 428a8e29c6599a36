//! The language of the scripts: a line is a time, an input, and after `->` the effects it must have,
//! in order. A line without input after the time is a tick. Lines may be continued with `;` first.
//!
//! ```text
//! 9   read 10 20k5a2f   -> invoke b0 #1 0..2   (20 bytes, key 5, arrived at 2, filtered)
//! 12  answer b0 partial 1 -> store t0 through 0
//! 12  s1 read 10        -> invoke b1 #1 0..1 @1
//! ```
//!
//! Every script begins with a source that is connected and shard 0 open, which has been asked for
//! records. Facts are compared only on lines that expect one: they begin with `*`. After the last effect `! N`
//! may follow: the next deadline must be N (`! -`: none).

use crate::{
    Answer, Backoff, BatchId, BatchLimits, Condition, Effect, Failure, Input, Key, Millis,
    OpenWindow, Origin, ParkedKey, Poll, RecordMeta, Sequence, Settings, ShardId, Ticket,
    WindowMark, WindowPart,
};

/// Batches of 3 records and 100 bytes, no window. One fixed wait each: with the first equal to the
/// longest nothing is left to spread.
pub(super) fn settings() -> Settings {
    let batch = BatchLimits::new(3, 0).unwrap().with_bytes_max(114).with_envelope(14);
    Settings {
        function_errors: Backoff::new(250, 250),
        not_reached: Backoff::new(1_000, 1_000),
        reconnect: Backoff::new(200, 200),
        checkpoint: Backoff::new(100, 100),
        delivery: Backoff::new(500, 500),
        park: Backoff::new(400, 400),
        receive_wait_ms: 50,
        ..Settings::new(batch)
    }
}

/// A script: its settings, the rule it shows, and its lines.
pub(super) type Script = (fn() -> Settings, &'static str, &'static str);

macro_rules! scripts {
    ($($name:ident, $rule:literal, $settings:expr, $script:literal;)*) => {
        pub(super) const ALL: &[crate::tests::script::Script] = &[$((|| $settings, $rule, $script)),*];
        $(#[test]
        fn $name() {
            crate::tests::script::check($settings, $rule, $script);
        })*
    };
}
pub(super) use scripts;

/// Runs `script` on a new mapping, and panics with the first line that does not hold.
pub(super) fn check(settings: Settings, rule: &str, script: &str) {
    let mut poll = Poll::new(settings);
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    let raw = script.trim_start().starts_with("raw");
    if !raw {
        for line in ["0 tick", "0 up", "0 open"] {
            run(&mut poll, line, &mut out);
        }
    }
    for line in join_continued(script).into_iter().skip(usize::from(raw)) {
        let (asked, expected) = line.split_once("->").unwrap_or((&line, ""));
        let (effects, deadline) = match expected.split_once('!') {
            Some((effects, deadline)) => (effects, Some(deadline.trim())),
            None => (expected, None),
        };
        out.clear();
        run(&mut poll, asked, &mut out);
        let with_facts = effects.contains('*');
        let is_wanted = |effect: &&Effect| with_facts || !matches!(effect, Effect::Fact(_));
        let says = out.iter().filter(is_wanted).map(effect).collect::<Vec<_>>().join("; ");
        let wanted = effects.split(';').map(str::trim).filter(|e| !e.is_empty());
        if says != wanted.collect::<Vec<_>>().join("; ") {
            wrong.push(format!("in     {line}\n    it says {says}"));
        }
        let at = poll.next_deadline().map_or_else(|| "-".to_owned(), |at| at.to_string());
        if deadline.is_some_and(|wanted| wanted != at) {
            wrong.push(format!("in     {line}\n    the deadline is {at}"));
        }
        wrong.extend(poll.broken_invariant().map(|name| format!("after  {line}: {name}")));
    }
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
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

fn run(poll: &mut Poll, line: &str, out: &mut Vec<Effect>) -> Millis {
    let words: Vec<_> = line.split_whitespace().collect();
    let now: Millis = words[0].parse().unwrap_or_else(|_| panic!("{line}"));
    let shard = words.get(1).and_then(|word| word.strip_prefix('s')?.parse().ok());
    let words = &words[1 + usize::from(shard.is_some())..];
    let shard = ShardId(shard.unwrap_or(0));
    let ticket = || Ticket(number(words[1], "t"));
    let input = match words[0..words.len().min(1)] {
        [] => Input::Tick,
        [word] => match word {
            "tick" => Input::Tick,
            "up" => Input::SourceConnected,
            "gone" => Input::SourceGone,
            "revoke" => Input::ShardRevoked { shard },
            "ended" => Input::ShardEnded { shard },
            "read-failed" => Input::ReceiveFailed { shard },
            "settled" => Input::Settled { shard, ticket: ticket() },
            "unsettled" => Input::SettleFailed { shard, ticket: ticket() },
            "stored" => Input::CheckpointStored { shard, ticket: ticket() },
            "unstored" => Input::CheckpointFailed { shard, ticket: ticket() },
            "delivered" => Input::FailureDelivered { shard, ticket: ticket() },
            "undelivered" => Input::FailureDeliveryFailed { shard, ticket: ticket() },
            "parked" => Input::Parked { shard, ticket: ticket() },
            "unparked" => Input::ParkFailed { shard, ticket: ticket(), full: false },
            "full" => Input::ParkFailed { shard, ticket: ticket(), full: true },
            "finished" => Input::ShardFinished { shard },
            "unfinished" => Input::ShardFinishFailed { shard },
            "pause" => Input::Pause,
            "resume" => Input::Resume,
            "stop" => Input::Stop,
            _ => return run_long(poll, now, shard, words, out),
        },
        _ => unreachable!("at most one word was taken"),
    };
    poll.step(now, input, out);
    now
}

/// Inputs that carry lists.
fn run_long(
    poll: &mut Poll,
    now: Millis,
    shard: ShardId,
    words: &[&str],
    out: &mut Vec<Effect>,
) -> Millis {
    let metas = |words: &[&str]| words.iter().map(|w| record(w, now)).collect::<Vec<_>>();
    match words {
        ["open", options @ ..] => {
            let of = |name| options.iter().find_map(|option: &&str| option.strip_prefix(name));
            let pair = |text: &str| {
                let (a, b) = text.split_once(':').unwrap();
                (a.parse::<u64>().unwrap(), b.parse::<u64>().unwrap())
            };
            let parked = of("parked=").map(pair);
            let parked: Vec<_> = parked
                .map(|(key, records)| ParkedKey { key: Key(key), records })
                .into_iter()
                .collect();
            let window = of("window=").map(pair);
            let window = window.map(|(start_ms, state_bytes)| OpenWindow { start_ms, state_bytes });
            let lease_ms = of("lease=").map(|lease| lease.parse().unwrap());
            poll.step(now, Input::ShardOpened { shard, lease_ms, parked: &parked, window }, out);
        }
        ["read", records @ ..] => {
            poll.step(now, Input::RecordsRead { shard, records: &metas(records) }, out);
        }
        ["unpark", key, dropped, records @ ..] => {
            let (key, dropped) = (Key(number(key, "k")), dropped.parse().unwrap());
            let records = &metas(records);
            poll.step(now, Input::Unpark { shard, key, dropped, records }, out);
        }
        ["answer", batch, answer, rest @ ..] => {
            let batch = BatchId(number(batch, "b"));
            let of = |name| rest.iter().find_map(|word: &&str| word.strip_prefix(name));
            let state_bytes = of("state=").map_or(0, |bytes| bytes.parse().unwrap());
            let failed: Vec<_> =
                rest.iter().filter_map(|word| word.parse().ok()).map(Sequence).collect();
            let answer = match *answer {
                "ok" => Answer::Succeeded,
                "partial" => Answer::Partial { failed: &failed },
                "failed" => Answer::FunctionFailed,
                "throttled" => Answer::Throttled,
                "no-capacity" => Answer::NoCapacity,
                "refused" => Answer::Refused,
                "lost" => Answer::Lost,
                other => panic!("answer {other}"),
            };
            poll.step(now, Input::BatchAnswered { shard, batch, answer, state_bytes }, out);
        }
        other => panic!("input {other:?}"),
    }
    now
}

fn number(word: &str, prefix: &str) -> u64 {
    word.strip_prefix(prefix).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word}"))
}

/// `BYTES`, then any of `kKEY`, `aARRIVED`, `f`.
fn record(word: &str, now: Millis) -> RecordMeta {
    let filtered = word.ends_with('f');
    let word = word.trim_end_matches('f');
    let (word, arrived) = word.split_once('a').map_or((word, None), |(w, a)| (w, Some(a)));
    let (bytes, key) = word.split_once('k').unwrap_or((word, "0"));
    RecordMeta {
        bytes: bytes.parse().unwrap(),
        arrived_at: arrived.map_or(now, |arrived| arrived.parse().unwrap()),
        key: Key(key.parse().unwrap()),
        filtered,
    }
}

fn effect(effect: &Effect) -> String {
    let (says, shard) = match effect {
        Effect::Connect => ("connect".to_owned(), ShardId(0)),
        Effect::Receive { shard, records_max, wait_ms, .. } => {
            (format!("receive {records_max} {wait_ms}ms"), *shard)
        }
        Effect::Invoke { shard, batch, attempt, origin, records, window } => {
            let origin = match origin {
                Origin::Source => String::new(),
                Origin::Park(key) => format!(" park k{key}"),
            };
            let window = window.map_or_else(String::new, part);
            (format!("invoke b{batch} #{attempt} {records}{origin}{window}"), *shard)
        }
        Effect::Settle { shard, ticket, verdicts } => {
            let verdict =
                |(span, verdict)| format!("{span} {}", format!("{verdict:?}").to_lowercase());
            let verdicts: Vec<_> = verdicts.iter().copied().map(verdict).collect();
            (format!("settle t{ticket} {}", verdicts.join(", ")), *shard)
        }
        Effect::StoreCheckpoint { shard, ticket, through, window } => {
            let through = through.map_or_else(|| "-".to_owned(), |through| through.to_string());
            let window = window.map_or_else(String::new, |WindowMark { start_ms, has_state }| {
                format!(" window {start_ms}{}", if has_state { " state" } else { "" })
            });
            (format!("store t{ticket} through {through}{window}"), *shard)
        }
        Effect::FinishShard { shard } => ("finish".to_owned(), *shard),
        Effect::DeliverFailure { shard, ticket, failure } => {
            (format!("deliver t{ticket} {}", told(failure)), *shard)
        }
        Effect::Park { shard, ticket, key, records, failed } => {
            let failed = failed.map_or_else(String::new, |batch| format!(" by b{batch}"));
            (format!("park t{ticket} k{key} {records}{failed}"), *shard)
        }
        Effect::UnparkSettled { shard, ticket, key, count } => {
            (format!("unpark-settled t{ticket} k{key} x{count}"), *shard)
        }
        Effect::ShardReleased { shard } => ("released".to_owned(), *shard),
        Effect::Stopped => ("stopped".to_owned(), ShardId(0)),
        Effect::Fact(fact) => (format!("*{fact:?}").replace('"', ""), ShardId(0)),
    };
    if shard == ShardId(0) { says } else { format!("{says} @{shard}") }
}

fn part(part: WindowPart) -> String {
    let WindowPart { start_ms, end_ms, is_final, is_terminated_early, has_state } = part;
    let flag = |is_set, name| if is_set { name } else { "" };
    format!(
        " [{start_ms},{end_ms}){}{}{}",
        flag(has_state, " state"),
        flag(is_final, " final"),
        flag(is_terminated_early, " early"),
    )
}

fn told(failure: &Failure) -> String {
    let Failure { records, condition, approximate_invoke_count: count, .. } = failure;
    let condition = match condition {
        Condition::RetryAttemptsExhausted => "exhausted",
        Condition::RecordAgeExceeded => "aged",
        Condition::MaximumPayloadSizeExceeded => "oversized",
    };
    let response = match (failure.had_response, failure.function_error) {
        (false, _) => "no-response",
        (true, true) => "error",
        (true, false) => "items",
    };
    format!("{records} {condition} x{count} {response}")
}
