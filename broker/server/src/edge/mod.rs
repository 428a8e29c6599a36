//! The edges: each decodes a request, calls the shard's handle, and encodes the answer. No decision is made here.

pub(crate) mod admin;
pub(crate) mod call;
pub(crate) mod function;
pub(crate) mod http;
pub(crate) mod invocation;
pub(crate) mod mapping;
pub(crate) mod mapping_explain;
pub(crate) mod mapping_settings;
pub(crate) mod mapping_source;
pub(crate) mod mapping_view;
pub(crate) mod poller;
mod poller_frame;
mod poller_news;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod stream;
pub(crate) mod view;

use tonic::Status;
use trine_proto::FRAME_BYTES_TARGET;
use trine_proto::v1::Refusal;

use crate::metrics::Metrics;

/// How many things of these sizes go into one frame: as many as the target allows, and one in any case.
pub(crate) fn frame_holds(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fitting = sizes.take_while(|size| {
        let first = bytes == 0;
        bytes += size;
        first || bytes <= FRAME_BYTES_TARGET
    });
    fitting.count()
}

/// The status of a refusal, counted.
pub(crate) fn refused(metrics: &Metrics, refusal: &Refusal) -> Status {
    metrics.refused(refusal.reason());
    trine_proto::reason::status(refusal)
}
