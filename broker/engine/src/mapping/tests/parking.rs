//! Keys that are parked, and their way back.

use super::house::House;
use crate::mapping::{MappingAnswer, MappingId, MappingRefusal, ReportOutcome, Under};

fn house() -> (House, Under) {
    let mut house = House::new();
    house.create(1, "k");
    house.join(1, &["k"], 10);
    house.orders();
    let under = house.under(1, 1);
    (house, under)
}

/// Key, records, error, unparking.
fn keys(house: &House) -> Vec<(String, u64, String, bool)> {
    let keys = house.registry.parked_keys(MappingId(1)).unwrap();
    let view = |key: crate::mapping::ParkedKeyView| {
        let name = String::from_utf8(key.key.to_vec()).unwrap();
        (name, key.records, key.error.to_string(), key.unparking)
    };
    keys.into_iter().map(view).collect()
}

#[test]
fn records_join_their_key_and_survive() {
    let (mut house, under) = house();
    house.park(under, "a", &[10], "bad");
    house.park(under, "a", &[5, 5], "");
    assert_eq!(house.outcomes(), [ReportOutcome::Done; 2]);
    let expected = [("a".to_owned(), 3, "bad".to_owned(), false)];
    assert_eq!(keys(&house), expected);
    house.restart();
    assert_eq!(keys(&house), expected);
    assert_eq!(house.registry.mapping(MappingId(1)).unwrap().parked_records, 3);
}

#[test]
fn an_unparked_key_goes_in_portions_and_is_gone_when_all_is_settled() {
    let (mut house, under) = house();
    house.park(under, "a", &[1, 1, 1, 1, 1], "bad");
    house.unpark(1, "a", false);
    assert!(matches!(house.answer(), Some(MappingAnswer::Unparked { records: 5 })));
    assert_eq!(house.orders(), ["p1 sends 3 again, 2 left"]);
    house.settle(under, "a", 2, "");
    assert_eq!(house.orders(), [""; 0], "one portion at a time");
    house.settle(under, "a", 2, "");
    assert_eq!(house.outcomes()[1..], [ReportOutcome::Done, ReportOutcome::Failed]);
    house.settle(under, "a", 1, "");
    assert_eq!(house.orders(), ["p1 sends 2 again, 0 left"]);
    house.park(under, "a", &[7], "");
    house.settle(under, "a", 2, "");
    assert_eq!(house.orders(), ["p1 sends 1 again, 0 left"], "what joined meanwhile");
    house.settle(under, "a", 1, "");
    assert!(keys(&house).is_empty());
    assert!(house.disk.keys.is_empty() && house.disk.records.is_empty());
}

#[test]
fn a_record_that_fails_again_parks_its_key_again() {
    let (mut house, under) = house();
    house.park(under, "a", &[1, 1, 1, 1], "bad");
    house.unpark(1, "a", false);
    house.orders();
    house.settle(under, "a", 1, "still bad");
    assert_eq!(keys(&house), [("a".to_owned(), 3, "still bad".to_owned(), false)]);
    assert_eq!(house.orders(), [""; 0]);
    house.unpark(1, "a", true);
    assert!(matches!(house.answer(), Some(MappingAnswer::Unparked { records: 2 })));
    assert_eq!(house.orders(), ["p1 sends 2 again, 0 left"]);
}

#[test]
fn a_new_holder_gets_what_was_not_settled() {
    let (mut house, under) = house();
    house.park(under, "a", &[1, 1, 1, 1], "bad");
    house.unpark(1, "a", false);
    house.settle(under, "a", 1, "");
    house.orders();
    house.leave(1);
    house.join(2, &["k"], 10);
    assert_eq!(house.orders(), ["p2 gets 1", "p2 sends 3 again, 0 left"]);
    house.restart();
    house.join(3, &["k"], 10);
    assert_eq!(house.orders(), ["p3 gets 1", "p3 sends 3 again, 0 left"]);
}

#[test]
fn a_few_keys_go_at_a_time() {
    let (mut house, under) = house();
    for key in ["a", "b", "c"] {
        house.park(under, key, &[1], "bad");
        house.unpark(1, key, false);
    }
    assert_eq!(house.orders().len(), 2);
    house.settle(under, "a", 1, "");
    assert_eq!(house.orders(), ["p1 sends 1 again, 0 left"]);
}

#[test]
fn dropping_the_only_record_frees_the_key() {
    let (mut house, under) = house();
    house.park(under, "a", &[1], "bad");
    house.unpark(1, "a", true);
    assert!(matches!(house.answer(), Some(MappingAnswer::Unparked { records: 0 })));
    assert!(house.disk.keys.is_empty() && house.disk.records.is_empty());
    house.unpark(1, "a", false);
    assert_eq!(house.refusal(), Some(MappingRefusal::UnknownKey));
}

#[test]
fn bounds_hold_for_what_is_under_way_too() {
    let (mut house, under) = house();
    house.quick = false;
    house.park(under, "a", &[200], "bad");
    house.park(under, "b", &[100], "bad");
    house.park(under, "c", &[1], "bad");
    assert_eq!(house.outcomes(), [ReportOutcome::Full]);
    assert!(house.refuse(), "the first");
    house.write();
    house.park(under, "c", &[1; 29], "bad");
    house.park(under, "d", &[1; 2], "bad");
    house.write();
    let expected = [ReportOutcome::Failed, ReportOutcome::Done, ReportOutcome::Full];
    assert_eq!(house.outcomes()[..3], expected, "by count");
    house.park(under, &"k".repeat(200), &[1], "bad");
    assert_eq!(house.outcomes().last(), Some(&ReportOutcome::Full), "by the key's length");
}

#[test]
fn a_settled_record_that_the_disk_kept_is_kept() {
    let (mut house, under) = house();
    house.park(under, "a", &[1, 1], "bad");
    house.unpark(1, "a", false);
    house.quick = false;
    house.outcomes();
    house.settle(under, "a", 2, "");
    house.settle(under, "a", 2, "");
    house.unpark(1, "a", true);
    assert_eq!(house.refusal(), Some(MappingRefusal::Busy));
    house.refuse();
    assert_eq!(house.outcomes(), [ReportOutcome::Failed; 2]);
    assert_eq!(keys(&house)[0].1, 2);
    house.settle(under, "a", 2, "");
    house.write();
    assert!(keys(&house).is_empty());
}
