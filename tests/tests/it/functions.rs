//! Functions: every range, what is in force and where it came from, reservations, deletion.

use trine_proto::v1::{
    CreateFunctionRequest, DeleteFunctionRequest, Destination, FileDestination, FunctionSettings,
    GetFunctionRequest, HttpDestination, ListFunctionsRequest, NatsDestination, Reason, Refusal,
    SettingOrigin, UpdateFunctionRequest, destination::Target,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, event, file, reason, refusal};
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::run;
use trine_tests::fixture::serving::Serving;
use trine_worker::Worker;

async fn delete(client: &Client, name: &str, force: bool) -> Result<(), Refusal> {
    let request = DeleteFunctionRequest { name: name.to_owned(), force };
    client.functions().delete_function(request).await.map(drop).map_err(refusal)
}

#[test]
fn a_function_is_what_was_set_and_defaults_are_lambdas() {
    run(async {
        let mut broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        let settings = FunctionSettings {
            description: Some("pays".to_owned()),
            timeout_seconds: Some(900),
            on_failure: file("dead.jsonl"),
            ..Default::default()
        };
        let now = client.broker().await.now_ms;
        let created = client.create("pay", settings.clone()).await;
        assert_eq!((created.name.as_str(), created.arn.as_str()), ("pay", "trine:function:pay"));
        assert_eq!(created.settings, Some(settings));
        assert_eq!((created.created_at_ms, created.modified_at_ms), (now, now));
        let effective = |function: &trine_proto::v1::Function| -> Vec<(String, String, bool)> {
            let own = |origin| origin == SettingOrigin::Function;
            let rows = function.effective.iter();
            rows.map(|row| (row.name.clone(), row.value.clone(), own(row.origin()))).collect()
        };
        let row = |name: &str, value: &str, own| (name.to_owned(), value.to_owned(), own);
        assert_eq!(
            effective(&created),
            [
                row("description", "pays", true),
                row("timeout_seconds", "900", true),
                row("memory_mb", "128", false),
                row("reserved_concurrency", "none", false),
                row("max_retries", "2", false),
                row("max_event_age_seconds", "21600", false),
                row("on_success", "none", false),
                row("on_failure", "file:dead.jsonl", true),
            ]
        );
        client.advance(std::time::Duration::from_secs(5)).await;
        let change = FunctionSettings { memory_mb: Some(10_240), ..Default::default() };
        let updated = client.try_update("pay", change, &["timeout_seconds", "on_failure"]).await;
        let updated = updated.unwrap();
        assert_eq!((updated.created_at_ms, updated.modified_at_ms), (now, now + 5_000));
        let set = updated.settings.clone().unwrap();
        assert_eq!(
            (set.timeout_seconds, set.memory_mb, set.on_failure),
            (None, Some(10_240), None)
        );
        assert_eq!(set.description.as_deref(), Some("pays"), "what is not named stays");
        broker.crash().await;
        let client = broker.client();
        let kept = client.function("pay").await;
        assert_eq!((kept.settings, kept.modified_at_ms), (updated.settings, now + 5_000));
    });
}

#[test]
fn every_setting_is_taken_within_its_range_and_refused_outside() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let mut number = 0;
        let mut expect = async |settings: FunctionSettings, fine: bool| {
            number += 1;
            let name = format!("f{number}");
            let outcome = client.try_create(&name, settings.clone()).await;
            let expected = (!fine).then_some(Reason::InvalidArgument);
            assert_eq!(reason(&outcome), expected, "create {settings:?}: {outcome:?}");
            if !fine {
                let exists = client.functions().get_function(GetFunctionRequest { name }).await;
                assert!(exists.is_err(), "what is refused does not exist");
            }
        };
        type Set = fn(u32) -> FunctionSettings;
        let ranges: [(Set, [u32; 2]); 4] = [
            (|n| FunctionSettings { timeout_seconds: Some(n), ..Default::default() }, [1, 900]),
            (|n| FunctionSettings { memory_mb: Some(n), ..Default::default() }, [128, 10_240]),
            (|n| FunctionSettings { max_retries: Some(n), ..Default::default() }, [0, 2]),
            (
                |n| FunctionSettings { max_event_age_seconds: Some(n), ..Default::default() },
                [60, 21_600],
            ),
        ];
        for (set, [low, high]) in ranges {
            expect(set(low), true).await;
            expect(set(high), true).await;
            expect(set(high + 1), false).await;
            expect(set(high + (1 << 16)), false).await;
            expect(set(u32::MAX), false).await;
            if let Some(below) = low.checked_sub(1) {
                expect(set(below), false).await;
            }
        }
        let described = |chars: usize| FunctionSettings {
            description: Some("ü".repeat(chars)),
            ..Default::default()
        };
        expect(described(256), true).await;
        expect(described(257), false).await;
    });
}

#[test]
fn a_name_is_taken_if_it_is_one() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let longest = "x".repeat(64);
        for name in ["f", "A-b_9", longest.as_str()] {
            client.create(name, FunctionSettings::default()).await;
        }
        let too_long = "x".repeat(65);
        for name in ["", "a b", "a/b", "a.b", "ü", "a:b", "$LATEST", "a\n", too_long.as_str()] {
            let refused = client.try_create(name, FunctionSettings::default()).await;
            assert_eq!(reason(&refused), Some(Reason::InvalidArgument), "{name:?}");
        }
        let again = client.try_create("f", FunctionSettings::default()).await;
        assert_eq!(reason(&again), Some(Reason::FunctionExists));
        // A request without settings is one with defaults.
        let bare = CreateFunctionRequest { name: "bare".to_owned(), settings: None };
        client.functions().create_function(bare).await.unwrap();
    });
}

#[test]
fn a_destination_that_cannot_be_is_refused_when_it_is_set() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let nats = |url: &str, subject: &str| {
            Some(Target::Nats(NatsDestination {
                url: url.to_owned(),
                subject: subject.to_owned(),
                jetstream: false,
            }))
        };
        let http = |url: &str| Some(Target::Http(HttpDestination { url: url.to_owned() }));
        let named = |name: &str| Some(Target::File(FileDestination { name: name.to_owned() }));
        let good = "nats://127.0.0.1:4222";
        let mut number = 0;
        for (target, expected) in [
            (None, Some(Reason::InvalidArgument)),
            (Some(Target::Function("a b".to_owned())), Some(Reason::InvalidArgument)),
            (Some(Target::Function("not-yet-there".to_owned())), None),
            (http("ftp://example.com/"), Some(Reason::InvalidArgument)),
            (http("https://example.com/hook?x=1"), None),
            (http("http://user:secret@example.com/"), Some(Reason::InvalidArgument)),
            (nats(good, "a.b"), None),
            (nats("127.0.0.1:4222", "a"), Some(Reason::InvalidArgument)),
            (nats("nats://u:p@127.0.0.1:4222", "a"), Some(Reason::InvalidArgument)),
            (nats(good, ""), Some(Reason::InvalidArgument)),
            (nats(good, "a.*"), Some(Reason::InvalidArgument)),
            (nats(good, "a.>"), Some(Reason::InvalidArgument)),
            (nats(good, "a..b"), Some(Reason::InvalidArgument)),
            (nats(good, "a b"), Some(Reason::InvalidArgument)),
            (named("good.jsonl"), None),
            (named(""), Some(Reason::InvalidArgument)),
            (named("../up"), Some(Reason::InvalidArgument)),
            (named("/etc/passwd"), Some(Reason::InvalidArgument)),
            (named(".."), Some(Reason::InvalidArgument)),
        ] {
            let destination = Destination { target };
            let settings =
                FunctionSettings { on_failure: Some(destination.clone()), ..Default::default() };
            number += 1;
            let outcome = client.try_create(&format!("f{number}"), settings).await;
            assert_eq!(reason(&outcome), expected, "{destination:?}: {outcome:?}");
        }
    });
}

#[test]
fn an_update_is_one_thing_or_the_other() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let some = FunctionSettings { memory_mb: Some(256), ..Default::default() };
        let both = client.try_update("f", some.clone(), &["memory_mb"]).await;
        assert_eq!(reason(&both), Some(Reason::InvalidArgument));
        let odd =
            client.try_update("f", FunctionSettings::default(), &["colour"]).await.unwrap_err();
        assert_eq!(odd.reason(), Reason::InvalidArgument);
        assert!(odd.message.contains("max_retries"), "it says what there is: {}", odd.message);
        let unknown = client.try_update("g", some, &[]).await;
        assert_eq!(reason(&unknown), Some(Reason::UnknownFunction));
        let out_of_range = FunctionSettings { timeout_seconds: Some(0), ..Default::default() };
        let refused = client.try_update("f", out_of_range, &[]).await;
        assert_eq!(reason(&refused), Some(Reason::InvalidArgument));
        let bare =
            UpdateFunctionRequest { name: "f".to_owned(), settings: None, clear: Vec::new() };
        client.functions().update_function(bare).await.unwrap();
        let kept = client.function("f").await;
        assert_eq!(kept.settings, Some(FunctionSettings::default()));
    });
}

/// An update changes what is set in it and nothing else, also while another one is under way.
#[test]
fn updates_at_once_do_not_undo_each_other() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        for n in 1..=20 {
            let timeout = FunctionSettings { timeout_seconds: Some(n), ..Default::default() };
            let memory = FunctionSettings { memory_mb: Some(128 + n), ..Default::default() };
            let other = broker.client();
            let (one, two) = tokio::join!(
                client.try_update("f", timeout, &[]),
                other.try_update("f", memory, &[])
            );
            one.and(two).unwrap();
            let set = client.function("f").await.settings.unwrap();
            assert_eq!((set.timeout_seconds, set.memory_mb), (Some(n), Some(128 + n)), "round {n}");
        }
    });
}

#[test]
fn a_function_with_work_is_deleted_only_by_force() {
    run(async {
        let broker = Setup::new().virtual_time().start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        assert_eq!(reason(&delete(&client, "g", false).await), Some(Reason::UnknownFunction));
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", strings.handler()).slots(1);
        let _worker = Serving::start(worker).await;
        let running = client.event("f", "1").await;
        let mut held = puppet.next().await;
        let queued = client.event("f", "2").await;
        assert_eq!(reason(&delete(&client, "f", false).await), Some(Reason::FunctionBusy));
        delete(&client, "f", true).await.unwrap();
        held.dropped().await;
        for id in [&running, &queued] {
            let state = client.get(id).await.state();
            assert_eq!(state, trine_proto::v1::InvocationState::Cancelled);
        }
        let refused = client.invoke(event("f", "1")).await;
        assert_eq!(reason(&refused), Some(Reason::UnknownFunction));
        // The same name is another function now, and the worker that named it serves it.
        client.create("f", FunctionSettings::default()).await;
        let calling = tokio::spawn(async move { client.call("f", "3").await });
        let held = puppet.next().await;
        assert_eq!(held.payload, "3");
        held.answer("3");
        calling.await.unwrap();
    });
}

#[test]
fn reservations_leave_what_is_guaranteed_to_the_others() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let reserve =
            |limit| FunctionSettings { reserved_concurrency: Some(limit), ..Default::default() };
        client.create("a", reserve(800)).await;
        let refused = client.try_create("b", reserve(101)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::UnreservedConcurrencyTooLow);
        let lambdas = "Specified ConcurrentExecutions for function decreases account's \
                       UnreservedConcurrentExecution below its minimum value of [100].";
        assert_eq!(refused.message, lambdas);
        client.create("b", reserve(100)).await;
        let account = client.account().await;
        assert_eq!(account.concurrent_executions, 1_000);
        assert_eq!((account.unreserved_concurrent_executions, account.function_count), (100, 2));
        let refused = client.try_update("a", reserve(801), &[]).await;
        assert_eq!(reason(&refused), Some(Reason::UnreservedConcurrencyTooLow));
        client
            .try_update("a", FunctionSettings::default(), &["reserved_concurrency"])
            .await
            .unwrap();
        assert_eq!(client.account().await.unreserved_concurrent_executions, 900);
        delete(&client, "b", false).await.unwrap();
        assert_eq!(client.account().await.unreserved_concurrent_executions, 1_000);
    });
}

/// Two at once must not get what only one may have.
#[test]
fn reservations_made_at_once_do_not_exceed_the_account() {
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        let creating = (0..30).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let settings =
                    FunctionSettings { reserved_concurrency: Some(90), ..Default::default() };
                client.try_create(&format!("f{number}"), settings).await.is_ok()
            })
        });
        let mut created = 0;
        for one in creating.collect::<Vec<_>>() {
            created += u32::from(one.await.unwrap());
        }
        assert_eq!(created, 10, "ten times 90 of the 900 that may be reserved");
        assert_eq!(client.account().await.unreserved_concurrent_executions, 100);
    });
}

#[test]
fn functions_are_listed_by_name_page_by_page() {
    run(async {
        let broker = Setup::new().set("limits.functions_max", 7).start().await;
        let client = broker.client();
        let mut names: Vec<String> =
            ["m", "a", "Z", "b-1", "b_1", "9", "b"].into_iter().map(str::to_owned).collect();
        for name in &names {
            client.create(name, FunctionSettings::default()).await;
        }
        let one_more = client.try_create("x", FunctionSettings::default()).await;
        assert_eq!(reason(&one_more), Some(Reason::InvalidArgument), "the broker's bound");
        names.sort();
        for page_size in [1, 3, 7, 1_000] {
            let mut listed = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = ListFunctionsRequest { page_size, page_token };
                let page = client.functions().list_functions(request).await.unwrap().into_inner();
                assert!(page.functions.len() <= page_size as usize);
                listed.extend(page.functions.into_iter().map(|function| function.name));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(listed, names, "pages of {page_size}");
        }
        let too_many = ListFunctionsRequest { page_size: 1_001, ..Default::default() };
        let refused = client.functions().list_functions(too_many).await.unwrap_err();
        assert_eq!(refusal(refused).reason(), Reason::InvalidArgument);
    });
}
