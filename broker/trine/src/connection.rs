//! The connection of a command to its broker.
//!
//! It knows addresses and channels; what is asked over them belongs to the commands.

use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use trine_proto::FRAME_BYTES_MAX;
use trine_proto::v1::admin_service_client::AdminServiceClient;
use trine_proto::v1::function_service_client::FunctionServiceClient;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::mapping_service_client::MappingServiceClient;

use crate::failure::{Failure, root_cause};

/// A broker on this machine answers in microseconds, one far away in less than this.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Flow control windows, in bytes: a payload of the largest size passes without a stall.
const WINDOW_BYTES: u32 = 8 << 20;

/// How often an open call asks whether the broker is still there, and how long it waits for the
/// answer: an invocation may run for 15 minutes, and a broker may lose its power.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_WAIT: Duration = Duration::from_secs(10);

/// Where the broker is: `http://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerUrl(String);

impl std::str::FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not a broker: expected http://HOST:PORT");
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if trimmed.starts_with("https://") {
            return Err("expected http://HOST:PORT: brokers do not speak TLS yet".to_owned());
        }
        let authority = trimmed.strip_prefix("http://").ok_or_else(expected)?;
        let (host, port) = authority.rsplit_once(':').ok_or_else(expected)?;
        let legal = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
        if !legal
            || port.parse::<u16>().is_err()
            || Endpoint::from_shared(trimmed.to_owned()).is_err()
        {
            return Err(expected());
        }
        Ok(Self(trimmed.to_owned()))
    }
}

/// An open connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    channel: Channel,
    broker: BrokerUrl,
}

impl Connection {
    /// Connects, so that "no broker" is told apart from everything that can go wrong later.
    pub(crate) async fn open(broker: &BrokerUrl) -> Result<Self, Failure> {
        let unreachable = |cause: String| Failure::Unreachable { broker: broker.0.clone(), cause };
        let endpoint = Endpoint::from_shared(broker.0.clone())
            .map_err(|error| unreachable(root_cause(&error)))?
            .connect_timeout(CONNECT_WAIT)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_WAIT);
        let channel = endpoint.connect().await.map_err(|error| unreachable(root_cause(&error)))?;
        Ok(Self { channel, broker: broker.clone() })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn functions(&self) -> FunctionServiceClient<Channel> {
        FunctionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn invocations(&self) -> InvocationServiceClient<Channel> {
        InvocationServiceClient::new(self.channel.clone())
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX)
    }

    pub(crate) fn mappings(&self) -> MappingServiceClient<Channel> {
        MappingServiceClient::new(self.channel.clone()).max_decoding_message_size(FRAME_BYTES_MAX)
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// The failure that a call over this connection ended in.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        Failure::from_status(status, &self.broker.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_names_a_broker() {
        for text in ["http://127.0.0.1:7400", "http://[::1]:7400", "http://broker.local:80/"] {
            assert!(text.parse::<BrokerUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:7400",
            "http://",
            "http://127.0.0.1",
            "http://:7400",
            "http://host:99999",
            "http://host:7400/path",
            "http://user@host:7400",
            "https://host:7400",
            "nats://host:4222",
        ] {
            assert!(text.parse::<BrokerUrl>().is_err(), "{text}");
        }
    }
}
