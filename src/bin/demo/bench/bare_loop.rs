//! .
#[derive(clap::Args)]
pub struct Arguments {}

pub async fn run(_arguments: &Arguments) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("not there")
}
