//! A source whose function has no concurrency for longer than the source leaves records to who received them: they wait, and come to no
//! harm.

use std::time::Duration;

use trine_proto::v1::FunctionSettings;
use trine_tests::fixture::broker::Setup;
use trine_tests::fixture::tools::address;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_tests::sources::{FUNCTION, Field, Record, SqsField, Witness};

const MESSAGES: u64 = 40;

/// How long the queue leaves a message to who received it. Received a second time, it is a dead letter.
const LEASE_SECONDS: u32 = 2;

async fn send(field: &SqsField, witness: &Witness) {
    let records: Vec<Record> = (0..MESSAGES).map(|_| witness.ledger().offer(0)).collect();
    field.producer().await.unwrap().send(&records).await.unwrap();
    records.into_iter().for_each(|record| witness.ledger().produced(record));
}

#[test]
fn messages_that_wait_for_concurrency_never_become_dead_letters() {
    run(async {
        let test = "messages_that_wait_for_concurrency_never_become_dead_letters";
        let Some(address) = address(test, "TRINE_MINISTACK") else { return };
        let name = format!("throttled-{}", std::process::id());
        let field = SqsField::with_dead_letters(&address, &name, LEASE_SECONDS).await.unwrap();
        let environment = field.environment().iter();
        let setup =
            environment.fold(Setup::new(), |setup, (name, value)| setup.environment(name, value));
        let broker = setup.start().await;
        let client = broker.client();
        let throttled = FunctionSettings {
            reserved_concurrency: Some(0),
            timeout_seconds: Some(1),
            ..FunctionSettings::default()
        };
        client.create(FUNCTION, throttled).await;
        let witness = Witness::new(1);
        let _worker = witness.serve(&broker.url());
        send(&field, &witness).await;
        let mapping = client.create_mapping(FUNCTION, field.source(), field.settings()).await.id;
        until("a throttle", LIMIT, async || {
            let counts = client.mapping(&mapping).await.activity.and_then(|now| now.counts);
            counts.unwrap_or_default().throttles > 0
        })
        .await;

        // Over several leases nothing may happen to what was received.
        let leases = 4 * Duration::from_secs(LEASE_SECONDS.into());
        let dead = until("a dead letter", LIMIT, async || field.dead_letters().await.unwrap() > 0);
        assert!(
            tokio::time::timeout(leases, dead).await.is_err(),
            "a message became a dead letter"
        );
        assert_eq!(witness.ledger().seen_count(), 0);

        let freed = FunctionSettings::default();
        client.try_update(FUNCTION, freed, &["reserved_concurrency"]).await.unwrap();
        let mut seen = witness.progress();
        soon("all messages", seen.wait_for(|seen| *seen == MESSAGES)).await.unwrap();
        let ledger = witness.ledger().clone();
        assert_eq!((ledger.lost(), ledger.duplicates(), ledger.strange()), (0, 0, 0));
        assert_eq!(field.dead_letters().await.unwrap(), 0);
    });
}
