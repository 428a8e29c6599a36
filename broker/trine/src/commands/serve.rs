//! `trine serve`: a broker, and a poller that reads streams and queues for it, in this process, until a signal or a failure ends it.
//!
//! It wires; what a broker or a poller does is theirs.

mod print;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::BoxFuture;
use trine_broker::{Broker, Calls, StoreOption};
use trine_pollers::{Invoke, PollerHandle, PollerOptions, Way, start_poller};
use trine_proto::v1::{InvokeRequest, InvokeResponse};

use crate::commands::serve::print::SettingsView;
use crate::config::{Configuration, Entry, Environment, Flags, PollerConfiguration};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log;
use crate::output::{Output, View};
use crate::paint::Paint;
use crate::signals::Signals;

/// Values come from flags, then from variables named TRINE_ and the key (TRINE_LIMITS_FUNCTIONS_MAX),
/// then from the file, then from the defaults; --print-config shows all of them and where each
/// came from. SIGTERM and SIGINT drain; a second one ends at once.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML); TRINE_CONFIG names it as well.
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Address and port to listen on, loopback only [default: 127.0.0.1:7400].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder of the embedded store [default: ./trine-data].
    #[arg(long, value_name = "PATH")]
    data_dir: Option<String>,
    /// embedded, or memory, which forgets everything with the process [default: embedded].
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Take the time from `trine broker advance` instead of the machine's clock.
    #[arg(long)]
    virtual_time: bool,
    /// How log lines look on stderr: human or json [default: human].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Set any other key, for example limits.account_concurrency=50; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Print the configuration in force with its origins and start nothing.
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(
    output: &Output,
    verbose: u8,
    arguments: ServeArguments,
) -> Result<Exit, Failure> {
    let print_config = arguments.print_config;
    let file = arguments.config.clone();
    let configuration = Configuration::load(arguments.flags(), &Environment, file)?;
    if print_config {
        output.show(&SettingsView { configuration: &configuration.settings })?;
        return Ok(Exit::Ok);
    }
    log::start(configuration.log_format, &configuration.log_filter, verbose)?;
    // The shard's thread; connections have threads of their own besides (`threads`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(serve(output, configuration));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    end
}

impl ServeArguments {
    /// What was given, by key. Values are checked where those of the other layers are, so that all
    /// faults are reported together.
    fn flags(self) -> Flags {
        let named = [
            ("listen", "--listen", self.listen),
            ("data_dir", "--data-dir", self.data_dir),
            ("store", "--store", self.store),
            ("virtual_time", "--virtual-time", self.virtual_time.then(|| "true".to_owned())),
            ("log.format", "--log-format", self.log_format),
        ];
        let mut flags: Flags = self
            .set
            .into_iter()
            .map(|(key, text)| (key.clone(), Entry { text, place: format!("--set {key}") }))
            .collect();
        for (key, place, text) in named {
            if let Some(text) = text {
                flags.insert(key.to_owned(), Entry { text, place: place.to_owned() });
            }
        }
        flags
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE"),
    }
}

async fn serve(output: &Output, configuration: Configuration) -> Result<Exit, Failure> {
    // Before anything is started: a signal that comes early drains as one that comes late.
    let mut signals = Signals::listen()?;
    let drain = configuration.broker.timing.drain;
    let ready = Ready::of(&configuration);
    let mut broker = Broker::start(configuration.broker).await?;
    let poller = Polling::start(&broker, &configuration.poller)?;
    // The configuration always says where.
    let address = broker.address().expect("it listens");
    output.show(&Ready { listening: format!("http://{address}"), ..ready })?;
    tokio::select! {
        reason = broker.stopped() => {
            tracing::error!(%reason, "the broker stopped by itself");
            return Err(Failure::Stopped(reason.to_string()));
        }
        signal = signals.next() => {
            tracing::info!(signal, deadline = ?drain, "draining; a second signal ends at once");
        }
    }
    tokio::select! {
        () = drain_all(broker, poller, drain) => Ok(Exit::Ok),
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once by a second signal");
            Ok(Exit::Interrupted)
        }
    }
}

/// The poller of this process. It has threads of its own: building batches must not hold up who invokes.
struct Polling {
    poller: PollerHandle,
    _threads: Threads,
}

/// A runtime that is dropped in a task of another, whatever the end: one that waited for its threads there would panic.
struct Threads(Option<tokio::runtime::Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Calls of the broker in this process, as the poller makes them.
struct Inside(Calls);

impl Invoke for Inside {
    fn invoke(&self, request: InvokeRequest, wait: Duration) -> BoxFuture<InvokeResponse, Status> {
        let calls = self.0.clone();
        let deadline_ms = u64::try_from(wait.as_millis()).ok();
        Box::pin(async move { calls.invoke(InvokeRequest { deadline_ms, ..request }).await })
    }
}

impl Polling {
    fn start(
        broker: &Broker,
        configuration: &PollerConfiguration,
    ) -> Result<Option<Self>, Failure> {
        if !configuration.enabled {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(configuration.threads)
            .thread_name("poller")
            .enable_all()
            .build()?;
        let options = PollerOptions {
            mappings_max: configuration.mappings_max,
            ..PollerOptions::named(configuration.name.clone())
        };
        let inside = runtime.enter();
        let way = Way::inside(broker.channel(), Inside(broker.calls()));
        let poller = start_poller(way, options);
        drop(inside);
        Ok(Some(Self { poller, _threads: Threads(Some(runtime)) }))
    }

    async fn stop(self, drain: Duration) {
        if !self.poller.shutdown(drain).await {
            tracing::warn!(
                "the deadline cut off what the poller had in flight; it comes again from its sources"
            );
        }
    }
}

/// The poller first: what it has in flight ends through the broker.
async fn drain_all(broker: Broker, poller: Option<Polling>, drain: Duration) {
    let deadline = Instant::now() + drain;
    if let Some(poller) = poller {
        poller.stop(drain).await;
    }
    let drained = broker.shutdown(deadline.saturating_duration_since(Instant::now())).await;
    if drained.complete {
        tracing::info!("drained");
    } else {
        tracing::warn!(attempts = drained.cut_off, "the deadline cut off running attempts");
    }
}

/// What is printed when the broker takes requests. Programs wait for this line and take the
/// address from it.
#[derive(Debug, Serialize)]
struct Ready {
    listening: String,
    version: &'static str,
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    virtual_time: bool,
    poller: bool,
    pid: u32,
}

impl Ready {
    fn of(configuration: &Configuration) -> Self {
        let (store, data_dir) = match &configuration.broker.store {
            StoreOption::Memory => ("memory", None),
            StoreOption::Embedded { dir } => ("embedded", Some(dir.clone())),
        };
        Self {
            listening: String::new(),
            version: env!("CARGO_PKG_VERSION"),
            store,
            data_dir,
            virtual_time: configuration.broker.virtual_time,
            poller: configuration.poller.enabled,
            pid: std::process::id(),
        }
    }
}

impl View for Ready {
    fn text(&self, paint: Paint) -> String {
        let mut text =
            format!("trine {} listens on {}", self.version, paint.strong(&self.listening));
        match &self.data_dir {
            Some(dir) => text.push_str(&format!(", store in {}", dir.display())),
            None => text.push_str(", store in memory"),
        }
        if self.virtual_time {
            text.push_str(", virtual time");
        }
        text
    }
}
