//! Whether a batch that waits longer than Kafka's `max.poll.interval.ms` (five minutes) costs its partition: reads one record, holds it
//! and settles it then. `kafka_held BROKER TOPIC [SECONDS]`; the topic exists and has records.

use std::time::Duration;

use tokio::time::timeout;
use trine_pollers::{Binding, Change, Places, Secrets, Start, Want};
use trine_proto::v1::KafkaSource;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("usage: kafka_held BROKER TOPIC [SECONDS]");
    let (broker, topic) = (next(), next());
    let seconds = arguments.next().map_or(400, |seconds| seconds.parse().expect("a number"));
    let mapping_id = format!("held-{}", std::process::id()).into();
    let source = KafkaSource { bootstrap_servers: vec![broker], topic, ..KafkaSource::default() };
    let binding = Binding { mapping_id, start: Start::TrimHorizon, secrets: Secrets::default() };
    let connector = trine_pollers::kafka::connector(&source, &binding).expect("it is right");
    let connection = connector.connect(Places::new()).await.expect("it connects");
    let want = Want { records_max: 1, bytes_max: u64::MAX, wait: Duration::from_secs(20) };
    loop {
        let Change::Opened(opened) = connection.next_change().await.expect("a change") else {
            continue;
        };
        let came = opened.reader.receive(want).await.expect("it reads").records;
        let Some(record) = came.first() else { continue };
        // Whatever it reports, it does within this time: a change, or none.
        let held = Duration::from_secs(seconds);
        while let Ok(change) = timeout(held, connection.next_change()).await {
            println!("{:?}", change.expect("the connection holds"));
        }
        opened.reader.commit(record.position.clone()).await.expect("it is still ours");
        println!("{} was held for {seconds} s and settled", record.identifier);
        return;
    }
}
