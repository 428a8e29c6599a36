//! Owns the form of a case file: `== title`, commands at the margin, what they must cause indented by four below,
//! `#` comments. A command that starts with `!` is preparation: what it causes is not written down.

use std::path::PathBuf;

use crate::coverage::Seen;
use crate::play::Play;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/cases")
}

/// Plays every case of a file for what it goes through.
pub(crate) fn watch_file(name: &str, seen: &mut Seen) {
    play_text(name, &read(name), seen);
}

fn read(name: &str) -> String {
    let path = folder().join(format!("{name}.txt"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// Plays every case of a file and compares, or writes the file anew.
pub(crate) fn run_file(name: &str) {
    let written = read(name);
    let played = play_text(name, &written, &mut Seen::default());
    if std::env::var_os("TRINE_UPDATE_SCRIPTS").is_some() {
        // In one move: the test of coverage reads the same files meanwhile.
        let (path, new) = (folder().join(format!("{name}.txt")), folder().join("../new.txt"));
        let new = new.with_extension(name);
        let moved = std::fs::write(&new, played).and_then(|()| std::fs::rename(&new, &path));
        return moved.unwrap_or_else(|e| panic!("{path:?}: {e}"));
    }
    let mut title = "";
    let lines = written.lines().chain(std::iter::repeat("<end>"));
    for ((number, expected), found) in (1..).zip(lines).zip(played.lines()) {
        title = expected.strip_prefix("== ").unwrap_or(title);
        assert_eq!(
            found,
            expected,
            "{name}.txt line {number}, in {title:?}: found left, expected right\nall found:\n{}",
            section(&played, title)
        );
    }
    assert_eq!(played, written, "{name}.txt ends differently");
}

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let begin = text.find(&format!("== {title}\n")).unwrap_or(0);
    let end = text[begin + 1..].find("\n== ").map_or(text.len(), |end| begin + 1 + end);
    &text[begin..end]
}

fn play_text(file: &str, text: &str, seen: &mut Seen) -> String {
    let mut played = String::new();
    let mut play: Option<Play> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("    ") {
            continue;
        }
        played.push_str(line);
        played.push('\n');
        if line.starts_with("== ") {
            if let Some(play) = play.take() {
                seen.add(play.close());
            }
            play = Some(Play::new());
        }
        if line.is_empty() || line.starts_with('#') || line.starts_with("== ") {
            continue;
        }
        let play = play.as_mut().unwrap_or_else(|| panic!("{file}.txt starts without a title"));
        let (quiet, command) = match line.strip_prefix('!') {
            Some(command) => (true, command),
            None => (false, line),
        };
        let place = format!("{file}.txt line {number}: {line}");
        for said in play.command(command, &place) {
            if !quiet {
                played.push_str(&format!("    {said}\n"));
            }
        }
    }
    if let Some(play) = play {
        seen.add(play.close());
    }
    played
}
