//! What is read of a file to which things happen, without a runner: pass by pass, by the clock's numbers.

use std::fs::{self, File, OpenOptions};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use trine_poll_engine::{BATCH_BYTES_MAX, Millis};

use super::{Folder, append, line};
use crate::file::event::EventWriter;
use crate::file::position::FilePosition;
use crate::file::tail::{ROTATION_GRACE_MS, Tail};
use crate::{Content, Record, SourceError, Want};

const EVERYTHING: Want =
    Want { records_max: 10_000, bytes_max: BATCH_BYTES_MAX, wait: Duration::ZERO };

fn try_open(folder: &Folder, after: Option<&FilePosition>) -> Result<Tail, SourceError> {
    let (text, events) = (Arc::from("app.log"), EventWriter::new("app", "app.log"));
    Tail::open(&folder.path(), &text, events, after)
}

fn open(folder: &Folder, after: Option<&FilePosition>) -> Tail {
    try_open(folder, after).unwrap()
}

fn records(tail: &mut Tail, now: Millis) -> Vec<Record> {
    tail.read(now, EVERYTHING).unwrap().received.records
}

/// The place after a record.
fn place(record: &Record) -> FilePosition {
    FilePosition::from_line(record.position.as_str()).unwrap().1
}

/// The lines that a pass brings, and then the notices, with ! for a gap.
fn read(tail: &mut Tail, now: Millis) -> Vec<String> {
    let received = tail.read(now, EVERYTHING).unwrap().received;
    let lines = received.records.iter().map(|record| match &record.content {
        Content::Event(event) => line(event).as_str().unwrap().to_owned(),
        Content::TooLarge(bytes) => format!("{bytes} bytes"),
    });
    let notices = received.notices.iter().map(|notice| {
        let kinds = ["moved away", "shrank", "other content", "another file"];
        let kind = kinds.into_iter().find(|kind| notice.message.contains(kind)).unwrap();
        format!("{kind}{}", if notice.gap { "!" } else { "" })
    });
    lines.chain(notices).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn growth_is_followed_and_half_a_line_waits_for_its_end() {
    let folder = Folder::with_file();
    let mut tail = open(&folder, None);
    assert_eq!(read(&mut tail, 0), NOTHING);
    folder.append("one\ntw");
    assert_eq!(read(&mut tail, 0), ["one"]);
    assert_eq!(read(&mut tail, 9_999_999), NOTHING, "half a line waits for ever");
    folder.append("o");
    assert_eq!(read(&mut tail, 0), NOTHING);
    folder.append("\n\n  \nthree\n");
    assert_eq!(read(&mut tail, 0), ["two", "three"]);
}

#[test]
fn positions_are_places_to_go_on_from() {
    let folder = Folder::new();
    folder.append("one\n\ntwo\nthree\n");
    let all = records(&mut open(&folder, None), 0);
    let offsets: Vec<_> = all.iter().map(|record| place(record).offset).collect();
    assert_eq!(offsets, [4, 9, 15]);
    assert_eq!(read(&mut open(&folder, Some(&place(&all[0]))), 0), ["two", "three"]);
    assert_eq!(read(&mut open(&folder, Some(&place(&all[2]))), 0), NOTHING);
}

#[test]
fn a_file_longer_than_a_pass_is_read_in_several() {
    let folder = Folder::new();
    let text: String =
        (0..50_000).map(|number| format!("line {number} of a long file\n")).collect();
    folder.append(&text);
    let mut tail = open(&folder, None);
    let mut lines = Vec::new();
    while lines.len() < 50_000 {
        let came = read(&mut tail, 0);
        assert!(!came.is_empty() && came.len() <= 10_000);
        lines.extend(came);
    }
    assert_eq!(lines.join("\n") + "\n", text);
}

#[test]
fn a_line_without_an_end_in_sight_is_neither_kept_nor_waited_for() {
    let folder = Folder::new();
    folder.append("a\n");
    let length = 3 * usize::try_from(BATCH_BYTES_MAX).unwrap();
    folder.append(vec![b'x'; length]);
    let mut tail = open(&folder, None);
    assert_eq!(read(&mut tail, 0), ["a"]);
    while tail.read(0, EVERYTHING).unwrap().cut_short {}
    assert_eq!(read(&mut tail, 0), NOTHING);
    folder.append("\nb\n");
    assert_eq!(read(&mut tail, 0), [format!("{length} bytes")]);
    assert_eq!(read(&mut tail, 0), ["b"]);
}

#[test]
fn a_line_that_is_too_large_only_as_an_event_is_told_like_one() {
    let folder = Folder::new();
    // As a JSON string each of these characters takes six.
    let control = vec![1_u8; usize::try_from(BATCH_BYTES_MAX).unwrap() / 5];
    folder.append([&control[..], b"\nb\n"].concat());
    let mut tail = open(&folder, None);
    let came = read(&mut tail, 0);
    assert!(came.len() == 1 && came[0].ends_with(" bytes"), "{came:?}");
    assert_eq!(read(&mut tail, 0), ["b"]);
}

#[test]
fn a_truncated_file_is_read_from_its_new_start() {
    let folder = Folder::new();
    folder.append("one\ntwo\nhalf");
    let mut tail = open(&folder, None);
    assert_eq!(read(&mut tail, 0), ["one", "two"]);
    let file = OpenOptions::new().write(true).open(folder.path()).unwrap();
    file.set_len(0).unwrap();
    assert_eq!(read(&mut tail, 0), ["shrank!"]);
    folder.append("new\n");
    assert_eq!(read(&mut tail, 0), ["new"]);
    assert_eq!(read(&mut tail, 0), NOTHING);
}

#[test]
fn a_file_that_was_truncated_and_grew_again_between_two_looks_is_noticed() {
    for before in ["one\n", "one\nhalf", "half"] {
        let folder = Folder::new();
        folder.append(before);
        let mut tail = open(&folder, None);
        read(&mut tail, 0);
        fs::write(folder.path(), "quite\nother content\n").unwrap();
        assert_eq!(read(&mut tail, 0), ["quite", "other content", "other content!"], "{before}");
    }
}

#[test]
fn a_rotated_file_is_read_to_its_end_and_then_the_new_one() {
    let folder = Folder::new();
    folder.append("one\n");
    let mut tail = open(&folder, None);
    assert_eq!(read(&mut tail, 0), ["one"]);
    folder.rotate();
    assert_eq!(read(&mut tail, 0), NOTHING, "the new file is not there yet");
    folder.append("three\n");
    assert_eq!(read(&mut tail, 100), NOTHING, "the writer may still use the old one");
    append(&folder.rotated(1), b"two\nlast");
    assert_eq!(read(&mut tail, 900), ["two"]);
    assert_eq!(read(&mut tail, 1_000), NOTHING);
    assert_eq!(read(&mut tail, 999 + ROTATION_GRACE_MS), NOTHING);
    let came = read(&mut tail, 1_000 + ROTATION_GRACE_MS);
    assert_eq!(came, ["last", "three", "moved away"], "a finished file needs no last line end");
    folder.append("four\n");
    assert_eq!(read(&mut tail, 5_000), ["four"]);
}

#[test]
fn files_that_were_rotated_while_nobody_read_are_all_read_in_order() {
    let folder = Folder::new();
    folder.append("one\n");
    let mut tail = open(&folder, None);
    let one = place(&records(&mut tail, 0)[0]);
    for (number, lines) in ["two\n", "three\n", "four\n"].iter().enumerate() {
        folder.rotate();
        folder.append(lines);
        // File times may be coarser than the steps of a test.
        let written = SystemTime::now() + Duration::from_secs(60 * (number as u64 + 1));
        let file = File::options().append(true).open(folder.path()).unwrap();
        file.set_modified(written).unwrap();
    }
    fs::write(folder.rotated(7).with_extension("7.gz"), "packed").unwrap();
    for mut tail in [tail, open(&folder, Some(&one))] {
        let mut came = Vec::new();
        for step in 0..20 {
            came.extend(read(&mut tail, step * ROTATION_GRACE_MS));
        }
        came.retain(|line| line != "moved away");
        assert_eq!(came, ["two", "three", "four"]);
    }
}

#[test]
fn a_checkpoint_of_a_rotated_file_is_found_under_its_new_name() {
    let folder = Folder::new();
    folder.append("one\ntwo\n");
    let one = place(&records(&mut open(&folder, None), 0)[0]);
    folder.rotate();
    assert_eq!(
        read(&mut open(&folder, Some(&one)), 0),
        ["two"],
        "also before the new file is there"
    );
    folder.append("three\n");
    let mut tail = open(&folder, Some(&one));
    assert_eq!(read(&mut tail, 0), ["two"]);
    read(&mut tail, 0);
    assert_eq!(read(&mut tail, ROTATION_GRACE_MS), ["three", "moved away"]);
}

#[test]
fn a_checkpoint_of_a_file_that_is_gone_means_the_start_of_the_new_one() {
    let folder = Folder::new();
    folder.append("one\n");
    let one = place(&records(&mut open(&folder, None), 0)[0]);
    fs::remove_file(folder.path()).unwrap();
    let gone = try_open(&folder, Some(&one));
    assert!(gone.unwrap_err().to_string().contains("does not exist yet"));
    // On many file systems the new file has the inode of the old one; its content tells.
    folder.append("uno\ndue\n");
    let came = read(&mut open(&folder, Some(&one)), 0);
    assert_eq!(came[..2], ["uno", "due"]);
    assert!(["another file!", "other content!"].contains(&&*came[2]), "{came:?}");
}

#[test]
fn a_checkpoint_behind_the_end_of_a_file_means_its_start() {
    let folder = Folder::new();
    folder.append("one\ntwo\n");
    let two = place(&records(&mut open(&folder, None), 0)[1]);
    let file = OpenOptions::new().write(true).open(folder.path()).unwrap();
    file.set_len(4).unwrap();
    assert_eq!(read(&mut open(&folder, Some(&two)), 0), ["one", "other content!"]);
}

#[test]
fn what_is_no_readable_file_is_told() {
    let folder = Folder::new();
    let told = |folder: &Folder| try_open(folder, None).unwrap_err().to_string();
    assert!(told(&folder).contains("does not exist yet: waiting for it"));
    fs::create_dir(folder.path()).unwrap();
    assert!(told(&folder).contains("is not a regular file"));
}

#[test]
fn a_record_is_at_least_as_old_as_the_last_write() {
    let folder = Folder::new();
    folder.append("one\n");
    let hour = Duration::from_secs(3_600);
    let file = OpenOptions::new().append(true).open(folder.path()).unwrap();
    file.set_modified(SystemTime::now() - hour).unwrap();
    let at = records(&mut open(&folder, None), 0)[0].arrived_at_ms.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let age = now - Duration::from_millis(at.try_into().unwrap());
    assert!(age >= hour && age < 2 * hour, "{age:?}");
}

#[test]
fn a_record_has_its_line_as_body_and_an_id_of_its_own_in_all_files() {
    let folder = Folder::new();
    folder.append("{\"a\":1}\r\ntwo\n");
    let records = records(&mut open(&folder, None), 0);
    assert_eq!(records[0].body, "{\"a\":1}");
    let event: serde_json::Value = match &records[1].content {
        Content::Event(event) => serde_json::from_slice(event).unwrap(),
        Content::TooLarge(_) => panic!("it is small"),
    };
    assert_eq!(event["id"], *records[1].identifier);
    assert!(records[1].identifier.ends_with("-9"), "{:?}", records[1].identifier);
}
