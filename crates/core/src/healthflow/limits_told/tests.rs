//! What is told, in each dialect; and that nothing that a header says does harm.

use proptest::prelude::*;

use super::*;

/// 2026-11-24T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_521_600_000);

fn told(headers: LimitHeaders) -> Vec<PolicyTold> {
    policies(&headers, NOW)
}

fn structured(policy: &str, state: &str) -> Vec<PolicyTold> {
    let (policy, state) = (Some(policy.to_owned()), Some(state.to_owned()));
    told(LimitHeaders { policy, state, ..LimitHeaders::default() })
}

fn one(name: &str, (calls, window_s): (u64, u64), (remaining, reset_ms): (u64, i64)) -> PolicyTold {
    PolicyTold {
        name: name.into(),
        calls: Some(calls),
        window_s: Some(window_s),
        remaining: Some(remaining),
        reset_ms: Some(reset_ms),
    }
}

#[test]
fn structured_fields_are_joined_by_name() {
    let seen = structured(
        r#""default";q=100;w=10, "daily";q=1000;w=86400;pk=:cHJhY3RpY2U=:"#,
        r#""daily";r=600;t=7200, "default";r=0;t=3"#,
    );
    assert_eq!(
        seen,
        [one("default", (100, 10), (0, 3_000)), one("daily", (1_000, 86_400), (600, 7_200_000))]
    );
}

#[test]
fn other_units_and_incomplete_items_are_left_out() {
    let seen = structured(
        r#""bytes";q=65535;w=10;qu="content-bytes", "calls";q=5;w=1;qu=requests, "none";w=1, ("in" "ner");q=1, 7;q=1"#,
        r#""calls";r=4;t=1, "half";t=3, "minus";r=-1;t=1"#,
    );
    assert_eq!(seen, [one("calls", (5, 1), (4, 1_000))]);
}

#[test]
fn what_is_malformed_says_nothing() {
    for field in [
        "",
        "limit",
        r#""a;q=1"#,
        r#""a";q=1.5"#,
        r#""a";q=1,,"b";q=1"#,
        "\u{e4};q=1",
        "a;q=99999999999999999",
    ] {
        assert_eq!(structured(field, ""), [], "{field}");
    }
    let known = structured(r#""a";q=1;w=1"#, r#""a";r=x y"#);
    assert_eq!(known, [PolicyTold { remaining: None, reset_ms: None, ..one("a", (1, 1), (0, 0)) }]);
}

#[test]
fn a_reset_is_understood_in_every_spelling() {
    let cases = [
        ("30", Some(30_000)),
        (" 1.5 ", Some(1_500)),
        ("0", Some(0)),
        ("1795521630", Some(30_000)),
        ("1795521630000", Some(30_000)),
        ("2026-11-24T12:00:30Z", Some(30_000)),
        ("2026-11-24T13:00:30.000+01:00", Some(30_000)),
        ("Tue, 24 Nov 2026 12:00:30 GMT", Some(30_000)),
        ("2026-11-24T11:00:00Z", Some(0)),
        ("2036-11-24T12:00:00Z", Some(RESET_MAX_MS)),
        ("1e30", Some(RESET_MAX_MS)),
        ("-5", None),
        ("inf", None),
        ("NaN", None),
        ("tomorrow", None),
        ("", None),
    ];
    for (text, reset_ms) in cases {
        let headers = LimitHeaders {
            limit: Some("100, 100;w=60".into()),
            remaining: Some("7".into()),
            reset: Some(text.into()),
            ..LimitHeaders::default()
        };
        let wanted = PolicyTold { window_s: None, reset_ms, ..one("x-ratelimit", (100, 0), (7, 0)) };
        assert_eq!(told(headers), [wanted], "{text}");
    }
}

/// Goal: a worker whose clock is wrong does not wait for as long as that. Method: an answer that carries HealthFlow's own time.
#[test]
fn a_time_is_by_healthflows_clock() {
    let headers = LimitHeaders {
        remaining: Some("0".into()),
        reset: Some("1795521630".into()),
        date: Some("Tue, 24 Nov 2026 12:00:20 GMT".into()),
        ..LimitHeaders::default()
    };
    let seen = policies(&headers, Timestamp(0));
    assert_eq!(seen[0].reset_ms, Some(10_000));
}

#[test]
fn structured_fields_win_over_the_others() {
    let headers = LimitHeaders {
        state: Some(r#""a";r=3;t=1"#.into()),
        remaining: Some("9".into()),
        ..LimitHeaders::default()
    };
    assert_eq!(told(headers).len(), 1);
}

#[test]
fn the_longest_wait_counts_of_what_is_used_up() {
    let seen = structured("", r#""a";r=0;t=3, "b";r=0;t=9, "c";r=1;t=60, "d";r=0"#);
    assert_eq!(LimitsTold { policies: seen, asks_to_wait: false }.wait_ms(), Some(9_000));
}

proptest! {
    /// Goal: whatever a header says, it is bounded and harmless. Method: texts near to and far from what is meant.
    #[test]
    fn whatever_is_told_is_bounded(
        policy in r#"("[a-zé"\\]{0,80}"|[a-z]{1,9})(;(q|w|qu|pk)=?("?[-0-9a-z.]{0,22}"?))*(, ?.{0,30})?|.{0,60}"#,
        state in r#"("[a-z]{0,9}"|[a-z]{1,9})(;(r|t)=-?[0-9]{0,20})*(, ?"[a-z]";r=0;t=[0-9]{1,15}){0,12}|.{0,60}"#,
        limit in "[-+0-9a-z;, .]{0,25}|.{0,20}",
        remaining in "[0-9]{0,25}|.{0,20}",
        reset in "[-+]?[0-9]{0,30}(\\.[0-9]{0,5})?(e[0-9]{1,4})?|[-0-9T:Z+.]{0,40}|.{0,30}",
        now in any::<i64>(),
    ) {
        let headers = LimitHeaders {
            policy: Some(policy),
            state: Some(state),
            limit: Some(limit),
            remaining: Some(remaining),
            reset: Some(reset),
            date: None,
        };
        let seen = policies(&headers, Timestamp(now));
        prop_assert!(seen.len() <= POLICIES_MAX);
        for policy in &seen {
            prop_assert!(policy.name.len() <= NAME_BYTES_MAX && policy.name.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(policy.reset_ms.is_none_or(|ms| (0..=RESET_MAX_MS).contains(&ms)));
            prop_assert!(policy.window_s.is_none_or(|s| (1..=WINDOW_MAX_S).contains(&s)));
            prop_assert!(policy.calls.max(policy.remaining).is_none_or(|calls| calls <= CALLS_MAX));
        }
        let wait_ms = LimitsTold { policies: seen, asks_to_wait: false }.wait_ms();
        prop_assert!(wait_ms.is_none_or(|ms| (1..=RESET_MAX_MS).contains(&ms)));
    }
}
