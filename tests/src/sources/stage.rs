//! One run over one source from beginning to end: when the broker is killed, when the source goes away, and when it is over. Faults
//! come by progress, so that each finds records in flight however fast the machine is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use trine_proto::v1::{FunctionSettings, KeyOrder, Mapping, MappingSettings};

use super::field::{Field, Reading, Trouble};
use super::production::{Gate, Production};
use super::witness::FUNCTION;
use super::{Ground, Kind, Order, Verdict, Witness};
use crate::fixture::broker::{Broker, Setup};
use crate::fixture::folder::Folder;

/// Records of one batch, unless the source allows fewer.
pub const BATCH: u32 = 100;

/// Records that are read beyond the checkpoint of a shard, at most.
const LOOKAHEAD: u32 = 500;

/// Batches of a queue at a time, and of a mapping whose keys run in parallel.
const CONCURRENCY: u32 = 5;

/// A run in which nothing new was seen for this long does not come to its end.
const STALL: Duration = Duration::from_secs(120);

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub kind: Kind,
    pub records: u64,
    /// How often the broker is killed.
    pub kills: u32,
    /// How often the source goes away.
    pub outages: u32,
    /// Keys of one shard run in parallel, in order each; only where records have keys.
    pub lanes: bool,
}

/// What goes wrong next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Outage,
}

/// Carries out `plan`; `tell` is told of every fault.
///
/// # Errors
/// If the source cannot be started or written to: there is nothing to judge then.
///
/// # Panics
/// If the broker does not start.
pub async fn run(plan: &Plan, tell: impl Fn(&str)) -> Result<Verdict, Trouble> {
    let folder = Folder::new();
    let ground = Ground::start(plan.kind, folder.path()).await?;
    let field = Arc::clone(&ground.field);
    let witness = Witness::new(field.order().keys());
    let environment = field.environment().iter();
    let setup =
        environment.fold(Setup::new(), |setup, (name, value)| setup.environment(name, value));
    let broker = setup.start().await;
    let settings = FunctionSettings { timeout_seconds: Some(10), ..FunctionSettings::default() };
    let client = broker.client();
    client.create(FUNCTION, settings).await;
    let worker = witness.serve(&broker.url());
    let settings = settings_of(&*field, plan.lanes);
    let mapping = client.create_mapping(FUNCTION, field.source(), settings).await.id;
    let begun = Instant::now();
    let gate = Gate::default();
    let production = Production::begin(&field, &witness, &gate, plan.records);
    let mut stage = Stage { broker, ground, gate, seen: witness.progress() };
    let complete = stage.play(plan, &tell).await?;
    let took = begun.elapsed();
    let sent_again = production.end(complete).await?;
    let left = stage.broker.client().mapping(&mapping).await;
    drop(worker);
    let ledger = witness.ledger().clone();
    let faults = u64::from(plan.kills) + u64::from(plan.outages);
    Ok(Verdict {
        plan: *plan,
        version: stage.ground.version().to_owned(),
        outage: stage.ground.outage(),
        order: field.order(),
        ledger,
        duplicates_max: faults * in_flight_max(field.reading()) + sent_again,
        sent_again,
        took,
        stalled: (!complete).then(|| activity(&left)),
    })
}

fn settings_of(field: &dyn Field, lanes: bool) -> MappingSettings {
    let settings = field.settings();
    let lanes = lanes && matches!(field.order(), Order::Key(_));
    let queue = field.reading() == Reading::Queue;
    MappingSettings {
        batch_size: settings.batch_size.or(Some(BATCH)),
        lookahead_records_max: (!queue).then_some(LOOKAHEAD),
        maximum_concurrency: (queue || lanes).then_some(CONCURRENCY),
        key_order: (lanes && !queue).then_some(KeyOrder::Key.into()),
        ..settings
    }
}

/// Records that one fault can make come again.
fn in_flight_max(reading: Reading) -> u64 {
    u64::from(match reading {
        Reading::Shards(shards) => LOOKAHEAD * shards,
        // As many again may have been answered and not deleted yet.
        Reading::Queue => 2 * BATCH * CONCURRENCY,
    })
}

/// What a mapping that does not go on says of itself.
fn activity(mapping: &Mapping) -> String {
    let activity = mapping.activity.clone().unwrap_or_default();
    let result = &mapping.last_processing_result;
    format!("it waits for {:?}, last result {result:?}, {activity:?}", activity.waiting_for)
}

/// What faults come to.
struct Stage {
    broker: Broker,
    ground: Ground,
    gate: Gate,
    /// Records seen at least once.
    seen: watch::Receiver<u64>,
}

impl Stage {
    /// All faults, evenly over the run, and then the rest of it. False if it got stuck.
    async fn play(&mut self, plan: &Plan, tell: &impl Fn(&str)) -> Result<bool, Trouble> {
        let faults = faults(plan);
        let parts = faults.len() as u64 + 1;
        for (fault, number) in faults.into_iter().zip(1..) {
            if !self.until_seen(plan.records * number / parts).await {
                return Ok(false);
            }
            let seen = *self.seen.borrow();
            match fault {
                Fault::Kill => {
                    let took = self.broker.crash().await;
                    tell(&format!("{seen} seen: killed the broker; it serves after {took:?}"));
                }
                Fault::Outage => {
                    // Nobody writes meanwhile, so that it is known what the source has.
                    let mut outages = self.gate.lock().await;
                    let begun = Instant::now();
                    self.ground.interrupt().await?;
                    *outages += 1;
                    let took = begun.elapsed();
                    tell(&format!("{seen} seen: took the source away; it is back after {took:?}"));
                }
            }
        }
        Ok(self.until_seen(plan.records).await)
    }

    /// Waits until so many records were seen; false if there was nothing new for too long.
    async fn until_seen(&mut self, count: u64) -> bool {
        while *self.seen.borrow_and_update() < count {
            if !matches!(timeout(STALL, self.seen.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }
}

/// The faults of a run, outages evenly among the kills.
fn faults(plan: &Plan) -> Vec<Fault> {
    let all = plan.kills + plan.outages;
    let outages_before = |number: u32| number * plan.outages / all.max(1);
    let fault = |number| match outages_before(number + 1) > outages_before(number) {
        true => Fault::Outage,
        false => Fault::Kill,
    };
    (0..all).map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_spread_among_the_kills() {
        let plan = Plan { kind: Kind::File, records: 1, kills: 10, outages: 3, lanes: false };
        let faults = faults(&plan);
        let at: Vec<_> = (0..faults.len()).filter(|at| faults[*at] == Fault::Outage).collect();
        assert_eq!((faults.len(), at), (13, vec![4, 8, 12]));
    }

    #[test]
    fn a_run_without_faults_has_none() {
        let plan = Plan { kind: Kind::File, records: 1, kills: 0, outages: 0, lanes: false };
        assert_eq!(faults(&plan), []);
    }
}
