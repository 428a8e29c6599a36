//! What the sources of AWS share: names, access, errors, time and JSON; and, for Kinesis and DynamoDB Streams, shards. It does not
//! know any one service.
#![doc = ""]
#![doc = include_str!("README.md")]

mod access;
mod arn;
mod json;
#[cfg(any(feature = "kinesis", feature = "dynamodb-streams"))]
pub(crate) mod stream;
mod time;
mod trouble;

pub(crate) use access::Access;
pub(crate) use arn::Arn;
pub(crate) use json::Json;
#[cfg(feature = "kinesis")]
pub(crate) use json::base64_len;
pub(crate) use time::Arrival;
pub(crate) use trouble::{code, is_throttle, trouble};
