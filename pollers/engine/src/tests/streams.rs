//! Streams: order of the shard, checkpoints by low water (LS 4.3, 4.6, 4.8). Read top down.

use super::script::{scripts, settings};
use crate::{BatchLimits, Ramp, Settings, WindowStart};

fn window(window_ms: u64, window_start: WindowStart) -> Settings {
    let batch = BatchLimits::new(3, window_ms).unwrap().with_bytes_max(114).with_envelope(14);
    Settings { batch, window_start, ..settings() }
}

fn from_end() -> Settings {
    window(100, WindowStart::PreviousBatchEnd)
}

fn from_first() -> Settings {
    window(100, WindowStart::FirstRecord)
}

fn retries(most: u32) -> Settings {
    Settings { retries_max: Some(most), on_failure_destination: true, ..settings() }
}

fn bisect() -> Settings {
    Settings { bisect: true, ..retries(1) }
}

scripts! {
    a_batch_is_read_sent_and_checkpointed, "LS 4.3", settings(), "
        raw
        0   tick          -> connect ! -
        5   up            -> ! -
        5   open          -> receive 3 50ms ! -
        9   read 10 20    -> *Polled { shard: ShardId(0), records: 2, filtered: 0 }
            ; *Invoking { shard: ShardId(0), batch: BatchId(0), attempt: 1, records: 2, age_ms: Some(0) }
            ; invoke b0 #1 0..2 ! -
        12  answer b0 ok  -> *Succeeded { shard: ShardId(0), batch: BatchId(0), records: 2 }
            ; store t0 through 1; receive 3 50ms ! -
        15  stored t0     -> *CheckpointStored { shard: ShardId(0), through: Some(Sequence(1)), records: 2 } ! -
        20  read 5        -> invoke b1 #1 2..3
        21  answer b1 ok  -> store t1 through 2; receive 3 50ms
    ";

    a_batch_closes_by_count_and_the_rest_goes_next, "LS 4.3: BatchSize reached", from_end(), "
        1   read 1 1 1 1  -> invoke b0 #1 0..3 ! -
        2   answer b0 ok  -> store t0 through 2; receive 2 50ms ! 102
        52  read          -> receive 2 50ms ! 102
        102 read          -> invoke b1 #1 3..4
    ";

    a_batch_closes_by_bytes_with_separators_counted, "LS 4.3: payload reaches 6 MB", from_first(), "
        1   read 50       -> receive 2 50ms ! 101
        2   read 50       -> invoke b0 #1 0..1
        3   answer b0 ok  -> store t0 through 0; receive 2 50ms ! 102
        4   read 49       -> invoke b1 #1 1..3
        5   answer b1 ok  -> receive 3 50ms
    ";

    a_window_starts_when_the_previous_batch_ended, "LS 4.3: Kinesis, DynamoDB Streams, Kafka", from_end(), "
        10  read 1        -> receive 2 50ms ! 100
        99  tick          ->
        100 tick          -> invoke b0 #1 0..1 ! -
        100 read          ->
        130 answer b0 ok  -> store t0 through 0; receive 3 50ms ! -
        170 read 1        -> receive 2 50ms ! 230
        200 read 1        -> receive 1 30ms
        230 tick          -> invoke b1 #1 1..3
        231 read 7        ->
        240 answer b1 ok  -> receive 2 50ms ! 340
    ";

    a_record_after_a_long_silence_is_sent_at_once, "LS 4.3: the window of a quiet shard is over", from_end(), "
        500 read 1        -> invoke b0 #1 0..1
    ";

    a_window_starts_with_the_first_record, "LS 4.3: Amazon MQ", from_first(), "
        500 read 1        -> receive 2 50ms ! 600
        550 read 1        -> receive 1 50ms
        600 tick          -> invoke b0 #1 0..2
    ";

    a_failed_batch_is_sent_again_whole_until_it_succeeds, "LS 4.3: default on function error", settings(), "
        1    read 1 1         -> invoke b0 #1 0..2
        10   answer b0 failed -> receive 3 50ms ! 260
        11   read             -> ! 30
        260  tick             -> invoke b0 #2 0..2 ! -
        300  answer b0 failed -> receive 3 50ms ! 550
        600  tick             -> invoke b0 #3 0..2
        601  answer b0 ok     -> store t0 through 1
    ";

    what_did_not_reach_the_function_spends_no_retry, "LS 4.3: a throttle does not consume MaximumRetryAttempts", retries(0), "
        1     read 1                -> invoke b0 #1 0..1
        2     answer b0 throttled   -> *Delayed { shard: ShardId(0), batch: BatchId(0), delay: Throttled }
              ; *GateShut { probe_at: 1002 } ! 1002
        1002  tick                  -> invoke b0 #1 0..1
        1003  answer b0 no-capacity -> ! 2003
        2003  tick                  -> invoke b0 #1 0..1
        2004  answer b0 refused     -> ! 3004
        3004  tick                  -> invoke b0 #1 0..1
        3005  answer b0 lost        -> ! 4005
        4005  tick                  -> invoke b0 #1 0..1
        4006  answer b0 failed      -> deliver t0 0..1 exhausted x1 error; receive 3 50ms
        4007  delivered t0          -> store t1 through 0
    ";

    retries_that_are_used_up_discard_the_batch, "LS 4.6: discard, OnFailure record, advance", retries(1), "
        1    read 1 1 1       -> invoke b0 #1 0..3
        2    answer b0 failed -> receive 3 50ms ! 252
        252  tick             -> invoke b0 #2 0..3
        253  answer b0 failed -> deliver t0 0..3 exhausted x2 error
        260  undelivered t0   -> *FailureDeliveryFailed { shard: ShardId(0), retry_at: 760 } ! 760
        760  tick             -> deliver t0 0..3 exhausted x2 error
        761  delivered t0     -> store t1 through 2
    ";

    without_a_destination_a_discarded_batch_just_ends, "LS 4.6", Settings { retries_max: Some(0), ..settings() }, "
        1    read 1 1         -> invoke b0 #1 0..2
        2    answer b0 failed -> *FunctionFailed { shard: ShardId(0), batch: BatchId(0), attempt: 1, records: 2, retry_at: None }
             ; *GivenUp { shard: ShardId(0), records: 2, first: Sequence(0), condition: RetryAttemptsExhausted }
             ; store t0 through 1; receive 3 50ms
    ";

    the_recorded_partial_answer, "LS 4.6: retries 3, batch of 3, the last is reported: 5 deliveries, count 4, size 1", retries(3), "
        1    read 1 1 1            -> invoke b0 #1 0..3
        2    answer b0 partial 2   -> store t0 through 1; receive 3 50ms
        252  tick                  -> invoke b0 #1 2..3
        253  answer b0 partial 2   ->
        503  tick                  -> invoke b0 #2 2..3
        504  answer b0 partial 2   ->
        754  tick                  -> invoke b0 #3 2..3
        755  answer b0 partial 2   ->
        1005 tick                  -> invoke b0 #4 2..3
        1006 answer b0 partial 2   -> deliver t1 2..3 exhausted x4 items
    ";

    a_partial_answer_sends_everything_from_the_lowest_again, "LS 4.6: checkpoint to just before the lowest", retries(3), "
        1    read 1 1 1            -> invoke b0 #1 0..3
        2    answer b0 partial 2 1 -> store t0 through 0; receive 3 50ms
        252  tick                  -> invoke b0 #1 1..3
        253  answer b0 ok          -> 
        254  stored t0             -> store t1 through 2
    ";

    a_partial_answer_with_an_unknown_record_fails_the_batch, "LS 4.6: unknown identifier", retries(3), "
        1    read 1 1 1            -> invoke b0 #1 0..3
        2    answer b0 partial 7   -> receive 3 50ms
        252  tick                  -> invoke b0 #2 0..3
    ";

    an_old_record_is_discarded_before_the_send_and_only_it, "LS 4.6: MaximumRecordAge", Settings { record_age_ms_max: Some(60_000), ..retries(9) }, "
        60001 read 1a0 1a5 1a30000 -> deliver t0 0..1 aged x0 no-response; invoke b0 #1 1..3
        60002 answer b0 failed     -> receive 3 50ms
        60252 tick                 -> deliver t1 1..2 aged x1 no-response; invoke b0 #1 2..3
        90001 answer b0 throttled  ->
        91001 tick                 -> deliver t2 2..3 aged x0 no-response
    ";

    bisect_sends_the_first_half_first_and_spends_no_retry, "LS 4.6: bisect", bisect(), "
        1    read 1 1 1       -> invoke b0 #1 0..3
        2    answer b0 failed -> *FunctionFailed { shard: ShardId(0), batch: BatchId(0), attempt: 1, records: 3, retry_at: Some(252) }
             ; *Split { shard: ShardId(0), batch: BatchId(0), first: 2, second: 1 }; receive 3 50ms
        252  tick             -> invoke b0 #1 0..2
        253  answer b0 failed ->
        503  tick             -> invoke b0 #1 0..1
        504  answer b0 ok     -> store t0 through 0; invoke b0 #1 1..2
        505  answer b0 failed ->
        755  tick             -> invoke b0 #2 1..2
        756  answer b0 failed -> deliver t1 1..2 exhausted x2 error; invoke b0 #1 2..3
        757  answer b0 ok     ->
        758  delivered t1     ->
        759  stored t0        -> store t2 through 2
    ";

    bisect_with_partial_answers_splits_at_the_returned_record, "LS 4.6: bisect + partial response", bisect(), "
        1    read 1 1 1          -> invoke b0 #1 0..3
        2    answer b0 partial 1 -> store t0 through 0; receive 3 50ms
        252  tick                -> invoke b0 #1 1..3
        253  answer b0 partial 1 -> 
        503  tick                -> invoke b0 #1 1..2
        504  answer b0 ok        -> invoke b0 #1 2..3
    ";

    a_record_that_no_batch_can_hold_never_blocks, "LS 4.8: MaximumPayloadSizeExceeded", retries(0), "
        1  read 9 101 8 100    -> deliver t0 1..2 oversized x0 no-response; invoke b0 #1 0..1,2..3
        2  answer b0 ok        -> store t1 through 0; invoke b1 #1 3..4
        3  delivered t0        ->
        4  stored t1           -> store t2 through 2
    ";

    a_filtered_record_advances_the_checkpoint, "LS 4.4: stream iterator advances, Kafka offset committed with its neighbours", settings(), "
        1  read 1f 1 1f     -> store t0 through 0; invoke b0 #1 1..2
        2  answer b0 ok     -> receive 3 50ms
        3  stored t0        -> store t1 through 2
        4  read 1f          -> receive 3 50ms
    ";

    checkpoints_are_one_at_a_time_and_the_newest_wins, "issue 3: low-water checkpoints", settings(), "
        1    read 1         -> invoke b0 #1 0..1
        2    answer b0 ok   -> store t0 through 0; receive 3 50ms
        3    read 1         -> invoke b1 #1 1..2
        4    answer b1 ok   -> receive 3 50ms
        5    read 1         -> invoke b2 #1 2..3
        6    unstored t0    -> ! 106
        7    answer b2 ok   -> receive 3 50ms ! 106
        106  tick           -> store t1 through 2
        107  stored t1      ->
    ";

    what_is_read_beyond_the_checkpoint_is_bounded, "issue 3: bounded lookahead", Settings { lookahead_records_max: 2, ..settings() }, "
        1    read 1 1       -> invoke b0 #1 0..2
        2    answer b0 ok   -> store t0 through 1
        3    unstored t0    ->
        103  tick           -> store t1 through 1
        104  stored t1      -> receive 2 50ms
    ";

    two_shards_share_the_mappings_permits, "LS 4.2: MaximumConcurrency, from 1 (users.md A2)", Settings { maximum_concurrency: 1, ..settings() }, "
        0  s1 open           -> receive 3 50ms @1
        1  read 1 1 1        -> invoke b0 #1 0..3
        2  s1 read 1 1 1     ->
        3  answer b0 ok      -> store t0 through 2; invoke b1 #1 0..3 @1
        4  s1 answer b1 ok   -> store t1 through 2 @1; receive 3 50ms @1; receive 3 50ms
    ";

    concurrency_ramps_up_while_there_is_backlog, "LS 4.5: from 5, +300 a minute, down with errors", Settings { ramp: Some(Ramp { start: 2, per_minute: 300, ceiling: 4 }), ..settings() }, "
        0    s1 open            -> receive 3 50ms @1
        0    s2 open            -> receive 3 50ms @2
        1    read 1             -> invoke b0 #1 0..1
        2    s1 read 1          -> invoke b1 #1 0..1 @1 ! 202
        3    s2 read 1          ->
        202  tick               -> *RampMoved { concurrency: 3 }
             ; *Invoking { shard: ShardId(2), batch: BatchId(2), attempt: 1, records: 1, age_ms: Some(199) }; invoke b2 #1 0..1 @2
        203  answer b0 failed   -> 
        204  s1 answer b1 ok    -> store t0 through 0 @1; receive 3 50ms; receive 3 50ms @1
        205  s2 answer b2 ok    -> store t1 through 0 @2; receive 3 50ms @2
        206  s1 stored t0       ->
        453  tick               -> invoke b0 #2 0..1
        454  answer b0 failed   ->
        704  tick               -> invoke b0 #3 0..1
        705  answer b0 failed   ->
        955  tick               -> invoke b0 #4 0..1
        956  answer b0 ok       -> store t2 through 0
        990  read               -> receive 3 50ms
        991  s1 read 1          -> invoke b3 #1 1..2 @1
        992  s2 read 1          -> invoke b4 #1 1..2 @2
        1200 tick               -> *RampMoved { concurrency: 3 }
        1202 s2 answer b4 ok    -> receive 3 50ms @2
        1203 s1 answer b3 ok    -> store t3 through 1 @1; receive 3 50ms @1
        70000 tick              -> *RampMoved { concurrency: 2 }
    ";

    nothing_is_waited_for_after_the_end_of_a_shard, "LS 4.6: resharding", from_end(), "
        10  read 1        -> receive 2 50ms ! 100
        11  ended         -> invoke b0 #1 0..1
    ";
}
