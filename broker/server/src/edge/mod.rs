//! The edges: each decodes a request, calls the shard's handle, and encodes the answer. No decision is made here.

pub(crate) mod admin;
pub(crate) mod call;
pub(crate) mod function;
pub(crate) mod http;
pub(crate) mod invocation;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod view;

use tonic::Status;
use trine_proto::v1::Refusal;

use crate::metrics::Metrics;

/// The status of a refusal, counted.
pub(crate) fn refused(metrics: &Metrics, refusal: &Refusal) -> Status {
    metrics.refused(refusal.reason());
    trine_proto::reason::status(refusal)
}
