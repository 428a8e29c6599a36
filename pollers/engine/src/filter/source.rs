//! Owns what differs between sources in filtering: under which keys a pattern finds the data of a record,
//! and what happens if data and pattern are not of one form (LS 4.4, table).

use crate::SourceKind;

/// Which bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Data,
    Key,
}

/// What happens to a pattern that wants JSON of plain data, or plain data of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The record does not pass it.
    Drops,
    /// The same, and a pattern for plain data is refused from the start.
    DropsAndRefuses,
    /// Only its metadata part counts.
    IgnoresData,
}

/// The keys under which patterns find data that is encoded in the event.
///
/// For DynamoDB there is none: `dynamodb` stands in the event as JSON.
pub(super) const fn data_keys(kind: SourceKind) -> &'static [(&'static str, Field)] {
    match kind {
        SourceKind::Sqs | SourceKind::SqsFifo => &[("body", Field::Data)],
        SourceKind::Kafka => &[("value", Field::Data), ("key", Field::Key)],
        SourceKind::DynamoDbStreams => &[],
        SourceKind::Kinesis
        | SourceKind::RabbitMq
        | SourceKind::ActiveMq
        | SourceKind::Nats
        | SourceKind::Redis
        | SourceKind::File
        | SourceKind::Custom => &[("data", Field::Data)],
    }
}

/// Trine's own kinds do as SQS does: what a pattern cannot be asked of does not pass it.
pub(super) const fn mismatch(kind: SourceKind) -> Mismatch {
    match kind {
        SourceKind::Kinesis | SourceKind::DynamoDbStreams => Mismatch::DropsAndRefuses,
        SourceKind::Kafka | SourceKind::RabbitMq | SourceKind::ActiveMq => Mismatch::IgnoresData,
        SourceKind::Sqs
        | SourceKind::SqsFifo
        | SourceKind::Nats
        | SourceKind::Redis
        | SourceKind::File
        | SourceKind::Custom => Mismatch::Drops,
    }
}

/// The object of the event in which a key of a pattern's top level stands, if it is not the event itself.
///
/// AWS's guide writes `{"partitionKey": …, "data": …}` for Kinesis, while the event has both in `kinesis`.
pub(super) fn lifted_from(kind: SourceKind, key: &str) -> Option<&'static str> {
    const LIFTED: [&str; 5] = [
        "partitionKey",
        "sequenceNumber",
        "kinesisSchemaVersion",
        "approximateArrivalTimestamp",
        "encryptionType",
    ];
    (kind == SourceKind::Kinesis && LIFTED.contains(&key)).then_some("kinesis")
}
