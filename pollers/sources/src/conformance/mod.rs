//! What every source must do, as one suite that every adapter runs against its real component: the contract of
//! [`Connect`](crate::Connect), [`Source`](crate::Source) and [`Reader`](crate::Reader) in a form that cannot be misread. The
//! list for people is `docs/sources/conformance.md`.
//!
//! An adapter implements [`Subject`] in its tests and calls [`conformance_suite!`](crate::conformance_suite): each clause becomes one
//! test, with a fresh subject. What does not apply to a source is decided by its [`Descriptor`](crate::Descriptor), never by the adapter.

mod clauses;
mod reading;
mod subject;

pub use clauses::*;
pub use reading::Reading;
pub use subject::Subject;

/// Makes one test of each clause of the suite: `conformance_suite!(#[tokio::test] MySubject::new().await)`. The expression gives an
/// `Option`: `None` skips the clause with the line that the subject printed, because its component is not there.
#[macro_export]
macro_rules! conformance_suite {
    (#[$test:meta] $subject:expr) => {
        $crate::conformance_suite! { #[$test] $subject =>
            a_receive_brings_no_more_records_than_asked_for
            records_come_once_in_their_order_and_as_events
            a_receive_of_nothing_waits_and_brings_nothing
            a_record_that_comes_ends_the_wait
            a_record_larger_than_any_payload_blocks_nothing
            what_is_settled_does_not_come_again_and_what_is_not_does
            a_new_connection_goes_on_where_it_was_told
            settling_does_not_wait_for_receiving
            settling_twice_does_no_harm
            a_released_record_comes_again
            a_held_record_outlives_its_lease
            a_seek_to_the_start_reads_everything_again
            a_batch_member_names_its_records
            records_of_one_key_stay_in_order
        }
    };
    (#[$test:meta] $subject:expr => $($clause:ident)*) => {
        mod conformance {
            use super::*;

            $(#[$test]
            async fn $clause() {
                if let Some(mut subject) = $subject {
                    $crate::conformance::$clause(&mut subject).await;
                }
            })*
        }
    };
}
