//! Every adapter against the real thing that it reads: the conformance suite, and what is special to its source.

#![cfg(feature = "conformance")]

#[cfg(all(feature = "sqs", feature = "kinesis", feature = "dynamodb-streams"))]
mod aws;
#[cfg(all(feature = "sqs", feature = "kinesis", feature = "dynamodb-streams"))]
mod skip;
