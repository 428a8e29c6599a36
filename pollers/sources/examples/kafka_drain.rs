//! How fast the Kafka source drains a topic beside a bare consumer that commits the same way: `kafka_drain BROKER [RECORDS] [PARTITIONS]`.
//! Records of 1 KiB, a commit after each 100: in turn, as the bare consumer does, and as the runner does, which receives meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use trine_pollers::{Binding, Change, Opened, Places, Position, Reader, Secrets, Start, Want};
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
        let in_turn = ours(&bootstrap, &topic, (round, false), records, partitions).await;
        let meanwhile = ours(&bootstrap, &topic, (round, true), records, partitions).await;
        println!(
            "bare {bare:.0}/s; source in turn {in_turn:.0}/s, {:.2}; receiving meanwhile {meanwhile:.0}/s, {:.2}",
            in_turn / bare,
            meanwhile / bare
        );
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

async fn ours(
    bootstrap: &str,
    topic: &str,
    (round, meanwhile): (u32, bool),
    records: u32,
    partitions: u32,
) -> f64 {
    let source = KafkaSource {
        bootstrap_servers: vec![bootstrap.to_owned()],
        topic: topic.to_owned(),
        ..KafkaSource::default()
    };
    let binding = Binding {
        mapping_id: format!("{topic}-source-{round}-{meanwhile}").into(),
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
            let (mut began, mut left, mut unsettled) = (None, of_partition, None);
            while left > 0 {
                if !meanwhile {
                    commit(&*reader, unsettled.take()).await;
                }
                let (came, ()) =
                    tokio::join!(reader.receive(want), commit(&*reader, unsettled.take()));
                let came = came.expect("it reads").records;
                began.get_or_insert_with(Instant::now);
                left = left.saturating_sub(u32::try_from(came.len()).expect("at most a batch"));
                unsettled = came.last().map(|last| last.position.clone());
            }
            commit(&*reader, unsettled).await;
            began
        });
    }
    let began = draining.join_all().await.into_iter().flatten().min();
    rate(records, began)
}

async fn commit(reader: &dyn Reader, through: Option<Position>) {
    if let Some(through) = through {
        reader.commit(through).await.expect("it commits");
    }
}

fn rate(records: u32, began: Option<Instant>) -> f64 {
    f64::from(records) / began.expect("there were records").elapsed().as_secs_f64()
}
