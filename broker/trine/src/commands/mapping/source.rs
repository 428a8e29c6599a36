//! The source of a new mapping on the command line. It knows the notation; what can be read is the poller's to find out.

use clap::Args;
use trine_proto::v1;
use trine_proto::v1::source_config::Source;

use crate::failure::Failure;

/// What is read: one of the kinds, with what belongs to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
#[command(group = clap::ArgGroup::new("kind").required(true).multiple(false))]
pub(super) struct SourceArguments {
    /// A Kafka topic: bootstrap servers HOST:PORT, with commas between; needs --topic.
    #[arg(long, group = "kind", value_name = "BOOTSTRAP", value_delimiter = ',')]
    kafka: Vec<String>,
    /// An SQS queue, standard or FIFO.
    #[arg(long, group = "kind", value_name = "ARN")]
    sqs: Option<String>,
    /// A Kinesis stream.
    #[arg(long, group = "kind", value_name = "ARN")]
    kinesis: Option<String>,
    /// The stream of a DynamoDB table.
    #[arg(long, group = "kind", value_name = "ARN")]
    dynamodb_streams: Option<String>,
    /// A RabbitMQ queue, amqp:// or amqps://HOST:PORT; needs --queue.
    #[arg(long, group = "kind", value_name = "URL")]
    rabbitmq: Option<String>,
    /// An ActiveMQ queue, stomp:// or stomp+ssl://HOST:PORT; needs --queue.
    #[arg(long, group = "kind", value_name = "URL")]
    activemq: Option<String>,
    /// A JetStream stream: servers nats:// or tls://HOST:PORT, with commas between; needs --stream.
    #[arg(long, group = "kind", value_name = "URL", value_delimiter = ',')]
    nats: Vec<String>,
    /// A Redis stream, redis:// or rediss://HOST:PORT/DB; needs --stream.
    #[arg(long, group = "kind", value_name = "URL")]
    redis: Option<String>,
    /// The lines of a file on the poller's machine.
    #[arg(long, group = "kind", value_name = "PATH")]
    file: Option<String>,
    /// What an adapter of your own reads: the kind that it offers; needs --configuration.
    #[arg(long, group = "kind", value_name = "KIND")]
    custom: Option<String>,

    /// Topic of --kafka.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Queue of --rabbitmq or --activemq.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Stream of --nats, or key of the stream of --redis.
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// JSON object for the adapter of --custom.
    #[arg(long, value_name = "JSON")]
    configuration: Option<String>,
    /// Consumer group of --kafka or --redis, durable name of --nats [default: made from the mapping's id].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only these subjects of --nats; may be repeated.
    #[arg(long, value_name = "SUBJECT")]
    subject: Vec<String>,
    /// Virtual host of --rabbitmq [default: /].
    #[arg(long, value_name = "NAME")]
    virtual_host: Option<String>,
    /// Where an AWS source is reached [default: AWS itself].
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Region of an AWS source [default: that of the ARN].
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// URL of --sqs, for servers that want it [default: asked for].
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    /// ARN that events name as their source, for --kafka (as of MSK), --rabbitmq and --activemq.
    #[arg(long, value_name = "ARN")]
    event_source_arn: Option<String>,
    /// plaintext, ssl, sasl_plaintext or sasl_ssl, for --kafka [default: plaintext].
    #[arg(long, value_name = "PROTOCOL")]
    security_protocol: Option<String>,
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, for --kafka [default: none].
    #[arg(long, value_name = "MECHANISM")]
    sasl_mechanism: Option<String>,
    /// Certificate authorities that TLS trusts, of --kafka, --rabbitmq, --activemq, --nats or --redis: a PEM file on the poller's machine
    /// [default: the system's, of --rabbitmq the public ones].
    #[arg(long, value_name = "PATH")]
    ca_file: Option<String>,
    /// User to log in as.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Name of the secret that holds the password; the poller looks it up.
    #[arg(long, value_name = "SECRET")]
    password_secret: Option<String>,
}

impl SourceArguments {
    /// As the contract has it.
    pub(super) fn config(self) -> Result<v1::SourceConfig, Failure> {
        self.check()?;
        let need = |value: Option<String>, option: &str, kind: &str| {
            value.ok_or_else(|| Failure::Usage(format!("--{kind} needs --{option}")))
        };
        let username = self.username.clone().unwrap_or_default();
        let password_secret = self.password_secret.clone().unwrap_or_default();
        let event_source_arn = self.event_source_arn.clone().unwrap_or_default();
        let group = self.group.clone().unwrap_or_default();
        let ca_file = self.ca_file.as_deref().map_or(Ok(String::new()), absolute)?;
        let source = if !self.kafka.is_empty() {
            let topic = need(self.topic.clone(), "topic", "kafka")?;
            let own = v1::KafkaSource { topic, ca_file, ..self.kafka_security() };
            Source::Kafka(v1::KafkaSource { consumer_group_id: group, event_source_arn, ..own })
        } else if let Some(queue_arn) = self.sqs.clone() {
            let queue_url = self.queue_url.clone().unwrap_or_default();
            Source::Sqs(v1::SqsSource { queue_arn, access: self.access(), queue_url })
        } else if let Some(stream_arn) = self.kinesis.clone() {
            Source::Kinesis(v1::KinesisSource { stream_arn, access: self.access() })
        } else if let Some(stream_arn) = self.dynamodb_streams.clone() {
            Source::DynamodbStreams(v1::DynamoDbStreamsSource { stream_arn, access: self.access() })
        } else if let Some(url) = self.rabbitmq.clone() {
            Source::Rabbitmq(v1::RabbitMqSource {
                url,
                queue: need(self.queue.clone(), "queue", "rabbitmq")?,
                virtual_host: self.virtual_host.unwrap_or_default(),
                username,
                password_secret,
                event_source_arn,
                ca_file,
            })
        } else if let Some(url) = self.activemq.clone() {
            let queue = need(self.queue, "queue", "activemq")?;
            Source::Activemq(v1::ActiveMqSource {
                url,
                queue,
                username,
                password_secret,
                event_source_arn,
                ca_file,
            })
        } else if !self.nats.is_empty() {
            Source::Nats(v1::NatsSource {
                urls: self.nats.clone(),
                stream: need(self.stream.clone(), "stream", "nats")?,
                filter_subjects: self.subject,
                durable: group,
                username,
                password_secret,
                ca_file,
            })
        } else if let Some(url) = self.redis.clone() {
            let stream = need(self.stream, "stream", "redis")?;
            Source::Redis(v1::RedisSource {
                url,
                stream,
                group,
                username,
                password_secret,
                ca_file,
            })
        } else if let Some(path) = &self.file {
            Source::File(v1::FileSource { path: absolute(path)? })
        } else {
            let kind = need(self.custom.clone(), "kafka", "create")?;
            let configuration = need(self.configuration, "configuration", "custom")?;
            Source::Custom(v1::CustomSource { kind, configuration })
        };
        Ok(v1::SourceConfig { source: Some(source) })
    }

    /// How an AWS source is reached.
    fn access(&self) -> Option<v1::AwsAccess> {
        let region = self.region.clone().unwrap_or_default();
        let endpoint_url = self.endpoint_url.clone().unwrap_or_default();
        Some(v1::AwsAccess { region, endpoint_url })
    }

    /// The brokers of --kafka, and how they are spoken to.
    fn kafka_security(&self) -> v1::KafkaSource {
        v1::KafkaSource {
            bootstrap_servers: self.kafka.clone(),
            security_protocol: self.security_protocol.clone().unwrap_or_default(),
            sasl_mechanism: self.sasl_mechanism.clone().unwrap_or_default(),
            sasl_username: self.username.clone().unwrap_or_default(),
            sasl_password_secret: self.password_secret.clone().unwrap_or_default(),
            ..v1::KafkaSource::default()
        }
    }

    /// An option that does not belong to the kind would be lost without a word.
    fn check(&self) -> Result<(), Failure> {
        let aws = self.sqs.is_some() || self.kinesis.is_some() || self.dynamodb_streams.is_some();
        let mq = self.rabbitmq.is_some() || self.activemq.is_some();
        let (kafka, nats) = (!self.kafka.is_empty(), !self.nats.is_empty());
        let redis = self.redis.is_some();
        let (custom, sqs) = (self.custom.is_some(), self.sqs.is_some());
        for (given, belongs, option, kinds) in [
            (self.topic.is_some(), kafka, "topic", "--kafka"),
            (self.security_protocol.is_some(), kafka, "security-protocol", "--kafka"),
            (self.sasl_mechanism.is_some(), kafka, "sasl-mechanism", "--kafka"),
            (self.configuration.is_some(), custom, "configuration", "--custom"),
            (self.virtual_host.is_some(), self.rabbitmq.is_some(), "virtual-host", "--rabbitmq"),
            (self.queue_url.is_some(), sqs, "queue-url", "--sqs"),
            (self.queue.is_some(), mq, "queue", "--rabbitmq or --activemq"),
            (self.stream.is_some(), nats || redis, "stream", "--nats or --redis"),
            (self.group.is_some(), kafka || nats || redis, "group", "--kafka, --nats or --redis"),
            (!self.subject.is_empty(), nats, "subject", "--nats"),
            (self.endpoint_url.is_some(), aws, "endpoint-url", "an AWS source"),
            (self.region.is_some(), aws, "region", "an AWS source"),
            (
                self.event_source_arn.is_some(),
                kafka || mq,
                "event-source-arn",
                "--kafka, --rabbitmq or --activemq",
            ),
            (
                self.ca_file.is_some(),
                kafka || mq || nats || redis,
                "ca-file",
                "--kafka, --rabbitmq, --activemq, --nats or --redis",
            ),
            (
                self.username.is_some() || self.password_secret.is_some(),
                kafka || mq || nats || redis,
                "username and --password-secret",
                "--kafka, --rabbitmq, --activemq, --nats or --redis",
            ),
        ] {
            if given && !belongs {
                return Err(Failure::Usage(format!("--{option} goes with {kinds}")));
            }
        }
        Ok(())
    }
}

/// What a relative path means to the poller, nobody here knows.
fn absolute(path: &str) -> Result<String, Failure> {
    Ok(std::path::absolute(path)?.display().to_string())
}
