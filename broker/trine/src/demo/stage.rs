//! What the demo plays on: a folder, a broker, workers, a client.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tonic::transport::Channel;
use trine_broker::{Broker, BrokerOptions, DestinationPolicy, StoreOption};
use trine_proto::reason;
use trine_proto::v1::destination::Target;
use trine_proto::v1::{self, InvocationType, Reason};

use crate::connection::Connection;
use crate::demo::teller::Teller;
use crate::demo::workers::{self, Notebook, Notes, Workers};
use crate::failure::Failure;

/// How long the parts may take to end.
const CLEAR_WAIT: Duration = Duration::from_secs(5);

/// The file to which records of failed charges go.
pub(crate) const FAILURES: &str = "failed-charges.jsonl";

pub(crate) struct Stage {
    broker: Broker,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    url: String,
    pub(crate) connection: Connection,
    pub(crate) notes: Notes,
    workers: Workers,
    dir: Dir,
}

/// Where things are.
#[derive(Debug)]
enum Dir {
    /// Goes away with the demo.
    Temporary(TempDir),
    Given(PathBuf),
}

impl Dir {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn set(
        data_dir: Option<PathBuf>,
        listen: SocketAddr,
    ) -> Result<Self, Failure> {
        let dir = match data_dir {
            Some(path) => Dir::Given(path),
            None => Dir::Temporary(tempfile::Builder::new().prefix("trine-demo-").tempdir()?),
        };
        let broker = Broker::start(BrokerOptions {
            listen: Some(listen),
            store: StoreOption::Embedded { dir: dir.path().join("store") },
            virtual_time: true,
            destinations: DestinationPolicy {
                file_dir: Some(dir.path().join("destinations")),
                ..DestinationPolicy::default()
            },
            ..BrokerOptions::default()
        })
        .await?;
        let address = broker.address().expect("it was told to listen");
        let url = format!("http://{address}");
        let broker_url = url.parse().map_err(Failure::Demo)?;
        let connection = Connection::open(&broker_url).await?;
        create_functions(&connection).await?;
        let notes = Arc::new(watch::Sender::new(Notebook::default()));
        let workers = Workers::start(&url, &notes).await?;
        Ok(Self { broker, address, url, connection, notes, workers, dir })
    }

    pub(crate) fn introduce(&self, teller: &Teller) -> Result<(), Failure> {
        let Self { url, dir, .. } = self;
        teller.headline(&format!(
            "Trine {}, the main job in one process",
            env!("CARGO_PKG_VERSION")
        ))?;
        teller.step(&format!("broker   {url}, embedded store, virtual time"))?;
        let (workers, slots) = (workers::WORKERS, workers::SLOTS);
        teller.step(&format!("workers  {workers} with {slots} slots each, through the SDK"))?;
        teller.step(&format!("folder   {}", dir.path().display()))
    }

    /// What people can do with a stage that stays.
    pub(crate) fn invite(&self, teller: &Teller) -> Result<(), Failure> {
        let url = &self.url;
        teller.headline("Still running; Ctrl-C ends it. Look around:")?;
        teller.step(&format!("export TRINE_BROKER={url}"))?;
        teller.step("trine function list")?;
        teller.step("trine invoke greet '{\"name\":\"you\"}'")?;
        teller.step("trine invocation list --state dead")?;
        teller.step(&format!("curl {url}/metrics"))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The connection within the process, as `trine serve` gives it to pollers.
    pub(crate) fn channel(&self) -> Channel {
        self.broker.channel()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Ends everything, also after a failure in the middle.
    pub(crate) async fn clear(self) {
        if tokio::time::timeout(CLEAR_WAIT, self.workers.stop()).await.is_err() {
            tracing::warn!("the workers did not end in time");
        }
        let drained = self.broker.shutdown(CLEAR_WAIT).await;
        tracing::debug!(?drained, "drained");
        // A temporary folder goes with `self.dir`, after the store has closed its files.
    }

    /// Sends an event and returns its request id.
    pub(crate) async fn event(
        &self,
        function: &str,
        payload: &'static str,
    ) -> Result<String, Failure> {
        Ok(self.invoke(function, payload, InvocationType::Event).await?.request_id)
    }

    pub(crate) async fn invoke(
        &self,
        function: &str,
        payload: &'static str,
        kind: InvocationType,
    ) -> Result<v1::InvokeResponse, Failure> {
        let request = v1::InvokeRequest {
            function: function.to_owned(),
            payload: payload.into(),
            r#type: kind.into(),
            ..Default::default()
        };
        let answer = self.connection.invocations().invoke(request).await;
        Ok(answer.map_err(|status| self.connection.failure(&status))?.into_inner())
    }

    /// Waits until an invocation is as wanted.
    pub(crate) async fn wait(
        &self,
        request_id: &str,
        wanted: impl Fn(&v1::Invocation) -> bool,
    ) -> Result<v1::Invocation, Failure> {
        let mut after_revision = None;
        loop {
            let request = v1::GetInvocationRequest {
                request_id: request_id.to_owned(),
                after_revision,
                wait_ms: 10_000,
            };
            let answer = self.connection.invocations().get_invocation(request).await;
            let answer = answer.map_err(|status| self.connection.failure(&status))?.into_inner();
            let invocation = answer.invocation.unwrap_or_default();
            if wanted(&invocation) {
                return Ok(invocation);
            }
            after_revision = Some(invocation.revision);
        }
    }

    /// Waits until the workers' notebook is as wanted.
    pub(crate) async fn noted(&self, wanted: impl Fn(&Notebook) -> bool) {
        // The sender is in `self`: it is not gone.
        let _ = self.notes.subscribe().wait_for(|notes| wanted(notes)).await;
    }
}

/// Creates the functions; in a folder from before they are there already.
async fn create_functions(connection: &Connection) -> Result<(), Failure> {
    let to_function = Target::Function(workers::NOTIFY.to_owned());
    let to_file = Target::File(v1::FileDestination { name: FAILURES.to_owned() });
    let destination = |target| Some(v1::Destination { target: Some(target) });
    let plain = v1::FunctionSettings::default();
    for (name, settings) in [
        (workers::GREET, plain.clone()),
        (workers::NOTIFY, plain.clone()),
        (workers::TALLY, plain.clone()),
        (
            workers::RESIZE,
            v1::FunctionSettings { on_success: destination(to_function), ..plain.clone() },
        ),
        (workers::CHARGE, v1::FunctionSettings { on_failure: destination(to_file), ..plain }),
    ] {
        let request = v1::CreateFunctionRequest { name: name.to_owned(), settings: Some(settings) };
        if let Err(status) = connection.functions().create_function(request).await {
            let refusal = reason::refusal(&status);
            if refusal.is_none_or(|refusal| refusal.reason() != Reason::FunctionExists) {
                return Err(connection.failure(&status));
            }
        }
    }
    Ok(())
}
