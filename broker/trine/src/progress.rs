//! Progress on a terminal: a bar where the end is known, a running count where it is not.
//!
//! It draws on stderr, only if people look at it, and leaves nothing behind.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Something that takes a while.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// With a known end, in steps.
    pub(crate) fn bar(output: &Output, steps: u64) -> Self {
        Self::new(output, "{bar:30} {percent:>3}%  {msg}", || ProgressBar::new(steps))
    }

    /// Without one.
    pub(crate) fn count(output: &Output) -> Self {
        Self::new(output, "{spinner} {msg}", ProgressBar::new_spinner)
    }

    fn new(output: &Output, template: &str, bar: impl FnOnce() -> ProgressBar) -> Self {
        if !output.shows_progress() {
            return Self { bar: ProgressBar::hidden() };
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("##-");
        let bar = bar().with_style(style);
        bar.enable_steady_tick(REDRAW_INTERVAL);
        Self { bar }
    }

    pub(crate) fn at(&self, step: u64, message: String) {
        self.bar.set_position(step);
        self.bar.set_message(message);
    }

    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
