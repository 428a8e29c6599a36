//! What a handler is told about the attempt it works on.
//!
//! It does not know how the attempt arrived or how its outcome leaves.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trine_proto::v1::Attempt;

use crate::log_tail::{LogEnd, LogTail};
use crate::stop::Stop;

/// Function timeout of a [detached](Context::detached) context: Lambda's longest (LS 2.3).
const DETACHED_TIMEOUT: Duration = Duration::from_secs(900);

/// Memory of a [detached](Context::detached) context, in MB: Lambda's default (LS 2.3).
const DETACHED_MEMORY_MB: u32 = 128;

/// The attempt a handler works on. Cheap to clone.
///
/// # Examples
///
/// ```
/// # use trine_worker::{Context, Error};
/// async fn greet(name: String, ctx: Context) -> Result<String, Error> {
///     ctx.log(format_args!("attempt {} of {}", ctx.attempt(), ctx.request_id()));
///     Ok(format!("Hello, {name}!"))
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
///
/// let greeting = greet("Ada".to_owned(), Context::detached("greet")).await;
/// assert_eq!(greeting.unwrap(), "Hello, Ada!");
/// # });
/// ```
#[derive(Clone)]
pub struct Context {
    fields: Arc<Fields>,
}

struct Fields {
    request_id: String,
    function: Arc<str>,
    /// Empty: the caller gave the plain name.
    invoked_function: String,
    version: String,
    attempt: u32,
    received: Instant,
    deadline: Instant,
    traceparent: String,
    tracestate: String,
    client_context: Bytes,
    memory_mb: u32,
    stop: Stop,
    /// There if the caller asked for the log tail, else lines are not even formatted.
    log: Option<Mutex<LogTail>>,
}

impl Context {
    /// A context that belongs to no attempt, for the unit tests of a handler: first attempt of
    /// `function`, version `$LATEST`, 900 seconds to go, never cancelled.
    #[must_use]
    pub fn detached(function: &str) -> Self {
        let received = Instant::now();
        Self {
            fields: Arc::new(Fields {
                request_id: "00000000-0000-0000-0000-000000000000".to_owned(),
                function: function.into(),
                invoked_function: String::new(),
                version: "$LATEST".to_owned(),
                attempt: 1,
                received,
                deadline: received + DETACHED_TIMEOUT,
                traceparent: String::new(),
                tracestate: String::new(),
                client_context: Bytes::new(),
                memory_mb: DETACHED_MEMORY_MB,
                stop: Stop::default(),
                log: None,
            }),
        }
    }

    /// The context of `attempt`, whose payload is left to the handler.
    pub(crate) fn of(attempt: Attempt, function: Arc<str>, received: Instant) -> Self {
        let log = attempt
            .log_tail
            .then(|| Mutex::new(LogTail::opened(&attempt.request_id, &attempt.version)));
        Self {
            fields: Arc::new(Fields {
                function,
                attempt: attempt.attempt,
                received,
                deadline: received + Duration::from_millis(attempt.timeout_ms.into()),
                client_context: attempt.client_context,
                memory_mb: attempt.memory_mb,
                stop: Stop::default(),
                log,
                request_id: attempt.request_id,
                invoked_function: attempt.invoked_function,
                version: attempt.version,
                traceparent: attempt.traceparent,
                tracestate: attempt.tracestate,
            }),
        }
    }

    /// UUID of the invocation: the same over all its attempts, so a handler can use it to do its
    /// work once only.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.fields.request_id
    }

    /// Name of the function, as it was given to [`Worker::function`](crate::Worker::function).
    #[must_use]
    pub fn function(&self) -> &str {
        &self.fields.function
    }

    /// The name as the caller gave it, with its qualifier if there was one: `hello:live`.
    #[must_use]
    pub fn invoked_function(&self) -> &str {
        let invoked = &self.fields.invoked_function;
        if invoked.is_empty() { &self.fields.function } else { invoked }
    }

    /// `$LATEST` or a version number.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.fields.version
    }

    /// 1 for the first attempt; an asynchronous invocation has up to 3 (LS 3.1).
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.fields.attempt
    }

    /// When the function timeout is over and the handler is dropped. Convert it with
    /// [`Instant::into_std`] where a [`std::time::Instant`] is needed.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.fields.deadline
    }

    /// Time left until the [deadline](Self::deadline); zero once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.fields.deadline.saturating_duration_since(Instant::now())
    }

    /// A token that is cancelled when the attempt is stopped: at its timeout, when the broker asks,
    /// when the session is lost, or when the grace of a shutdown is over. It is not cancelled when
    /// the handler returns.
    ///
    /// The handler itself needs no token, it is dropped. The token is for what the handler started
    /// elsewhere, which would go on otherwise: spawned tasks and blocking threads.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use trine_worker::{Context, Error};
    /// async fn count(limit: u64, ctx: Context) -> Result<u64, Error> {
    ///     let stopped = ctx.cancellation();
    ///     let counting = tokio::task::spawn_blocking(move || {
    ///         (0..limit).take_while(|_| !stopped.is_cancelled()).count() as u64
    ///     });
    ///     Ok(counting.await?)
    /// }
    /// ```
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.fields.stop.token()
    }

    /// W3C `traceparent` of the caller. Empty: none.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.fields.traceparent
    }

    /// W3C `tracestate` of the caller. Empty: none.
    #[must_use]
    pub fn tracestate(&self) -> &str {
        &self.fields.tracestate
    }

    /// JSON that the caller sent beside the payload, at most 3583 bytes (LS 1.1). Empty: none.
    #[must_use]
    pub fn client_context(&self) -> &Bytes {
        &self.fields.client_context
    }

    /// The function's memory setting, in MB. Nobody enforces it.
    #[must_use]
    pub fn memory_mb(&self) -> u32 {
        self.fields.memory_mb
    }

    /// Appends one line to the invocation's log, of which a caller who asked for it gets the last
    /// [`LOG_TAIL_BYTES_MAX`](crate::LOG_TAIL_BYTES_MAX) bytes. If nobody asked, nothing happens
    /// and the line is not formatted: use your own logging for what must be kept.
    pub fn log(&self, line: impl fmt::Display) {
        if let Some(log) = &self.fields.log {
            log.lock().unwrap_or_else(PoisonError::into_inner).line(line);
        }
    }

    /// Whether the caller asked for the log tail.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.fields.log.is_some()
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.fields.stop
    }

    /// Closes the log and gives its tail; empty if nobody asked for it.
    pub(crate) fn take_log(&self, end: LogEnd<'_>) -> Bytes {
        let Some(log) = &self.fields.log else { return Bytes::new() };
        let log = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        log.closed(
            &self.fields.request_id,
            self.fields.memory_mb,
            self.fields.received.elapsed(),
            end,
        )
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request_id", &self.fields.request_id)
            .field("function", &self.fields.function)
            .field("version", &self.fields.version)
            .field("attempt", &self.fields.attempt)
            .field("deadline", &self.fields.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_receipt() {
        let attempt = Attempt { timeout_ms: 3000, ..Attempt::default() };
        let context = Context::of(attempt, "f".into(), Instant::now());
        tokio::time::advance(Duration::from_millis(1000)).await;
        assert_eq!(context.remaining(), Duration::from_millis(2000));
        tokio::time::advance(Duration::from_millis(9000)).await;
        assert_eq!(context.remaining(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_log_is_kept_only_when_asked_for() {
        let silent = Context::of(Attempt::default(), "f".into(), Instant::now());
        assert_eq!(silent.invoked_function(), "f");
        silent.log("lost");
        assert!(!silent.logs() && silent.take_log(LogEnd::Success).is_empty());

        let attempt = Attempt { log_tail: true, ..Attempt::default() };
        let heard = Context::of(attempt, "f".into(), Instant::now());
        heard.log("kept");
        let tail = heard.take_log(LogEnd::Success);
        assert!(String::from_utf8(tail.to_vec()).unwrap().contains("\nkept\n"));
    }
}
