//! What users do to mappings, and the states that they see (LS 4.1).

use super::house::{House, definition, limits};
use crate::mapping::{
    Definition, MappingAnswer, MappingId, MappingInput, MappingMode, MappingRefusal, MappingState,
};

#[test]
fn a_mapping_is_seen_when_it_is_durable() {
    let mut house = House::new();
    house.quick = false;
    assert_eq!(house.create(1, "k"), None, "not answered before it is durable");
    assert_eq!(house.state(1), None);
    house.write();
    assert_eq!(house.shown(), Some(MappingState::Creating), "as Lambda answers");
    assert_eq!(house.state(1), Some(MappingState::Enabled));
}

#[test]
fn what_the_disk_refused_was_never_there() {
    let mut house = House::new();
    house.quick = false;
    house.create(1, "k");
    assert!(house.refuse());
    assert_eq!(house.refusal(), Some(MappingRefusal::StoreUnavailable));
    assert_eq!(house.state(1), None);
    house.create(1, "k");
    house.write();
    assert_eq!(house.state(1), Some(MappingState::Enabled), "its source is free again");
    house.mode(1, MappingMode::Disabled);
    house.refuse();
    assert_eq!(house.state(1), Some(MappingState::Enabled));
    house.delete(1);
    house.refuse();
    assert_eq!(house.state(1), Some(MappingState::Enabled));
}

#[test]
fn one_source_and_function_have_one_mapping() {
    let mut house = House::new();
    house.create(1, "k");
    let create = |house: &mut House, id, definition| {
        house.create_as(id, definition, MappingMode::Enabled);
        house.refusal()
    };
    let same = definition("f", "k", "1");
    let exists = Some(MappingRefusal::Exists { id: MappingId(1) });
    assert_eq!(create(&mut house, 2, same.clone()), exists);
    let mut latest = same.clone();
    latest.qualifier = "$LATEST".into();
    assert_eq!(create(&mut house, 2, latest), exists, "the same in other words");
    assert_eq!(create(&mut house, 3, definition("g", "k", "1")), None);
    assert_eq!(create(&mut house, 4, definition("f", "other", "1")), None);
    house.delete(1);
    assert_eq!(create(&mut house, 5, same), None, "free once it is deleted");
}

#[test]
fn a_chosen_name_of_a_reader_is_one_mappings() {
    let mut house = House::new();
    let named = |function, source| Definition {
        reader: Some("billing".into()),
        ..definition(function, "k", source)
    };
    let create = |house: &mut House, id, definition| {
        house.create_as(id, definition, MappingMode::Enabled);
        house.refusal()
    };
    assert_eq!(create(&mut house, 1, named("f", "1")), None);
    let exists = Some(MappingRefusal::ReaderExists { id: MappingId(1) });
    assert_eq!(create(&mut house, 2, named("g", "1")), exists, "of another function");
    assert_eq!(create(&mut house, 2, named("f", "2")), exists, "of another source");
    assert_eq!(create(&mut house, 3, definition("g", "k", "1")), None, "without a name");
    let caller = house.caller();
    let (id, definition) = (MappingId(1), named("h", "1"));
    house.step(MappingInput::Update { caller, id, revision: 1, definition });
    assert!(matches!(house.answer(), Some(MappingAnswer::Changed(_))), "it keeps its own");
    assert_eq!(create(&mut house, 4, named("i", "1")), exists);
    house.delete(1);
    assert_eq!(create(&mut house, 5, named("i", "1")), None, "free once it is deleted");
}

#[test]
fn an_update_moves_the_source_key_and_notices_others() {
    let mut house = House::new();
    house.create(1, "k");
    house.create_as(2, definition("g", "k", "1"), MappingMode::Enabled);
    let mut update = |revision, function| {
        let caller = house.caller();
        let (id, definition) = (MappingId(1), definition(function, "k", "1"));
        house.step(MappingInput::Update { caller, id, revision, definition });
        house.answer()
    };
    let refused = |answer, expected: MappingRefusal| {
        assert!(matches!(answer, Some(MappingAnswer::Refused(refusal)) if refusal == expected));
    };
    refused(update(1, "g"), MappingRefusal::Exists { id: MappingId(2) });
    refused(update(0, "h"), MappingRefusal::Changed);
    assert!(matches!(update(1, "h"), Some(MappingAnswer::Changed(_))));
    refused(update(1, "f"), MappingRefusal::Changed);
    house.create_as(3, definition("f", "k", "1"), MappingMode::Enabled);
    assert_eq!(house.state(3), Some(MappingState::Enabled), "f is free again");
}

#[test]
fn a_change_waits_until_the_holder_has_let_go() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    assert_eq!(house.orders(), ["p1 gets 1"]);
    assert_eq!(house.mode(1, MappingMode::Disabled), Some(MappingState::Disabling));
    assert_eq!(house.orders(), ["p1 is asked for 1"]);
    assert_eq!(house.state(1), Some(MappingState::Disabling));
    for mode in [MappingMode::Enabled, MappingMode::Paused] {
        house.mode(1, mode);
        assert_eq!(house.refusal(), Some(MappingRefusal::Busy));
    }
    house.delete(1);
    assert_eq!(house.refusal(), Some(MappingRefusal::Busy));
    let under = house.under(1, 1);
    house.release(under);
    assert_eq!(house.state(1), Some(MappingState::Disabled));
    assert_eq!(house.orders(), [""; 0], "nobody gets what is disabled");
    assert_eq!(house.mode(1, MappingMode::Enabled), Some(MappingState::Enabling));
    assert_eq!(house.orders(), ["p1 gets 1"]);
    assert_eq!(house.delete(1), Some(MappingState::Deleting));
    assert_eq!(house.state(1), Some(MappingState::Deleting));
    let under = house.under(1, 1);
    house.release(under);
    assert_eq!(house.state(1), None);
    assert!(house.disk.is_empty());
}

#[test]
fn a_holder_that_does_not_let_go_is_not_waited_for_for_ever() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    house.delete(1);
    house.tick_after(limits().drain_ms);
    assert_eq!(house.state(1), Some(MappingState::Deleting), "its release may be on its way");
    house.tick_after(1_000);
    assert_eq!(house.state(1), None);
    assert!(house.disk.is_empty());
    assert_eq!(house.registry.next_deadline(), None);
}

#[test]
fn a_pause_keeps_the_holder() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let before = house.holder(1);
    house.orders();
    house.mode(1, MappingMode::Paused);
    assert_eq!(house.state(1), Some(MappingState::Paused));
    assert_eq!(house.orders(), ["p1 gets 1 paused again"]);
    assert_eq!(house.holder(1), before, "under the same fence");
    house.mode(1, MappingMode::Enabled);
    assert_eq!(house.orders(), ["p1 gets 1 again"]);
    house.mode(1, MappingMode::Paused);
    house.leave(1);
    house.orders();
    house.join(2, &["k"], 10);
    assert_eq!(house.orders(), ["p2 gets 1 paused"]);
}

#[test]
fn an_erasure_that_a_crash_or_a_full_disk_interrupted_goes_on() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    let under = house.under(1, 1);
    house.checkpoint(under, "s", super::house::at("7"));
    house.park(under, "a", &[1, 2], "bad");
    house.quick = false;
    house.leave(1);
    house.delete(1);
    house.write_some(1);
    assert!(house.refuse(), "the rows");
    house.tick_after(1_000);
    assert!(!house.disk.is_empty());
    house.restart();
    assert_eq!(house.state(1), Some(MappingState::Deleting));
    house.write();
    assert!(house.disk.is_empty());
}

#[test]
fn there_are_no_more_mappings_than_there_may_be() {
    let mut house = House::new();
    for id in 0..20 {
        house.create(id, "k");
    }
    house.create(20, "k");
    assert_eq!(house.refusal(), Some(MappingRefusal::TooMany));
}

#[test]
fn a_broker_that_goes_makes_nothing_new() {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 1);
    house.create(2, "k");
    house.orders();
    house.step(MappingInput::Drain);
    assert_eq!(house.orders(), ["p1 hears the end"]);
    house.create(3, "k");
    assert_eq!(house.refusal(), Some(MappingRefusal::ShuttingDown));
    assert!(!house.join(2, &["k"], 10));
    house.leave(1);
    assert_eq!(house.orders(), [""; 0]);
}
