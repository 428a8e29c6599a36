//! Where values come from: flags, environment, file, and which of them wins.
//!
//! It knows names and texts, not what a text means.

use std::collections::BTreeMap;

/// Before the name of every variable: `limits.functions_max` is `TRINE_LIMITS_FUNCTIONS_MAX`.
const PREFIX: &str = "TRINE_";

/// Sections whose variables are all ours. An unknown variable among them is a typing error;
/// outside of them it may be anybody's (Kubernetes sets `TRINE_PORT` for a service named trine).
const SECTIONS: [&str; 5] =
    ["TRINE_LIMITS_", "TRINE_TIMING_", "TRINE_DESTINATIONS_", "TRINE_POLLER_", "TRINE_LOG_"];

/// Which layer a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl Origin {
    /// As `GetBroker` has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// Texts by name: the environment of the process, or a map in a test.
pub(crate) trait Strings {
    fn get(&self, name: &str) -> Option<String>;
    fn names(&self) -> Vec<String>;
}

/// The environment of the process. A value that is not UTF-8 is read with the faulty bytes
/// replaced, so that it is reported as a fault and not overlooked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment;

impl Strings for Environment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// One text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    pub(crate) place: String,
}

/// What was given on the command line, by key.
pub(crate) type Flags = BTreeMap<String, Entry>;

/// The three layers above the defaults.
#[derive(Debug)]
pub(crate) struct Layers {
    flags: Flags,
    /// By the name of the variable.
    environment: BTreeMap<String, String>,
    file: BTreeMap<String, Entry>,
}

impl Layers {
    pub(crate) fn new(
        flags: Flags,
        environment: &impl Strings,
        file: BTreeMap<String, Entry>,
    ) -> Self {
        let ours = environment.names().into_iter().filter(|name| name.starts_with(PREFIX));
        let environment =
            ours.filter_map(|name| environment.get(&name).map(|value| (name, value))).collect();
        Self { flags, environment, file }
    }

    /// The text of a key in the highest layer that has it.
    pub(crate) fn get(&self, key: &str) -> Option<(Origin, Entry)> {
        if let Some(entry) = self.flags.get(key) {
            return Some((Origin::Flag, entry.clone()));
        }
        let variable = variable(key);
        if let Some(text) = self.environment.get(&variable) {
            let entry = Entry { text: text.clone(), place: variable };
            return Some((Origin::Environment, entry));
        }
        self.file.get(key).map(|entry| (Origin::File, entry.clone()))
    }

    /// The indices of a list in the file: `poller.file[0]`, `poller.file[1]`.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let item = |index: usize| format!("{key}[{index}]");
        let present = |item: &String| {
            let prefix = format!("{item}.");
            self.file.keys().any(|name| name == item || name.starts_with(&prefix))
        };
        (0..).map(item).take_while(present).collect()
    }

    /// Every name that is given somewhere but is not `known`, with its place and the key that it
    /// would be.
    pub(crate) fn unknown(&self, known: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let given = self.flags.iter().chain(&self.file);
        let mut unknown: Vec<(String, String)> = given
            .filter(|(key, _)| !known(key))
            .map(|(key, entry)| (key.clone(), entry.place.clone()))
            .collect();
        for name in self.environment.keys() {
            let ours = SECTIONS.iter().any(|section| name.starts_with(section));
            let key = guess(name);
            if ours && !known(&key) {
                unknown.push((key, name.clone()));
            }
        }
        unknown
    }
}

/// The variable of a key. A key of a list entry has brackets, which no variable has.
fn variable(key: &str) -> String {
    let upper = |c: char| if c == '.' { '_' } else { c.to_ascii_uppercase() };
    PREFIX.chars().chain(key.chars().map(upper)).collect()
}

/// The key of a variable of one of our sections: their names have no underscore.
fn guess(variable: &str) -> String {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    name.replacen('_', ".", 1).to_ascii_lowercase()
}
