//! Secrets, which come from files only: a value in a flag or in the environment is in every process list and crash
//! report.

use std::path::Path;

use super::ConfigError;
use crate::private::Private;

/// The first line of the file at `path`, for `key`. Errors name the key and the path, never what the file holds.
pub fn read(key: &str, path: &Path) -> Result<Private<String>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let (path, kind) = (path.display(), error.kind());
        ConfigError(format!(
            "`{key}` names {path}, which cannot be read ({kind}); correct the path or its rights"
        ))
    })?;
    let line = text.lines().next().unwrap_or_default().trim();
    let is_printable = !line.is_empty() && line.chars().all(|c| c.is_ascii_graphic());
    if !is_printable {
        let path = path.display();
        return Err(ConfigError(format!(
            "`{key}` names {path}, which holds no secret in plain ASCII on its first line"
        )));
    }
    Ok(line.to_owned().into())
}
