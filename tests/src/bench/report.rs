//! What a benchmark says: one row a claim, with its ratio over several alternations and its durability in the row.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One row, measured.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name, as `--only` takes it.
    pub name: &'static str,
    /// Median of ours.
    pub ours: f64,
    /// Median of the peer's; none: the bar is absolute.
    pub peer: Option<f64>,
    /// Ours to the peer's, one for each alternation.
    pub ratios: Vec<f64>,
    /// Of `ours` and `peer`.
    pub unit: &'static str,
    /// What an answer stood for on either side.
    pub durability: &'static str,
    /// What is asked of the ratio, or of `ours` without a peer.
    pub bar: Bar,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Nothing: it is a figure for its readers.
    Figure,
}

impl Row {
    /// Smallest, median and largest ratio; without a peer, of `ours`.
    #[must_use]
    pub fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.ratios.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = median(&sorted);
        (sorted.first().copied().unwrap_or(0.0), middle, sorted.last().copied().unwrap_or(0.0))
    }

    /// Whether the median meets the bar.
    #[must_use]
    pub fn met(&self) -> bool {
        let (_, middle, _) = self.spread();
        match self.bar {
            Bar::AtLeast(bar) => middle >= bar,
            Bar::AtMost(bar) => middle <= bar,
            Bar::Figure => true,
        }
    }

    fn json(&self) -> Value {
        let (min, median, max) = self.spread();
        let ratio = |value: f64| if self.peer.is_some() { json!(value) } else { Value::Null };
        json!({
            "name": self.name,
            "ours": self.ours,
            "peer": self.peer,
            "ratio_min": ratio(min),
            "ratio_median": ratio(median),
            "ratio_max": ratio(max),
            "unit": self.unit,
            "durability": self.durability,
            "bar": self.bar.text(),
            "met": self.met(),
        })
    }
}

impl Bar {
    fn text(self) -> String {
        match self {
            Self::AtLeast(bar) => format!(">= {bar}"),
            Self::AtMost(bar) => format!("<= {bar}"),
            Self::Figure => "-".to_owned(),
        }
    }
}

/// The middle of sorted values.
#[must_use]
pub fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The rows as a table for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<26} {:>12} {:>12}  {:<8} {:>24}  {:<9} {}\n",
        "row", "ours", "peer", "unit", "ratio min/median/max", "bar", "durability (ours | peer)"
    );
    for row in rows {
        let (min, middle, max) = row.spread();
        let peer = row.peer.map_or_else(|| "-".to_owned(), |peer| format!("{peer:.0}"));
        let ratio = format!("{min:.2} / {middle:.2} / {max:.2}");
        let verdict = if row.met() { "" } else { "  MISSED" };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:<26} {:>12.1} {:>12}  {:<8} {:>24}  {:<9} {}{verdict}",
            row.name,
            row.ours,
            peer,
            row.unit,
            ratio,
            row.bar.text(),
            row.durability
        );
    }
    text
}

/// The rows as one JSON object a line.
#[must_use]
pub fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", row.json())).collect()
}
