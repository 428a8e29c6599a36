//! The worker that a service embeds: what it serves, how it is set up, how it is run.
//!
//! It does not know the wire; sessions do.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tower::{Layer, Service};

use crate::context::Context;
use crate::error::{BoxError, Error};
use crate::handle::WorkerHandle;
use crate::handler::{Call, HandlerService};
use crate::link::Link;
use crate::panics;
use crate::run_error::RunError;
use crate::setup::{Address, Draft};
use crate::shutdown::{Shutdown, Signals};
use crate::supervisor::keep_up;

/// Slots of a worker that does not say.
pub const SLOTS_DEFAULT: u32 = 64;

/// Time that running handlers have to finish on shutdown, of a worker that does not say.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// Serves functions: connects out to a broker, takes their attempts, gives back the outcomes.
///
/// # Examples
///
/// ```no_run
/// use trine_worker::{Context, Error, RunError, Worker};
///
/// #[tokio::main]
/// async fn main() -> Result<(), RunError> {
///     Worker::connect("http://127.0.0.1:7400")
///         .function("hello", |name: String, _ctx: Context| async move {
///             Ok::<_, Error>(format!("Hello, {name}!"))
///         })
///         .run()
///         .await
/// }
/// ```
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    draft: Draft,
    connected: watch::Sender<u32>,
}

impl Worker {
    /// A worker for the broker at `address`, `http://HOST:PORT`. Nothing is connected before
    /// [`run`](Self::run); from then on the worker reconnects for ever, with waits of up to 5
    /// seconds, each drawn at random so that a fleet does not come back all at once.
    pub fn connect(address: impl Into<String>) -> Self {
        Self::with_address(Address::Text(address.into()))
    }

    /// A worker that speaks over `channel`: for TLS, for a proxy, or for a broker in the same
    /// process, whose `Broker::channel()` is ready for it. Set up your own to reconnect, as
    /// [`connect_lazy`] does, with HTTP/2 keepalive: this worker can open a session, not a connection.
    ///
    /// [`connect_lazy`]: tonic::transport::Endpoint::connect_lazy
    ///
    /// # Examples
    ///
    /// ```
    /// use trine_worker::{Endpoint, Worker};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let channel = Endpoint::from_static("http://127.0.0.1:7400").connect_lazy();
    /// let worker = Worker::with_channel(channel);
    /// # drop(worker);
    /// # });
    /// ```
    pub fn with_channel(channel: Channel) -> Self {
        Self::with_address(Address::Channel(channel))
    }

    /// Serves the function `name` with `handler`, JSON in and out through serde.
    ///
    /// `name` has 1 to 64 characters out of `a-z A-Z 0-9 - _`. A function that does not exist at the
    /// broker yet is served as soon as it is created.
    ///
    /// A payload that does not deserialise into `In` is answered with the function error
    /// `Runtime.UnmarshalError`, an output that does not serialise with `Runtime.MarshalError`, a
    /// panic with `Runtime.Panic`; the worker lives on. An output above 6 291 556 bytes, as the
    /// broker says, becomes Lambda's `Function.ResponseSizeTooLarge` (LS 1.4).
    ///
    /// The handler is dropped at the function timeout, when the invocation is cancelled, and when
    /// the session is lost, because then the broker gives the invocation to another worker.
    ///
    /// # Blocking
    ///
    /// A handler is polled first in the task that reads attempts, and moves to a task of its own
    /// when it waits. One that computes for long before its first `await` is noticed and gets its
    /// own task from the start, but like any async code it must not block its thread: then it holds
    /// up others, no timeout can end it, and a session that cannot send its heartbeats is declared
    /// dead. Put blocking work on [`tokio::task::spawn_blocking`], and stop it by
    /// [`Context::cancellation`].
    ///
    /// # Examples
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use trine_worker::{Context, Error, Worker};
    ///
    /// #[derive(Deserialize)]
    /// struct Order {
    ///     item: String,
    ///     count: u32,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Receipt {
    ///     text: String,
    /// }
    ///
    /// async fn order(order: Order, _ctx: Context) -> Result<Receipt, Error> {
    ///     if order.count == 0 {
    ///         return Err(Error::new("Shop.NothingOrdered", "count is 0, expected 1 or more"));
    ///     }
    ///     Ok(Receipt { text: format!("{} x {}", order.count, order.item) })
    /// }
    ///
    /// let worker = Worker::connect("http://127.0.0.1:7400").function("order", order);
    /// # drop(worker);
    /// ```
    pub fn function<F, Fut, In, Out, E>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(In, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, E>> + Send + 'static,
        In: DeserializeOwned,
        Out: Serialize,
        E: Into<Error>,
    {
        self.serve_with(name.into(), HandlerService::typed(handler))
    }

    /// Serves the function `name` with `handler`, which gets the payload's bytes as they are and
    /// gives a JSON text. Otherwise like [`function`](Self::function).
    ///
    /// # Examples
    ///
    /// ```
    /// use trine_worker::{Bytes, Context, Error, Worker};
    ///
    /// let worker = Worker::connect("http://127.0.0.1:7400")
    ///     .function_raw("echo", |payload: Bytes, _ctx: Context| async move {
    ///         Ok::<_, Error>(payload)
    ///     });
    /// # drop(worker);
    /// ```
    pub fn function_raw<F, Fut, E>(self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Bytes, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, E>> + Send + 'static,
        E: Into<Error>,
    {
        self.serve_with(name.into(), HandlerService::raw(handler))
    }

    /// Puts `layer` around the handler of every function, those added later included. A layer wraps
    /// what was there before: the one added last sees a call first. Each function is wrapped by
    /// itself, so a limit of 5 is 5 per function.
    ///
    /// The layer wraps a [`HandlerService`], a service from [`Call`] to [`Bytes`]. An error of a
    /// layer becomes a function error through [`Error::from_boxed`].
    ///
    /// A call through layers costs a clone of them. Without layers there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower::limit::ConcurrencyLimitLayer;
    /// use trine_worker::Worker;
    ///
    /// let worker = Worker::connect("http://127.0.0.1:7400").layer(ConcurrencyLimitLayer::new(5));
    /// # drop(worker);
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Call, Response = Bytes> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send,
    {
        self.draft.layers.push(Box::new(move |handler| handler.layered(&layer)));
        self
    }

    /// Attempts that run at a time over all functions: 1 to 65 535 per channel. Unset means
    /// [`SLOTS_DEFAULT`]. The broker sends no more than that; nothing queues in the worker.
    pub fn slots(mut self, slots: u32) -> Self {
        self.draft.slots = slots;
        self
    }

    /// A name for people, 1 to 128 characters, not necessarily unique. Unset means program, process
    /// and machine: `thumbnails-4711@web-3`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.draft.name = Some(name.into());
        self
    }

    /// Connections to the broker, 1 to 64, each with a session of its own and its share of the
    /// slots. Unset means 1, which carries some hundred thousand attempts a second. More of them
    /// read and write on more cores, and lose less when one breaks.
    pub fn channels(mut self, channels: u32) -> Self {
        self.draft.channels = channels;
        self
    }

    /// Time that running handlers have to finish on shutdown. Unset means [`GRACE_DEFAULT`]. Zero
    /// stops them at once.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.draft.grace = grace;
        self
    }

    /// The number of sessions that the broker has welcomed and that are up now, as it changes: for
    /// readiness probes; to wait for the first one, [`start`](Self::start) is enough.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use trine_worker::{RunError, Worker};
    /// # async fn start(worker: Worker) -> Result<(), RunError> {
    /// let mut connected = worker.connected();
    /// let running = tokio::spawn(worker.run());
    /// if connected.wait_for(|sessions| *sessions > 0).await.is_ok() {
    ///     println!("ready");
    /// }
    /// running.await.expect("the worker panicked")
    /// # }
    /// ```
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<u32> {
        self.connected.subscribe()
    }

    /// Serves until SIGTERM or SIGINT (Ctrl-C where there are no such signals), then drains: tells
    /// the broker to send no more, finishes what runs, goes. A second signal ends the grace.
    ///
    /// # Errors
    ///
    /// [`RunError::Setup`] if the setup cannot work, before anything is connected;
    /// [`RunError::Refused`] if the broker does not want this worker; [`RunError::CutOff`] if the
    /// grace was over before every handler had finished; [`RunError::Signals`] if the signals cannot
    /// be listened to.
    pub async fn run(self) -> Result<(), RunError> {
        let mut first = Signals::listen().map_err(RunError::Signals)?;
        let mut second = Signals::listen().map_err(RunError::Signals)?;
        let first = async move {
            first.next().await;
            tracing::info!("asked to end; finishing what runs");
        };
        let second = async move {
            // Both listeners hear the first signal.
            second.next().await;
            second.next().await;
        };
        self.run_phases(first, second).await
    }

    /// Like [`run`](Self::run), but drains once `shutdown` resolves and listens to no signals.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), without [`RunError::Signals`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.run_phases(shutdown, std::future::pending()).await
    }

    /// Starts to serve beside the rest of the program; returns once the first session is up, for
    /// which it waits as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) that come up before that.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use trine_worker::{RunError, Worker};
    /// # async fn beside(worker: Worker) -> Result<(), RunError> {
    /// let worker = worker.start().await?;
    /// // The rest of the program.
    /// worker.shutdown().await
    /// # }
    /// ```
    pub async fn start(self) -> Result<WorkerHandle, RunError> {
        WorkerHandle::start(self).await
    }

    async fn run_phases(
        self,
        drain: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let grace = self.draft.grace;
        let links = self.draft.links()?;
        panics::note_locations();
        let shutdown = Shutdown::default();
        let sessions = spawn(links, &shutdown, &self.connected);
        let phases = async {
            drain.await;
            shutdown.drain();
            tokio::select! {
                () = cut => {}
                () = tokio::time::sleep(grace) => {}
            }
            shutdown.cut();
        };
        tokio::select! {
            attempts = ended(sessions, &shutdown, grace) => match attempts? {
                0 => Ok(()),
                attempts => Err(RunError::CutOff { attempts }),
            },
            never = async { phases.await; std::future::pending().await } => never,
        }
    }

    fn with_address(address: Address) -> Self {
        Self {
            draft: Draft {
                address,
                functions: Vec::new(),
                layers: Vec::new(),
                name: None,
                slots: SLOTS_DEFAULT,
                channels: 1,
                grace: GRACE_DEFAULT,
            },
            connected: watch::Sender::new(0),
        }
    }

    fn serve_with(mut self, name: String, handler: HandlerService) -> Self {
        self.draft.functions.push((name, handler));
        self
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<&str> =
            self.draft.functions.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Worker")
            .field("functions", &functions)
            .field("slots", &self.draft.slots)
            .field("channels", &self.draft.channels)
            .finish_non_exhaustive()
    }
}

/// A task for every session: the future that `run` was called in may be the main thread's, which
/// the runtime wakes less readily than its own threads.
fn spawn(
    links: Vec<Link>,
    shutdown: &Shutdown,
    connected: &watch::Sender<u32>,
) -> JoinSet<Result<usize, RunError>> {
    links.into_iter().map(|link| keep_up(link, shutdown.clone(), connected.clone())).collect()
}

/// Waits for all sessions and adds up what they cut off. The first one that is refused takes the
/// others down, within the grace.
async fn ended(
    mut sessions: JoinSet<Result<usize, RunError>>,
    shutdown: &Shutdown,
    grace: Duration,
) -> Result<usize, RunError> {
    let mut attempts = 0;
    while let Some(session) = sessions.join_next().await {
        let result = session.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the drop of this very set cancels its tasks.
            Err(_) => Ok(0),
        });
        match result {
            Ok(cut_off) => attempts += cut_off,
            Err(error) => {
                shutdown.drain();
                let others = async { while sessions.join_next().await.is_some() {} };
                if tokio::time::timeout(grace, others).await.is_err() {
                    tracing::warn!("handlers were cut off: the grace was over");
                }
                return Err(error);
            }
        }
    }
    Ok(attempts)
}
