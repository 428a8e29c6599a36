//! Panics of handlers: caught, and turned into function errors that say where they happened.
//!
//! It does not know what it calls.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::error::{Error, PANIC};

/// Lines of a backtrace that are reported, at most.
const BACKTRACE_LINES_MAX: usize = 64;

thread_local! {
    /// Where the last panic of this thread happened. A panic hook is the only place that is told
    /// the location; what `catch_unwind` hands back is the message alone.
    static LAST_PANIC: Cell<Option<Vec<String>>> = const { Cell::new(None) };
}

/// Adds the hook that notes locations, once a process. The hook that was there before is still
/// called: a panic of a handler appears on standard error as ever.
pub(crate) fn note_locations() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LAST_PANIC.set(Some(trace(info)));
            before(info);
        }));
    });
}

/// Calls `work`; its panic becomes an error.
///
/// Unwind safety is asserted: what a handler leaves half changed is shared with nothing of ours, and
/// its future is never polled again. State that handlers share among themselves is theirs to keep
/// whole, as in every server that outlives a panic.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let trace = LAST_PANIC.take().unwrap_or_default();
        Error::new(PANIC, message(payload.as_ref())).with_stack_trace(trace)
    })
}

fn trace(info: &PanicHookInfo<'_>) -> Vec<String> {
    let mut lines: Vec<String> = info.location().map(ToString::to_string).into_iter().collect();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let text = backtrace.to_string();
        lines.extend(text.lines().take(BACKTRACE_LINES_MAX).map(|line| line.trim().to_owned()));
    }
    lines
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the handler panicked with a value that is not a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_message_and_place() {
        note_locations();
        let line = line!() + 1;
        let error = caught(|| panic!("no {}", "tea")).unwrap_err();
        assert_eq!((error.error_type(), error.message()), (PANIC, "no tea"));
        let place = format!("{}:{line}:", file!());
        assert!(error.stack_trace()[0].starts_with(&place), "{:?}", error.stack_trace());
    }

    #[test]
    fn a_panic_without_a_text_is_still_an_error() {
        let error = caught(|| std::panic::panic_any(7_u8)).unwrap_err();
        assert!(error.message().contains("not a text"));
    }

    #[test]
    fn what_does_not_panic_is_handed_through() {
        assert_eq!(caught(|| 7).unwrap(), 7);
    }
}
