//! Postal codes in one spelling, so that `60601-1234` and `60601` are the same.

use unicode_normalization::UnicodeNormalization;

use crate::patient::placeholder::is_no_postal_code;

/// A postal code for comparison: NFKC, letters and digits only, upper case; of a US ZIP+4 the first five digits. Empty if
/// it is a placeholder.
pub fn postal_code(text: &str) -> String {
    let kept = text.nfkc().flat_map(char::to_uppercase).filter(|c| c.is_alphanumeric());
    // Once more: what is left of it may be in another order than the standard's.
    let code: String = kept.nfkc().collect();
    let is_zip_plus_4 = code.len() == 9 && code.bytes().all(|b| b.is_ascii_digit());
    if is_no_postal_code(&code) {
        String::new()
    } else if is_zip_plus_4 {
        code[..5].to_owned()
    } else {
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_zip_plus_4_is_its_zip_and_other_codes_keep_everything() {
        assert_eq!(postal_code("60601-1234"), "60601");
        assert_eq!(postal_code(" 60601 "), "60601");
        assert_eq!(postal_code("６０６０１"), "60601");
        assert_eq!(postal_code("sw1a 1aa"), "SW1A1AA");
        assert_eq!(postal_code("\u{1e008}\u{fe72}"), "\u{64c}\u{1e008}");
        assert_eq!(postal_code("123456789X"), "123456789X");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC{0,20}") {
            prop_assert_eq!(postal_code(&postal_code(&text)), postal_code(&text));
        }
    }
}
