//! Tumbling windows (LS 4.6). Read top down.

use super::script::{scripts, settings};
use crate::{BatchLimits, Settings};

fn tumbling() -> Settings {
    // Room for a state of 1 MiB is kept free in every payload.
    let batch = BatchLimits::new(3, 0).unwrap();
    Settings { batch, tumbling_window_ms: Some(1_000), retries_max: Some(1), ..settings() }
}

scripts! {
    a_batch_never_spans_two_windows, "LS 4.6: boundaries from record arrival time", tumbling(), "
        1  read 1a1100 1a1200 1a2100  -> invoke b0 #1 0..2 [1000,2000)
        2  answer b0 ok state=5       -> store t0 through 1 window 1000 state; invoke b1 #1  [1000,2000) state final
        3  answer b1 ok               -> invoke b2 #1 2..3 [2000,3000)
        4  stored t0                  -> store t1 through 1 window 2000
        5  answer b2 ok state=7       -> receive 3 50ms
        6  stored t1                  -> store t2 through 2 window 2000 state
        7  read 1a1900                -> invoke b3 #1 3..4 [2000,3000) state
    ";

    a_final_invocation_blocks_until_it_succeeds, "LS 4.6: retry settings apply", tumbling(), "
        1    read 1a1100 1a2100       -> invoke b0 #1 0..1 [1000,2000)
        2    answer b0 ok state=5     -> store t0 through 0 window 1000 state; invoke b1 #1  [1000,2000) state final
        3    answer b1 failed         -> receive 2 50ms ! 253
        253  tick                     -> invoke b1 #2  [1000,2000) state final
        254  answer b1 failed         -> invoke b2 #1 1..2 [2000,3000)
    ";

    a_failed_batch_keeps_the_state, "LS 4.6", tumbling(), "
        1    read 1a1100 1a1200       -> invoke b0 #1 0..2 [1000,2000)
        2    answer b0 partial 1 state=5 -> store t0 through 0 window 1000 state; receive 3 50ms
        252  tick                     -> invoke b0 #1 1..2 [1000,2000) state
    ";

    a_state_that_is_too_large_ends_the_window_early, "LS 4.6: state over 1 MB", tumbling(), "
        1  read 1a1100                  -> invoke b0 #1 0..1 [1000,2000)
        2  answer b0 ok state=1048577   -> invoke b1 #1  [1000,2000) state final early
        3  answer b1 ok                 -> store t0 through 0; receive 3 50ms
        4  read 1a1200                  -> invoke b2 #1 1..2 [1000,2000)
    ";

    an_idle_window_is_concluded, "LS 4.6: waits at most 2 min", tumbling(), "
        1100    read 1a1100           -> invoke b0 #1 0..1 [1000,2000)
        1101    answer b0 ok state=5  -> store t0 through 0 window 1000 state; receive 3 50ms ! 122000
        1102    stored t0             -> ! 122000
        122000  tick                  -> invoke b1 #1  [1000,2000) state final
        122001  answer b1 ok          -> store t1 through 0
    ";

    the_end_of_a_shard_closes_the_window, "LS 4.6: children start fresh", tumbling(), "
        1  read 1a1100               -> invoke b0 #1 0..1 [1000,2000)
        2  ended                     ->
        3  answer b0 ok state=5      -> store t0 through 0 window 1000 state; invoke b1 #1  [1000,2000) state final
        4  stored t0                 ->
        5  answer b1 ok              -> store t1 through 0
        6  stored t1                 -> finish
    ";

    a_window_that_was_open_goes_on, "LS 4.6: state survives its poller", tumbling(), "
        1  s1 open window=1000:5     -> receive 3 50ms @1
        2  s1 read 1a1500            -> invoke b0 #1 0..1 [1000,2000) state @1
        3  s1 answer b0 ok state=6   -> store t0 through 0 window 1000 state @1; receive 3 50ms @1
        4  s1 unstored t0            ->
        104 tick                     -> store t1 through 0 window 1000 state @1
    ";

    an_old_window_end_is_given_up, "LS 4.6: age settings apply", Settings { record_age_ms_max: Some(600), on_failure_destination: true, ..tumbling() }, "
        1100 read 1a1100 1a2100       -> invoke b0 #1 0..1 [1000,2000)
        1101 answer b0 ok state=5     -> store t0 through 0 window 1000 state; invoke b1 #1  [1000,2000) state final
        1102 answer b1 throttled      -> 
        2102 tick                     -> deliver t1  aged x0 no-response; receive 2 50ms
        2103 delivered t1             -> invoke b2 #1 1..2 [2000,3000)
    ";
}
