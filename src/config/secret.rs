//! Secrets come only from files: a value in a flag or in the environment is in every process list and crash report.

use std::path::Path;

use super::ConfigError;

/// librdkafka's properties in the file at `path`: one `name=value` a line; empty lines and lines that begin with `#` are
/// skipped.
///
/// # Errors
/// The file cannot be read or holds nothing, or a line is not a property. The error names path and line number, never the content.
pub fn properties(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let kind = error.kind();
        ConfigError(format!(
            "`kafka.properties_file` names {shown}, which cannot be read ({kind}); correct the path or its rights"
        ))
    })?;
    // Some editors begin a file with a byte order mark, which would become part of the first name.
    let lines =
        text.trim_start_matches('\u{feff}').lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let properties = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let properties: Vec<(String, String)> = properties
        .map(|(number, line)| match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(ConfigError(format!("line {number} of {shown} is not name=value; correct it"))),
        })
        .collect::<Result<_, _>>()?;
    // Without its TLS and its password every client would try to go on in the clear.
    if properties.is_empty() {
        let what = "which holds no property; write them into it, or set the key to the empty text";
        return Err(ConfigError(format!("`kafka.properties_file` names {shown}, {what}")));
    }
    Ok(properties)
}
