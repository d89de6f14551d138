//! HealthFlow's bearer token. It comes from a file, is read again when the file changes (so that a rotated secret needs
//! no restart), and is never printed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::HeaderValue;

/// The token in a file.
pub(super) struct TokenFile {
    path: PathBuf,
    read: Mutex<Read>,
}

struct Read {
    changed_at: Option<SystemTime>,
    header: HeaderValue,
}

impl TokenFile {
    /// Reads the token for the first time.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let read = read(path)?;
        Ok(TokenFile { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The `Authorization` header's value. One that cannot be read now stays what it was.
    pub(super) fn header(&self) -> HeaderValue {
        let changed_at = changed_at(&self.path);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if changed_at.is_some() && changed_at != known.changed_at {
            match read(&self.path) {
                Ok(new) => *known = new,
                Err(why) => {
                    tracing::warn!("{why}; the token read before is used");
                    known.changed_at = changed_at;
                }
            }
        }
        known.header.clone()
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> Result<Read, String> {
    let changed_at = changed_at(path);
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the token file {} cannot be read: {error}", path.display()))?;
    let mut header = HeaderValue::try_from(format!("Bearer {}", text.trim()))
        .map_err(|_| format!("the token file {} holds more than one line of plain text", path.display()))?;
    header.set_sensitive(true);
    Ok(Read { changed_at, header })
}
