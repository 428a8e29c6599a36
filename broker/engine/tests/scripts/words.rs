//! Owns the words of a command: plain ones and `key=value` ones, and how times and numbers are written.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Words<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
    line: &'a str,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let (named, plain) = line.split_whitespace().partition::<Vec<_>, _>(|w| w.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { plain, named, line }
    }

    pub(crate) fn verb(&self) -> &'a str {
        self.plain[0]
    }

    /// The `n`-th word after the verb, from 0.
    pub(crate) fn word(&self, n: usize) -> &'a str {
        self.plain.get(n + 1).unwrap_or_else(|| panic!("{:?}: a word is missing", self.line))
    }

    pub(crate) fn rest(&self, n: usize) -> &[&'a str] {
        &self.plain[n + 1..]
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.named.get(key).copied()
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.text(key).map(|text| parse_number(text, self.line))
    }

    pub(crate) fn span(&self, key: &str) -> Option<u64> {
        self.text(key).map(|text| parse_span(text, self.line))
    }

    pub(crate) fn word_span(&self, n: usize) -> u64 {
        parse_span(self.word(n), self.line)
    }

    pub(crate) fn word_number(&self, n: usize) -> u64 {
        parse_number(self.word(n), self.line)
    }
}

fn parse_number(text: &str, line: &str) -> u64 {
    if text == "max" {
        return u64::MAX;
    }
    text.parse().unwrap_or_else(|e| panic!("{line:?}: {text:?}: {e}"))
}

/// `90s`, `5min`, `6h`, `15d`, `1500ms`, or `max`.
fn parse_span(text: &str, line: &str) -> u64 {
    if text == "max" {
        return u64::MAX;
    }
    let units = [("ms", 1), ("min", 60_000), ("s", 1_000), ("h", 3_600_000), ("d", 86_400_000)];
    let found = units
        .iter()
        .find_map(|(unit, ms)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * ms));
    found.unwrap_or_else(|| panic!("{line:?}: {text:?} is not a time like 90s or 1500ms"))
}
