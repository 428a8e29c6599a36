//! A destination, read and allowed: what each kind asks of its settings and of the broker's configuration. Nothing is reached out to.

use trine_engine::{Destination, FunctionName};

use super::ForbiddenDestination::{self, Malformed, Policy};
use super::connector::InternalAddress;
use super::file::FileName;
use super::http_target::HttpTarget;
#[cfg(feature = "kafka")]
use super::kafka_target::KafkaTarget;
use super::nats_target::NatsTarget;
#[cfg(feature = "rabbitmq")]
use super::rabbitmq_target::RabbitMqTarget;
use super::sns::SnsTarget;
#[cfg(feature = "sqs")]
use super::sqs_target::SqsTarget;

pub(super) const NO_FOLDER: &str = "file destinations are off: the broker's configuration names no folder for \
                                    them (destinations.file_dir)";

/// Where a record goes, by kind.
pub(super) enum Target {
    Function(FunctionName),
    Http(HttpTarget),
    Nats {
        target: NatsTarget,
        jetstream: bool,
    },
    File(FileName),
    Sns(SnsTarget),
    #[cfg(feature = "sqs")]
    Sqs(SqsTarget),
    #[cfg(feature = "kafka")]
    Kafka(KafkaTarget),
    #[cfg(feature = "rabbitmq")]
    RabbitMq(RabbitMqTarget),
}

impl Target {
    pub(super) fn read(
        target: &Destination,
        allow_internal: bool,
        has_folder: bool,
    ) -> Result<Self, ForbiddenDestination> {
        Ok(match target {
            Destination::Function(name) => Self::Function(name.clone()),
            Destination::Http { url } => {
                let target = HttpTarget::parse(url).map_err(Malformed)?;
                check_address(&target, allow_internal)?;
                Self::Http(target)
            }
            Destination::Nats { url, subject, jetstream } => {
                let target = NatsTarget::parse(url, subject).map_err(Malformed)?;
                Self::Nats { target, jetstream: *jetstream }
            }
            Destination::File { name } => {
                let name = FileName::parse(name).map_err(Malformed)?;
                if !has_folder {
                    return Err(Policy(NO_FOLDER.to_owned()));
                }
                Self::File(name)
            }
            Destination::Sns { url, topic_arn } => {
                let target = SnsTarget::parse(url, topic_arn).map_err(Malformed)?;
                check_address(&target.http, allow_internal)?;
                Self::Sns(target)
            }
            #[cfg(feature = "sqs")]
            Destination::Sqs { queue, region, endpoint_url } => {
                let target = SqsTarget::parse(queue, region, endpoint_url).map_err(Malformed)?;
                check_address(&target.endpoint, allow_internal)?;
                Self::Sqs(target)
            }
            #[cfg(feature = "kafka")]
            Destination::Kafka { bootstrap_servers, topic } => {
                Self::Kafka(KafkaTarget::parse(bootstrap_servers, topic).map_err(Malformed)?)
            }
            #[cfg(feature = "rabbitmq")]
            Destination::RabbitMq { url, virtual_host, exchange, routing_key } => {
                let target = RabbitMqTarget::parse(url, virtual_host, exchange, routing_key);
                Self::RabbitMq(target.map_err(Malformed)?)
            }
            #[cfg(not(feature = "sqs"))]
            Destination::Sqs { .. } => return Err(not_built("SQS", "sqs")),
            #[cfg(not(feature = "kafka"))]
            Destination::Kafka { .. } => return Err(not_built("Kafka", "kafka")),
            #[cfg(not(feature = "rabbitmq"))]
            Destination::RabbitMq { .. } => return Err(not_built("RabbitMQ", "rabbitmq")),
        })
    }
}

/// Whether its host may be reached, as far as that is known without asking for its addresses.
fn check_address(target: &HttpTarget, allow_internal: bool) -> Result<(), ForbiddenDestination> {
    match target.internal().filter(|_| !allow_internal) {
        None => Ok(()),
        Some(internal) => {
            let host = target.host().to_owned();
            Err(Policy(InternalAddress { host, internal }.to_string()))
        }
    }
}

#[cfg(not(all(feature = "sqs", feature = "kafka", feature = "rabbitmq")))]
fn not_built(kind: &str, feature: &str) -> ForbiddenDestination {
    Policy(format!(
        "this broker was built without {kind} destinations: build trine with the feature sources, which has every kind, or a \
         program of your own with the feature {feature} of trine-broker; or set another kind of destination"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_build_does_not_have_is_refused_and_named() {
        let sqs = Destination::Sqs {
            queue: "arn:aws:sqs:eu-west-1:123456789012:failures".into(),
            region: "".into(),
            endpoint_url: "".into(),
        };
        let kafka =
            Destination::Kafka { bootstrap_servers: ["k:9092".into()].into(), topic: "t".into() };
        let rabbitmq = Destination::RabbitMq {
            url: "amqp://rabbit".into(),
            virtual_host: "".into(),
            exchange: "".into(),
            routing_key: "failures".into(),
        };
        for (destination, built, feature) in [
            (sqs, cfg!(feature = "sqs"), "the feature sqs"),
            (kafka, cfg!(feature = "kafka"), "the feature kafka"),
            (rabbitmq, cfg!(feature = "rabbitmq"), "the feature rabbitmq"),
        ] {
            match Target::read(&destination, false, false) {
                Ok(_) => assert!(built, "{feature}"),
                Err(Policy(why)) => {
                    assert!(!built && why.contains(feature), "{why}");
                    assert!(why.contains("build trine with the feature sources"), "{why}");
                }
                Err(Malformed(why)) => panic!("{why}"),
            }
        }
    }
}
