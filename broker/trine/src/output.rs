//! What is printed and how: for people or as JSON, with colour or without, stdout for results
//! and stderr for everything about them.
//!
//! It knows streams and formats; what is shown knows its own text and its own JSON ([`View`]).

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use crate::paint::Paint;

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people: aligned, without frames, the same in a terminal and in a log.
    Human,
    /// One JSON value a line.
    Json,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// In a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    Always,
    Never,
}

/// Something that can be shown: its JSON is its `Serialize`, its text is here.
pub(crate) trait View: Serialize {
    /// Lines for people, without the last newline.
    fn text(&self, paint: Paint) -> String;
}

/// Where a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    stdout: Paint,
    stderr: Paint,
}

impl Output {
    pub(crate) fn new(format: Format, color: Color) -> Self {
        let paint = |terminal: bool| match color {
            Color::Always => Paint::Colors,
            Color::Never => Paint::Plain,
            Color::Auto if terminal && colors_wanted() => Paint::Colors,
            Color::Auto => Paint::Plain,
        };
        Self {
            format,
            stdout: paint(std::io::stdout().is_terminal()),
            stderr: paint(std::io::stderr().is_terminal()),
        }
    }

    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    pub(crate) const fn stdout_paint(&self) -> Paint {
        self.stdout
    }

    pub(crate) const fn stderr_paint(&self) -> Paint {
        self.stderr
    }

    /// Whether progress may be drawn: people look at stderr.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.is_json() && std::io::stderr().is_terminal()
    }

    /// The result of a command, on stdout.
    pub(crate) fn show(&self, view: &impl View) -> Result<(), Failure> {
        match self.format {
            Format::Human => self.line(&view.text(self.stdout)),
            Format::Json => self.json(view),
        }
    }

    /// One line of JSON on stdout.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(std::io::Error::from)?;
        self.line(&line)
    }

    /// One line, or some, on stdout. A closed pipe is an error like any other: `println!` would
    /// panic on it.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// A remark for people, on stderr. With `--output json` everything that matters is in the
    /// JSON already, so nothing is printed. Nobody is told if stderr is closed.
    pub(crate) fn remark(&self, text: &str) {
        if !self.is_json() {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A remark that asks for attention.
    pub(crate) fn warning(&self, text: &str) {
        self.remark(&format!("{} {text}", self.stderr.attention("warning:")));
    }
}

/// The convention of no-color.org, and terminals that cannot.
fn colors_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !set("NO_COLOR") && !dumb
}
