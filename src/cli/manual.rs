//! `healthflow-sync completions` and `healthflow-sync man`: both are made of the definitions that the command line is parsed
//! by, so they cannot lag behind.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

const NO_OUTPUT: &str = "cannot write to the output";

/// Prints the completions for `shell`.
///
/// # Errors
/// The output cannot be written.
pub fn completions(shell: Shell, out: &mut impl std::io::Write) -> anyhow::Result<ExitCode> {
    // The generator panics if its output is closed.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "healthflow-sync", &mut text);
    out.write_all(&text).context(NO_OUTPUT)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page of the program, or writes it and one for each command to `folder`.
///
/// # Errors
/// The output or the folder cannot be written.
pub fn man(folder: Option<&Path>, out: &mut impl std::io::Write) -> anyhow::Result<ExitCode> {
    match folder {
        None => clap_mangen::Man::new(Cli::command()).render(out).context(NO_OUTPUT)?,
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder)
            .with_context(|| format!("cannot write the pages to {}", folder.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>) -> anyhow::Result<ExitCode>) -> String {
        let mut out = Vec::new();
        print(&mut out).expect("it is written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn completions_know_every_command_and_its_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = printed(|out| completions(shell, out));
            for word in ["redrive", "accept-topics", "dry-run", "output"] {
                assert!(text.contains(word), "{shell} does not know {word}");
            }
        }
    }

    #[test]
    fn there_is_a_page_for_the_program_and_one_for_each_command() {
        let page = printed(|out| man(None, out));
        assert!(page.contains(".TH") && page.contains("healthflow\\-sync\\-redrive(1)"), "{page}");
        let folder = tempfile::tempdir().expect("a folder");
        printed(|out| man(Some(folder.path()), out));
        for name in ["healthflow-sync.1", "healthflow-sync-tail.1", "healthflow-sync-review-decide.1"] {
            let page = std::fs::read_to_string(folder.path().join(name)).expect(name);
            assert!(page.contains("\\-\\-set") || name == "healthflow-sync.1", "{page}");
        }
    }
}
