//! A worker's setup, parsed once from what the user said into what cannot be wrong.
//!
//! It does not connect; what the broker thinks of the setup is learnt later.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::function::{Function, PollCost};
use crate::handler::HandlerService;
use crate::link::{Link, Target};
use crate::run_error::SetupError;

/// Characters of a function's name, at most (LS 1.1).
const NAME_CHARS_MAX: usize = 64;
/// Functions of one worker, at most.
pub(crate) const FUNCTIONS_MAX: usize = 1024;
/// Slots of one session, at most.
pub(crate) const SESSION_SLOTS_MAX: u32 = 65_535;
/// Channels of one worker, at most. A few are enough for any machine: see `Worker::channels`.
pub(crate) const CHANNELS_MAX: u32 = 64;
/// Characters of a worker's name, at most.
pub(crate) const WORKER_CHARS_MAX: usize = 128;

/// Wraps one function's handler in one layer.
pub(crate) type Wrap = Box<dyn Fn(HandlerService) -> HandlerService + Send + Sync>;

/// Where the user said that the broker is.
pub(crate) enum Address {
    Text(String),
    Channel(Channel),
}

/// What the user said.
pub(crate) struct Draft {
    pub(crate) address: Address,
    pub(crate) functions: Vec<(String, HandlerService)>,
    pub(crate) layers: Vec<Wrap>,
    pub(crate) name: Option<String>,
    pub(crate) slots: u32,
    pub(crate) channels: u32,
    pub(crate) grace: Duration,
}

impl Draft {
    /// One link a session, or everything that is wrong.
    pub(crate) fn links(self) -> Result<Vec<Link>, SetupError> {
        let mut problems = Vec::new();
        let target = target(self.address).map_err(|problem| problems.push(problem)).ok();
        check_functions(&self.functions, &mut problems);
        check_slots(self.slots, self.channels, &mut problems);
        let worker = self.name.unwrap_or_else(default_name);
        if !(1..=WORKER_CHARS_MAX).contains(&worker.chars().count()) {
            problems.push(format!(
                "the worker's name has {} characters, expected 1 to {WORKER_CHARS_MAX}",
                worker.chars().count()
            ));
        }
        let Some(target) = target.filter(|_| problems.is_empty()) else {
            return Err(SetupError::new(problems));
        };
        let functions: Arc<[Function]> = self
            .functions
            .into_iter()
            .map(|(name, handler)| Function {
                name: name.into(),
                handler: self.layers.iter().fold(handler, |handler, wrap| wrap(handler)),
                cost: PollCost::default(),
            })
            .collect();
        Ok(split(self.slots, self.channels)
            .map(|slots| Link {
                target: target.clone(),
                functions: functions.clone(),
                worker: worker.clone(),
                slots,
            })
            .collect())
    }
}

/// The slots of each session: equal, the first ones one more where they do not divide.
fn split(slots: u32, channels: u32) -> impl Iterator<Item = u32> {
    (0..channels).map(move |channel| slots / channels + u32::from(channel < slots % channels))
}

fn target(address: Address) -> Result<Target, String> {
    let text = match address {
        Address::Channel(channel) => return Ok(Target::Channel(channel)),
        Address::Text(text) => text,
    };
    let endpoint = Endpoint::from_shared(text.clone()).map_err(|error| {
        format!("the broker's address {text:?} is not a URI: {error}; expected http://HOST:PORT")
    })?;
    let uri = endpoint.uri();
    match uri.scheme_str() {
        Some("http") if uri.authority().is_some() => Ok(Target::Endpoint(Box::new(endpoint))),
        Some("https") => Err(format!(
            "the broker's address {text:?} asks for TLS, expected http://HOST:PORT; for TLS build \
             a channel and use Worker::with_channel"
        )),
        _ => Err(format!("the broker's address is {text:?}, expected http://HOST:PORT")),
    }
}

fn check_functions(functions: &[(String, HandlerService)], problems: &mut Vec<String>) {
    if functions.is_empty() {
        problems.push("no function is served; add one with Worker::function".to_owned());
    }
    if functions.len() > FUNCTIONS_MAX {
        problems.push(format!(
            "{} functions are served, expected at most {FUNCTIONS_MAX}",
            functions.len()
        ));
    }
    let mut seen = HashSet::new();
    for (name, _) in functions {
        if !is_function_name(name) {
            problems.push(format!(
                "{name:?} is no name for a function, expected 1 to {NAME_CHARS_MAX} characters \
                 out of a-z A-Z 0-9 - _"
            ));
        }
        if !seen.insert(name) {
            problems.push(format!("the function {name:?} is given twice, expected once"));
        }
    }
}

fn check_slots(slots: u32, channels: u32, problems: &mut Vec<String>) {
    if !(1..=CHANNELS_MAX).contains(&channels) {
        problems.push(format!("channels is {channels}, expected 1 to {CHANNELS_MAX}"));
    } else if slots == 0 || slots.div_ceil(channels) > SESSION_SLOTS_MAX {
        let most = SESSION_SLOTS_MAX * channels;
        problems.push(format!("slots is {slots}, expected 1 to {most} with {channels} channels"));
    } else if slots < channels {
        problems.push(format!(
            "slots is {slots} and channels is {channels}, expected a slot a channel at least"
        ));
    }
}

fn is_function_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Program, process and machine: enough to find the worker in a list of many.
fn default_name() -> String {
    let program = std::env::current_exe().ok();
    let program = program
        .as_deref()
        .and_then(|path| path.file_stem())
        .map_or_else(|| "worker".into(), |stem| stem.to_string_lossy());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned());
    let name = format!("{program}-{}@{}", std::process::id(), machine.trim());
    name.chars().take(WORKER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::error::Error;

    fn draft(names: &[&str]) -> Draft {
        let handler = || HandlerService::raw(|bytes: Bytes, _| async { Ok::<_, Error>(bytes) });
        Draft {
            address: Address::Text("http://127.0.0.1:7400".to_owned()),
            functions: names.iter().map(|name| ((*name).to_owned(), handler())).collect(),
            layers: Vec::new(),
            name: None,
            slots: 8,
            channels: 1,
            grace: Duration::from_secs(30),
        }
    }

    fn problems(draft: Draft) -> String {
        draft.links().unwrap_err().problems().join("\n")
    }

    #[test]
    fn a_good_setup_gives_a_link_a_channel_with_the_slots_split() {
        let links = Draft { slots: 10, channels: 4, ..draft(&["a", "b"]) }.links().unwrap();
        assert_eq!(links.iter().map(|link| link.slots).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert!(links.iter().all(|link| link.functions.len() == 2));
        let name = &links[0].worker;
        assert!(name.contains(&std::process::id().to_string()), "{name}");
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let wrong = Draft {
            address: Address::Text("127.0.0.1:7400".to_owned()),
            name: Some(String::new()),
            slots: 0,
            ..draft(&["twice", "twice", "with space"])
        };
        let expected = [
            "the broker's address is \"127.0.0.1:7400\", expected http://HOST:PORT",
            "the function \"twice\" is given twice, expected once",
            "\"with space\" is no name for a function, expected 1 to 64 characters out of \
             a-z A-Z 0-9 - _",
            "slots is 0, expected 1 to 65535 with 1 channels",
            "the worker's name has 0 characters, expected 1 to 128",
        ];
        assert_eq!(problems(wrong), expected.join("\n"));
    }

    #[test]
    fn a_worker_without_a_function_is_refused() {
        assert!(problems(draft(&[])).contains("add one with Worker::function"));
    }

    #[test]
    fn names_have_a_length_and_an_alphabet() {
        for good in ["a", "A-z_09", &"x".repeat(64)] {
            assert!(is_function_name(good), "{good}");
        }
        for bad in ["", "é", "a.b", "a:1", &"x".repeat(65)] {
            assert!(!is_function_name(bad), "{bad}");
        }
    }

    #[test]
    fn slots_and_channels_have_ranges() {
        for (slots, channels) in [(8, 0), (8, 65), (65_536, 1), (3, 4), (0, 4)] {
            assert!(Draft { slots, channels, ..draft(&["f"]) }.links().is_err());
        }
        assert!(Draft { slots: 131_070, channels: 2, ..draft(&["f"]) }.links().is_ok());
    }

    #[test]
    fn an_address_that_asks_for_tls_is_told_what_to_do() {
        let address = Address::Text("https://broker:7400".to_owned());
        assert!(problems(Draft { address, ..draft(&["f"]) }).contains("Worker::with_channel"));
    }
}
