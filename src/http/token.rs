//! HealthFlow's bearer token. It comes from a file, is read again when the file changes (so that a rotated secret needs
//! no restart), and is never printed. A file that holds no token leaves the one that was read before in use: without that, a
//! secret that is half written stops the account.

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
    stamp: Option<Stamp>,
    header: HeaderValue,
    is_stale: bool,
}

/// What changes when somebody writes the file: when, and how long it is. The moment alone may be the same for two writes.
type Stamp = (SystemTime, u64);

impl TokenFile {
    /// Reads the token for the first time.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let stamp = stamp(path);
        let read = Read { stamp, header: read(path)?, is_stale: false };
        Ok(TokenFile { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The `Authorization` header's value.
    pub(super) fn header(&self) -> HeaderValue {
        self.look(|known| known.header.clone())
    }

    /// Whether the file holds no token any more, and an older one is used.
    pub(super) fn is_stale(&self) -> bool {
        self.look(|known| known.is_stale)
    }

    fn look<T>(&self, at: impl FnOnce(&Read) -> T) -> T {
        let stamp = stamp(&self.path);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp != known.stamp {
            known.stamp = stamp;
            match read(&self.path) {
                Ok(header) => {
                    *known = Read { stamp, header, is_stale: false };
                    tracing::info!("the token file {} was read again", self.path.display());
                }
                Err(why) => {
                    known.is_stale = true;
                    tracing::warn!("{why}; the token that was read before stays in use, put a new one there");
                }
            }
        }
        at(&known)
    }
}

/// Whether the file at `path` holds a token; what is wrong with it if not, in one line without what it holds.
pub fn check(path: &Path) -> Result<(), String> {
    read(path).map(|_| ())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| format!("the token file {shown} cannot be read ({})", error.kind()))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the token file {shown} is not UTF-8 text (an editor may write UTF-16)"))?;
    // Some editors begin a file with a byte order mark.
    let token = text.trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        return Err(format!("the token file {shown} is empty"));
    }
    let is_one_word = token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_one_word);
    let mut header = header.ok_or_else(|| {
        format!("the token file {shown} holds something else than one token, a word of printable ASCII")
    })?;
    header.set_sensitive(true);
    Ok(header)
}
