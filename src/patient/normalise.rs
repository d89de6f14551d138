//! Names and postal codes in one spelling, so that `O'BRIEN ` and `O’Brien` are the same name.

use unicode_normalization::UnicodeNormalization;

/// A name for comparison: NFKD without marks, lower case, letters and digits only, words joined by one space.
pub fn name(text: &str) -> String {
    words(text).join(" ")
}

/// A postal code for comparison: letters and digits only, upper case; of a US ZIP+4 the first five digits.
pub fn postal_code(text: &str) -> String {
    let code: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect();
    let is_zip_plus_4 = code.len() == 9 && code.bytes().all(|b| b.is_ascii_digit());
    if is_zip_plus_4 { code[..5].to_owned() } else { code }
}

fn words(text: &str) -> Vec<String> {
    let plain: String = text
        .nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c) && !is_apostrophe(*c))
        .flat_map(char::to_lowercase)
        .collect();
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | '`' | '´' | 'ʼ')
}
