//! Keys: lanes, low water over verdicts that come out of order, parking (LS 4.6 parallelization factor,
//! users.md A4 and A5). Read top down.

use super::script::{scripts, settings};
use crate::{BatchLimits, Exhausted, Order, Settings, Settling};

fn lanes(batches: u32) -> Settings {
    Settings {
        order: Order::Key,
        batches_per_shard_max: batches,
        retries_max: Some(0),
        ..settings()
    }
}

fn parking(order: Order) -> Settings {
    Settings { order, exhausted: Exhausted::ParkKey, ..lanes(1) }
}

fn windowed() -> Settings {
    let batch = BatchLimits::new(3, 100).unwrap().with_bytes_max(114).with_envelope(14);
    Settings { batch, ..lanes(3) }
}

scripts! {
    keys_run_side_by_side_and_each_in_order, "LS 4.6: ParallelizationFactor keeps each partition key in order", lanes(2), "
        1  read 1k1 1k2 1k1 1k2  -> invoke b0 #1 0..1,2..3; invoke b1 #1 1..2,3..4
        2  answer b1 ok          -> receive 3 50ms
        3  read 1k1 1k2          -> invoke b2 #1 5..6
        4  answer b0 ok          -> store t0 through 3; invoke b3 #1 4..5
        5  answer b3 ok          -> receive 3 50ms
        6  answer b2 ok          ->
        7  stored t0             -> store t1 through 5
    ";

    one_batch_takes_no_more_keys_than_its_share, "users.md A4: a slow key keeps few others", lanes(2), "
        1  read 1k1 1k2 1k3 1k4  -> invoke b0 #1 0..2; invoke b1 #1 2..4
        2  answer b1 ok          -> receive 3 50ms
        3  answer b0 ok          -> store t0 through 3
    ";

    records_that_are_due_together_go_together, "LS 4.3: a full batch is cut, over several lanes", windowed(), "
        1   read 1k1 1k2           -> receive 7 50ms ! 100
        2   read 1k3               -> invoke b0 #1 0..1; invoke b1 #1 1..2; invoke b2 #1 2..3 ! -
        3   answer b0 ok           -> store t0 through 0; receive 3 50ms
    ";

    a_retrying_batch_keeps_only_its_own_keys, "users.md A4: gap in the checkpoint, bounded", Settings { retries_max: None, lookahead_records_max: 5, ..lanes(1) }, "
        1    read 1k1            -> invoke b0 #1 0..1
        2    answer b0 failed    -> receive 3 50ms
        3    read 1k2 1k1 1k2    -> invoke b1 #1 1..2,3..4
        4    answer b1 ok        -> receive 1 50ms ! 252
        5    read 1k1            -> ! 252
        252  tick                -> invoke b0 #2 0..1
        253  answer b0 ok        -> store t0 through 1; invoke b2 #1 2..3,4..5
        254  answer b2 ok        ->
        255  stored t0           -> store t1 through 4; receive 2 50ms
    ";

    a_used_up_key_is_parked_and_the_rest_flows, "users.md A5: park the key", parking(Order::Key), "
        1  read 1k1 1k1 1k1 1k1 1k2  -> invoke b0 #1 0..3
        2  answer b0 failed          -> park t0 k1 0..4 by b0; invoke b1 #1 4..5
        3  parked t0                 -> *Parked { shard: ShardId(0), key: Key(1), records: 4 }; store t1 through 3
        4  answer b1 ok              -> receive 3 50ms
        5  read 1k1 1k2              -> park t2 k1 5..6; invoke b2 #1 6..7
        6  read 1k1                  -> 
        7  unparked t2               -> ! 407
        407 tick                     -> park t2 k1 5..6
        408 full t2                  -> *ParkFailed { shard: ShardId(0), key: Key(1), full: true, retry_at: 808 }
        808 tick                     -> park t2 k1 5..6
        809 parked t2                -> park t3 k1 7..8
    ";

    only_the_keys_that_were_named_are_parked, "users.md A5: with partial answers the failed are isolated", parking(Order::Shard), "
        1    read 1k1 1k2 1k1      -> invoke b0 #1 0..3
        2    answer b0 partial 0   -> park t0 k1 0..1,2..3 by b0; invoke b0 #1 1..2
        3    answer b0 ok          -> receive 3 50ms
        4    parked t0             -> store t1 through 2
    ";

    bisect_isolates_before_a_key_is_parked, "users.md A5: with bisect one record's key", Settings { bisect: true, ..parking(Order::Shard) }, "
        1    read 1k1 1k2 1k1      -> invoke b0 #1 0..3
        2    answer b0 failed      -> receive 3 50ms
        252  tick                  -> invoke b0 #1 0..2
        253  answer b0 failed      ->
        503  tick                  -> invoke b0 #1 0..1
        504  answer b0 failed      -> park t0 k1 0..1,2..3 by b0; invoke b0 #1 1..2
        505  answer b0 ok          ->
        506  parked t0             -> store t1 through 2
    ";

    parked_records_come_back_in_order_before_new_ones, "users.md A5: unpark = replay in order", parking(Order::Key), "
        0  s1 open parked=1:4      -> receive 3 50ms @1
        1  s1 read 1k1 1k2         -> park t0 k1 0..1 @1; invoke b0 #1 1..2 @1
        2  s1 answer b0 ok         -> receive 3 50ms @1
        3  s1 parked t0            -> store t1 through 1 @1
        4  s1 unpark k1 1 1 1 1    -> invoke b1 #1 0..3 park k1 @1
        5  s1 read 1k1 1k2         -> park t2 k1 2..3 @1
        6  s1 answer b1 partial 1  -> unpark-settled t3 k1 x1 @1; invoke b2 #1 3..4 @1
        7  s1 unsettled t3         -> ! 107
        8  s1 answer b2 ok         -> receive 3 50ms @1
        107 tick                   -> unpark-settled t3 k1 x1 @1
        108 s1 settled t3          -> ! 256
        256 tick                   -> invoke b1 #1 1..3 park k1 @1
        257 s1 answer b1 ok        -> unpark-settled t4 k1 x2 @1
        258 s1 settled t4          -> *UnparkEnded { shard: ShardId(1), key: Key(1), left: 2, done: true }
        259 s1 parked t2           ->
        260 s1 stored t1           -> store t5 through 3 @1
    ";

    a_key_is_free_when_nothing_is_parked, "users.md A5: afterwards it flows", parking(Order::Key), "
        0  s1 open parked=1:2      -> receive 3 50ms @1
        4  s1 unpark k1 0 1 1      -> invoke b0 #1 0..2 park k1 @1
        5  s1 answer b0 ok         -> unpark-settled t0 k1 x2 @1
        6  s1 settled t0           -> *UnparkEnded { shard: ShardId(1), key: Key(1), left: 0, done: true }
        7  s1 read 1k1             -> invoke b1 #1 0..1 @1
    ";

    newer_records_that_were_not_set_aside_yet_flow_too, "users.md A5: a key is free when its last parked record has ended", parking(Order::Key), "
        0  s1 open parked=1:1      -> receive 3 50ms @1
        1  s1 unpark k1 0 1        -> invoke b0 #1 0..1 park k1 @1
        2  s1 read 1k1             ->
        3  s1 answer b0 ok         -> unpark-settled t0 k1 x1 @1; receive 3 50ms @1
        4  s1 settled t0           -> *UnparkEnded { shard: ShardId(1), key: Key(1), left: 0, done: true }
           ; *Invoking { shard: ShardId(1), batch: BatchId(1), attempt: 1, records: 1, age_ms: Some(2) }; invoke b1 #1 0..1 @1
    ";

    what_fails_again_stays_parked, "users.md A5", parking(Order::Key), "
        0  s1 open parked=1:2      -> receive 3 50ms @1
        4  s1 unpark k1 0 1 1      -> invoke b0 #1 0..2 park k1 @1
        5  s1 answer b0 partial 1  -> unpark-settled t0 k1 x1 @1
        255 tick                   -> invoke b0 #1 1..2 park k1 @1
        256 s1 settled t0          ->
        257 s1 answer b0 failed    -> *FunctionFailed { shard: ShardId(1), batch: BatchId(0), attempt: 1, records: 1, retry_at: None }
            ; *UnparkEnded { shard: ShardId(1), key: Key(1), left: 1, done: false }
        258 s1 read 1k1            -> park t1 k1 0..1 @1; receive 3 50ms @1
        259 s1 unpark k1 0 1       -> invoke b1 #1 2..3 park k1 @1
        260 s1 answer b1 ok        -> unpark-settled t2 k1 x1 @1
    ";

    a_queues_parked_records_are_over_for_it, "users.md A5: settled after they are parked", Settings { settling: Settling::PerRecord, ..parking(Order::Key) }, "
        1  read 1k1 1k2            -> invoke b0 #1 0..2
        2  answer b0 partial 0     -> park t0 k1 0..1 by b0; settle t1 1..2 done; receive 3 50ms
        3  parked t0               -> settle t2 0..1 parked
    ";
}
