//! What tests and the lab share: the real programs as child processes, and waiting for a condition.

use std::path::{Path, PathBuf};

pub mod certificates;
pub mod processes;
pub mod stack;
pub mod wait;

/// A file of the project, by its path from the project's folder.
pub fn project(path: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).join(path)
}

/// Where tests leave what they need while they run: `tmp` beside the folder of the profile, as Cargo has it.
pub fn scratch() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let target = this.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(std::env::temp_dir, |target| target.join("tmp"))
}
