//! Colour: five tones and no more.
//!
//! It knows escape sequences; what deserves which tone is decided where the text is made.

use anstyle::{AnsiColor, Style};

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Colors,
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Headings and names.
    Strong,
    /// What may be skipped.
    Quiet,
    Good,
    /// Not wrong, but look at it.
    Attention,
    Bad,
}

impl Paint {
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        let style = match (self, tone) {
            (Self::Plain, _) | (Self::Colors, Tone::Plain) => return text.to_owned(),
            (Self::Colors, Tone::Strong) => Style::new().bold(),
            (Self::Colors, Tone::Quiet) => Style::new().dimmed(),
            (Self::Colors, Tone::Good) => AnsiColor::Green.on_default(),
            (Self::Colors, Tone::Attention) => AnsiColor::Yellow.on_default(),
            (Self::Colors, Tone::Bad) => AnsiColor::Red.on_default().bold(),
        };
        format!("{style}{text}{style:#}")
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.tone(Tone::Strong, text)
    }

    pub(crate) fn quiet(self, text: &str) -> String {
        self.tone(Tone::Quiet, text)
    }

    pub(crate) fn attention(self, text: &str) -> String {
        self.tone(Tone::Attention, text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.tone(Tone::Bad, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_escapes() {
        for tone in [Tone::Plain, Tone::Strong, Tone::Quiet, Tone::Good, Tone::Bad] {
            assert_eq!(Paint::Plain.tone(tone, "text"), "text");
        }
        assert_eq!(Paint::Colors.bad("x"), "\u{1b}[1m\u{1b}[31mx\u{1b}[0m");
    }
}
