//! `healthflow-sync config show`: every key with its value, where that comes from, and what it means. Its text is a
//! configuration file.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::cli::Options;
use crate::cli::output::{Format, Printer};
use crate::config::{Entry, Layers, Origin};

/// What to do with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Print every key with its value, its origin and its comment; secrets are masked.
    Show {
        /// Its configuration.
        #[command(flatten)]
        options: Options,
        /// Print the defaults, whatever file, environment and flags say.
        #[arg(long)]
        defaults: bool,
    },
}

impl Action {
    /// Its configuration, and the form of its results.
    pub fn options(&self) -> &Options {
        match self {
            Action::Show { options, .. } => options,
        }
    }
}

/// Runs it.
///
/// # Errors
/// A key or a value is wrong, or the output cannot be written.
pub fn run(action: &Action, out: &mut Printer<'_>) -> anyhow::Result<ExitCode> {
    let Action::Show { options, defaults } = action;
    let settings = &options.settings;
    let layers =
        if *defaults { Layers::new()? } else { Layers::read(settings.config.as_deref(), &settings.set)? };
    // What a worker would refuse is refused here.
    layers.clone().into_config()?;
    let mut section = "";
    for entry in &layers.entries() {
        let (of, name) = entry.key.split_once('.').unwrap_or(("", &entry.key));
        if out.format() == Format::Text && of != section {
            let is_first = section.is_empty();
            out.line(if is_first { format!("[{of}]") } else { format!("\n[{of}]") })?;
            section = of;
        }
        out.item(text(entry, name), &object(entry))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A key as in a configuration file: comment, value, and its origin unless that is the defaults.
fn text(Entry { value, origin, comment, .. }: &Entry, name: &str) -> String {
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    match origin {
        Origin::Defaults => format!("{comment}{name} = {value}"),
        _ => format!("{comment}{name} = {value} # from {origin}"),
    }
}

fn object(Entry { key, value, origin, comment }: &Entry) -> serde_json::Value {
    let from = (*origin != Origin::Defaults).then(|| origin.to_string());
    json!({"key": key, "value": value, "origin": origin.layer(), "from": from, "comment": comment})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Settings;

    fn shown(format: Format, defaults: bool, set: &[&str]) -> anyhow::Result<String> {
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        let options = Options { settings: Settings { config: None, set }, output: format };
        let mut out = Vec::new();
        run(&Action::Show { options, defaults }, &mut Printer::new(&mut out, format))?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn what_is_shown_is_a_configuration_file_that_means_the_same() {
        let text = shown(Format::Text, false, &["worker.lease_ms=7000"]).unwrap();
        assert!(text.contains("\nlease_ms = 7000 # from --set\n"), "{text}");
        assert!(text.contains("# How long a task may write to HealthFlow"), "{text}");
        let again = Layers::new().unwrap().with_toml(&text, "what was shown").unwrap();
        assert_eq!(again.into_config().unwrap().worker.lease_ms, 7000);
        let defaults = shown(Format::Text, true, &["worker.lease_ms=7000"]).unwrap();
        assert!(defaults.contains("\nlease_ms = 5000\n"), "{defaults}");
    }

    #[test]
    fn programs_get_an_object_a_key() {
        let lines = shown(Format::Json, false, &["worker.lease_ms=7000"]).unwrap();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let lease = lines.iter().find(|line| line["key"] == "worker.lease_ms").unwrap();
        assert_eq!((&lease["value"], &lease["origin"]), (&json!(7000), &json!("command line")));
        assert!(
            shown(Format::Json, false, &["worker.lease_ms=0"]).is_err(),
            "what a worker refuses is refused"
        );
    }
}
