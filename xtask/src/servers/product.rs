//! Owns the list of servers that can be had, and what each of them says about itself: how it is fetched, prepared and
//! started, and how it greets a client. Knows nothing of processes.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::process::Command;

use super::site::Site;
use super::{activemq, dynamodb, elasticmq, kafka, kinesis, ministack, nats, rabbitmq, redis};
use crate::failure::{Failure, Outcome};
use crate::repo::Repo;
use crate::tools::{Cache, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    Kafka,
    RabbitMq,
    ActiveMq,
    Redis,
    MiniStack,
    ElasticMq,
    Kinesis,
    DynamoDb,
    Nats,
    /// The same, with an fsync before every acknowledgement.
    NatsSyncAlways,
    /// Debian's, which is too old for much.
    NatsOld,
}

/// What is asked of the file of a server, once it was fetched.
pub(super) trait Fetched: Debug + Send + Sync {
    /// How many ports it needs; the first is the one that clients use.
    fn ports(&self) -> usize {
        1
    }

    /// Writes what it reads, before each start.
    fn prepare(&self, site: &Site) -> Outcome;

    /// Its processes in the order of their start; the last is the one that listens.
    fn commands(&self, site: &Site) -> Vec<Command>;

    /// What tests find of it in their environment beside its address; each variable is in [`Product::FURTHER`].
    fn further(&self, _: &Site) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Speaks its protocol, once. Answers with its version when it is ready for clients.
    fn greet(&self, address: SocketAddr) -> Outcome<String>;
}

impl Product {
    pub const ALL: [Self; 11] = [
        Self::Kafka,
        Self::RabbitMq,
        Self::ActiveMq,
        Self::Redis,
        Self::MiniStack,
        Self::ElasticMq,
        Self::Kinesis,
        Self::DynamoDb,
        Self::Nats,
        Self::NatsSyncAlways,
        Self::NatsOld,
    ];
    /// What tests share. Tests of NATS start their own: it takes milliseconds.
    pub const FOR_TESTS: [Self; 8] = [
        Self::Kafka,
        Self::RabbitMq,
        Self::ActiveMq,
        Self::Redis,
        Self::MiniStack,
        Self::ElasticMq,
        Self::Kinesis,
        Self::DynamoDb,
    ];

    /// Variables beside those of the addresses.
    pub(super) const FURTHER: [&'static str; 4] =
        [kafka::SASL, kafka::TLS, kafka::AUTHORITY, redis::PROGRAM];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::RabbitMq => "rabbitmq",
            Self::ActiveMq => "activemq",
            Self::Redis => "redis",
            Self::MiniStack => "ministack",
            Self::ElasticMq => "elasticmq",
            Self::Kinesis => "kinesis-local",
            Self::DynamoDb => "dynamodb-local",
            Self::Nats => "nats",
            Self::NatsSyncAlways => "nats-sync-always",
            Self::NatsOld => "nats-old",
        }
    }

    pub fn named(name: &str) -> Outcome<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let product = Self::ALL.into_iter().find(|product| product.name() == name);
        product.ok_or_else(|| {
            Failure::new(format!("no server is called {name}; there are {}", known()))
        })
    }

    /// The environment variable in which tests find the address of the shared instance.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Self::Kafka => Some("TRINE_KAFKA"),
            Self::RabbitMq => Some("TRINE_RABBITMQ"),
            Self::ActiveMq => Some("TRINE_ACTIVEMQ"),
            Self::Redis => Some("TRINE_REDIS"),
            Self::MiniStack => Some("TRINE_MINISTACK"),
            Self::ElasticMq => Some("TRINE_ELASTICMQ"),
            Self::Kinesis => Some("TRINE_KINESIS"),
            Self::DynamoDb => Some("TRINE_DYNAMODB"),
            Self::Nats | Self::NatsSyncAlways | Self::NatsOld => None,
        }
    }

    /// The program of a server that tests start themselves, as a tool with a variable of its own.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Self::Nats | Self::NatsSyncAlways => Some(Tool::NatsServer),
            Self::NatsOld => Some(Tool::NatsOld),
            _ => None,
        }
    }

    /// As clients of this product write addresses.
    pub(super) fn address(self, socket: SocketAddr) -> String {
        match self {
            Self::MiniStack | Self::ElasticMq | Self::Kinesis | Self::DynamoDb => {
                format!("http://{socket}")
            }
            _ => socket.to_string(),
        }
    }

    /// Finds the product in the cache, or fetches it into the cache.
    pub(super) fn fetch(self, repo: &Repo, cache: &Cache) -> Outcome<Box<dyn Fetched>> {
        let pins = |file: &str| repo.root().join("xtask/tools").join(file);
        let nats = |sync| nats::fetch(Tool::NatsServer, repo, cache, sync);
        Ok(match self {
            Self::Kafka => Box::new(kafka::fetch(cache, &pins("kafka.txt"))?),
            Self::RabbitMq => Box::new(rabbitmq::fetch(cache)?),
            Self::ActiveMq => Box::new(activemq::fetch(cache, &pins("activemq.txt"))?),
            Self::Redis => Box::new(redis::fetch(cache)?),
            Self::MiniStack => Box::new(ministack::fetch(cache, &pins("ministack.txt"))?),
            Self::ElasticMq => Box::new(elasticmq::fetch(cache, &pins("elasticmq.txt"))?),
            Self::Kinesis => Box::new(kinesis::fetch(cache, &pins("kinesis-local"))?),
            Self::DynamoDb => Box::new(dynamodb::fetch(cache, &pins("dynamodb-local.txt"))?),
            Self::Nats => Box::new(nats(nats::Sync::Interval)?),
            Self::NatsSyncAlways => Box::new(nats(nats::Sync::Always)?),
            Self::NatsOld => {
                Box::new(nats::fetch(Tool::NatsOld, repo, cache, nats::Sync::Interval)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_a_name_of_its_own() {
        for product in Product::ALL {
            assert_eq!(Product::named(product.name()).unwrap(), product);
        }
        assert!(Product::named("mysql").unwrap_err().to_string().contains("kafka, rabbitmq"));
    }

    #[test]
    fn what_tests_share_has_a_variable() {
        for product in Product::ALL {
            assert_eq!(product.variable().is_some(), Product::FOR_TESTS.contains(&product));
            assert_eq!(product.variable().is_none(), product.tool().is_some());
        }
    }
}
