//! How fast the Kafka source drains a topic beside a bare consumer that commits the same way: `kafka_drain BROKER [RECORDS] [PARTITIONS]`.
//! Records of 1 KiB, a commit after each 100.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use trine_pollers::{Binding, Change, Opened, Places, Secrets, Start, Want};
use trine_proto::v1::KafkaSource;

const BATCH: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().expect("usage: kafka_drain BROKER [RECORDS] [PARTITIONS]");
    let mut number = |default| arguments.next().map_or(default, |n| n.parse().expect("a number"));
    let (records, partitions) = (number(200_000), number(1));
    let topic = format!("trine-drain-{}", std::process::id());
    produce(&bootstrap, &topic, records, partitions).await;
    for round in 0..3 {
        let bare = {
            let (bootstrap, topic) = (bootstrap.clone(), topic.clone());
            tokio::task::spawn_blocking(move || bare(&bootstrap, &topic, round, records))
        };
        let bare = bare.await.expect("the bare consumer drains");
        let ours = ours(&bootstrap, &topic, round, records, partitions).await;
        println!("bare {bare:.0}/s, source {ours:.0}/s: {:.2}", ours / bare);
    }
}

async fn produce(bootstrap: &str, topic: &str, records: u32, partitions: u32) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("linger.ms", "5");
    let admin: AdminClient<DefaultClientContext> = config.create().expect("an admin client");
    let partitions = i32::try_from(partitions).expect("few");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("an answer");
    made.into_iter().for_each(|made| drop(made.expect("the topic is made")));
    let producer: FutureProducer = config.create().expect("a producer");
    let payload = vec![b'x'; 1024];
    let mut sent = Vec::new();
    for number in 0..records {
        let partition = i32::try_from(number).expect("fits") % partitions;
        let record = FutureRecord::<(), _>::to(topic).partition(partition).payload(&payload);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).expect("there is room"));
        if sent.len() == 10_000 {
            for sent in sent.drain(..) {
                sent.await
                    .expect("it is told")
                    .map_err(|(error, _)| error)
                    .expect("it is produced");
            }
        }
    }
    for sent in sent {
        sent.await.expect("it is told").map_err(|(error, _)| error).expect("it is produced");
    }
}

/// Records a second, from the first record on.
fn bare(bootstrap: &str, topic: &str, round: u32, records: u32) -> f64 {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", format!("{topic}-bare-{round}"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("it subscribes");
    let mut began = None;
    let mut list = TopicPartitionList::new();
    for read in 1..=records {
        let message = loop {
            if let Some(message) = consumer.poll(PATIENCE) {
                break message.expect("it reads");
            }
        };
        began.get_or_insert_with(Instant::now);
        let next = Offset::Offset(message.offset() + 1);
        if list.find_partition(topic, message.partition()).is_none() {
            list.add_partition(topic, message.partition());
        }
        list.set_partition_offset(topic, message.partition(), next).expect("it fits");
        if read % BATCH == 0 {
            consumer.commit(&list, CommitMode::Sync).expect("it commits");
            list = TopicPartitionList::new();
        }
    }
    rate(records, began)
}

async fn ours(bootstrap: &str, topic: &str, round: u32, records: u32, partitions: u32) -> f64 {
    let source = KafkaSource {
        bootstrap_servers: vec![bootstrap.to_owned()],
        topic: topic.to_owned(),
        ..KafkaSource::default()
    };
    let binding = Binding {
        mapping_id: format!("{topic}-source-{round}").into(),
        start: Start::TrimHorizon,
        secrets: Secrets::default(),
    };
    let connector = trine_pollers::kafka::connector(&source, &binding).expect("it is right");
    let connection = connector.connect(Places::new()).await.expect("it connects");
    let mut readers = Vec::new();
    while readers.len() < usize::try_from(partitions).expect("few") {
        if let Change::Opened(Opened { reader, .. }) =
            connection.next_change().await.expect("a change")
        {
            readers.push(reader);
        }
    }
    let mut draining = tokio::task::JoinSet::new();
    for reader in readers {
        let of_partition = records / partitions;
        let reader = Arc::clone(&reader);
        draining.spawn(async move {
            let want = Want { records_max: BATCH, bytes_max: u64::MAX, wait: PATIENCE };
            let (mut began, mut left) = (None, of_partition);
            while left > 0 {
                let came = reader.receive(want).await.expect("it reads").records;
                began.get_or_insert_with(Instant::now);
                left = left.saturating_sub(u32::try_from(came.len()).expect("at most a batch"));
                let Some(last) = came.last() else { continue };
                reader.commit(last.position.clone()).await.expect("it commits");
            }
            began
        });
    }
    let began = draining.join_all().await.into_iter().flatten().min();
    rate(records, began)
}

fn rate(records: u32, began: Option<Instant>) -> f64 {
    f64::from(records) / began.expect("there were records").elapsed().as_secs_f64()
}
