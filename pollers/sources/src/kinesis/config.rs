//! What a mapping says of its stream, checked.

use trine_proto::v1::KinesisSource;

use crate::aws::{Access, Arn};
use crate::{Binding, SourceError};

/// What an ARN of a stream looks like.
const LIKE: &str = "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME";

/// A stream and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct KinesisConfig {
    pub(super) arn: Arn,
    pub(super) access: Access,
}

impl KinesisConfig {
    pub(super) fn check(given: &KinesisSource, binding: &Binding) -> Result<Self, SourceError> {
        let arn = Arn::parse(&given.stream_arn, "kinesis", LIKE)?;
        let name = arn.resource.strip_prefix("stream/").unwrap_or_default();
        if name.contains("/consumer/") {
            let says = format!(
                "\"{}\" is the ARN of an enhanced fan-out consumer, which Trine does not read; expected the stream's own: {LIKE}",
                given.stream_arn
            );
            return Err(SourceError::configuration(says));
        }
        if name.is_empty() || name.contains('/') {
            let says =
                format!("\"{}\" is not the ARN of a stream; expected {LIKE}", given.stream_arn);
            return Err(SourceError::configuration(says));
        }
        let access = Access::new(given.access.as_ref(), &arn, &binding.secrets)?;
        Ok(Self { arn, access })
    }
}
