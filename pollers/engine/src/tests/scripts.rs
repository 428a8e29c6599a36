//! The scripts: what a shard does, read top down. Settings: batches of 3 records and 100 bytes, no
//! window, unless the script says otherwise; waits are not spread, so that the times are round.

use super::script::check;
use crate::{Backoff, BatchLimits, Settings};

fn batches_of_3() -> Settings {
    window(0)
}

fn window_of_100() -> Settings {
    window(100)
}

fn window(window_ms: u64) -> Settings {
    let batch = BatchLimits::new(3, window_ms).unwrap().with_bytes_max(114).with_envelope(14);
    // One fixed wait each: with the first equal to the longest nothing is left to spread.
    Settings {
        function_errors: Backoff::new(250, 250),
        not_reached: Backoff::new(1_000, 1_000),
        reconnect: Backoff::new(200, 200),
        checkpoint: Backoff::new(100, 100),
        receive_wait_ms: 50,
        ..Settings::new(batch)
    }
}

macro_rules! scripts {
    ($($name:ident, $settings:ident: $script:literal)*) => {
        pub(super) const ALL: &[(fn() -> Settings, &str)] = &[$(($settings, $script)),*];
        $(#[test]
        fn $name() {
            check($settings(), $script);
        })*
    };
}

scripts! {
    a_batch_is_read_sent_settled_and_the_next_one_read, batches_of_3: "
        0   tick          -> connect ! -
        5   back          -> connected; receive 3 100b 50ms ! -
        9   read 10 20/7  -> polled 2; invoking b0 #1 x2 age 7; invoke b0 #1 0..2 ! -
        12  answer b0 ok  -> succeeded b0 x2; store 0..2 done ! -
        15  stored        -> settled 0..2; receive 3 100b 50ms
        20  read 5        -> polled 1; invoking b1 #1 x1 age 0; invoke b1 #1 2..3
        21  answer b1 ok  -> succeeded b1 x1; store 2..3 done
        22  stored        -> settled 2..3; receive 3 100b 50ms
    "

    a_batch_closes_by_count_and_the_rest_goes_next, batches_of_3: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        1   read 1 2 3 4  -> polled 4; invoking b0 #1 x3 age 0; invoke b0 #1 0..3
        2   answer b0 ok  -> succeeded b0 x3; store 0..3 done
        7   stored        -> settled 0..3; invoking b1 #1 x1 age 6; invoke b1 #1 3..4
    "

    a_batch_closes_by_bytes_with_separators_counted, window_of_100: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        1   read 50       -> polled 1; receive 2 49b 50ms ! 101
        2   read 50       -> polled 1; invoking b0 #1 x1 age 1; invoke b0 #1 0..1
        3   answer b0 ok  -> succeeded b0 x1; store 0..1 done
        4   stored        -> settled 0..1; receive 2 49b 50ms ! 102
        5   read 49       -> polled 1; invoking b1 #1 x2 age 0; invoke b1 #1 1..3
    "

    a_window_closes_a_batch_and_bounds_the_read, window_of_100: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        10  read 1        -> polled 1; receive 2 98b 50ms ! 110
        60  read          -> receive 2 98b 50ms ! 110
        90  read 1        -> polled 1; receive 1 96b 20ms ! 110
        109 tick          -> ! 110
        110 tick          -> invoking b0 #1 x2 age 20; invoke b0 #1 0..2 ! -
        115 read 9        -> polled 1 ! -
        116 answer b0 ok  -> succeeded b0 x2; store 0..2 done
        120 stored        -> settled 0..2; receive 2 90b 50ms ! 215
    "

    a_read_that_returns_too_early_with_nothing_is_not_repeated_at_once, batches_of_3: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        1   read          -> ! 20
        19  tick          ->
        20  tick          -> receive 3 100b 50ms ! -
        40  read          -> receive 3 100b 50ms
        41  read          ->
        42  gone          -> source lost, retry 242 ! 242
    "

    a_failed_batch_is_sent_again_whole_until_it_succeeds, batches_of_3: "
        0    tick             -> connect
        0    back             -> connected; receive 3 100b 50ms
        1    read 1 1         -> polled 2; invoking b0 #1 x2 age 0; invoke b0 #1 0..2
        10   answer b0 failed -> failed b0 #1 x2, retry 260 ! 260
        259  tick             ->
        260  tick             -> invoking b0 #2 x2 age 259; invoke b0 #2 0..2 ! -
        300  answer b0 failed -> failed b0 #2 x2, retry 550
        600  tick             -> invoking b0 #3 x2 age 599; invoke b0 #3 0..2
        601  answer b0 ok     -> succeeded b0 x2; store 0..2 done
    "

    what_did_not_reach_the_function_spends_no_attempt, batches_of_3: "
        0     tick                  -> connect
        0     back                  -> connected; receive 3 100b 50ms
        1     read 1                -> polled 1; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
        2     answer b0 throttled   -> throttled b0, retry 1002 ! 1002
        1002  tick                  -> invoking b0 #1 x1 age 1001; invoke b0 #1 0..1
        1003  answer b0 no-capacity -> no capacity b0, retry 2003
        2003  tick                  -> invoking b0 #1 x1 age 2002; invoke b0 #1 0..1
        2004  answer b0 refused     -> refused b0, retry 3004
        3004  tick                  -> invoking b0 #1 x1 age 3003; invoke b0 #1 0..1
        3005  answer b0 lost        -> lost b0, retry 4005
        4005  tick                  -> invoking b0 #1 x1 age 4004; invoke b0 #1 0..1
        4006  answer b0 failed      -> failed b0 #1 x1, retry 4256
        4256  tick                  -> invoking b0 #2 x1 age 4255; invoke b0 #2 0..1
    "

    records_that_no_batch_can_hold_are_skipped_in_their_place, batches_of_3: "
        0  tick                -> connect
        0  back                -> connected; receive 3 100b 50ms
        1  read 9 101 500 8    -> polled 4; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
        2  answer b0 ok        -> succeeded b0 x1; store 0..1 done
        3  stored              -> settled 0..1; oversized 1 101b; oversized 2 500b; store 1..3 rejected ! -
        4  stored              -> settled 1..3; invoking b1 #1 x1 age 3; invoke b1 #1 3..4
    "

    a_record_of_exactly_the_limit_is_sent_at_once, window_of_100: "
        0  tick                -> connect
        0  back                -> connected; receive 3 100b 50ms
        1  read 100            -> polled 1; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
    "

    nothing_is_sent_until_the_checkpoint_is_durable, batches_of_3: "
        0    tick          -> connect
        0    back          -> connected; receive 3 100b 50ms
        1    read 1 1 1 1  -> polled 4; invoking b0 #1 x3 age 0; invoke b0 #1 0..3
        2    answer b0 ok  -> succeeded b0 x3; store 0..3 done
        3    unstored      -> unsettled, retry 103 ! 103
        102  tick          ->
        103  tick          -> store 0..3 done ! -
        104  unstored      -> unsettled, retry 204
        204  tick          -> store 0..3 done
        205  stored        -> settled 0..3; invoking b1 #1 x1 age 204; invoke b1 #1 3..4
    "

    a_source_that_goes_comes_back_and_keeps_what_was_read, window_of_100: "
        0    tick          -> connect
        0    gone          -> source lost, retry 200 ! 200
        200  tick          -> connect
        205  back          -> connected; receive 3 100b 50ms
        206  read 7        -> polled 1; receive 2 92b 50ms ! 306
        210  gone          -> source lost, retry 410 ! 306
        306  tick          -> invoking b0 #1 x1 age 100; invoke b0 #1 0..1 ! 410
        310  answer b0 ok  -> succeeded b0 x1; store 0..1 done
        311  stored        -> settled 0..1 ! 410
        410  tick          -> connect ! -
        411  back          -> connected; receive 3 100b 50ms
    "

    a_source_may_go_while_a_batch_is_in_flight, batches_of_3: "
        0    tick              -> connect
        0    back              -> connected; receive 3 100b 50ms
        1    read 7            -> polled 1; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
        5    gone              -> source lost, retry 205 ! 205
        205  tick              -> connect
        206  answer b0 failed  -> failed b0 #1 x1, retry 456
        207  back              -> connected ! 456
        456  tick              -> invoking b0 #2 x1 age 455; invoke b0 #2 0..1
    "

    a_pause_lets_what_is_in_flight_end_and_starts_nothing, batches_of_3: "
        0    tick              -> connect
        0    back              -> connected; receive 3 100b 50ms
        1    pause             -> paused
        2    read 1 1 1 1      -> polled 4 ! -
        3    pause             ->
        9    resume            -> resumed; invoking b0 #1 x3 age 7; invoke b0 #1 0..3
        10   resume            ->
        11   pause             -> paused
        12   answer b0 failed  -> failed b0 #1 x3, retry 262 ! -
        300  tick              ->
        400  resume            -> resumed; invoking b0 #2 x3 age 398; invoke b0 #2 0..3
        401  pause             -> paused
        402  answer b0 ok      -> succeeded b0 x3; store 0..3 done
        403  unstored          -> unsettled, retry 503 ! 503
        503  tick              -> store 0..3 done
        504  stored            -> settled 0..3 ! -
        505  stop              -> abandoned 1; stopped
    "

    a_paused_shard_keeps_its_source, batches_of_3: "
        0    tick    -> connect
        1    pause   -> paused
        2    gone    -> source lost, retry 202 ! 202
        202  tick    -> connect
        203  back    -> connected ! -
        204  resume  -> resumed; receive 3 100b 50ms
    "

    a_stop_waits_for_what_is_in_flight, batches_of_3: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        1   read 1 1 1 1  -> polled 4; invoking b0 #1 x3 age 0; invoke b0 #1 0..3
        2   stop          -> abandoned 1 ! -
        3   answer b0 ok  -> succeeded b0 x3; store 0..3 done
        4   stop          ->
        5   stored        -> settled 0..3; stopped ! -
        6   tick          ->
    "

    a_stop_gives_up_what_would_have_to_be_tried_again, batches_of_3: "
        0   tick              -> connect
        0   back              -> connected; receive 3 100b 50ms
        1   read 1 1          -> polled 2; invoking b0 #1 x2 age 0; invoke b0 #1 0..2
        2   stop              ->
        3   answer b0 failed  -> failed b0 #1 x2, retry 253; abandoned 2; stopped
    "

    a_stop_gives_up_a_checkpoint_that_cannot_be_stored, batches_of_3: "
        0   tick          -> connect
        0   back          -> connected; receive 3 100b 50ms
        1   read 1        -> polled 1; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
        2   answer b0 ok  -> succeeded b0 x1; store 0..1 done
        3   stop          ->
        4   unstored      -> unsettled, retry 104; abandoned 1; stopped
    "

    a_stop_waits_for_the_read_and_forgets_what_it_brings, batches_of_3: "
        0   tick      -> connect
        0   back      -> connected; receive 3 100b 50ms
        1   stop      ->
        2   read 1 1  -> polled 2; abandoned 2; stopped
    "

    a_stop_waits_for_the_connection, batches_of_3: "
        0   tick      -> connect
        1   stop      ->
        2   gone      -> source lost, retry 202; stopped ! -
    "

    what_nobody_asked_for_changes_nothing, batches_of_3: "
        0   tick          -> connect
        1   stored        -> out of turn CheckpointStored
        1   unstored      -> out of turn CheckpointFailed
        1   answer b0 ok  -> out of turn InvocationAnswered
        2   back          -> connected; receive 3 100b 50ms
        3   back          -> out of turn SourceBack
        4   read 1        -> polled 1; invoking b0 #1 x1 age 0; invoke b0 #1 0..1
        5   answer b7 ok  -> out of turn InvocationAnswered
        6   gone          -> source lost, retry 206
        7   gone          -> out of turn SourceGone
        8   read 1        -> out of turn RecordsRead; polled 1
        9   answer b0 ok  -> succeeded b0 x1; store 0..1 done
        10  stored        -> settled 0..1; invoking b1 #1 x1 age 2; invoke b1 #1 1..2
    "
}
