//! Promise 6: no window of a limit sees more calls than it allows, whoever sends them.

/// The first window that sees more than `most` of `calls`, which are in order: when it begins, and how many it sees. Fixed windows
/// begin at multiples of their length; else any stretch of that length is one. Windows that are exempt, by begin and end, are
/// left out. Times are milliseconds since 1970.
pub fn overfull(
    calls: &[i64],
    (window_ms, is_fixed): (i64, bool),
    most: usize,
    is_exempt: impl Fn(i64, i64) -> bool,
) -> Option<(i64, usize)> {
    // A window that sees too many also does if it begins with a call.
    calls.iter().enumerate().find_map(|(index, at)| {
        let begin = if is_fixed { at.div_euclid(window_ms) * window_ms } else { *at };
        let end = begin + window_ms;
        let within = calls[index..].partition_point(|at| *at < end);
        (within > most && !is_exempt(begin, end)).then_some((begin, within))
    })
}
