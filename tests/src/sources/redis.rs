//! A stream of Redis, written to in its own protocol: `XADD`s, all sent before the first answer is read.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, RedisSource, StartingPosition};

use super::Record;
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

#[derive(Debug)]
pub struct RedisField {
    address: String,
    /// The key of the stream.
    stream: String,
}

#[derive(Debug)]
struct Connection(BufReader<TcpStream>);

#[derive(Debug)]
struct Adds {
    connection: Connection,
    stream: String,
}

impl RedisField {
    /// Makes the stream by a group that nobody uses: what is read is not what was written before.
    ///
    /// # Errors
    /// What the server at `address` did not do.
    pub async fn open(address: &str, stream: &str) -> Result<Self, Trouble> {
        let mut connection = Connection::open(address).await?;
        connection.ask(&["XGROUP", "CREATE", stream, "nobody", "$", "MKSTREAM"]).await?;
        Ok(Self { address: address.to_owned(), stream: stream.to_owned() })
    }
}

impl Field for RedisField {
    fn source(&self) -> Source {
        Source::Redis(RedisSource {
            url: format!("redis://{}/0", self.address),
            stream: self.stream.clone(),
            ..RedisSource::default()
        })
    }

    fn settings(&self) -> MappingSettings {
        let start = StartingPosition::TrimHorizon.into();
        MappingSettings { starting_position: Some(start), ..MappingSettings::default() }
    }

    fn order(&self) -> Order {
        Order::All
    }

    fn reading(&self) -> Reading {
        Reading::Shards(1)
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        async {
            let connection = Connection::open(&self.address).await?;
            let stream = self.stream.clone();
            Ok(Box::new(Adds { connection, stream }) as Box<dyn Producer>)
        }
        .boxed()
    }
}

impl Producer for Adds {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let mut commands = Vec::new();
            for record in records {
                let (key, text) = (record.key_text(), record.text());
                write(&mut commands, &["XADD", &self.stream, "*", "key", &key, "text", &text]);
            }
            let sent = self.connection.0.get_mut().write_all(&commands).await;
            sent.map_err(|error| trouble("XADD")(&error))?;
            for _ in records {
                self.connection.answer().await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Connection {
    async fn open(address: &str) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(address).await.map_err(|e| trouble("connect")(&e))?;
        Ok(Self(BufReader::new(stream)))
    }

    async fn ask(&mut self, words: &[&str]) -> Result<(), Trouble> {
        let mut command = Vec::new();
        write(&mut command, words);
        self.0.get_mut().write_all(&command).await.map_err(|error| trouble(words[0])(&error))?;
        self.answer().await
    }

    /// Reads one answer: a status, or an id with its length before it.
    async fn answer(&mut self) -> Result<(), Trouble> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.map_err(|error| trouble("answer")(&error))?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+", _)) => Ok(()),
            Some(("$", length)) => {
                let length: usize = length.parse().map_err(|error| trouble(line)(&error))?;
                let mut id = vec![0; length + "\r\n".len()];
                self.0.read_exact(&mut id).await.map(drop).map_err(|e| trouble("answer")(&e))
            }
            _ => Err(format!("Redis answered {line:?}")),
        }
    }
}

fn write(command: &mut Vec<u8>, words: &[&str]) {
    command.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
