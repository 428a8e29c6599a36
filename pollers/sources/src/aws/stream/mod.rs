//! Streams of shards as AWS has them, Kinesis and DynamoDB Streams alike: shards that end and have children, iterators that
//! expire, positions that the broker keeps. It does not know either service: that is an [`Api`].
//!
//! ```text
//! Topology (pure): which shard may be read ---> StreamSource opens it ---> ShardReader --GetRecords--> Api
//!        ^----------------------------- finish ------------------------------'
//! ```

mod api;
mod connector;
mod cursor;
mod pace;
mod reader;
mod seek;
mod source;
mod topology;

#[cfg(test)]
mod tests;

pub(crate) use api::{Api, Call, Listed, Portion, Refusal};
pub(crate) use connector::StreamConnector;
pub(crate) use cursor::Cursor;
pub(crate) use pace::Pace;
