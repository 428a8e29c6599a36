//! A queue of ActiveMQ, written to in STOMP: messages of a batch one after the other, a receipt for each.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{ActiveMqSource, MappingSettings};

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

const QUEUE: &str = "records";

#[derive(Debug)]
pub(super) struct ActiveMqField {
    address: String,
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
}

impl ActiveMqField {
    /// The queue is made by the first message.
    pub(super) async fn open(address: &str) -> Result<Self, Trouble> {
        Connection::open(address).await?;
        Ok(Self { address: address.to_owned() })
    }
}

impl Field for ActiveMqField {
    fn source(&self) -> Source {
        Source::Activemq(ActiveMqSource {
            url: format!("stomp://{}", self.address),
            queue: QUEUE.to_owned(),
            ..ActiveMqSource::default()
        })
    }

    fn settings(&self) -> MappingSettings {
        MappingSettings { batching_window_ms: Some(0), ..MappingSettings::default() }
    }

    fn order(&self) -> Order {
        Order::None
    }

    fn reading(&self) -> Reading {
        Reading::Queue
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        async {
            let connection = Connection::open(&self.address).await?;
            Ok(Box::new(connection) as Box<dyn Producer>)
        }
        .boxed()
    }
}

impl Producer for Connection {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let mut frames = String::new();
            for (receipt, record) in records.iter().enumerate() {
                let text = record.text();
                frames.push_str(&format!(
                    "SEND\ndestination:/queue/{QUEUE}\npersistent:true\nreceipt:{receipt}\n\
                     content-length:{}\n\n{text}\0\n",
                    text.len()
                ));
            }
            let sent = self.stream.get_mut().write_all(frames.as_bytes()).await;
            sent.map_err(|error| trouble("SEND")(&error))?;
            for _ in records {
                self.expect("RECEIPT").await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Connection {
    async fn open(address: &str) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(address).await.map_err(|e| trouble("connect")(&e))?;
        let mut connection = Self { stream: BufReader::new(stream) };
        let hello = "CONNECT\naccept-version:1.2\nhost:localhost\nheart-beat:0,0\n\n\0\n";
        let sent = connection.stream.get_mut().write_all(hello.as_bytes()).await;
        sent.map_err(|error| trouble("CONNECT")(&error))?;
        connection.expect("CONNECTED").await?;
        Ok(connection)
    }

    async fn expect(&mut self, command: &str) -> Result<(), Trouble> {
        let mut frame = Vec::new();
        let read = self.stream.read_until(0, &mut frame).await;
        read.map_err(|error| trouble(command)(&error))?;
        let frame = String::from_utf8_lossy(&frame);
        match frame.trim_start().lines().next() == Some(command) {
            true => Ok(()),
            false => Err(format!("expected {command} of ActiveMQ, got {frame:?}")),
        }
    }
}
