//! Life and death: connections, pause, shards that come, go and end, shutdown. Read top down.

use super::script::{scripts, settings};
use crate::{Exhausted, Order, Settings, Settling};

fn ending() -> Settings {
    Settings {
        retries_max: Some(0),
        on_failure_destination: true,
        revoke_drain_ms: 1_000,
        ..settings()
    }
}

scripts! {
    a_batch_is_read_ahead_in_strict_order, "issue 3: records are fetched only against free permits", Settings { batches_ahead: 1, ..settings() }, "
        1  read 7 7 7      -> invoke b0 #1 0..3; receive 3 50ms
        2  read 7 7        -> receive 1 50ms
        3  answer b0 ok    -> store t0 through 2; invoke b1 #1 3..5
        4  read 7          -> receive 2 50ms
        5  answer b1 throttled ->
        6  read 7          ->
    ";

    a_batch_is_read_ahead_in_the_order_of_keys_too, "issue 3: records are fetched only against free permits", Settings { order: Order::Key, batches_ahead: 1, ..settings() }, "
        1  read 7k1 7k1 7k2 -> invoke b0 #1 0..3; receive 3 50ms
        2  read 7k1 7k3     -> receive 1 50ms
        3  answer b0 ok     -> store t0 through 2; invoke b1 #1 3..5
        4  read 7k2         -> receive 2 50ms
    ";

    what_is_read_ahead_is_one_batch_in_bytes_too, "LS 4.2: 6 MB", Settings { batches_ahead: 1, ..settings() }, "
        1  read 7 7 7      -> invoke b0 #1 0..3; receive 3 50ms
        2  read 60         -> receive 2 50ms
        3  read 60         ->
        4  answer b0 ok    -> store t0 through 2; invoke b1 #1 3..4; receive 2 50ms
    ";

    nothing_is_read_ahead_without_a_permit, "issue 3: records are fetched only against free permits", Settings { batches_ahead: 1, maximum_concurrency: 1, ..settings() }, "
        1  read 7 7 7      -> invoke b0 #1 0..3
        2  answer b0 ok    -> store t0 through 2; receive 3 50ms
    ";

    a_source_that_goes_comes_back_and_keeps_what_was_read, "issue 3: recovery", settings(), "
        raw
        0    tick          -> connect
        0    open          ->
        0    gone          -> *SourceLost { retry_at: 200 } ! 200
        1    gone          -> *OutOfTurn { input: SourceGone }
        200  tick          -> connect
        205  up            -> receive 3 50ms
        206  up            -> *OutOfTurn { input: SourceConnected }
        207  read 7 7 7 7  -> invoke b0 #1 0..3
        210  gone          -> ! 410
        211  answer b0 ok  -> store t0 through 2; invoke b1 #1 3..4
        410  tick          -> connect ! -
        411  answer b1 ok  ->
        412  up            -> receive 3 50ms
        413  stored t0     -> store t1 through 3
        414  gone          -> ! 614
    ";

    a_receive_that_fails_is_tried_again, "issue 3: one shard's iterator expires", settings(), "
        1    read-failed   -> *ReceiveFailed { shard: ShardId(0), retry_at: 201 } ! 201
        201  tick          -> receive 3 50ms
        202  read          -> ! 221
        221  tick          -> receive 3 50ms
        271  read          -> receive 3 50ms
    ";

    a_pause_lets_what_is_in_flight_end_and_starts_nothing, "issue 3: pause holds without losing position", settings(), "
        1    pause             -> *Paused
        2    read 1 1 1 1      -> ! -
        3    pause             ->
        9    resume            -> *Resumed; *Invoking { shard: ShardId(0), batch: BatchId(0), attempt: 1, records: 3, age_ms: Some(7) }; invoke b0 #1 0..3
        10   resume            ->
        11   pause             ->
        12   answer b0 failed  -> ! -
        300  tick              ->
        400  resume            -> invoke b0 #2 0..3
        401  pause             ->
        402  answer b0 ok      -> store t0 through 2
        403  unstored t0       -> ! 503
        503  tick              -> store t1 through 2
        504  stored t1         -> ! -
        505  stop              -> *Abandoned { shard: ShardId(0), records: 1 }; stopped
    ";

    a_stop_waits_for_what_is_in_flight, "issue 3: shutdown", settings(), "
        1   read 1 1 1 1   -> invoke b0 #1 0..3
        2   stop           -> ! -
        3   answer b0 ok   -> store t0 through 2
        4   stop           ->
        5   stored t0      -> *CheckpointStored { shard: ShardId(0), through: Some(Sequence(2)), records: 3 }
            ; *Abandoned { shard: ShardId(0), records: 1 }; stopped ! -
        6   tick           ->
    ";

    a_stop_gives_up_what_would_have_to_be_tried_again, "issue 3: shutdown", settings(), "
        1   read 1 1          -> invoke b0 #1 0..2
        2   stop              ->
        3   answer b0 failed  -> stopped
    ";

    a_stop_gives_up_a_checkpoint_that_cannot_be_stored, "issue 3: shutdown", settings(), "
        1   read 1         -> invoke b0 #1 0..1
        2   answer b0 ok   -> store t0 through 0; receive 3 50ms
        3   stop           ->
        4   unstored t0    ->
        5   read           -> *Abandoned { shard: ShardId(0), records: 1 }; stopped
    ";

    a_stop_waits_for_the_connection, "issue 3: shutdown", settings(), "
        raw
        0   tick      -> connect
        1   stop      ->
        2   gone      -> stopped ! -
    ";

    a_stop_gives_up_a_delivery_that_failed, "LS 4.6: what was not told comes again", ending(), "
        1   read 101 1          -> deliver t0 0..1 oversized x0 no-response; invoke b0 #1 1..2
        2   answer b0 ok        -> receive 3 50ms
        3   undelivered t0      ->
        4   read                -> ! 22
        5   stop                -> stopped
    ";

    a_revoked_shard_drains_and_is_released, "issue 3: rebalance", ending(), "
        0    s1 open        -> receive 3 50ms @1
        1    read 1 1 1 1   -> invoke b0 #1 0..3
        2    revoke         -> ! 1002
        3    answer b0 ok   -> store t0 through 2
        4    stored t0      -> *CheckpointStored { shard: ShardId(0), through: Some(Sequence(2)), records: 3 }
             ; *Abandoned { shard: ShardId(0), records: 1 }; released
        5    read 1         ->
        6    open           -> receive 3 50ms
        7    read 1         -> invoke b1 #1 0..1
    ";

    a_revoked_shard_does_not_wait_for_ever, "issue 3: rebalance, drain bound", Settings { maximum_concurrency: 1, ..ending() }, "
        1    read 1         -> invoke b0 #1 0..1
        2    revoke         -> ! 1002
        1002 tick           -> released
        1003 open           -> 
        1004 answer b0 ok   -> receive 3 50ms
        1005 read 1         -> invoke b1 #1 0..1
        1006 revoke         ->
        2006 tick           -> released
        2007 stop           ->
        2008 answer b1 lost -> stopped
    ";

    a_shard_that_ended_is_worked_off_and_finished, "LS 4.6: resharding", ending(), "
        1    read 1 1 1 1   -> invoke b0 #1 0..3
        2    ended          ->
        3    answer b0 ok   -> store t0 through 2; invoke b1 #1 3..4
        4    stored t0      ->
        5    answer b1 ok   -> store t1 through 3
        6    stored t1      -> finish
        7    unfinished     -> ! 107
        107  tick           -> finish
        108  finished       -> ! -
        109  ended          ->
    ";

    a_shard_that_ended_may_be_revoked_or_stopped, "LS 4.6: resharding", ending(), "
        0    s1 open        -> receive 3 50ms @1
        1    ended          ->
        2    s1 ended       ->
        3    ended          -> *OutOfTurn { input: ShardEnded }
        4    revoke         ->
        5    read           -> released
        6    stop           ->
        7    s1 read        -> stopped
    ";

    a_shard_that_stops_gives_up_what_is_not_parked_yet, "users.md A5, shutdown", Settings { order: Order::Key, settling: Settling::PerRecord, exhausted: Exhausted::ParkKey, on_failure_destination: true, ..ending() }, "
        1    read 1k1       -> invoke b0 #1 0..1
        2    answer b0 failed -> park t0 k1 0..1 by b0; receive 3 50ms
        3    read 1k1 101   -> deliver t1 2..3 oversized x0 no-response; receive 3 50ms
        4    unparked t0    ->
        5    undelivered t1 ->
        6    stop           -> settle t2 0..1 released, 1..3 released
        7    read 1         -> settle t3 3..4 released
        8    settled t2     ->
        9    settled t3     -> stopped
    ";

    what_nobody_asked_for_changes_nothing, "the engine is total", settings(), "
        1   stored t9      -> *OutOfTurn { input: CheckpointStored }
        1   unstored t9    -> *OutOfTurn { input: CheckpointFailed }
        1   settled t9     -> *OutOfTurn { input: Settled }
        1   unsettled t9   -> *OutOfTurn { input: SettleFailed }
        1   delivered t9   -> *OutOfTurn { input: FailureDelivered }
        1   undelivered t9 -> *OutOfTurn { input: FailureDeliveryFailed }
        1   parked t9      -> *OutOfTurn { input: Parked }
        1   full t9        -> *OutOfTurn { input: ParkFailed }
        1   finished       -> *OutOfTurn { input: ShardFinished }
        1   unfinished     -> *OutOfTurn { input: ShardFinishFailed }
        1   answer b0 ok   -> *OutOfTurn { input: BatchAnswered }
        1   open           -> *OutOfTurn { input: ShardOpened }
        1   s7 stored t9   ->
        4   read 1         -> invoke b0 #1 0..1
        5   answer b7 ok   -> *OutOfTurn { input: BatchAnswered }
        6   read-failed    -> *OutOfTurn { input: ReceiveFailed }
        8   read 1         -> *OutOfTurn { input: RecordsRead }; *Polled { shard: ShardId(0), records: 1, filtered: 0 }
    ";

    all_batches_are_throttled, "users.md A1", Settings { order: Order::None, batches_per_shard_max: 2, ..settings() }, "
        1    read 1 1 1 1 1 1    -> invoke b0 #1 0..3; invoke b1 #1 3..6
        2    answer b0 throttled ->
        3    answer b1 throttled -> ! 1003
        1003 tick                -> invoke b0 #1 0..3
        1004 answer b0 ok        -> store t0 through 2; invoke b1 #1 3..6; receive 3 50ms
    ";

    a_throttle_of_one_of_many_narrows_the_gate, "users.md A1: a throttle lowers nothing else", Settings { order: Order::None, batches_per_shard_max: 9, maximum_concurrency: 3, ..settings() }, "
        1   read 1 1 1 1 1 1 1 1 1 -> invoke b0 #1 0..3; invoke b1 #1 3..6; invoke b2 #1 6..9
        2   answer b0 throttled    ->
        3   answer b1 throttled    ->
        4   answer b2 ok           -> invoke b0 #1 0..3; invoke b1 #1 3..6
        5   answer b0 ok           -> store t0 through 2; receive 6 50ms
        6   answer b1 throttled    -> *Delayed { shard: ShardId(0), batch: BatchId(1), delay: Throttled }; *GateShut { probe_at: 1006 }
        7   read                   ->
        1006 tick                  -> invoke b1 #1 3..6
        1007 answer b1 throttled   -> *Delayed { shard: ShardId(0), batch: BatchId(1), delay: Throttled }; *GateShut { probe_at: 2007 }
        2007 tick                  -> invoke b1 #1 3..6
        2008 answer b1 ok          -> *GateOpened; *Succeeded { shard: ShardId(0), batch: BatchId(1), records: 3 }; receive 6 50ms
        2009 stored t0             -> store t1 through 8
    ";
}
