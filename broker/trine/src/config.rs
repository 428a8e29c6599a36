//! The configuration of `trine serve`: flags over environment over file over defaults, every value
//! with its origin, every fault reported, and all of them at once.
//!
//! Text goes in, checked types come out; nothing here opens a port or a store.

mod broker;
mod destinations;
mod fault;
mod file;
mod layers;
mod poller;
mod resolver;
mod value;

use std::path::PathBuf;

use crate::config::file::File;
use crate::config::layers::Layers;
use crate::config::resolver::Resolver;
use crate::log::{self, LogFormat};
use trine_broker::BrokerOptions;

pub(crate) use crate::config::fault::{Fault, Faults};
pub(crate) use crate::config::layers::{Entry, Environment, Flags, Origin, Strings};
pub(crate) use crate::config::poller::{PollerConfiguration, fits as poller_name_fits};
pub(crate) use crate::config::resolver::Setting;

/// Names the configuration file if `--config` does not.
pub(crate) const FILE_VARIABLE: &str = "TRINE_CONFIG";

/// A configuration without faults.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) broker: BrokerOptions,
    pub(crate) poller: PollerConfiguration,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    /// Every value in force, in the order of the documentation.
    pub(crate) settings: Vec<Setting>,
}

impl Configuration {
    /// Reads and checks everything. `file` is what `--config` named.
    pub(crate) fn load(
        flags: Flags,
        environment: &impl Strings,
        file: Option<PathBuf>,
    ) -> Result<Self, Faults> {
        let file = match file.or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from)) {
            Some(path) => File::read(&path),
            None => File::default(),
        };
        let mut resolver =
            Resolver::new(Layers::new(flags, environment, file.entries), file.faults);
        let data_dir = resolver.value("data_dir", PathBuf::from("./trine-data"));
        let mut broker = broker::resolve(&mut resolver, &data_dir);
        broker.destinations.aws_credential = destinations::aws_credential(environment);
        let log_format = resolver.value("log.format", LogFormat::Human);
        let log_filter =
            resolver.checked("log.filter", log::SERVER.to_owned(), |filter: &String| {
                log::check(filter)
            });
        let poller = poller::resolve(&mut resolver);
        let settings = resolver.finish()?;
        broker.configuration = settings
            .iter()
            .map(|setting| {
                (setting.name.clone(), setting.value.clone(), setting.origin.name().to_owned())
            })
            .collect();
        Ok(Self { broker, poller, log_format, log_filter, settings })
    }
}

#[cfg(test)]
mod tests;
