//! Which key a mistyped one stands for. A wrong name is refused anyway; with the right one beside it, mending it takes a
//! moment.

use super::layers::ENVIRONMENT_PREFIX;

/// How alike a key and a mistyped one are at least (1: the same).
const KEY_LIKENESS_MIN: f64 = 0.84;
/// How alike a key and the rest of a variable's name are at least.
const VARIABLE_LIKENESS_MIN: f64 = 0.93;
/// What Kubernetes sets for each service; one may have our name.
const OF_A_SERVICE: [&str; 3] = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];

/// The name of `known` that `key` is most like; none if it is like none of them. A key without its section is like the
/// key that ends in it.
pub(super) fn nearest<'known>(key: &str, known: impl Iterator<Item = &'known str>) -> Option<&'known str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        let whole = strsim::jaro_winkler(key, known);
        let end = strsim::jaro_winkler(&last(key), &last(known));
        // The whole decides between two keys that end alike.
        if key.contains('.') { whole } else { whole.max(end) }
    };
    best(known, likeness, KEY_LIKENESS_MIN)
}

/// The key for which the variable `name` is meant, if that can be told although its name is not spelled as ours are; none
/// if the variable is spelled right, or belongs to something else.
pub(super) fn meant_by<'known>(name: &str, known: impl Iterator<Item = &'known str>) -> Option<&'known str> {
    let is_of_a_service = |sign: &&str| name.ends_with(*sign) || name.contains(&format!("{sign}_"));
    if name.starts_with(ENVIRONMENT_PREFIX) || OF_A_SERVICE.iter().any(is_of_a_service) {
        return None;
    }
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let (name, prefix) = (letters(name), letters(ENVIRONMENT_PREFIX));
    let rest = name.strip_prefix(&prefix)?;
    let likeness = |known: &str| {
        let is_end = ends(known).any(|end| letters(end) == rest);
        if is_end { 1.0 } else { strsim::jaro_winkler(rest, &letters(known)) }
    };
    best(known, likeness, VARIABLE_LIKENESS_MIN)
}

/// The whole key, and what people call it for short: without words of its section (`registry.url`), or without all of it.
fn ends(key: &str) -> impl Iterator<Item = &str> {
    let section = key.find('.').unwrap_or_default();
    let starts = key.match_indices(['_', '.']).map(|(at, _)| at).take_while(move |at| *at <= section);
    std::iter::once(key).chain(starts.map(|at| &key[at + 1..]))
}

/// How the environment spells `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn best<'known>(
    known: impl Iterator<Item = &'known str>,
    likeness: impl Fn(&str) -> f64,
    least: f64,
) -> Option<&'known str> {
    let rated = known.map(|name| (likeness(name), name)).filter(|(rate, _)| *rate >= least);
    rated.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}
