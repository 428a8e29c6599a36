//! Owns the closed list of what a mapping can read. It knows their names and nothing of how they are
//! reached.

use std::fmt;

/// The kind of a source (LS 4.2; the last four are Trine's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A topic of Apache Kafka, MSK or self-managed.
    Kafka,
    /// A standard queue of SQS.
    Sqs,
    /// A FIFO queue of SQS.
    SqsFifo,
    /// A Kinesis stream.
    Kinesis,
    /// The stream of a DynamoDB table.
    DynamoDbStreams,
    /// A queue of RabbitMQ.
    RabbitMq,
    /// A queue of ActiveMQ.
    ActiveMq,
    /// A stream of NATS JetStream.
    Nats,
    /// A Redis stream.
    Redis,
    /// The lines of a file.
    File,
    /// Whatever an adapter in another process reads.
    Custom,
}

impl SourceKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Kafka,
        Self::Sqs,
        Self::SqsFifo,
        Self::Kinesis,
        Self::DynamoDbStreams,
        Self::RabbitMq,
        Self::ActiveMq,
        Self::Nats,
        Self::Redis,
        Self::File,
        Self::Custom,
    ];

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka",
            Self::Sqs => "SQS",
            Self::SqsFifo => "SQS FIFO",
            Self::Kinesis => "Kinesis",
            Self::DynamoDbStreams => "DynamoDB Streams",
            Self::RabbitMq => "RabbitMQ",
            Self::ActiveMq => "ActiveMQ",
            Self::Nats => "NATS",
            Self::Redis => "Redis",
            Self::File => "file",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
