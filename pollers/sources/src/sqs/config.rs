//! What a mapping says of its queue, checked.

use trine_proto::v1::SqsSource;

use crate::aws::{Access, Arn};
use crate::{Binding, SourceError};

/// What an ARN of a queue looks like.
const LIKE: &str = "arn:aws:sqs:REGION:ACCOUNT:QUEUE";
/// Ends the name of a FIFO queue, and of no other.
const FIFO: &str = ".fifo";

/// A queue and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct SqsConfig {
    pub(super) arn: Arn,
    pub(super) access: Access,
    /// `None`: asked for by the queue's name.
    pub(super) queue_url: Option<String>,
}

impl SqsConfig {
    pub(super) fn check(given: &SqsSource, binding: &Binding) -> Result<Self, SourceError> {
        let arn = Arn::parse(&given.queue_arn, "sqs", LIKE)?;
        if arn.resource.contains([':', '/']) {
            let says =
                format!("\"{}\" is not the ARN of a queue; expected {LIKE}", given.queue_arn);
            return Err(SourceError::configuration(says));
        }
        let access = Access::new(given.access.as_ref(), &arn, &binding.secrets)?;
        let queue_url = Some(given.queue_url.clone()).filter(|url| !url.is_empty());
        Ok(Self { arn, access, queue_url })
    }

    pub(super) fn queue(&self) -> &str {
        &self.arn.resource
    }

    pub(super) fn is_fifo(&self) -> bool {
        self.queue().ends_with(FIFO)
    }
}
