//! Receiving: portions, what goes wrong, and who gets what nobody waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use trine_pollers::conformance::Subject as _;
use trine_pollers::{Places, Problem, Secrets, Settled, Start, Verdict};
use trine_proto::v1::SqsSource;

use super::{ELASTICMQ, MINISTACK, Queue};
use crate::aws::{PROMPT, Proxy, Stub, access, binding, open, receive, unique, want};
use crate::skip::server;

const NO_QUEUE: &str = "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. ";

async fn a_missing_queue_is_told_in_lambdas_words(variable: &str) {
    let Some(endpoint) = server(variable) else { return };
    let config = SqsSource {
        queue_arn: format!("arn:aws:sqs:us-east-1:000000000000:{}", unique("none")),
        access: Some(access(&endpoint)),
        queue_url: String::new(),
    };
    let connector = trine_pollers::sqs::connector(&config, &binding(Start::TrimHorizon));
    let refused = connector.expect("a connector").connect(Places::new()).await.err();
    let refused = refused.expect("there is no queue");
    assert_eq!(refused.problem, Problem::Configuration);
    assert!(refused.to_string().starts_with(NO_QUEUE), "{refused}");
}

#[tokio::test]
async fn a_missing_queue_is_told_in_lambdas_words_ministack() {
    a_missing_queue_is_told_in_lambdas_words(MINISTACK).await;
}

#[tokio::test]
async fn a_missing_queue_is_told_in_lambdas_words_elasticmq() {
    a_missing_queue_is_told_in_lambdas_words(ELASTICMQ).await;
}

async fn a_queue_that_goes_away_is_told_and_read_again_when_it_is_back(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    let connector = queue.connector();
    let (_source, opened) = open(&connector, Places::new()).await.expect("a queue");
    queue.api.call("DeleteQueue", json!({"QueueUrl": queue.url})).await;
    let refused = opened.reader.receive(want(1, Duration::from_secs(1))).await;
    let refused = refused.expect_err("there is no queue");
    assert_eq!(refused.problem, Problem::Configuration, "{refused}");
    assert!(refused.to_string().starts_with(NO_QUEUE), "{refused}");
    let name = queue.arn.rsplit(':').next().expect("a name").to_owned();
    let queue = Queue::make(&queue.endpoint, &name, json!({})).await;
    queue.send("", "back").await;
    let (_source, opened) = open(&connector, Places::new()).await.expect("a queue");
    assert_eq!(&*receive(&opened, 1).await[0].body, b"back");
}

#[tokio::test]
async fn a_queue_that_goes_away_is_told_and_read_again_when_it_is_back_ministack() {
    let queue = Queue::standard(MINISTACK).await;
    a_queue_that_goes_away_is_told_and_read_again_when_it_is_back(queue).await;
}

#[tokio::test]
async fn a_queue_that_goes_away_is_told_and_read_again_when_it_is_back_elasticmq() {
    let queue = Queue::standard(ELASTICMQ).await;
    a_queue_that_goes_away_is_told_and_read_again_when_it_is_back(queue).await;
}

async fn large_portions_come_in_one_receive(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    for number in 0..95 {
        queue.send("", &number.to_string()).await;
    }
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let first = opened.reader.receive(want(47, PROMPT)).await.expect("the source works");
    assert_eq!(first.records.len(), 47, "as many as asked for, of more that there are");
    let (_, in_flight) = queue.counts().await;
    assert_eq!(in_flight, 47, "no message is taken that nobody asked for");
    let rest = opened.reader.receive(want(500, PROMPT)).await.expect("the source works");
    let all = first.records.iter().chain(&rest.records);
    let bodies: BTreeSet<_> = all.map(|record| record.body.clone()).collect();
    assert_eq!(bodies.len(), 95);
    assert_eq!(first.lag_records, Some(95), "as it was when it was asked");
}

#[tokio::test]
async fn large_portions_come_in_one_receive_ministack() {
    large_portions_come_in_one_receive(Queue::standard(MINISTACK).await).await;
}

#[tokio::test]
async fn large_portions_come_in_one_receive_elasticmq() {
    large_portions_come_in_one_receive(Queue::standard(ELASTICMQ).await).await;
}

/// A poller that stops in the middle of a long poll leaves no message hidden.
async fn what_nobody_waits_for_is_given_back(queue: Option<Queue>) {
    let Some(mut queue) = queue else { return };
    let hour = json!({"QueueUrl": queue.url, "Attributes": {"VisibilityTimeout": "3600"}});
    queue.api.call("SetQueueAttributes", hour).await;
    let (source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    let waiting = opened.reader.receive(want(1, Duration::from_secs(10)));
    let gone = timeout(Duration::from_millis(300), waiting).await;
    assert!(gone.is_err(), "there was nothing");
    drop((source, opened));
    queue.send("", "for the next").await;
    let (_source, opened) = open(&queue.connector(), Places::new()).await.expect("a queue");
    assert_eq!(&*receive(&opened, 1).await[0].body, b"for the next");
}

#[tokio::test]
async fn what_nobody_waits_for_is_given_back_ministack() {
    what_nobody_waits_for_is_given_back(Queue::standard(MINISTACK).await).await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_given_back_elasticmq() {
    what_nobody_waits_for_is_given_back(Queue::standard(ELASTICMQ).await).await;
}

/// The network goes away under a receive; what was in hand is settled on the next connection.
#[tokio::test]
async fn what_is_in_hand_outlives_the_connection() {
    let Some(queue) = Queue::standard(ELASTICMQ).await else { return };
    let proxy = Proxy::to(&queue.endpoint).await;
    let config = SqsSource { access: Some(access(&proxy.endpoint())), ..queue.config() };
    let connector = trine_pollers::sqs::connector(&config, &binding(Start::TrimHorizon));
    let connector = connector.expect("a connector");
    queue.send("", "one").await;
    queue.send("", "two").await;
    let (_source, opened) = open(&connector, Places::new()).await.expect("a queue");
    let records = receive(&opened, 2).await;
    let waiting = opened.reader.receive(want(1, PROMPT));
    let cut = async { proxy.cut() };
    let (broken, ()) = tokio::join!(waiting, cut);
    assert_eq!(broken.expect_err("the network is gone").problem, Problem::Unreachable);
    let done = vec![Settled { position: records[0].position.clone(), verdict: Verdict::Done }];
    opened.reader.settle(done.clone()).await.expect_err("the network is gone");
    connector.connect(Places::new()).await.err().expect("the network is gone");
    proxy.mend();
    let (_source, opened) = open(&connector, Places::new()).await.expect("it is back");
    opened.reader.settle(done).await.expect("it is back");
    let again = receive(&opened, 1).await;
    assert_eq!(again[0].identifier, records[1].identifier, "the other came again");
}

/// Wrong keys, missing rights and missing keys are told apart.
#[tokio::test]
async fn refusals_are_told_by_name() {
    let refusals = [
        ("InvalidClientTokenId", 403, Problem::Authentication),
        ("com.amazon.coral.service#ExpiredTokenException", 400, Problem::Authentication),
        ("AccessDeniedException", 400, Problem::Authorization),
        ("InternalFailure", 500, Problem::Unreachable),
    ];
    for (code, status, problem) in refusals {
        let stub = Stub::start(move |_, _| Err((status, code))).await;
        let config = SqsSource {
            queue_arn: "arn:aws:sqs:us-east-1:000000000000:q".into(),
            access: Some(access(&stub.endpoint)),
            queue_url: String::new(),
        };
        let connector = trine_pollers::sqs::connector(&config, &binding(Start::TrimHorizon));
        let refused = connector.expect("a connector").connect(Places::new()).await.err();
        let refused = refused.expect("the stub refuses");
        assert_eq!(refused.problem, problem, "{refused}");
        assert!(refused.to_string().contains("GetQueueUrl"), "{refused}");
        let code = code.rsplit('#').next().expect("a code");
        assert!(refused.to_string().contains(code), "{refused}");
    }
    let config = SqsSource {
        queue_arn: "arn:aws:sqs:us-east-1:000000000000:q".into(),
        access: Some(access("http://127.0.0.1:9")),
        queue_url: String::new(),
    };
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        let mut keyless = binding(Start::TrimHorizon);
        keyless.secrets = Secrets::default();
        let connector = trine_pollers::sqs::connector(&config, &keyless).expect("a connector");
        let refused = connector.connect(Places::new()).await.err().expect("there are no keys");
        assert_eq!(refused.problem, Problem::Authentication);
        assert!(refused.to_string().contains("AWS_ACCESS_KEY_ID"), "{refused}");
    }
}

/// At its bound of messages in flight, and when it throttles, a queue is waited for; the connection stays.
#[tokio::test]
async fn a_throttled_receive_waits_and_tells() {
    let stub = Stub::start(|action, _| match action {
        "GetQueueUrl" => Ok(json!({"QueueUrl": "http://queue"})),
        "GetQueueAttributes" => Ok(json!({"Attributes": {"VisibilityTimeout": "30"}})),
        _ => Err((400, "OverLimit")),
    })
    .await;
    let config = SqsSource {
        queue_arn: "arn:aws:sqs:us-east-1:000000000000:q".into(),
        access: Some(access(&stub.endpoint)),
        queue_url: String::new(),
    };
    let connector = trine_pollers::sqs::connector(&config, &binding(Start::TrimHorizon));
    let (_source, opened) =
        open(&connector.expect("a connector"), Places::new()).await.expect("a queue");
    let wait = Duration::from_millis(1500);
    let asked = tokio::time::Instant::now();
    let received = opened.reader.receive(want(10, wait)).await.expect("it is no error");
    // Waits are in whole milliseconds.
    assert!(asked.elapsed() >= wait - Duration::from_millis(2));
    assert!(received.records.is_empty());
    assert!(received.notices[0].message.contains("OverLimit"), "{:?}", received.notices);
    assert!(stub.calls("ReceiveMessage").len() <= 4, "it is left alone for a while");
}

/// What a mapping may not say.
#[test]
fn a_configuration_that_cannot_be_right_is_refused() {
    let right = SqsSource {
        queue_arn: "arn:aws:sqs:us-east-1:000000000000:q".into(),
        access: None,
        queue_url: String::new(),
    };
    let arn = |arn: &str| SqsSource { queue_arn: arn.into(), ..right.clone() };
    let url = SqsSource { access: Some(access("localhost:4566")), ..right.clone() };
    let wrong =
        [arn(""), arn("q"), arn("arn:aws:sns:us-east-1:1:t"), arn("arn:aws:sqs:r:1:a/b"), url];
    for config in wrong {
        let refused = trine_pollers::sqs::connector(&config, &binding(Start::TrimHorizon));
        assert_eq!(refused.expect_err("refused").problem, Problem::Configuration, "{config:?}");
    }
    trine_pollers::sqs::connector(&right, &binding(Start::TrimHorizon)).expect("a connector");
}
