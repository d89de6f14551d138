//! `healthflow-sync pause`, `resume` and `limit`: an operator's hand on the whole fleet. Each command writes one record to
//! `healthflow.controls`, which every worker reads.

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use tokio::task::block_in_place;

use crate::cli::output::{Format, Printer};
use crate::cli::{Connection, Options};
use crate::kafka::KafkaSettings;
use crate::kafka_admin::controls;
use crate::registry::Translator;
use healthflow_core::booking::{PracticeId, texts};
use healthflow_core::event::control::{ControlRecord, limited};
use healthflow_core::event::{Control, ControlId, ControlKind, Setting, key};
use healthflow_core::limits::controls::{Change, Signed};
use healthflow_core::time::Timestamp;

const NO_OUTPUT: &str = "cannot write to the output";

/// The arguments of `pause` and `resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Whom, and who says so.
    #[command(flatten)]
    pub whom: Whom,
}

/// Whom a control is for, and who answers for it.
#[derive(Clone, Debug, clap::Args)]
pub struct Whom {
    /// Of this practice only; otherwise of the whole account.
    #[arg(long, value_name = "PRACTICE_ID")]
    pub practice: Option<String>,
    /// Why, in few words, without anything about a patient: /status, metrics and logs show it.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Who says so; by default the user of this shell.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
}

/// What to do about limits.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Set a limit or a weight; what is not given stays as it is.
    Set {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: SetArguments,
    },
    /// Take limit and weight back.
    Clear {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Whose.
        #[command(flatten)]
        whom: Whom,
    },
    /// List everything that is set by hand, pauses too.
    List {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Which.
        #[command(flatten)]
        arguments: ListArguments,
    },
}

/// The arguments of `limit set`.
#[derive(Clone, Debug, clap::Args)]
pub struct SetArguments {
    /// So many calls a second at most, of the whole fleet; the tighter of this and the configuration counts.
    #[arg(long, value_name = "N", required_unless_present = "weight")]
    pub per_second: Option<f64>,
    /// How much of the rate the practice gets beside others that wait, 1 to 100; the usual is 1.
    #[arg(long, value_name = "W", requires = "practice")]
    pub weight: Option<u32>,
    /// Whom, and who says so.
    #[command(flatten)]
    pub whom: Whom,
}

/// The arguments of `limit list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArguments {
    /// Of this practice only.
    #[arg(long, value_name = "PRACTICE_ID")]
    pub practice: Option<String>,
}

impl Action {
    /// Where it takes its configuration from.
    pub fn options(&self) -> &Options {
        match self {
            Action::Set { options, .. } | Action::Clear { options, .. } | Action::List { options, .. } => {
                options
            }
        }
    }
}

/// Runs `pause`.
pub async fn pause(
    connection: &Connection,
    kafka: &KafkaSettings,
    arguments: &Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    change(connection, kafka, &arguments.whom, Change::Pause, now, out).await
}

/// Runs `resume`.
pub async fn resume(
    connection: &Connection,
    kafka: &KafkaSettings,
    arguments: &Arguments,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    change(connection, kafka, &arguments.whom, Change::Resume, now, out).await
}

/// Runs `limit`.
pub async fn limit(
    connection: &Connection,
    kafka: &KafkaSettings,
    action: &Action,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    match action {
        Action::Set { arguments: SetArguments { per_second, weight, whom }, .. } => {
            let id = ControlId {
                kind: ControlKind::Limit,
                practice: whom.practice.as_deref().map(PracticeId::from),
            };
            limited(&id, *per_second, *weight).map_err(|broken| anyhow!("{broken}; nothing was written"))?;
            let set = Change::SetLimit { per_second: *per_second, weight: *weight };
            change(connection, kafka, whom, set, now, out).await
        }
        Action::Clear { whom, .. } => change(connection, kafka, whom, Change::ClearLimit, now, out).await,
        Action::List { arguments, .. } => list(connection, kafka, arguments, out).await,
    }
}

async fn change(
    connection: &Connection,
    kafka: &KafkaSettings,
    whom: &Whom,
    change: Change,
    now: Timestamp,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let (practice, signed) = whom.checked(now)?;
    let translator = Translator::connect(connection.registry.clone(), &kafka.group_id).await?;
    let written = block_in_place(|| controls::change(kafka, &translator, practice, change, signed))?;
    let Some(control) = written else {
        bail!("there is nothing to take back; `healthflow-sync limit list` shows what is set");
    };
    let done = if control.setting.is_some() { "is set" } else { "is taken back" };
    let (id, version) = (key::control(&control.id), control.version);
    let text = format!("{id} {done}, version {version}; every worker obeys within 2 s");
    out.item(text, &serde_json::to_value(ControlRecord::from(&control))?).context(NO_OUTPUT)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(
    connection: &Connection,
    kafka: &KafkaSettings,
    arguments: &ListArguments,
    out: &mut Printer<'_>,
) -> anyhow::Result<ExitCode> {
    let translator = Translator::connect(connection.registry.clone(), &kafka.group_id).await?;
    let controls = block_in_place(|| controls::read(kafka, &translator))?;
    let of = arguments.practice.as_deref().map(PracticeId::from);
    let wanted = controls.in_force().filter(|control| of.is_none() || control.id.practice == of);
    let mut is_empty = true;
    for control in wanted {
        is_empty = false;
        out.item(line(control), &serde_json::to_value(ControlRecord::from(control))?).context(NO_OUTPUT)?;
    }
    if is_empty && out.format() == Format::Text {
        out.line("nothing is set by hand").context(NO_OUTPUT)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One control for people.
fn line(control: &Control) -> String {
    let Control { id, version, setting, by, why, at } = control;
    let what = match setting {
        Some(Setting::Limited { per_second, weight }) => {
            let rate = per_second.map(|rate| format!("{rate} a second"));
            let weight = weight.map(|weight| format!("weight {weight}"));
            [rate, weight].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        Some(Setting::Paused) => "nothing is sent".to_owned(),
        None => "taken back".to_owned(),
    };
    format!("{}: {what}; by {by} at {at} (version {version}): {why}", key::control(id))
}

/// Who runs this command: whom the caller names, else the user of this shell.
///
/// # Errors
/// Neither is known.
pub(super) fn whoever(named: Option<&str>) -> anyhow::Result<String> {
    let user = || ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.map(str::to_owned).or_else(user).context("nobody says so; name yourself with --by")
}

impl Whom {
    /// The practice, and the signature with the caller's name if none is given.
    fn checked(&self, now: Timestamp) -> anyhow::Result<(Option<PracticeId>, Signed)> {
        let by = whoever(self.by.as_deref())?;
        for (field, text) in [("by", &by), ("why", &self.why)] {
            let checked = texts::EVENT_ID.named(field).check(text);
            checked.map_err(|broken| anyhow!("{broken}; nothing was written"))?;
        }
        if let Some(practice) = &self.practice {
            texts::PRACTICE_ID.check(practice).map_err(|broken| anyhow!("{broken}; nothing was written"))?;
        }
        let signed = Signed { by: by.into(), why: self.why.as_str().into(), at: now };
        Ok((self.practice.as_deref().map(PracticeId::from), signed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn refuses(line: &[&str]) -> bool {
        Cli::try_parse_from(["x"].iter().chain(line)).is_err()
    }

    #[test]
    fn nothing_is_set_without_a_reason_or_without_a_value() {
        assert!(refuses(&["pause"]) && refuses(&["resume", "--practice", "p"]));
        assert!(refuses(&["limit", "set", "--why", "x"]));
        assert!(refuses(&["limit", "set", "--weight", "2", "--why", "x"]), "the account has no weight");
        let line = ["x", "limit", "set", "--practice", "p", "--weight", "2", "--why", "x", "--set", "a.b=c"];
        let cli = Cli::try_parse_from(line).expect("it is complete");
        assert_eq!(cli.command.settings().expect("it has some").set, ["a.b=c"]);
        assert!(matches!(cli.command, Command::Limit { .. }));
    }

    #[test]
    fn a_line_says_what_is_set_by_whom_and_why() {
        let id = ControlId { kind: ControlKind::Limit, practice: Some("p-1".into()) };
        let limited = Setting::Limited { per_second: Some(2.5), weight: Some(3) };
        let control = Control {
            id,
            version: 4,
            setting: Some(limited),
            by: "ops-2".into(),
            why: "import".into(),
            at: Timestamp(1_767_600_000_000),
        };
        let expected = "limit/practice/p-1: 2.5 a second, weight 3; by ops-2 at 2026-01-05T08:00:00Z (version 4): import";
        assert_eq!(line(&control), expected);
    }

    #[test]
    fn a_name_is_needed_that_stands_in_one_line() {
        let whom = |by: &str| Whom { practice: None, why: "x".into(), by: Some(by.to_owned()) };
        assert!(whom("ops-2").checked(Timestamp(0)).is_ok());
        let refused = whom("a\nb").checked(Timestamp(0)).expect_err("two lines").to_string();
        assert!(refused.ends_with("nothing was written"), "{refused}");
    }
}
