//! What every source must do, as one suite that every adapter runs: the contract of [`Source`](crate::Source) in a
//! form that cannot be misread. The list for people is `docs/sources/conformance.md`.
//!
//! An adapter implements [`Subject`] in its tests and calls [`conformance_suite!`](crate::conformance_suite):
//! each clause becomes one test, with a fresh subject.

mod clauses;
mod subject;

pub use clauses::*;
pub use subject::Subject;

/// Makes one test of each clause of the suite: `conformance_suite!(#[tokio::test] MySubject::new())`.
#[macro_export]
macro_rules! conformance_suite {
    (#[$test:meta] $subject:expr) => {
        $crate::conformance_suite! { #[$test] $subject =>
            a_receive_brings_no_more_records_than_asked_for
            a_receive_brings_no_more_bytes_than_asked_for_but_always_a_record
            records_come_in_order_once_and_as_events
            a_receive_of_nothing_waits_and_brings_nothing
            a_record_that_comes_ends_the_wait
            a_record_larger_than_any_payload_is_told_and_the_next_one_comes
            what_is_settled_does_not_come_again_and_what_is_not_does
            a_source_made_anew_goes_on_where_it_was_told
            settling_does_not_wait_for_receiving
            settling_twice_does_no_harm
        }
    };
    (#[$test:meta] $subject:expr => $($clause:ident)*) => {
        mod conformance {
            use super::*;

            $(#[$test]
            async fn $clause() {
                $crate::conformance::$clause(&mut $subject).await;
            })*
        }
    };
}
