//! The sources that a run can be about: their names, the server that each is on, and how each goes away and comes back.

use std::path::Path;
use std::sync::Arc;

use xtask::servers::Product;

use super::field::{Field, Trouble};
use super::{activemq, dynamodb, file, kafka, kinesis, nats, rabbitmq, redis, sqs};

const KAFKA_PARTITIONS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Redis,
    Nats,
    Kafka,
    Sqs,
    SqsFifo,
    Kinesis,
    DynamoDb,
    RabbitMq,
    ActiveMq,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::File,
        Self::Redis,
        Self::Nats,
        Self::Kafka,
        Self::Sqs,
        Self::SqsFifo,
        Self::Kinesis,
        Self::DynamoDb,
        Self::RabbitMq,
        Self::ActiveMq,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
            Self::Sqs => "sqs",
            Self::SqsFifo => "sqs-fifo",
            Self::Kinesis => "kinesis",
            Self::DynamoDb => "dynamodb-streams",
            Self::RabbitMq => "rabbitmq",
            Self::ActiveMq => "activemq",
        }
    }

    /// # Errors
    /// The names that there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            format!(
                "no source is called {name}; there are {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }

    /// The server that it is on. `None`: it needs none.
    #[must_use]
    pub fn product(self) -> Option<Product> {
        match self {
            Self::File => None,
            Self::Redis => Some(Product::Redis),
            Self::Nats => Some(Product::Nats),
            Self::Kafka => Some(Product::Kafka),
            // MiniStack has queues too, but looks at every message that waits for each one that it gives out.
            Self::Sqs | Self::SqsFifo => Some(Product::ElasticMq),
            Self::Kinesis => Some(Product::Kinesis),
            Self::DynamoDb => Some(Product::DynamoDb),
            Self::RabbitMq => Some(Product::RabbitMq),
            Self::ActiveMq => Some(Product::ActiveMq),
        }
    }

    /// The stand-ins for AWS keep everything in memory: killed, they would lose what they had confirmed, as AWS never does.
    #[must_use]
    pub fn is_in_memory(self) -> bool {
        matches!(self, Self::Sqs | Self::SqsFifo | Self::Kinesis | Self::DynamoDb)
    }

    /// Makes what is read: on the server at `address`, or in `folder`.
    ///
    /// # Errors
    /// What the server did not do.
    pub async fn open(self, address: &str, folder: &Path) -> Result<Arc<dyn Field>, Trouble> {
        Ok(match self {
            Self::File => Arc::new(file::FileField::new(folder)),
            Self::Redis => Arc::new(redis::RedisField::open(address, "records").await?),
            Self::Nats => Arc::new(nats::NatsField::open(address).await?),
            Self::Kafka => Arc::new(kafka::KafkaField::open(address, KAFKA_PARTITIONS).await?),
            Self::Sqs => Arc::new(sqs::SqsField::standard(address).await?),
            Self::SqsFifo => Arc::new(sqs::SqsField::fifo(address).await?),
            Self::Kinesis => Arc::new(kinesis::KinesisField::open(address).await?),
            Self::DynamoDb => Arc::new(dynamodb::DynamoDbField::open(address).await?),
            Self::RabbitMq => Arc::new(rabbitmq::RabbitMqField::open(address).await?),
            Self::ActiveMq => Arc::new(activemq::ActiveMqField::open(address).await?),
        })
    }
}
