//! Queues: a verdict for each record, leases, redelivery by the source (LS 4.4, 4.5, 4.9). Read top down.

use super::script::{scripts, settings};
use crate::{Order, RetriedBy, Settings, Settling};

fn sqs() -> Settings {
    Settings {
        order: Order::None,
        settling: Settling::PerRecord,
        batches_per_shard_max: 2,
        retried_by: RetriedBy::Source,
        report_batch_item_failures: true,
        source_lease_ms: Some(30_000),
        ..settings()
    }
}

fn fifo() -> Settings {
    Settings { order: Order::Key, batches_per_shard_max: 1, ..sqs() }
}

fn mq() -> Settings {
    Settings {
        order: Order::None,
        settling: Settling::PerRecord,
        retries_max: Some(1),
        survives_reconnect: false,
        ..settings()
    }
}

scripts! {
    success_settles_all, "LS 4.5: Success -> Lambda deletes all messages", sqs(), "
        1  read 1 1       -> invoke b0 #1 0..2; receive 3 50ms
        2  answer b0 ok   -> settle t0 0..2 done
        3  settled t0     -> *Settled { shard: ShardId(0), verdict: Done, records: 2 } ! 10001
    ";

    a_filtered_message_is_settled_at_once, "LS 4.4: SQS message deleted, MQ acked at filter time", sqs(), "
        1  read 1f 1 1f   -> settle t0 0..1 filtered, 2..3 filtered; invoke b0 #1 1..2; receive 3 50ms
        2  answer b0 ok   -> settle t1 1..2 done
    ";

    a_function_error_gives_all_back_to_the_source, "LS 4.5: nothing deleted; messages reappear", sqs(), "
        1  read 1 1            -> invoke b0 #1 0..2; receive 3 50ms
        2  answer b0 failed    -> settle t0 0..2 failed
    ";

    a_partial_answer_settles_each, "LS 4.5: others deleted, listed ones reappear", sqs(), "
        1  read 1 1 1           -> invoke b0 #1 0..3; receive 3 50ms
        2  answer b0 partial 1  -> settle t0 0..1 done, 1..2 failed, 2..3 done
    ";

    batches_run_side_by_side, "LS 4.5: scaling; fetch only against free concurrency", sqs(), "
        1  read 1 1 1           -> invoke b0 #1 0..3; receive 3 50ms
        2  read 1 1 1           -> invoke b1 #1 3..6
        3  answer b1 ok         -> settle t0 3..6 done; receive 3 50ms
        4  answer b0 ok         -> settle t1 0..3 done
    ";

    a_verdict_that_is_not_taken_is_given_again, "issue 3: nothing blocked", sqs(), "
        1    read 1             -> invoke b0 #1 0..1; receive 3 50ms
        2    answer b0 ok       -> settle t0 0..1 done
        3    unsettled t0       -> *SettleFailed { shard: ShardId(0), retry_at: Some(103) } ! 103
        103  tick               -> settle t1 0..1 done
        104  settled t1         -> ! 10001
    ";

    every_record_in_hand_is_held, "LS 4.5, users.md A1: leases are extended while records wait", sqs(), "
        1      read 1           -> invoke b0 #1 0..1; receive 3 50ms ! 10001
        2      read 1 1f        -> settle t0 2..3 filtered; invoke b1 #1 1..2
        3      settled t0       ->
        10001  tick             -> settle t1 0..1 held ! 10002
        10002  tick             -> settle t2 1..2 held ! 20001
        10003  unsettled t1     -> ! 10103
        10004  settled t2       -> *Held { shard: ShardId(0), records: 1 }
        10103  tick             -> settle t3 0..1 held ! 20002
        10104  settled t3       ->
        10105  answer b0 ok     -> settle t4 0..1 done; receive 3 50ms
        20103  tick             -> settle t5 1..2 held
    ";

    the_lease_may_be_the_shards_own, "LS 4.5: the queue's visibility timeout", Settings { source_lease_ms: None, ..sqs() }, "
        1      s1 open lease=300  -> receive 6 50ms @1
        2      s1 read 1          -> invoke b0 #1 0..1 @1; receive 3 50ms @1 ! 102
        102    tick               -> settle t0 0..1 held @1
    ";

    a_fifo_group_is_in_one_batch_at_a_time, "LS 4.5: order kept per group", Settings { batches_per_shard_max: 2, ..fifo() }, "
        1  read 1k1 1k1 1k2       -> invoke b0 #1 0..2; invoke b1 #1 2..3
        2  answer b1 ok           -> settle t0 2..3 done; receive 3 50ms
        3  read 1k1 1k2           -> invoke b2 #1 4..5
        4  answer b0 ok           -> settle t1 0..2 done; invoke b3 #1 3..4
    ";

    a_failed_group_goes_back_with_what_is_behind_it, "LS 4.5: FIFO, later ones of that group wait", fifo(), "
        1  read 1k1 1k1 1k1 1k1 1k2  -> invoke b0 #1 0..3
        2  answer b0 partial 1 2     -> settle t0 0..1 done, 1..3 failed, 3..4 released
           ; invoke b1 #1 4..5
    ";

    a_batch_of_a_queue_in_strict_order_goes_back_with_all_behind_it, "LS 4.5: order", Settings { order: Order::Shard, ..sqs() }, "
        1  read 1k1 1k1 1k1 1k2      -> invoke b0 #1 0..3
        2  answer b0 failed          -> settle t0 0..3 failed, 3..4 released; receive 3 50ms
    ";

    retries_by_the_engine_hold_the_records, "LS 4.9: whole batch retried, then the broker's own dead letters", mq(), "
        1    read 1 1         -> invoke b0 #1 0..2
        2    answer b0 failed -> receive 3 50ms
        3    read 1           -> invoke b1 #1 2..3
        4    answer b1 ok     -> settle t0 2..3 done; receive 3 50ms
        252  tick             -> invoke b0 #2 0..2
        253  answer b0 failed -> settle t1 0..2 rejected
    ";

    partly_taken_the_rest_is_retried_alone, "issue 3: per-record settling, retries by the engine", mq(), "
        1    read 1 1 1          -> invoke b0 #1 0..3
        2    answer b0 partial 1 -> settle t0 0..1 done, 2..3 done; receive 3 50ms
        252  tick                -> invoke b0 #2 1..2
        253  answer b0 partial 1 -> settle t1 1..2 rejected
    ";

    what_is_given_up_waits_for_the_destination, "LS 4.6: the destination cannot drop", Settings { on_failure_destination: true, source_lease_ms: Some(3_000), ..mq() }, "
        1    read 1 101       -> deliver t0 1..2 oversized x0 no-response; invoke b0 #1 0..1
        2    answer b0 ok     -> settle t1 0..1 done; receive 3 50ms
        1001 tick             -> settle t2 1..2 held
        1002 delivered t0     -> settle t3 1..2 rejected
    ";

    a_source_that_forgets_takes_back_what_waits, "issue 3: records in hand do not survive a reconnect (RabbitMQ delivery tags)", Settings { batches_per_shard_max: 2, maximum_concurrency: 1, on_failure_destination: true, ..mq() }, "
        1    read 1 1 1 1 101    -> deliver t0 4..5 oversized x0 no-response; invoke b0 #1 0..3
        2    gone                -> *SourceLost { retry_at: 202 }; *Abandoned { shard: ShardId(0), records: 5 }
        3    delivered t0        ->
        4    answer b0 ok        -> ! 202
        202  tick                -> connect
        203  up                  -> receive 3 50ms
        204  read 1              -> invoke b1 #1 5..6
        205  answer b1 ok        -> settle t1 5..6 done; receive 3 50ms
        206  gone                ->
        207  settled t1          -> ! 406
        406  tick                -> connect
        407  up                  -> receive 3 50ms
        408  read 1              -> invoke b2 #1 6..7
        409  answer b2 failed    -> receive 3 50ms ! 659
        410  gone                -> ! 610
        411  answer b2 ok        -> *OutOfTurn { input: BatchAnswered }
    ";

    a_pause_gives_back_what_waits, "issue 3: pause", Settings { maximum_concurrency: 1, ..sqs() }, "
        1  read 1 1 1 1          -> invoke b0 #1 0..3
        2  pause                 -> settle t0 3..4 released
        3  answer b0 throttled   -> settle t1 0..3 released
        4  resume                -> ! 1003
        1003 tick                -> receive 3 50ms
        1004 read 1              -> invoke b1 #1 4..5
        1005 answer b1 ok        -> settle t2 4..5 done; receive 3 50ms
    ";

    a_stop_gives_back_what_waits_and_lets_the_rest_end, "issue 3: shutdown", Settings { maximum_concurrency: 1, ..sqs() }, "
        1  read 1 1 1 1          -> invoke b0 #1 0..3
        2  stop                  -> settle t0 3..4 released
        3  unsettled t0          ->
        4  answer b0 failed      -> settle t1 0..3 failed
        5  settled t1            -> *Settled { shard: ShardId(0), verdict: Failed, records: 3 }
           ; *Abandoned { shard: ShardId(0), records: 1 }; stopped
    ";
}
