//! Names and codes as HealthFlow compares them. Its own spelling rules, not our client's.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::shapes::PatientBody;

/// Letters and digits without marks, in lower case, and nothing else.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    }
    text.nfkd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A postal code: folded, a US ZIP+4 cut to its first five digits.
pub(super) fn folded_code(text: &str) -> String {
    let mut code = folded(text);
    if code.len() == 9 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        code.truncate(5);
    }
    code
}

/// A name with all its marks, in lower case: a name that differs by a mark may be somebody else's.
fn spelled(text: &str) -> String {
    let letters = text.nfkc().filter(|c| c.is_alphanumeric() || is_combining_mark(*c));
    letters.flat_map(char::to_lowercase).collect()
}

/// Who this is, in one text: equal for two charts of one person.
pub(super) fn identity(body: &PatientBody) -> String {
    let names = (spelled(&body.given_name), spelled(&body.family_name));
    format!(
        "{}\0{}\0{}\0{}\0{}",
        body.practice_id,
        names.0,
        names.1,
        body.date_of_birth,
        folded_code(&body.postal_code)
    )
}
