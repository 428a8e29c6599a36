//! Scripts of the pure parts: which shard opens when and from where, what a checkpoint means, how long a shard rests.

use std::time::Duration;

use super::cursor::compare;
use super::pace::{Pace, Went};
use super::reader::is_older;
use super::topology::{Begin, Topology};
use super::{Cursor, Listed};
use crate::{Place, Places, Position, ShardName};

fn listed(shard: &str, parents: &[&str], closed: bool) -> Listed {
    let parents = parents.iter().map(|parent| ShardName::new(parent)).collect();
    Listed { shard: ShardName::new(shard), parents, closed }
}

/// One shard was split into two, those were merged again: 0 → 1, 2 → 3.
fn lineage() -> Vec<Listed> {
    vec![
        listed("3", &["1", "2"], false),
        listed("1", &["0"], true),
        listed("0", &[], true),
        listed("2", &["0"], true),
    ]
}

/// Shards and the positions that they are read to; `None`: to their end.
type Kept<'a> = &'a [(&'a str, Option<&'a str>)];

fn places(places: Kept<'_>) -> Places {
    let place = |place: Option<&str>| match place {
        Some(position) => Place::After(Position::new(position)),
        None => Place::Ended,
    };
    places.iter().map(|(shard, at)| (ShardName::new(shard), place(*at))).collect()
}

/// What opens now, with its cursor.
fn opens(topology: &mut Topology) -> Vec<String> {
    let mut opened = Vec::new();
    while let Some((shard, cursor)) = topology.next().unwrap() {
        opened.push(format!("{shard} {}", cursor.text()));
    }
    opened
}

fn finish(topology: &mut Topology, shard: &str) -> Vec<String> {
    topology.finish(&ShardName::new(shard));
    opens(topology)
}

#[test]
fn children_open_after_all_of_their_parents() {
    let mut topology = Topology::new(Begin::TrimHorizon, Places::new());
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["0 trim-horizon"]);
    assert_eq!(finish(&mut topology, "0"), ["1 trim-horizon", "2 trim-horizon"]);
    assert_eq!(finish(&mut topology, "2"), [""; 0]);
    // Listed again, nothing opens twice.
    topology.list(lineage());
    assert_eq!(opens(&mut topology), [""; 0]);
    assert_eq!(finish(&mut topology, "1"), ["3 trim-horizon"]);
}

/// A parent's place says that its child goes on where it ended; so it stays as long as the child is there.
#[test]
fn what_is_gone_with_all_that_comes_from_it_is_forgotten() {
    let mut topology = Topology::new(Begin::Latest, places(&[("0", None), ("1", Some("4"))]));
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["1 4", "2 trim-horizon"]);
    for shard in ["1", "2"] {
        finish(&mut topology, shard);
    }
    let later = |shards: &[&str]| {
        let of = |one: &Listed| shards.contains(&one.shard.as_str());
        lineage().into_iter().filter(of).collect::<Vec<_>>()
    };
    // 1 and 2 are trimmed, and 3 comes from them.
    for _ in 0..3 {
        topology.list(later(&["3"]));
    }
    assert_eq!(topology.take_forgotten(), [ShardName::new("0")]);
    topology.list(Vec::new());
    assert_eq!(topology.take_forgotten(), [], "one list may be wrong");
    topology.list(later(&["3"]));
    topology.list(Vec::new());
    assert_eq!(topology.take_forgotten(), []);
    topology.list(Vec::new());
    assert_eq!(topology.take_forgotten(), ["1", "2"].map(ShardName::new), "3 is open");
    assert_eq!(topology.take_forgotten(), []);
}

#[test]
fn places_decide_what_is_over_and_where_the_rest_goes_on() {
    let cases: [(Kept<'_>, &[&str]); 4] = [
        (&[("0", Some("17"))], &["0 17"]),
        (&[("0", None)], &["1 trim-horizon", "2 trim-horizon"]),
        (&[("0", None), ("1", None), ("2", Some("at 5"))], &["2 at 5"]),
        (&[("0", None), ("1", None), ("2", None)], &["3 trim-horizon"]),
    ];
    for (kept, opened) in cases {
        let mut topology = Topology::new(Begin::TrimHorizon, places(kept));
        topology.list(lineage());
        assert_eq!(opens(&mut topology), opened, "{kept:?}");
        assert!(topology.vanished().is_empty());
    }
}

#[test]
fn a_trimmed_parent_holds_nobody_and_is_told_if_it_was_not_read_to_its_end() {
    let kept = places(&[("0", Some("17")), ("9", None)]);
    let mut topology = Topology::new(Begin::TrimHorizon, kept);
    topology.list(vec![listed("1", &["0"], false), listed("2", &["0"], false)]);
    assert_eq!(opens(&mut topology), ["1 trim-horizon", "2 trim-horizon"]);
    let vanished = topology.vanished();
    assert_eq!(vanished.len(), 1);
    assert_eq!(vanished[0].0.as_str(), "0");
    assert!(vanished[0].1.gap);
}

#[test]
fn latest_skips_what_was_closed_and_reads_all_of_what_follows() {
    let mut topology = Topology::new(Begin::Latest, Places::new());
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["3 latest"], "nothing of the closed ones is new");
    let mut grown = lineage();
    grown[0].closed = true;
    grown.extend([listed("4", &["3"], true), listed("5", &["4"], false)]);
    topology.list(grown);
    assert_eq!(finish(&mut topology, "3"), ["4 trim-horizon"], "closed, but it came later");
    assert_eq!(finish(&mut topology, "4"), ["5 trim-horizon"]);
}

#[test]
fn latest_goes_on_with_children_of_what_was_read_before() {
    let kept = places(&[("1", Some("17")), ("2", None)]);
    let mut topology = Topology::new(Begin::Latest, kept);
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["1 17"]);
    assert_eq!(finish(&mut topology, "1"), ["3 trim-horizon"]);
}

#[test]
fn times_hold_for_all_shards() {
    let mut topology = Topology::new(Begin::AtTimestamp(5), Places::new());
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["0 at-timestamp 5"]);
    // The parent may have been over before: its child begins at the time too.
    assert_eq!(finish(&mut topology, "0"), ["1 at-timestamp 5", "2 at-timestamp 5"]);
    let mut topology = Topology::new(Begin::LatestSince(5), Places::new());
    topology.list(lineage());
    assert_eq!(opens(&mut topology), ["0 at-timestamp 5"], "it may have been open then");
    assert_eq!(finish(&mut topology, "0"), ["1 trim-horizon", "2 trim-horizon"]);
}

#[test]
fn a_checkpoint_is_what_it_was() {
    let after = |number: &str| Cursor::After(number.to_owned());
    for cursor in [
        after("49590338271490256608559692538361571095921575989136588898"),
        after("000000000000000000003"),
        Cursor::At("7".to_owned()),
        Cursor::TrimHorizon,
        Cursor::AtTimestamp(1_545_084_650_987),
    ] {
        assert_eq!(Cursor::parse(&cursor.position()).unwrap(), cursor);
    }
    for wrong in ["", "latest", "at", "at x", "at-timestamp", "0-1", "٣"] {
        let refused = Cursor::parse(&Position::new(wrong)).unwrap_err();
        assert!(refused.to_string().contains("sequence number"), "{refused}");
    }
}

#[test]
fn sequence_numbers_are_compared_as_numbers() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (one, other, expected) in
        [("9", "10", Less), ("0010", "9", Greater), ("007", "7", Equal), ("0", "000", Equal)]
    {
        assert_eq!(compare(one, other), expected, "{one} {other}");
    }
}

#[test]
fn a_shard_rests_when_there_is_nothing_and_not_when_there_is_more() {
    let millis = Duration::from_millis;
    let pace = Pace { idle: millis(1000), busy: millis(250), throttled: millis(500) };
    for (asked, brought, more, rest) in [
        (1000, 1000, false, millis(0)),
        (1000, 3, true, millis(0)),
        (1000, 3, false, millis(250)),
        (1000, 0, true, millis(250)),
        (1000, 0, false, millis(1000)),
    ] {
        assert_eq!(pace.rest(Went::of(asked, brought, more)), rest, "{asked} {brought} {more}");
    }
    assert_eq!(pace.rest(Went::Throttled), millis(500));
}

#[test]
fn what_may_have_arrived_later_is_not_older() {
    let since = 1_795_319_730_500;
    for (arrived, older) in [
        (since, false),
        (since + 1, false),
        // Rounded down to seconds.
        (1_795_319_730_000, false),
        (1_795_319_729_000, true),
        // Rounded down to minutes.
        (1_795_319_700_000, false),
        (1_795_319_640_000, true),
    ] {
        assert_eq!(is_older(Some(arrived), since), older, "{arrived}");
    }
    assert!(!is_older(None, since));
}
