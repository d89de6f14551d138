//! A fingerprint of the person for whom a creation was sent. It is stored in `patients.state`, so its fields and their
//! spelling never change: another value for the same description would take a person for somebody else. The comparison of
//! people may change, in [`name`](super::name) and [`decide`](super::decide); this must not.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::booking::Patient;

/// 64 bits of SHA-256 over names, date of birth and postal code: whether two records describe a person alike.
pub fn fingerprint(patient: &Patient) -> i64 {
    let parts = [
        name(patient.given_name.reveal()),
        name(patient.family_name.reveal()),
        patient.date_of_birth.reveal().to_string(),
        postal_code(patient.postal_code.reveal()),
    ];
    let mut hasher = Sha256::new();
    for part in &parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    i64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

fn name(text: &str) -> String {
    let mut plain = String::new();
    let is_kept = |c: &char| !is_combining_mark(*c) && !matches!(c, '\'' | '’' | '‘' | '`' | '´' | 'ʼ');
    for c in text.nfkd().filter(is_kept).flat_map(char::to_lowercase) {
        match c {
            'ß' => plain.push_str("ss"),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            'đ' | 'ð' => plain.push('d'),
            'þ' => plain.push_str("th"),
            'ı' => plain.push('i'),
            _ => plain.push(c),
        }
    }
    let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn postal_code(text: &str) -> String {
    let code: String = text.chars().flat_map(char::to_uppercase).filter(|c| c.is_alphanumeric()).collect();
    let is_zip_plus_4 = code.len() == 9 && code.bytes().all(|b| b.is_ascii_digit());
    if is_zip_plus_4 { code[..5].to_owned() } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::Sex;

    fn patient(given_name: &str, family_name: &str, date_of_birth: &str, postal_code: &str) -> Patient {
        Patient {
            id: "dent-1".into(),
            healthflow_patient_id: None,
            given_name: given_name.into(),
            family_name: family_name.into(),
            date_of_birth: date_of_birth.parse::<jiff::civil::Date>().expect("a date").into(),
            postal_code: postal_code.into(),
            phone: None,
            email: None,
            sex: None,
        }
    }

    /// Goal: stored values stay comparable for ever. Method: values that the first version computed.
    #[test]
    fn fingerprints_are_what_they_always_were() {
        let rows = [
            ("Anna", "O’Brien-Smith", "1990-04-12", "60601-1234", -6872300240897446920),
            (" JOSÉ  María ", "Núñez", "1961-09-30", "sw1a 1aa", -5453766984807657802),
            ("Zoë", "Strauß", "2004-02-29", "", -8009027217686031556),
            ("Søren", "Østergård", "1950-01-01", "2100", 7856473630763511118),
            ("Ánh", "Đặng", "1999-12-31", "95112", -7139102885098230945),
            ("Νίκος", "ΠΑΠΑΔΌΠΟΥΛΟΣ", "1970-06-15", "10434", -6769444706906550939),
            ("Фёдор", "Андрей", "1980-03-08", "101000", 1084028480975699138),
            (
                "م\u{64f}ح\u{64e}م\u{64e}\u{651}د",
                "علی\u{200c}رضا",
                "1985-07-21",
                "11564",
                -956773298997295163,
            ),
            ("או\u{5bc}ר\u{5b4}י", "כהן", "2010-05-05", "91000", 8842095422275359723),
            ("रोमा", "शर\u{94d}मा", "2015-08-15", "110001", -3791563033155594546),
            ("だいき", "ﾔﾏﾀ\u{ff9e}", "2012-11-03", "６０６０１", 7257270889446556752),
            ("สมชาย", "ใจด\u{e35}", "1977-04-13", "10110", -3979786192395657202),
            ("민준", "王小明", "1966-10-10", "123456789", 6120473360564418150),
        ];
        for (given, family, born, code, expected) in rows {
            assert_eq!(fingerprint(&patient(given, family, born, code)), expected, "{given} {family}");
        }
    }

    #[test]
    fn a_fingerprint_covers_names_birthday_and_postal_code_only() {
        let ada = patient("Ada", "Lovelace", "1990-12-10", "60601");
        let same = Patient {
            id: "dent-2".into(),
            healthflow_patient_id: Some("hf-1".into()),
            phone: Some("1".into()),
            email: Some("a@example.org".into()),
            sex: Some(Sex::Female),
            ..ada.clone()
        };
        assert_eq!(fingerprint(&ada), fingerprint(&same));
        for other in [
            patient("Ida", "Lovelace", "1990-12-10", "60601"),
            patient("Ada", "Lovelock", "1990-12-10", "60601"),
            patient("Ada", "Lovelace", "1990-12-11", "60601"),
            patient("Ada", "Lovelace", "1990-12-10", "60602"),
        ] {
            assert_ne!(fingerprint(&ada), fingerprint(&other));
        }
    }
}
