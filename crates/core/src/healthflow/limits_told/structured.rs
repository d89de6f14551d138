//! `RateLimit-Policy` and `RateLimit` as structured fields (draft-ietf-httpapi-ratelimit-headers-11, RFC 9651): lists of names
//! with parameters. Of the policies `q` is how many and `w` in how many seconds; of the state `r` is what is left and `t`
//! in how many seconds there is more.

use sfv::{BareItem, Item, List, ListEntry, Parser};

use super::{CALLS_MAX, PolicyTold, RESET_MAX_MS, WINDOW_MAX_S, name};
use crate::healthflow::wire::LimitHeaders;

/// Both fields, joined by name.
pub(super) fn policies(headers: &LimitHeaders) -> Vec<PolicyTold> {
    let mut told: Vec<PolicyTold> = Vec::new();
    for item in items(headers.policy.as_deref()) {
        let Some((name, calls)) = named(&item, "q") else { continue };
        let window_s = parameter(&item, "w").filter(|seconds| *seconds > 0);
        let known = entry(&mut told, name);
        known.calls = Some(calls.min(CALLS_MAX));
        known.window_s = window_s.map(|seconds| seconds.min(WINDOW_MAX_S));
    }
    for item in items(headers.state.as_deref()) {
        let Some((name, remaining)) = named(&item, "r") else { continue };
        let reset_ms = parameter(&item, "t").map(milliseconds);
        let known = entry(&mut told, name);
        known.remaining = Some(remaining.min(CALLS_MAX));
        known.reset_ms = reset_ms;
    }
    told
}

fn entry(told: &mut Vec<PolicyTold>, name: Box<str>) -> &mut PolicyTold {
    let at = told.iter().position(|known| known.name == name).unwrap_or(told.len());
    if at == told.len() {
        told.push(PolicyTold { name, ..PolicyTold::default() });
    }
    &mut told[at]
}

/// The items of a list; none if the field cannot be read, for then it says nothing (RFC 9651, 4.2).
fn items(field: Option<&str>) -> Vec<Item> {
    let list = field.and_then(|text| Parser::new(text).parse::<List>().ok()).unwrap_or_default();
    let item = |entry| if let ListEntry::Item(item) = entry { Some(item) } else { None };
    list.into_iter().filter_map(item).collect()
}

/// Its name and the parameter it must have; none if it counts something else than requests.
fn named(item: &Item, must_have: &str) -> Option<(Box<str>, u64)> {
    let text = text_of(&item.bare_item)?;
    let unit = item.params.get("qu").map_or(Some("requests"), text_of);
    (unit == Some("requests")).then_some((name(text), parameter(item, must_have)?))
}

fn text_of(item: &BareItem) -> Option<&str> {
    item.as_string().map(|text| text.as_str()).or_else(|| item.as_token().map(|token| token.as_str()))
}

/// A parameter that is a whole number and not negative.
fn parameter(item: &Item, key: &str) -> Option<u64> {
    u64::try_from(i64::from(item.params.get(key)?.as_integer()?)).ok()
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX).min(RESET_MAX_MS)
}
