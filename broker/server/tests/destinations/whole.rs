//! From an event to a record in a queue, through a whole broker: settings over the contract, a worker that fails, the engine, the
//! destination.

use trine_broker::proto::v1::destination::Target;
use trine_broker::proto::v1::{
    CreateFunctionRequest, Destination, FunctionSettings, GetFunctionRequest, GetInvocationRequest,
    InvocationType, InvokeRequest, KafkaDestination, RabbitMqDestination, SnsDestination,
    SqsDestination, UpdateFunctionRequest,
};
use trine_broker::{AwsCredential, Broker, BrokerOptions, DestinationPolicy};
use trine_worker::{Context, Error, Worker, WorkerHandle};

use lapin::types::FieldTable;
use serde_json::Value;

use crate::rabbitmq::Rabbit;
use crate::receiver::{Answer, Receiver};
use crate::skip::server;
use crate::sqs_server::Queue;
use crate::{kafka, unique};

async fn broker() -> (Broker, WorkerHandle) {
    let aws_credential = AwsCredential {
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned(),
        session_token: None,
    };
    let destinations = DestinationPolicy {
        allow_internal_addresses: true,
        aws_credential: Some(aws_credential),
        ..DestinationPolicy::default()
    };
    let options = BrokerOptions { destinations, ..BrokerOptions::default() };
    let broker = Broker::start(options).await.unwrap();
    let settings = FunctionSettings { max_retries: Some(0), ..FunctionSettings::default() };
    let create = CreateFunctionRequest { name: "fails".to_owned(), settings: Some(settings) };
    broker.functions().create_function(create).await.unwrap();
    let worker = Worker::with_channel(broker.channel())
        .function("fails", |_: Value, _: Context| async move {
            Err::<Value, _>(Error::new("Fails", "it does"))
        })
        .start()
        .await
        .unwrap();
    (broker, worker)
}

/// Makes `target` the destination of failures, has one, and returns its request id once the record was delivered.
async fn fail(broker: &Broker, target: Target, spelled: &str) -> String {
    let on_failure = Some(Destination { target: Some(target) });
    let settings = FunctionSettings { on_failure: on_failure.clone(), ..Default::default() };
    let name = || "fails".to_owned();
    let update =
        UpdateFunctionRequest { name: name(), settings: Some(settings), clear: Vec::new() };
    broker.functions().update_function(update).await.unwrap();
    let found = broker.functions().get_function(GetFunctionRequest { name: name() }).await.unwrap();
    let function = found.into_inner().function.unwrap();
    assert_eq!(function.settings.unwrap().on_failure, on_failure, "it is shown as it was set");
    let row = function.effective.iter().find(|row| row.name == "on_failure").unwrap();
    assert_eq!(row.value, spelled);

    let event = InvokeRequest {
        function: name(),
        payload: "{\"n\":1}".into(),
        r#type: InvocationType::Event.into(),
        ..InvokeRequest::default()
    };
    let request_id = broker.invocations().invoke(event).await.unwrap().into_inner().request_id;
    let mut request = GetInvocationRequest {
        request_id: request_id.clone(),
        wait_ms: 30_000,
        after_revision: None,
    };
    loop {
        let found = broker.invocations().get_invocation(request.clone()).await.unwrap();
        let invocation = found.into_inner().invocation.unwrap();
        assert_eq!(invocation.delivery_error, "", "{invocation:?}");
        if invocation.delivery() == trine_broker::proto::v1::DeliveryState::Delivered {
            return request_id;
        }
        request.after_revision = Some(invocation.revision);
    }
}

fn check(record: &[u8], request_id: &str) {
    let record: Value = serde_json::from_slice(record).unwrap();
    assert_eq!(record["requestContext"]["requestId"], request_id);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestPayload"]["n"], 1);
}

#[tokio::test]
async fn a_failure_is_told_to_a_receiver_of_sns() {
    let (broker, _worker) = broker().await;
    let mut receiver = Receiver::start(Answer::status(200)).await;
    let topic_arn = "arn:aws:sns:eu-west-1:123456789012:failures".to_owned();
    let spelled = format!("sns:{}#{topic_arn}", receiver.url("/topic"));
    let target = Target::Sns(SnsDestination { url: receiver.url("/topic"), topic_arn });
    let request_id = fail(&broker, target, &spelled).await;
    let notification = receiver.requests.recv().await.unwrap();
    let notification: Value = serde_json::from_slice(&notification.body).unwrap();
    check(notification["Message"].as_str().unwrap().as_bytes(), &request_id);
}

#[tokio::test]
async fn a_failure_is_told_to_a_queue_of_sqs() {
    let test = "a_failure_is_told_to_a_queue_of_sqs";
    let Some(endpoint) = server(test, "TRINE_MINISTACK") else { return };
    let (broker, _worker) = broker().await;
    let queue = Queue::create(&endpoint, &unique("whole")).await;
    let spelled = format!("sqs:{}?endpoint_url={endpoint}", queue.arn);
    let target = Target::Sqs(SqsDestination {
        queue: queue.arn.clone(),
        region: String::new(),
        endpoint_url: endpoint,
    });
    let request_id = fail(&broker, target, &spelled).await;
    check(queue.receive().await.0.as_bytes(), &request_id);
}

#[tokio::test]
async fn a_failure_is_told_to_a_topic_of_kafka() {
    let Some(servers) = server("a_failure_is_told_to_a_topic_of_kafka", "TRINE_KAFKA") else {
        return;
    };
    let (broker, _worker) = broker().await;
    let topic = unique("whole");
    kafka::create(&servers, &topic, None).await;
    let spelled = format!("kafka://{servers}/{topic}");
    let bootstrap_servers = servers.split(',').map(str::to_owned).collect();
    let target = Target::Kafka(KafkaDestination { bootstrap_servers, topic: topic.clone() });
    let request_id = fail(&broker, target, &spelled).await;
    let read = kafka::read(&servers, &topic, 1).await;
    assert_eq!(read[0].key, request_id);
    check(&read[0].value, &request_id);
}

#[tokio::test]
async fn a_failure_is_told_to_a_queue_of_rabbitmq() {
    let Some(address) = server("a_failure_is_told_to_a_queue_of_rabbitmq", "TRINE_RABBITMQ") else {
        return;
    };
    let (broker, _worker) = broker().await;
    let rabbit = Rabbit::new(address).await;
    let queue = rabbit.queue("whole", FieldTable::default()).await;
    let spelled = format!("rabbitmq://{}/{queue}", rabbit.address);
    let target = Target::Rabbitmq(RabbitMqDestination {
        url: format!("amqp://{}", rabbit.address),
        virtual_host: String::new(),
        exchange: String::new(),
        routing_key: queue.clone(),
    });
    let request_id = fail(&broker, target, &spelled).await;
    check(&rabbit.get(&queue).await.unwrap().data, &request_id);
}
