//! A key whose empty text means that there is none.

use serde::Deserialize;

/// A text that may be empty to mean "none"; TOML has no null.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String", bound = "T: From<String>")]
pub struct Optional<T>(pub Option<T>);

impl<T: From<String>> From<String> for Optional<T> {
    fn from(text: String) -> Self {
        Optional((!text.is_empty()).then(|| text.into()))
    }
}
