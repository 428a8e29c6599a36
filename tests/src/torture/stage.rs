//! One torture run from beginning to end: who is started when, and when the broker dies.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Draw;
use super::fleet::{Shared, serve};
use super::functions::Role;
use super::harvest;
use super::load::{Acked, Offer, framed, lone};
use crate::fixture::LIMIT;
use crate::fixture::broker::{Broker, Setup};
use crate::fixture::serving::Serving;
use crate::ledger::{Entry, History, Notes, Verdict, judge};

/// Clients that send one request after the other.
const LONE_CLIENTS: u32 = 8;

/// What a retry may still have to wait for when the load ends.
const RETRY_WAIT: Duration = Duration::from_secs(70);

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the broker is killed; 0 is the run that all others are compared with.
    pub kills: u32,
    /// How long it lives between two kills.
    pub life: RangeInclusive<Duration>,
    /// Requests a second, about.
    pub rate: u32,
    pub workers: u32,
    /// Whether some events fail once, which prolongs the run by a minute.
    pub retries: bool,
    pub seed: u64,
    /// The file that the history is kept in.
    pub history: PathBuf,
}

/// Carries out `plan`; `tell` is told of every kill.
///
/// # Panics
/// If the broker does not start again, or the history cannot be kept: there is nothing to judge then.
pub async fn run(plan: &Plan, tell: impl Fn(&str)) -> Verdict {
    let history = History::begin(&plan.history).expect("the history can be begun");
    let shared = Shared::new(history.notes());
    // Nothing is forgotten before it was asked for.
    let setup = Setup::new().set("limits.history_count_max", 10_000_000);
    let mut broker = setup.start().await;
    for role in Role::ALL {
        role.create(&broker.client()).await;
        shared.notes.note(role.entry());
    }
    let mut fleet = Vec::new();
    for _ in 0..plan.workers {
        fleet.push(serve(&broker.url(), &shared).await);
    }
    let mut draw = Draw::new(plan.seed);
    let (up, load, acked) = start_load(plan, &broker, &shared.notes, &mut draw);
    kill_and_restart(plan, &mut broker, &mut fleet, &shared, &up, &mut draw, &tell).await;
    drop(up);
    load.join_all().await;
    tell("the load has ended; waiting for what is left");
    finish(plan, &broker, &mut fleet, &shared, &acked).await;
    for worker in fleet {
        worker.drain().await.expect("an idle worker drains");
    }
    drop(shared);
    judge(&history.close().expect("the history can be read"))
}

fn start_load(
    plan: &Plan,
    broker: &Broker,
    notes: &Notes,
    draw: &mut Draw,
) -> (watch::Sender<u32>, JoinSet<()>, Acked) {
    // Counted from 1: the first life of the broker is one to wait for, too.
    let (up, is_up) = watch::channel(1);
    let offer = Offer::new(broker.address(), notes.clone(), plan.retries, is_up);
    let acked = offer.acknowledged();
    let mut load = JoinSet::new();
    for _ in 0..LONE_CLIENTS {
        load.spawn(lone(offer.clone(), draw.split(), plan.rate / 2 / LONE_CLIENTS));
    }
    load.spawn(framed(offer, draw.split(), plan.rate / 2));
    (up, load, acked)
}

async fn kill_and_restart(
    plan: &Plan,
    broker: &mut Broker,
    fleet: &mut [Serving],
    shared: &Shared,
    up: &watch::Sender<u32>,
    draw: &mut Draw,
    tell: &impl Fn(&str),
) {
    for epoch in 1..=plan.kills {
        tokio::time::sleep(draw.duration(&plan.life)).await; // tidy: allow sleeps: the load goes on meanwhile
        shared.notes.note(Entry::Killed { epoch });
        broker.kill();
        // Once no worker has a session, what starts belongs to the next life of the broker.
        for worker in fleet.iter_mut() {
            worker.connected(0).await;
        }
        shared.epoch.store(epoch, Ordering::SeqCst);
        let took = broker.restart().await;
        let queued = broker.client().account().await.queued;
        let after_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        shared.notes.note(Entry::Serving { epoch, after_ms, queued });
        up.send_replace(epoch + 1);
        tell(&format!("kill {epoch}: serving again after {after_ms} ms, {queued} events queued"));
    }
    // The last life is a whole one; without a kill it is the only one.
    tokio::time::sleep(*plan.life.end()).await; // tidy: allow sleeps: the load goes on meanwhile
}

async fn finish(
    plan: &Plan,
    broker: &Broker,
    fleet: &mut [Serving],
    shared: &Shared,
    acked: &Acked,
) {
    let client = broker.client();
    let notes = &shared.notes;
    notes.note(Entry::Healed { queued: client.account().await.queued });
    for worker in fleet {
        worker.connected(1).await;
    }
    let limit = if plan.retries { LIMIT + RETRY_WAIT } else { LIMIT };
    let left = harvest::drained(&client, limit).await;
    notes.note(Entry::Drained { queued: left });
    harvest::records(broker, notes);
    harvest::known(&client, notes, &acked.take()).await;
    harvest::slots(broker, &client, shared).await;
}
