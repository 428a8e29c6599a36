//! A request to run a function between an edge and the shard, and its answer: decoded and checked, not yet
//! decided. It knows neither protobuf nor the engine's state.

use bytes::Bytes;
use trine_engine::{FunctionError, Qualifier, RequestId};
use trine_proto::v1::Refusal;

/// Requests of one frame, with the functions that they name.
#[derive(Debug)]
pub(crate) struct CallFrame {
    pub(crate) targets: Vec<Target>,
    pub(crate) calls: Vec<Call>,
}

/// A function as a caller names it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) qualifier: Qualifier,
    /// The caller gave the qualifier.
    pub(crate) qualified: bool,
}

#[derive(Debug)]
pub(crate) struct Call {
    /// Chosen by the client, or by the edge.
    pub(crate) tag: u64,
    /// Place in [`CallFrame::targets`].
    pub(crate) target: usize,
    pub(crate) payload: Bytes,
    pub(crate) mode: CallMode,
    pub(crate) log_tail: bool,
    pub(crate) extra: Option<Box<Extra>>,
}

#[derive(Debug)]
pub(crate) enum CallMode {
    Sync { deadline_ms: Option<u64> },
    Event { not_before: Option<u64>, hops: u8, idempotency_key: Option<Box<str>> },
    DryRun,
}

/// What most calls do not carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) client_context: Bytes,
    pub(crate) traceparent: String,
    pub(crate) tracestate: String,
}

/// The answer to a [`Call`].
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) tag: u64,
    pub(crate) request_id: RequestId,
    pub(crate) body: ReplyBody,
}

#[derive(Debug)]
pub(crate) enum ReplyBody {
    Response {
        payload: Bytes,
        log_tail: Bytes,
    },
    /// The error object is made where the answer is encoded, off the shard's task.
    Failed {
        error: FunctionError,
        payload: Bytes,
        log_tail: Bytes,
    },
    Accepted {
        duplicate: bool,
        no_worker: bool,
    },
    DryRun,
    Refused(Box<Refusal>),
}
