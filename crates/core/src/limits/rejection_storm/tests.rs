//! When a storm begins, whom it holds, and how it ends.

use super::*;

const LIMITS: RejectionStormLimits =
    RejectionStormLimits { calls_min: 10, ..RejectionStormLimits::for_tests() };
const CREATE: Operation = Operation::CreateAppointment;

/// A name, whose calls in turn, what is answered in turn, how far apart, and whose storm that makes.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a Reply], i64, Option<Option<&'a str>>);

/// The storms, and the calls that were made.
struct Desk {
    storms: RejectionStorms,
    now: Timestamp,
}

impl Desk {
    fn new() -> Self {
        Desk { storms: RejectionStorms::new(LIMITS), now: Timestamp(0) }
    }

    fn call(&mut self, practice: &str, operation: Operation, reply: &Reply) -> Vec<StormChange> {
        self.storms.is_sent(&practice.into(), operation, self.now);
        self.end(practice, operation, self.now, false, reply)
    }

    fn end(
        &mut self,
        practice: &str,
        operation: Operation,
        sent_at: Timestamp,
        was_in_storm: bool,
        reply: &Reply,
    ) -> Vec<StormChange> {
        let practice = &practice.into();
        self.storms.ended(CallEnded { practice, operation, sent_at, was_in_storm, reply }, self.now)
    }

    fn holds(&self, practice: &str, operation: Operation) -> bool {
        self.storms.holds(&practice.into(), operation, false, self.now)
    }

    fn pass_ms(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
    }
}

fn refused(rule: &str) -> Reply {
    Err(Fault::Refused { status: 422, fields: vec![rule.to_owned()] })
}

fn accepted() -> Reply {
    Ok(crate::healthflow::Answer::UpdateUnseen)
}

/// A storm of all practices.
fn in_storm() -> Desk {
    let mut desk = Desk::new();
    let begun: Vec<StormChange> = ["a", "b", "c"]
        .iter()
        .cycle()
        .take(10)
        .flat_map(|practice| desk.call(practice, CREATE, &refused("visit.reason: unknown")))
        .collect();
    let of = StormOf { practice: None, operation: CREATE };
    let rule = "visit.reason: unknown".into();
    assert_eq!(begun, [StormChange::Began { of, rule, calls: 10, refused: 10 }]);
    desk
}

/// Goal: one bad practice, a few refusals, many rules or old ones are no storm of all. Method: a table of calls and of whose storm
/// they make.
#[test]
fn a_storm_needs_most_of_the_last_calls_one_rule_and_several_practices() {
    let (x, y) = (refused("x: bad"), refused("y: bad"));
    let (ok, taken, failed) = (accepted(), Err(Fault::SlotTaken), Err(Fault::Forbidden));
    let one: [&str; 1] = ["a"];
    let three = ["a", "b", "c"];
    let table: [Row<'_>; 9] = [
        ("all by one rule", &three, &[&x], 1, Some(None)),
        ("most by one rule", &three, &[&x, &x, &x, &x, &ok], 1, Some(None)),
        ("not enough by one rule", &three, &[&x, &ok], 1, None),
        ("by two rules in turn", &three, &[&x, &y], 1, None),
        ("of one practice", &one, &[&x], 1, Some(Some("a"))),
        ("of two practices", &["a", "b"], &[&x], 1, Some(Some("a"))),
        ("every slot is taken", &three, &[&taken], 1, Some(None)),
        ("what is no refusal", &three, &[&failed], 1, None),
        ("too rarely", &three, &[&x], LIMITS.window_ms / 5, None),
    ];
    for (what, practices, replies, gap_ms, expected) in table {
        let mut desk = Desk::new();
        let mut begun = None;
        for (number, practice) in practices.iter().cycle().take(30).enumerate() {
            let changes = desk.call(practice, CREATE, replies[number / practices.len() % replies.len()]);
            desk.pass_ms(gap_ms);
            if let (None, Some(StormChange::Began { of, .. })) = (&begun, changes.first()) {
                begun = Some(of.practice.as_ref().map(|practice| practice.as_str().to_owned()));
            }
        }
        assert_eq!(begun, expected.map(|of| of.map(str::to_owned)), "{what}");
    }
}

/// Goal: a practice whose own data are bad stops nobody else. Method: it is refused while others are served.
#[test]
fn a_bad_practice_has_a_storm_of_its_own() {
    let mut desk = Desk::new();
    for number in 0..40 {
        desk.call("bad", CREATE, &refused("x: bad"));
        desk.call(&format!("good-{}", number % 3), CREATE, &accepted());
    }
    assert!(desk.holds("bad", CREATE) && !desk.holds("good-0", CREATE));
    assert!(desk.storms.is_refused_in_storm(&"bad".into(), CREATE));
    assert!(desk.storms.is_calm(&"good-0".into()));
}

#[test]
fn a_storm_holds_who_asks_the_same_and_who_was_put_aside_in_it() {
    let desk = in_storm();
    assert!(desk.holds("a", CREATE) && desk.holds("new", CREATE));
    assert!(!desk.holds("a", Operation::UpdateAppointment));
    assert!(desk.storms.holds(&"a".into(), Operation::SearchPatients, true, desk.now));
    let limits = RejectionStormLimits { calls_min: 0, ..LIMITS };
    let mut off = Desk { storms: RejectionStorms::new(limits), now: Timestamp(0) };
    assert!((0..99).all(|_| off.call("a", CREATE, &refused("x: bad")).is_empty()));
}

/// Goal: one booking a minute is tried, of another practice than the last ones if there is one. Method: ten minutes.
#[test]
fn one_a_minute_is_tried() {
    let mut desk = in_storm();
    let mut tried = Vec::new();
    for _ in 0..600 {
        desk.pass_ms(1_000);
        if let Some(practice) = ["a", "b", "c"].into_iter().find(|practice| !desk.holds(practice, CREATE)) {
            assert_eq!(desk.call(practice, CREATE, &refused("x: bad")), []);
            tried.push(practice);
        }
    }
    assert!((9..=10).contains(&tried.len()), "{tried:?}");
    assert_eq!(tried[..6], ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn one_that_was_sent_in_it_and_is_accepted_ends_it() {
    let mut desk = in_storm();
    let sent_at = desk.now.plus_ms(-1);
    assert_eq!(desk.end("b", CREATE, sent_at, false, &accepted()), [], "it went out before");
    desk.pass_ms(60_000);
    let due = desk.storms.take_due(desk.now);
    assert_eq!(due, [StormOf { practice: None, operation: CREATE }]);
    assert_eq!(desk.storms.take_due(desk.now), [], "one at a time");
    let over = desk.call("b", CREATE, &accepted());
    let of = StormOf { practice: None, operation: CREATE };
    assert_eq!(over, [StormChange::Over { of, lasted_ms: 60_000, is_accepted: true }]);
    assert!(desk.storms.is_calm(&"a".into()) && desk.storms.next_at().is_none());
    assert_eq!(desk.call("a", CREATE, &refused("x: bad")), [], "it is judged anew");
}

/// Goal: what is refused for very long is believed, until HealthFlow accepts one. Method: refusals for two days.
#[test]
fn a_storm_that_lasts_too_long_is_believed() {
    let mut desk = in_storm();
    desk.pass_ms(LIMITS.believed_after_ms);
    let over = desk.storms.believe(desk.now);
    assert!(matches!(over[..], [StormChange::Over { is_accepted: false, .. }]), "{over:?}");
    let again = |desk: &mut Desk| {
        let practices = ["a", "b", "c"].iter().cycle().take(30);
        practices.flat_map(|practice| desk.call(practice, CREATE, &refused("x: bad"))).count()
    };
    assert_eq!(again(&mut desk), 0);
    desk.call("a", CREATE, &accepted());
    assert!(again(&mut desk) > 0);
}

/// Goal: a worker that takes over in a storm does not begin to believe it. Method: the first refusal of one that was put aside in
/// it; and the same once HealthFlow has accepted others.
#[test]
fn a_new_owner_goes_on_with_the_storm() {
    let mut desk = Desk::new();
    let begun = desk.end("a", CREATE, desk.now, true, &refused("x: bad"));
    assert!(matches!(&begun[..], [StormChange::Began { of, .. }] if of.practice == Some("a".into())));
    let mut other = Desk::new();
    other.call("b", CREATE, &accepted());
    assert_eq!(other.end("a", CREATE, other.now, true, &refused("x: bad")), []);
}
