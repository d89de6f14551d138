//! `demo bench`.

pub mod bare_loop;

use std::process::ExitCode;

/// What `bench` understands.
#[derive(clap::Args)]
pub struct Arguments {}

pub async fn run(_arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there")
}
