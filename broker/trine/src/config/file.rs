//! The configuration file: TOML, flattened to keys and texts with their lines.
//!
//! It knows TOML and no key. The parser's own tables are walked instead of deserialized, because
//! serde stops at the first fault and forgets the lines.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::fault::Fault;
use crate::config::layers::Entry;

/// A larger file is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file says, and what is wrong with its form.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) faults: Vec<Fault>,
}

impl File {
    /// Reads a file. One that cannot be read is a fault like any other.
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.display().to_string();
        let text = std::fs::metadata(path).and_then(|metadata| {
            if metadata.len() > FILE_BYTES_MAX {
                return Err(std::io::Error::other("larger than 1 MiB"));
            }
            std::fs::read_to_string(path)
        });
        match text {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Self {
                faults: vec![whole(name, format!("cannot be read: {error}"))],
                ..Self::default()
            },
        }
    }

    /// Reads the text of a file called `name`.
    pub(crate) fn parse(text: &str, name: &str) -> Self {
        let lines = Lines { text, name };
        let (table, errors) = DeTable::parse_recoverable(text);
        let fault = |error: toml::de::Error| {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            whole(place, format!("is not TOML: {}", error.message()))
        };
        let faults: Vec<Fault> = errors.into_iter().map(fault).collect();
        let mut entries = BTreeMap::new();
        flatten_table("", table.get_ref(), &lines, &mut entries);
        Self { entries, faults }
    }
}

fn whole(place: String, problem: String) -> Fault {
    Fault { key: "config".to_owned(), value: None, place, problem }
}

/// Turns positions into places.
#[derive(Debug)]
struct Lines<'a> {
    text: &'a str,
    name: &'a str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> String {
        let before = self.text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        format!("{}:{line}", self.name)
    }
}

fn flatten_table(
    prefix: &str,
    table: &DeTable<'_>,
    lines: &Lines<'_>,
    entries: &mut BTreeMap<String, Entry>,
) {
    for (key, value) in table.iter() {
        let key = format!("{prefix}{}", key.get_ref());
        flatten(key, value, lines, entries);
    }
}

fn flatten(
    key: String,
    value: &Spanned<DeValue<'_>>,
    lines: &Lines<'_>,
    entries: &mut BTreeMap<String, Entry>,
) {
    let text = match value.get_ref() {
        DeValue::Table(table) => {
            return flatten_table(&format!("{key}."), table, lines, entries);
        }
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                flatten(format!("{key}[{index}]"), item, lines, entries);
            }
            return;
        }
        DeValue::String(text) => text.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        // Hexadecimal and its like are TOML; our own notation is decimal.
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(|_| integer.to_string(), |number| number.to_string()),
    };
    entries.insert(key, Entry { text, place: lines.place(value.span().start) });
}
