//! Putting back what was given up: dead events as new ones, undelivered records as they are.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use trine_proto::v1::{
    Condition, DeliveryState, FunctionSettings, InvocationFilter, InvocationState, Reason,
    RedriveInvocationsRequest, RedriveInvocationsResponse, RedrivenInvocation,
};
use trine_tests::fixture::broker::Setup;
use trine_tests::fixture::client::{Client, file, refusal};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::run;
use trine_tests::fixture::serving::Serving;
use trine_worker::Worker;

/// The last message, and all that was named on the way.
async fn redrive(
    client: &Client,
    request: RedriveInvocationsRequest,
) -> (RedriveInvocationsResponse, Vec<RedrivenInvocation>) {
    let answers = client.invocations().redrive_invocations(request).await.unwrap();
    let mut answers = answers.into_inner();
    let mut named = Vec::new();
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        named.extend(answer.invocations.iter().cloned());
        if answer.done {
            assert!(answers.next().await.is_none(), "done is the last message");
            return (answer, named);
        }
    }
    panic!("the stream ended without done");
}

fn these(ids: &[&str]) -> RedriveInvocationsRequest {
    let request_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    RedriveInvocationsRequest { request_ids, ..Default::default() }
}

#[test]
fn a_dead_event_goes_on_as_a_new_one_that_is_linked_to_it() {
    run(async {
        let mut broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings {
            max_retries: Some(0),
            on_success: file("success.jsonl"),
            ..Default::default()
        };
        client.create("f", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let serving = Serving::start(worker).await;
        let mut dead = Vec::new();
        for n in 0..3 {
            let id = client.event("f", format!("{{\"n\":{n}}}")).await;
            puppet.next().await.fail("No", "no");
            client.state(&id, InvocationState::Dead).await;
            dead.push(id);
        }
        let good = client.event("f", "1").await;
        puppet.next().await.answer("1");
        client.state(&good, InvocationState::Succeeded).await;

        // What is named must be there; what succeeded stays what it is.
        let nobody = "0199d3f0-0000-7000-8000-000000000000";
        let (end, named) = redrive(&client, these(&[&dead[0], &good, nobody])).await;
        assert_eq!((end.matched, end.redriven, end.refused), (3, 1, 2), "{named:?}");
        let reason_of = |id: &str| {
            let one = named.iter().find(|one| one.request_id == id).unwrap();
            one.refusal.as_ref().map(trine_proto::v1::Refusal::reason)
        };
        assert_eq!(reason_of(&dead[0]), None);
        assert_eq!(reason_of(&good), Some(Reason::NotRedrivable));
        assert_eq!(reason_of(nobody), Some(Reason::UnknownInvocation));
        let new = named.iter().find(|one| one.request_id == dead[0]).unwrap();
        let held = puppet.next().await;
        assert_eq!(held.payload, r#"{"n":0}"#, "the payload was kept");
        assert_eq!(
            (held.context.request_id(), held.context.attempt()),
            (new.new_request_id.as_str(), 1)
        );
        held.answer("1");
        let done = client.state(&new.new_request_id, InvocationState::Succeeded).await;
        assert_eq!((done.attempts, done.redriven_from.as_str()), (1, dead[0].as_str()));
        let old = client.get(&dead[0]).await;
        assert_eq!(
            (old.state(), &old.redriven_to),
            (InvocationState::Redriven, &new.new_request_id)
        );
        let (end, _) = redrive(&client, these(&[&dead[0]])).await;
        assert_eq!((end.redriven, end.refused), (0, 1), "only once");

        // By filter, after a crash: dry, then one, then the rest.
        drop(serving);
        broker.crash().await;
        let client = broker.client();
        let filter = InvocationFilter {
            function: "f".to_owned(),
            condition: Condition::RetriesExhausted.into(),
            ..Default::default()
        };
        let all = RedriveInvocationsRequest { filter: Some(filter), ..Default::default() };
        let dry = RedriveInvocationsRequest { dry_run: true, ..all.clone() };
        let (end, named) = redrive(&client, dry).await;
        assert_eq!((end.matched, named.len()), (2, 2));
        assert!(named.iter().all(|one| one.new_request_id.is_empty()));
        assert_eq!(client.account().await.queued, 0, "nothing has changed");
        let one = RedriveInvocationsRequest { count_max: Some(1), ..all.clone() };
        let (end, _) = redrive(&client, one).await;
        assert_eq!((end.redriven, end.done), (1, true));
        let (end, _) = redrive(&client, all).await;
        assert_eq!(end.redriven, 1);
        assert_eq!(client.account().await.queued, 2);
    });
}

#[test]
fn a_record_that_was_set_aside_is_sent_again() {
    run(async {
        let broker = Setup::new()
            .virtual_time()
            .set("destinations.allow_internal_addresses", true)
            .start()
            .await;
        let client = broker.client();
        let mut sink = trine_tests::fixture::http_sink::HttpSink::start().await;
        let url = sink.url("/hook");
        let http = trine_proto::v1::HttpDestination { url };
        let target = trine_proto::v1::destination::Target::Http(http);
        let settings = FunctionSettings {
            on_success: Some(trine_proto::v1::Destination { target: Some(target) }),
            ..Default::default()
        };
        client.create("f", settings).await;
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler());
        let _worker = Serving::start(worker).await;
        sink.answer_with(500);
        let id = client.event("f", "1").await;
        puppet.next().await.answer("1");
        sink.next().await;
        client.until(&id, |one| one.delivery_attempts >= 1).await;
        client.advance(Duration::from_secs(7 * 3600)).await;
        let aside = client.until(&id, |one| one.delivery() == DeliveryState::Undelivered).await;
        assert_eq!(aside.state(), InvocationState::Succeeded, "it has succeeded all the same");
        assert!(aside.delivery_error.contains("500"), "{}", aside.delivery_error);
        assert!(aside.delivery_attempts > 10);
        let filter = InvocationFilter { undelivered: true, ..Default::default() };
        let all = RedriveInvocationsRequest { filter: Some(filter), ..Default::default() };
        sink.answer_with(204);
        let (end, named) = redrive(&client, all.clone()).await;
        assert_eq!((end.matched, end.redriven), (1, 1));
        assert_eq!(named[0].new_request_id, "", "the record goes again, not the event");
        client.until(&id, |one| one.delivery() == DeliveryState::Delivered).await;
        let (end, _) = redrive(&client, all).await;
        assert_eq!(end.matched, 0);
        assert!(puppet.is_quiet());
    });
}

#[test]
fn a_redrive_keeps_to_its_bounds() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        for rate_per_second in [100_001, u32::MAX] {
            let request = RedriveInvocationsRequest { rate_per_second, ..Default::default() };
            let status = match client.invocations().redrive_invocations(request).await {
                Err(status) => status,
                Ok(answers) => answers.into_inner().next().await.unwrap().unwrap_err(),
            };
            assert_eq!(refusal(status).reason(), Reason::InvalidArgument);
        }
        let (end, named) = redrive(&client, RedriveInvocationsRequest::default()).await;
        assert_eq!((end.matched, end.redriven, named.len()), (0, 0, 0));
    });
}
