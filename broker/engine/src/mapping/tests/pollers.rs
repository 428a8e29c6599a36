//! Who reads which mapping, whose reports count, and what a seek comes to.

use super::house::{House, at};
use crate::mapping::{
    CheckpointReport, Count, Counts, MappingAnswer, MappingEffect, MappingId, MappingInput,
    MappingMode, MappingRefusal, PollerId, ReportOutcome, SeekReport, ShardSeek, Under,
};

/// Mappings of each poller, by its name.
fn loads(house: &House) -> Vec<(String, u64)> {
    house.registry.pollers().map(|view| (view.name.to_string(), view.mappings)).collect()
}

/// Every poller that is asked lets go.
fn let_go(house: &mut House) {
    loop {
        let asked: Vec<Under> = house
            .out
            .iter()
            .filter_map(|effect| match effect {
                MappingEffect::Revoke { poller, mapping, fence, .. } => {
                    Some(Under { poller: *poller, mapping: *mapping, fence: *fence })
                }
                _ => None,
            })
            .collect();
        house.out.retain(|effect| !matches!(effect, MappingEffect::Revoke { .. }));
        if asked.is_empty() {
            return;
        }
        asked.into_iter().for_each(|under| house.release(under));
    }
}

#[test]
fn pollers_have_as_many_as_each_other() {
    let mut house = House::new();
    for id in 0..9 {
        house.create(id, "k");
    }
    house.join(1, &["k"], 100);
    assert_eq!(loads(&house), [("p1".to_owned(), 9)]);
    house.join(2, &["k"], 100);
    let_go(&mut house);
    assert_eq!(loads(&house), [("p1".to_owned(), 5), ("p2".to_owned(), 4)]);
    house.join(3, &["k"], 100);
    let_go(&mut house);
    assert!(loads(&house).iter().all(|(_, count)| *count == 3), "{:?}", loads(&house));
    house.leave(2);
    let mut counts: Vec<u64> = loads(&house).into_iter().map(|(_, count)| count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [4, 5]);
}

#[test]
fn kind_and_room_decide() {
    let mut house = House::new();
    house.create(1, "a");
    house.create(2, "b");
    house.create(3, "a");
    house.join(1, &["a"], 1);
    assert_eq!(house.orders(), ["p1 gets 1"]);
    house.join(2, &["b"], 10);
    assert_eq!(house.orders(), ["p2 gets 2"]);
    house.join(3, &["a", "b"], 10);
    assert_eq!(house.orders(), ["p3 gets 3"]);
    let view = house.registry.mapping(MappingId(1)).unwrap();
    assert_eq!(view.able_pollers, 2);
}

#[test]
fn a_poller_that_drains_is_asked_for_all_and_gets_nothing() {
    let mut house = House::new();
    house.create(1, "k");
    house.create(2, "k");
    house.join(1, &["k"], 10);
    house.orders();
    house.step(MappingInput::PollerDraining { poller: PollerId(1) });
    assert_eq!(house.orders(), ["p1 is asked for 1", "p1 is asked for 2"]);
    let under = house.under(1, 1);
    house.release(under);
    assert_eq!(house.orders(), [""; 0]);
    house.join(2, &["k"], 10);
    assert_eq!(house.orders(), ["p2 gets 1"]);
    house.leave(1);
    assert_eq!(house.orders(), ["p2 gets 2"]);
}

#[test]
fn a_move_goes_on_without_its_target() {
    let mut house = House::new();
    for id in 0..4 {
        house.create(id, "k");
    }
    house.join(1, &["k"], 10);
    house.orders();
    house.join(2, &["k"], 10);
    assert_eq!(house.orders(), ["p1 is asked for 0", "p1 is asked for 1"]);
    house.leave(2);
    for id in [0, 1] {
        let under = house.under(1, id);
        house.release(under);
    }
    assert_eq!(loads(&house), [("p1".to_owned(), 4)]);
}

#[test]
fn a_deposed_poller_changes_nothing() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let old = house.under(1, 1);
    house.checkpoint(old, "s", at("5"));
    assert_eq!(house.outcomes(), [ReportOutcome::Done]);
    house.leave(1);
    house.join(2, &["k"], 10);
    let new = house.under(2, 1);
    assert!(new.fence > old.fence);
    for under in [old, Under { poller: PollerId(2), ..old }, Under { poller: PollerId(1), ..new }] {
        house.checkpoint(under, "s", at("1"));
        house.park(under, "k", &[1], "bad");
        assert_eq!(house.outcomes(), [ReportOutcome::StaleFence; 2]);
        house.release(under);
    }
    assert_eq!(house.holder(1), Some(("p2".to_owned(), new.fence)));
    let kept: Vec<_> = house.registry.checkpoints(MappingId(1)).collect();
    assert_eq!(kept[0].1.position.as_ref(), "5");
    house.restart();
    house.join(3, &["k"], 10);
    let next = house.under(3, 1);
    assert!(next.fence >> 32 > new.fence >> 32, "over restarts too");
}

/// The next poller begins where the last durable checkpoint is, not where memory was before it.
#[test]
fn a_mapping_is_not_given_away_while_its_reports_are_written() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    house.quick = false;
    let under = house.under(1, 1);
    house.checkpoint(under, "s", at("5"));
    house.orders();
    house.leave(1);
    house.join(2, &["k"], 10);
    assert_eq!(house.orders(), [""; 0]);
    house.write();
    assert_eq!(house.orders(), ["p2 gets 1"]);
    let kept: Vec<_> = house.registry.checkpoints(MappingId(1)).collect();
    assert_eq!(kept[0].1.position.as_ref(), "5");
}

#[test]
fn checkpoints_have_bounds_and_a_refused_one_leaves_the_old() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    for shard in ["a", "b", "c", "d", "e"] {
        house.checkpoint(under, shard, at("1"));
    }
    let full = [ReportOutcome::Done; 4].into_iter().chain([ReportOutcome::Full]);
    assert_eq!(house.outcomes(), full.collect::<Vec<_>>());
    house.checkpoint(under, "a", at(&"9".repeat(300)));
    assert_eq!(house.outcomes(), [ReportOutcome::Full]);
    house.quick = false;
    house.checkpoint(under, "a", at("2"));
    house.refuse();
    assert_eq!(house.outcomes(), [ReportOutcome::Failed]);
    let kept: Vec<_> = house.registry.checkpoints(MappingId(1)).collect();
    assert_eq!(kept[0].1.position.as_ref(), "1");
}

/// A source that splits its shards for ever has room for ever.
#[test]
fn a_shard_that_is_gone_makes_room() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    for shard in ["a", "b", "c", "d"] {
        house.checkpoint(under, shard, at("1"));
    }
    house.forget(under, "nobody");
    house.outcomes();
    house.quick = false;
    house.forget(under, "a");
    house.checkpoint(under, "a", at("2"));
    house.forget(under, "a");
    assert_eq!(house.outcomes(), [ReportOutcome::Failed; 2], "not while it goes");
    house.refuse();
    assert_eq!(house.outcomes(), [ReportOutcome::Failed]);
    house.forget(under, "a");
    house.checkpoint(under, "e", at("1"));
    assert_eq!(house.outcomes(), [ReportOutcome::Full], "not before it is durable");
    house.write();
    assert_eq!(house.outcomes(), [ReportOutcome::Done]);
    house.quick = true;
    house.checkpoint(under, "e", at("1"));
    assert_eq!(house.outcomes(), [ReportOutcome::Done]);
    house.restart();
    let kept: Vec<_> =
        house.registry.checkpoints(MappingId(1)).map(|(shard, _)| shard.to_string()).collect();
    assert_eq!(kept, ["b", "c", "d", "e"]);
}

/// Whoever is to send it must know that its shard has ended.
#[test]
fn a_shard_is_remembered_while_something_of_it_is_parked() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    house.checkpoint(under, "s", at("1"));
    house.park(under, "key", &[1], "bad");
    house.forget(under, "s");
    assert_eq!(house.registry.checkpoints(MappingId(1)).count(), 1);
    house.unpark(1, "key", false);
    house.settle(under, "key", 1, "");
    house.forget(under, "s");
    assert_eq!(house.registry.checkpoints(MappingId(1)).count(), 0);
}

#[test]
fn counts_are_written_now_and_then() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    let mut added = Counts::default();
    added.set(Count::PolledEvents, 5);
    house.status(under, added);
    house.status(under, added);
    let polled = |house: &House| {
        house.registry.mapping(MappingId(1)).unwrap().counts.get(Count::PolledEvents)
    };
    assert_eq!(polled(&house), 10);
    house.tick_after(1_000);
    house.restart();
    assert_eq!(polled(&house), 10);
    house.join(2, &["k"], 10);
    let under = house.under(2, 1);
    house.status(under, added);
    house.step(MappingInput::Close);
    house.restart();
    assert_eq!(polled(&house), 15, "at an orderly end at once");
}

fn seek(house: &mut House, preview: bool) -> Option<u64> {
    let caller = house.caller();
    house.step(MappingInput::Seek { caller, id: MappingId(1), preview });
    house.out.iter().rev().find_map(|effect| match effect {
        MappingEffect::Seek { ticket, .. } => Some(*ticket),
        _ => None,
    })
}

fn moved() -> SeekReport {
    let shards = vec![ShardSeek {
        shard: "s".into(),
        from: "9".into(),
        to: "3".into(),
        read_again: Some(6),
        skipped: None,
    }];
    SeekReport { shards, checkpoints: vec![("s".into(), at("3"))], error: "".into() }
}

#[test]
fn a_seek_goes_to_the_holder_and_is_told_when_it_is_durable() {
    let mut house = House::new();
    house.create(1, "k");
    seek(&mut house, false);
    assert_eq!(house.refusal(), Some(MappingRefusal::NoPoller));
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    house.checkpoint(under, "s", at("9"));
    let position = |house: &House| {
        house.registry.checkpoints(MappingId(1)).next().unwrap().1.position.to_string()
    };
    let ticket = seek(&mut house, true).unwrap();
    house.step(MappingInput::SeekDone { poller: PollerId(1), ticket, report: moved() });
    assert!(matches!(house.answer(), Some(MappingAnswer::Sought { done: false, .. })));
    assert_eq!(position(&house), "9", "a preview moves nothing");

    let ticket = seek(&mut house, false).unwrap();
    house.mode(1, MappingMode::Paused);
    assert_eq!(house.refusal(), Some(MappingRefusal::Busy));
    house.quick = false;
    let (poller, report) = (PollerId(2), moved());
    house.step(MappingInput::SeekDone { poller, ticket, report });
    house.step(MappingInput::SeekDone { poller: PollerId(1), ticket, report: moved() });
    assert_eq!(position(&house), "9", "not before it is durable");
    house.write();
    assert_eq!(position(&house), "3");
}

#[test]
fn a_seek_ends_with_its_holder_and_in_time() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let ticket = seek(&mut house, false).unwrap();
    let report = SeekReport { error: "no such offset".into(), ..SeekReport::default() };
    house.step(MappingInput::SeekDone { poller: PollerId(1), ticket, report });
    assert_eq!(house.refusal(), Some(MappingRefusal::SeekFailed("no such offset".into())));
    seek(&mut house, false).unwrap();
    house.tick_after(1_000);
    assert_eq!(house.refusal(), Some(MappingRefusal::PollerSilent));
    seek(&mut house, false).unwrap();
    house.leave(1);
    assert_eq!(house.refusal(), Some(MappingRefusal::NoPoller));
}

#[test]
fn what_is_reported_of_nothing_is_refused() {
    let mut house = House::new();
    house.join(1, &["k"], 10);
    let under = Under { poller: PollerId(1), mapping: MappingId(99), fence: 1 };
    let report = CheckpointReport { ticket: 1, shard: "s".into(), checkpoint: Some(at("1")) };
    house.step(MappingInput::Checkpoint { under, report });
    house.step(MappingInput::Failure { under, ticket: 2 });
    assert_eq!(house.outcomes(), [ReportOutcome::StaleFence; 2]);
}
