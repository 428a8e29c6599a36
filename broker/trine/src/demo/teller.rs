//! Tells people what happens while it happens. Programs get the outcome only.

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug)]
pub(crate) struct Teller {
    output: Output,
}

impl Teller {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output }
    }

    /// The headline of an act.
    pub(crate) fn headline(&self, text: &str) -> Result<(), Failure> {
        let paint = self.output.stdout_paint();
        self.say(&format!("\n{}", paint.strong(text)))
    }

    /// One thing that happened.
    pub(crate) fn step(&self, text: &str) -> Result<(), Failure> {
        self.say(&format!("  {text}"))
    }

    /// What people may skip.
    pub(crate) fn aside(&self, text: &str) -> Result<(), Failure> {
        let paint = self.output.stdout_paint();
        self.say(&format!("  {}", paint.quiet(text)))
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.output.is_json() { Ok(()) } else { self.output.line(text) }
    }
}
