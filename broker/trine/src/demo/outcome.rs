//! What came of the demo: all facts and figures, and whether every promise was kept.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::demo::fact::Fact;
use crate::demo::figures::Figure;
use crate::demo::stage::Stage;
use crate::duration;
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};

#[derive(Debug, Serialize)]
pub(crate) struct DemoView {
    broker: String,
    data_dir: PathBuf,
    kept: bool,
    elapsed_ms: u64,
    facts: Vec<Fact>,
    figures: Vec<Figure>,
}

impl DemoView {
    pub(crate) fn new(
        stage: &Stage,
        facts: Vec<Fact>,
        figures: Vec<Figure>,
        elapsed: Duration,
    ) -> Self {
        let kept = facts.iter().all(|fact| fact.kept) && figures.iter().all(|figure| figure.kept);
        let elapsed_ms = duration::millis(elapsed);
        let (broker, data_dir) = (stage.url().to_owned(), stage.dir().to_owned());
        Self { broker, data_dir, kept, elapsed_ms, facts, figures }
    }

    /// Whether every promise was.
    pub(crate) const fn kept(&self) -> bool {
        self.kept
    }
}

impl View for DemoView {
    fn text(&self, paint: Paint) -> String {
        let mut facts = Table::new(&["", "WHAT HAPPENED", "PROMISED", "SEEN"]);
        for fact in &self.facts {
            facts.row([
                verdict(fact.kept),
                fact.what.as_str().into(),
                fact.promised.as_str().into(),
                fact.seen.as_str().into(),
            ]);
        }
        let mut figures = Table::new(&["", "PROVED BY /metrics", ">PROMISED", ">SEEN", "SERIES"]);
        for figure in &self.figures {
            figures.row([
                verdict(figure.kept),
                figure.proves.into(),
                figure.promised.to_string().into(),
                figure.seen.map_or_else(|| "none".to_owned(), |seen| seen.to_string()).into(),
                Cell::new(&figure.series, Tone::Quiet),
            ]);
        }
        let broken = self.facts.iter().filter(|fact| !fact.kept).count()
            + self.figures.iter().filter(|figure| !figure.kept).count();
        let all = self.facts.len() + self.figures.len();
        let took = duration::rough(Duration::from_millis(self.elapsed_ms));
        let verdict = if self.kept {
            paint.tone(Tone::Good, &format!("All {all} promises kept, in {took}."))
        } else {
            paint.tone(Tone::Bad, &format!("{broken} of {all} promises broken, in {took}."))
        };
        format!("\n{}\n\n{}\n\n{verdict}", facts.text(paint), figures.text(paint))
    }
}

fn verdict(kept: bool) -> Cell {
    if kept { Cell::new("ok", Tone::Good) } else { Cell::new("BROKEN", Tone::Bad) }
}
