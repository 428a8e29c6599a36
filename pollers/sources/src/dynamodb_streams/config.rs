//! What a mapping says of its stream, checked.

use trine_proto::v1::DynamoDbStreamsSource;

use crate::aws::{Access, Arn};
use crate::{Binding, SourceError, Start};

/// What an ARN of a stream looks like.
const LIKE: &str = "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL";

/// A stream and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct StreamConfig {
    pub(super) arn: Arn,
    pub(super) access: Access,
}

impl StreamConfig {
    pub(super) fn check(
        given: &DynamoDbStreamsSource,
        binding: &Binding,
    ) -> Result<Self, SourceError> {
        let arn = Arn::parse(&given.stream_arn, "dynamodb", LIKE)?;
        let parts: Vec<_> = arn.resource.splitn(4, '/').collect();
        if !matches!(parts[..], ["table", table, "stream", label] if !table.is_empty() && !label.is_empty())
        {
            let says = format!(
                "\"{}\" is not the ARN of a table's stream; expected {LIKE} (LatestStreamArn of DescribeTable)",
                given.stream_arn
            );
            return Err(SourceError::configuration(says));
        }
        if let Start::AtTimestamp(_) = binding.start {
            let says = "a stream of DynamoDB cannot start at a time (LS 4.7): expected TRIM_HORIZON or LATEST";
            return Err(SourceError::configuration(says));
        }
        let access = Access::new(given.access.as_ref(), &arn, &binding.secrets)?;
        Ok(Self { arn, access })
    }
}
