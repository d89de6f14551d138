//! What proves who we are: a bearer token, or the password of a user. It comes from a file, is read again when the file
//! changes (so that rotating it needs no restart), and is never printed. While the file holds nothing usable the last good
//! one stays in use: a half-written file would stop the account.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderValue;

/// How the content of a file becomes the header `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// It is a bearer token (RFC 6750).
    Bearer,
    /// It is the password of this user (RFC 7617).
    Basic {
        /// The user's name, without a colon.
        user: String,
    },
}

/// Why a file holds no token or password; one line, without its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} file {} {flaw}", .file.display())]
pub struct CredentialsFault {
    /// What it should hold: a token or a password.
    pub what: &'static str,
    /// Its path.
    pub file: PathBuf,
    /// What is wrong with it.
    pub flaw: CredentialsFlaw,
}

/// What is wrong with a file; the end of a sentence, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsFlaw {
    /// The system refuses to read it.
    #[error("cannot be read ({0})")]
    Unreadable(std::io::ErrorKind),
    /// It is not UTF-8.
    #[error("is not UTF-8 text (an editor may write UTF-16)")]
    NotText,
    /// It has nothing but white space.
    #[error("is empty")]
    Empty,
    /// It has several words, or characters that no token has.
    #[error("does not hold exactly one token, a word of printable ASCII")]
    NotOneToken,
    /// It has several lines, or control characters.
    #[error("does not hold exactly one password, on one line")]
    NotOnePassword,
}

/// The `Authorization` header whose secret is in a file.
pub(crate) struct Credentials {
    path: PathBuf,
    scheme: Scheme,
    read: Mutex<Read>,
}

struct Read {
    stamp: Option<Stamp>,
    header: HeaderValue,
    is_stale: bool,
}

/// What a write of the file changes: its time and its length. Two writes may share the same time.
type Stamp = (SystemTime, u64);

impl Credentials {
    /// Reads the file for the first time.
    pub(crate) fn open(path: &Path, scheme: Scheme) -> Result<Self, CredentialsFault> {
        let stamp = stamp(path);
        let read = Read { stamp, header: read(path, &scheme)?, is_stale: false };
        Ok(Credentials { path: path.to_owned(), scheme, read: Mutex::new(read) })
    }

    /// The `Authorization` header's value.
    pub(crate) fn header(&self) -> HeaderValue {
        self.look(|known| known.header.clone())
    }

    /// Whether the file holds nothing usable any more, and the last good one is used.
    pub(super) fn is_stale(&self) -> bool {
        self.look(|known| known.is_stale)
    }

    fn look<T>(&self, at: impl FnOnce(&Read) -> T) -> T {
        let stamp = stamp(&self.path);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp != known.stamp {
            known.stamp = stamp;
            match read(&self.path, &self.scheme) {
                Ok(header) => {
                    *known = Read { stamp, header, is_stale: false };
                    tracing::info!("read the {} file {} again", self.scheme.secret(), self.path.display());
                }
                Err(why) => {
                    known.is_stale = true;
                    let secret = self.scheme.secret();
                    tracing::warn!("{why}; the last good {secret} stays in use; write a new one to the file");
                }
            }
        }
        at(&known)
    }
}

impl Scheme {
    /// What the file holds.
    const fn secret(&self) -> &'static str {
        match self {
            Scheme::Bearer => "token",
            Scheme::Basic { .. } => "password",
        }
    }

    /// The header's value, if `secret` can be one.
    fn header(&self, secret: &str) -> Result<HeaderValue, CredentialsFlaw> {
        let (value, flaw) = match self {
            Scheme::Bearer => {
                let is_one_word = secret.bytes().all(|byte| byte.is_ascii_graphic());
                (is_one_word.then(|| format!("Bearer {secret}")), CredentialsFlaw::NotOneToken)
            }
            Scheme::Basic { user } => {
                let both = || format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{secret}")));
                (is_one_line(secret).then(both), CredentialsFlaw::NotOnePassword)
            }
        };
        let mut header = value.and_then(|value| HeaderValue::try_from(value).ok()).ok_or(flaw)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Checks that the file at `path` holds a token.
pub fn check_token_file(path: &Path) -> Result<(), CredentialsFault> {
    read(path, &Scheme::Bearer).map(|_| ())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The password that the file at `path` holds, for who sends it in no header.
pub(crate) fn password(path: &Path) -> Result<String, CredentialsFault> {
    let one_line = |secret: String| is_one_line(&secret).then_some(secret);
    let read = secret(path).and_then(|secret| one_line(secret).ok_or(CredentialsFlaw::NotOnePassword));
    read.map_err(|flaw| CredentialsFault { what: "password", file: path.to_owned(), flaw })
}

fn read(path: &Path, scheme: &Scheme) -> Result<HeaderValue, CredentialsFault> {
    let header = secret(path).and_then(|secret| scheme.header(&secret));
    header.map_err(|flaw| CredentialsFault { what: scheme.secret(), file: path.to_owned(), flaw })
}

/// What the file holds, without white space around it.
fn secret(path: &Path) -> Result<String, CredentialsFlaw> {
    let bytes = std::fs::read(path).map_err(|error| CredentialsFlaw::Unreadable(error.kind()))?;
    let text = String::from_utf8(bytes).map_err(|_| CredentialsFlaw::NotText)?;
    // Some editors begin a file with a byte order mark.
    let secret = text.trim_start_matches('\u{feff}').trim();
    if secret.is_empty() { Err(CredentialsFlaw::Empty) } else { Ok(secret.to_owned()) }
}

fn is_one_line(secret: &str) -> bool {
    !secret.chars().any(char::is_control)
}
