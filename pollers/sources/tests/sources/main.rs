//! Every adapter against the real thing: the conformance suite, and what is special to each.

mod aws;
mod dynamodb_streams;
mod kinesis;
mod skip;
mod sqs;
