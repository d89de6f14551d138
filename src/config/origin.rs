//! Where the value of a key comes from. Without it an error names a key, and the reader searches four places for it.

use std::fmt;

/// The layer that set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, compiled in.
    Defaults,
    /// The file of `--config`, by its path.
    File(String),
    /// A variable of the environment, by its name.
    Environment(String),
    /// `--set`.
    CommandLine,
}

impl Origin {
    /// The layer's name, as `config show --output json` prints it.
    pub fn layer(&self) -> &'static str {
        match self {
            Origin::Defaults => "default",
            Origin::File(_) => "file",
            Origin::Environment(_) => "environment",
            Origin::CommandLine => "command line",
        }
    }
}

/// As errors name it: "`key` from ...".
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Defaults => f.write_str("the defaults"),
            Origin::File(path) => f.write_str(path),
            Origin::Environment(name) => write!(f, "the environment ({name})"),
            Origin::CommandLine => f.write_str("--set"),
        }
    }
}
