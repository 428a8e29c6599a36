//! `trine serve --print-config`.

use serde::Serialize;

use crate::config::{Origin, Setting};
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};

/// Every value in force and where it came from.
#[derive(Debug, Serialize)]
pub(crate) struct SettingsView<'a> {
    pub(crate) configuration: &'a [Setting],
}

impl View for SettingsView<'_> {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::new(&["SETTING", "VALUE", "FROM", "PLACE"]);
        for setting in self.configuration {
            let tone = if setting.origin == Origin::Default { Tone::Quiet } else { Tone::Plain };
            table.row([
                setting.name.as_str().into(),
                setting.value.as_str().into(),
                Cell::new(setting.origin.name(), tone),
                setting.place.as_str().into(),
            ]);
        }
        table.text(paint)
    }
}
