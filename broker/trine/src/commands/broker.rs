//! `trine broker`: what a running broker says of itself, and its virtual time.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use trine_proto::v1;
use trine_proto::v1::advance_time_request::Amount;

use crate::commands::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::View;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, Table};
use crate::{duration, instant};

#[derive(Debug, Subcommand)]
pub(crate) enum BrokerCommand {
    /// Version, clock, store, and the configuration in force with its origins.
    Show,
    /// Move virtual time forward; the broker must have been started with --virtual-time.
    Advance(AdvanceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AdvanceArguments {
    /// By how much: 500ms, 3s, 5m, 1h.
    #[arg(value_parser = duration::parse, required_unless_present = "to_next_timer")]
    by: Option<Duration>,
    /// To the next timer that is set, for example a retry.
    #[arg(long, conflicts_with = "by")]
    to_next_timer: bool,
}

pub(crate) async fn run(context: &Context, command: BrokerCommand) -> Result<Exit, Failure> {
    let connection = context.connect().await?;
    match command {
        BrokerCommand::Show => {
            let answer = connection.admin().get_broker(v1::GetBrokerRequest {}).await;
            let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
            context.output.show(&BrokerView::from(answer))?;
        }
        BrokerCommand::Advance(arguments) => {
            let amount = match arguments.by {
                Some(by) => Amount::ByMs(duration::millis(by)),
                None => Amount::ToNextTimer(arguments.to_next_timer),
            };
            let request = v1::AdvanceTimeRequest { amount: Some(amount) };
            let answer = connection.admin().advance_time(request).await;
            let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
            context
                .output
                .show(&AdvancedView { now_ms: answer.now_ms, timers_fired: answer.timers_fired })?;
        }
    }
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct BrokerView {
    version: String,
    now_ms: i64,
    virtual_time: bool,
    store: String,
    workers: u32,
    next_timer_ms: Option<i64>,
    configuration: Vec<SettingView>,
}

#[derive(Debug, Serialize)]
struct SettingView {
    name: String,
    value: String,
    origin: String,
}

impl From<v1::GetBrokerResponse> for BrokerView {
    fn from(answer: v1::GetBrokerResponse) -> Self {
        let setting = |value: v1::ConfigurationValue| SettingView {
            name: value.name,
            value: value.value,
            origin: value.origin,
        };
        Self {
            version: answer.version,
            now_ms: answer.now_ms,
            virtual_time: answer.virtual_time,
            store: answer.store,
            workers: answer.workers,
            next_timer_ms: answer.next_timer_ms,
            configuration: answer.configuration.into_iter().map(setting).collect(),
        }
    }
}

impl View for BrokerView {
    fn text(&self, paint: Paint) -> String {
        let mut head = Table::pairs();
        let kind = if self.virtual_time { "virtual" } else { "of the machine" };
        head.pair("version", self.version.as_str());
        head.pair("clock", format!("{} ({kind})", instant::show(self.now_ms)));
        head.pair("next timer", self.next_timer_ms.map(instant::show).unwrap_or_default());
        head.pair("store", self.store.as_str());
        head.pair("workers", self.workers.to_string());
        if self.configuration.is_empty() {
            return head.text(paint);
        }
        let mut settings = Table::new(&["SETTING", "VALUE", "FROM"]);
        for setting in &self.configuration {
            let tone = if setting.origin == "default" { Tone::Quiet } else { Tone::Plain };
            settings.row([
                setting.name.as_str().into(),
                if setting.value.is_empty() { "-".into() } else { setting.value.as_str().into() },
                Cell::new(&setting.origin, tone),
            ]);
        }
        format!("{}\n\n{}", head.text(paint), settings.text(paint))
    }
}

#[derive(Debug, Serialize)]
struct AdvancedView {
    now_ms: i64,
    timers_fired: u64,
}

impl View for AdvancedView {
    fn text(&self, paint: Paint) -> String {
        let mut table = Table::pairs();
        table.pair("clock", instant::show(self.now_ms));
        table.pair("timers fired", self.timers_fired.to_string());
        table.text(paint)
    }
}
