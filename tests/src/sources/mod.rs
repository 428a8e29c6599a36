//! Records through real sources while the broker is killed and the source goes away: what is produced, what the function sees, and
//! the judgement. A file a source says how that one is set up and written to; none of the others knows which source it is.

mod activemq;
mod aws;
mod dynamodb;
mod field;
mod file;
mod kafka;
mod kind;
mod kinesis;
mod ledger;
mod nats;
mod outage;
mod production;
mod proxy;
mod rabbitmq;
mod record;
mod redis;
mod sqs;
mod stage;
mod verdict;
mod witness;

pub use field::{Field, Order, Producer, Reading, Trouble};
pub use file::FileField;
pub use kafka::KafkaField;
pub use kind::Kind;
pub use ledger::Ledger;
pub use outage::{Ground, Outage};
pub use record::{RECORD_BYTES, Record, count_of, records_of};
pub use redis::RedisField;
pub use sqs::SqsField;
pub use stage::{BATCH, Plan, run};
pub use verdict::Verdict;
pub use witness::{FUNCTION, Witness};
