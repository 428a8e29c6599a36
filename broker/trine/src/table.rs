//! Text in columns: tables with a heading, and lists of name and value.
//!
//! It knows widths and tones, nothing of what stands in the cells. No frames: they are noise in a
//! log and in the way of `awk`.

use crate::paint::{Paint, Tone};

/// Between two columns.
const GAP: &str = "  ";

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    /// For numbers.
    Right,
}

/// Rows under a heading.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns. A heading that begins with `>` makes a column of numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let align = |heading: &&str| {
            if heading.starts_with('>') { Align::Right } else { Align::Left }
        };
        let heading = |heading: &&str| Cell::new(heading.trim_start_matches('>'), Tone::Strong);
        Self {
            aligns: headings.iter().map(align).collect(),
            rows: vec![headings.iter().map(heading).collect()],
        }
    }

    /// Names and values, without a heading.
    pub(crate) fn pairs() -> Self {
        Self { aligns: vec![Align::Left; 2], rows: Vec::new() }
    }

    /// Adds a row. Cells beyond the columns are not shown.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a name and its value; nothing if the value is empty.
    pub(crate) fn pair(&mut self, name: &str, value: impl Into<Cell>) {
        let value = value.into();
        if !value.text.is_empty() {
            self.row([Cell::new(name, Tone::Quiet), value]);
        }
    }

    pub(crate) fn text(&self, paint: Paint) -> String {
        let widths = self.widths();
        let lines: Vec<String> =
            self.rows.iter().map(|row| self.line(row, &widths, paint)).collect();
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.aligns.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }

    /// Trailing blanks are left out, so the last column may be as long as it likes.
    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for ((cell, width), align) in row.iter().zip(widths).zip(&self.aligns) {
            let padding = width - cell.width();
            let (before, after) = match align {
                Align::Left => (0, padding),
                Align::Right => (padding, 0),
            };
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(owed + before));
                line.push_str(&paint.tone(cell.tone, &cell.text));
                owed = 0;
            } else {
                owed += before;
            }
            owed += after + GAP.len();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", ">QUEUED", "STATE"]);
        table.row(["a".into(), "10".into(), Cell::new("ready", Tone::Good)]);
        table.row(["longer-name".into(), "9".into(), "".into()]);
        table.row(["b".into(), "".into(), "running".into()]);
        assert_eq!(
            table.text(Paint::Plain),
            "NAME         QUEUED  STATE\n\
             a                10  ready\n\
             longer-name       9\n\
             b                    running"
        );
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::pairs();
        table.pair("name", Cell::new("thumbnail", Tone::Strong));
        table.pair("description", "");
        table.pair("workers", "3");
        let plain = table.text(Paint::Plain);
        assert_eq!(plain, "name     thumbnail\nworkers  3");
        let coloured = table.text(Paint::Colors);
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        assert_eq!(stripped + rest, plain);
    }
}
