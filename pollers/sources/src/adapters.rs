//! Which kinds of sources this build can read, and how a mapping's configuration becomes a connector. It knows adapters by name only.

use std::sync::Arc;

use trine_proto::v1::source_config::Source as Config;

use crate::{Binding, Connect, SourceError};

/// The kinds that this build can read, as a poller offers them to its broker.
#[must_use]
pub fn kinds() -> Vec<&'static str> {
    vec![
        #[cfg(feature = "kafka")]
        "kafka",
        #[cfg(feature = "sqs")]
        "sqs",
        #[cfg(feature = "kinesis")]
        "kinesis",
        #[cfg(feature = "dynamodb-streams")]
        "dynamodb_streams",
        #[cfg(feature = "rabbitmq")]
        "rabbitmq",
        #[cfg(feature = "activemq")]
        "activemq",
        #[cfg(feature = "nats")]
        "nats",
        #[cfg(feature = "redis")]
        "redis",
        #[cfg(feature = "file")]
        "file",
    ]
}

/// The connector of a source.
///
/// # Errors
/// When the configuration cannot be right, or this build does not have the adapter.
pub(crate) fn connector(
    config: &Config,
    binding: &Binding,
) -> Result<Arc<dyn Connect>, SourceError> {
    match config {
        #[cfg(feature = "kafka")]
        Config::Kafka(config) => crate::kafka::connector(config, binding),
        #[cfg(feature = "sqs")]
        Config::Sqs(config) => crate::sqs::connector(config, binding),
        #[cfg(feature = "kinesis")]
        Config::Kinesis(config) => crate::kinesis::connector(config, binding),
        #[cfg(feature = "dynamodb-streams")]
        Config::DynamodbStreams(config) => crate::dynamodb_streams::connector(config, binding),
        #[cfg(feature = "rabbitmq")]
        Config::Rabbitmq(config) => crate::rabbitmq::connector(config, binding),
        #[cfg(feature = "activemq")]
        Config::Activemq(config) => crate::activemq::connector(config, binding),
        #[cfg(feature = "nats")]
        Config::Nats(config) => crate::nats::connector(config, binding),
        #[cfg(feature = "redis")]
        Config::Redis(config) => crate::redis::connector(config, binding),
        #[cfg(feature = "file")]
        Config::File(config) => crate::file::connector(config, binding),
        // Reached only by a broker that gives out what was not offered.
        #[allow(unreachable_patterns)]
        _ => Err(SourceError::configuration(
            "this poller was built without an adapter for this kind of source",
        )),
    }
}
