//! What to do about a refusal, in terms of this command line.
//!
//! The broker's own sentence names the case; this names the next command.

use trine_proto::v1::Reason;

/// The next step, or `None` where the broker's sentence says all there is.
pub(crate) const fn advice(reason: Reason) -> Option<&'static str> {
    use Reason as R;
    Some(match reason {
        R::UnknownFunction => {
            "`trine function list` shows what exists, `trine function create NAME` makes one"
        }
        R::UnknownQualifier => "leave --qualifier out for $LATEST",
        R::UnknownInvocation => {
            "`trine invocation list` shows those that are remembered (limits.history_age)"
        }
        R::FunctionExists => "change it with `trine function update NAME`",
        R::FunctionBusy => "wait until they have ended, or delete with --force to cancel them",
        R::UnknownMapping => "`trine mapping list` shows what exists",
        R::MappingExists => "change it with `trine mapping update ID`",
        R::MappingBusy => "try again shortly; `trine mapping why ID` says what it waits for",
        R::NoPoller => "start one with `trine poller`, or an adapter that offers the kind",
        R::ReservedConcurrencyExceeded => {
            "raise it with `trine function update NAME --reserved-concurrency N`, or send an --event"
        }
        R::AccountConcurrencyExceeded => {
            "the broker's limits.account_concurrency is in use; or send an --event, which waits"
        }
        R::UnreservedConcurrencyTooLow => {
            "reserve less, or raise limits.account_concurrency of the broker"
        }
        R::NoWorker => "start a worker that serves the function, or send an --event, which waits",
        R::NoCapacity => "start more workers, or send an --event, which waits",
        R::QueueFull => {
            "let workers catch up (`trine function list`), or raise limits.queue_count_max"
        }
        R::DeadlineExpired => "allow more time with --deadline",
        R::IdempotencyMismatch => "use another --idempotency-key for another payload",
        R::NotRedrivable => "only dead invocations and undelivered records can be redriven",
        R::DestinationForbidden => {
            "the broker's configuration (destinations) and the features it was built with decide"
        }
        R::StoreUnknown => "send it again with an --idempotency-key, so that it cannot count twice",
        R::VirtualTimeOff => "start the broker with `trine serve --virtual-time`",
        R::StoreUnavailable => "look at the broker's log and its disk",
        R::ShuttingDown | R::Overloaded => "try again shortly",
        R::UnsupportedProtocol => "use the same version of trine on both sides",
        R::Internal | R::Unspecified => "this is a defect: please report it with the broker's log",
        R::InvalidArgument
        | R::MalformedPayload
        | R::PayloadTooLarge
        | R::InvocationFinished
        | R::InvocationCancelled => return None,
    })
}
