//! HealthFlow's bearer token. It comes from a file, is read again when the file changes (so that rotating it needs no
//! restart), and is never printed. While the file holds no token the last good one stays in use: a half-written file would
//! stop the account.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::HeaderValue;

/// Why a file holds no token; one line, without its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The system refuses to read it.
    #[error("the token file {} cannot be read ({kind})", .file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// It is not UTF-8.
    #[error("the token file {} is not UTF-8 text (an editor may write UTF-16)", .file.display())]
    NotText {
        /// Its path.
        file: PathBuf,
    },
    /// It has nothing but white space.
    #[error("the token file {} is empty", .file.display())]
    Empty {
        /// Its path.
        file: PathBuf,
    },
    /// It has several words, or characters that no token has.
    #[error("the token file {} does not hold exactly one token, a word of printable ASCII", .file.display())]
    NotOneToken {
        /// Its path.
        file: PathBuf,
    },
}

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

/// What a write of the file changes: its time and its length. Two writes may share the same time.
type Stamp = (SystemTime, u64);

impl TokenFile {
    /// Reads the token for the first time.
    pub(super) fn open(path: &Path) -> Result<Self, TokenFault> {
        let stamp = stamp(path);
        let read = Read { stamp, header: read(path)?, is_stale: false };
        Ok(TokenFile { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The `Authorization` header's value.
    pub(super) fn header(&self) -> HeaderValue {
        self.look(|known| known.header.clone())
    }

    /// Whether the file holds no token any more, and the last good one is used.
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
                    tracing::info!("read the token file {} again", self.path.display());
                }
                Err(why) => {
                    known.is_stale = true;
                    tracing::warn!("{why}; the last good token stays in use; write a new one to the file");
                }
            }
        }
        at(&known)
    }
}

/// Checks that the file at `path` holds a token.
pub fn check(path: &Path) -> Result<(), TokenFault> {
    read(path).map(|_| ())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<HeaderValue, TokenFault> {
    let file = || path.to_owned();
    let bytes =
        std::fs::read(path).map_err(|error| TokenFault::Unreadable { file: file(), kind: error.kind() })?;
    let text = String::from_utf8(bytes).map_err(|_| TokenFault::NotText { file: file() })?;
    // Some editors begin a file with a byte order mark.
    let token = text.trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        return Err(TokenFault::Empty { file: file() });
    }
    let is_one_word = token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_one_word);
    let mut header = header.ok_or_else(|| TokenFault::NotOneToken { file: file() })?;
    header.set_sensitive(true);
    Ok(header)
}
