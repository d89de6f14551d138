//! The plan must hold what it promises: a workload without its spoiled records would prove nothing.

use healthflow_core::time::DAY_MS;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use spoiled::SingledOut;

const NOW: Timestamp = Timestamp(1_767_614_400_000);

fn settings(bookings: usize, seed: u64) -> Settings {
    Settings {
        practices: 20,
        bookings,
        duration_ms: 12_000,
        first_visit_at: NOW.plus_ms(7 * DAY_MS),
        desk: Desk::Orderly,
        seed,
    }
}

fn planned(bookings: usize, seed: u64) -> Workload {
    let settings = settings(bookings, seed);
    plan(&settings, &spoiled::spread(Poison::ALL.len(), 2, settings.duration_ms))
}

fn text(workload: &Workload) -> Vec<String> {
    workload
        .publications
        .iter()
        .map(|one| format!("{} {} {:?}", one.at_ms, one.event.event_id, one.expected))
        .collect()
}

fn is_review(one: &Publication) -> bool {
    matches!(one.expected, Expected::Review(_))
}

#[test]
fn the_same_seed_plans_the_same_morning() {
    let plans: Vec<_> = [7, 7, 8].map(|seed| text(&planned(200, seed))).into();
    assert_eq!(plans[0], plans[1]);
    assert_ne!(plans[0], plans[2]);
}

#[test]
fn every_kind_of_sequence_and_patient_is_in_it() {
    for seed in 0..20 {
        // Ten of a thousand are of the rarest kind.
        let workload = planned(1_000, seed);
        let all = &workload.publications;
        let has = |what: &str, test: &dyn Fn(&Publication) -> bool| {
            assert!(all.iter().any(test), "seed {seed}: no {what}");
        };
        has("known patient", &|one| matches!(one.scenario, Scenario::Known(_)));
        has("patient to be found", &|one| matches!(one.scenario, Scenario::Found(_)));
        has("new patient", &|one| one.scenario == Scenario::New && one.expected == Expected::Synced);
        has("review", &|one| is_review(one) && one.scenario == Scenario::Ambiguous);
        has("upstream duplicate", &|one| one.expected == Expected::Nothing);
        has("third version", &|one| one.event.version == 3);
        has("cancellation before create", &|one| {
            one.event.version == 1 && one.event.status == RequestedStatus::Cancelled
        });
        let of_them = all.iter().filter(|one| SingledOut::is_one(&one.event)).count();
        assert_eq!(of_them, 2, "seed {seed}: one is forbidden, one never answered, and no other");
        for poison in Poison::ALL {
            has("poison", &|one| one.expected == Expected::Poisoned(poison));
        }
        assert!(all.is_sorted_by_key(|one| one.at_ms));
        let backwards = all.iter().any(|one| {
            let newer = |other: &&Publication| other.booking() == one.booking();
            all.iter()
                .take_while(|other| other.at_ms < one.at_ms)
                .filter(newer)
                .any(|other| other.event.version > one.event.version)
        });
        assert!(backwards, "seed {seed}: no version goes back");
    }
}

#[test]
fn each_version_is_asked_for_once_and_a_repetition_is_the_same_event() {
    let workload = planned(1_000, 3);
    let mut first: HashMap<(BookingKey, i64), &Publication> = HashMap::new();
    for one in &workload.publications {
        let name = (one.booking(), one.event.version);
        if one.expected == Expected::Nothing {
            let before = first.get(&name).expect("it was published before");
            assert_eq!(before.event, one.event);
            assert_eq!(before.key, one.key);
        } else {
            assert!(first.insert(name, one).is_none(), "asked for twice");
        }
    }
    let bookings: HashSet<BookingKey> = workload
        .publications
        .iter()
        .filter(|one| !matches!(one.expected, Expected::Poisoned(_)))
        .map(Publication::booking)
        .collect();
    assert_eq!(bookings.len(), 1_000 + 2);
}

#[test]
fn whatever_is_not_poisoned_could_be_true() {
    for mut one in planned(1_000, 4).publications {
        one.event.requested_at = NOW;
        if let Expected::Poisoned(poison) = one.expected {
            poison.spoil_event(&mut one.event);
        }
        let is_possible = one.event.into_booking(NOW).is_ok();
        let is_spoilt = matches!(one.expected, Expected::Poisoned(poison) if matches!(poison.reason(), "IMPOSSIBLE" | "TOO_LARGE"));
        assert_eq!(is_possible, !is_spoilt);
    }
}

/// Goal: only who is meant to is ambiguous. Method: within a practice no two people share a birthday or a postal code.
#[test]
fn no_one_resembles_another_by_accident() {
    let workload = plan(&Settings { practices: 200, ..settings(5_000, 5) }, &[]);
    let mut people: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    for one in &workload.publications {
        let patient = &one.event.patient;
        let name = (one.event.practice_id.to_string(), patient.patient_id.reveal().to_string());
        people.insert(name, (patient.date_of_birth.reveal().clone(), patient.postal_code.reveal().clone()));
    }
    let births: HashSet<_> = people.iter().map(|((practice, _), (born, _))| (practice, born)).collect();
    let codes: HashSet<_> = people.iter().map(|((practice, _), (_, code))| (practice, code)).collect();
    assert_eq!((births.len(), codes.len()), (people.len(), people.len()));
}

/// Goal: each way to end a review is shown, and only a review's booking gets a newer version for that. Method: the demo's
/// smallest morning and its usual one.
#[test]
fn the_front_desk_ends_every_review_and_each_in_its_way() {
    use desk::Ending::{Cancelled, Linked, Named, New, Rejected};
    for (bookings, reviews, newer) in [(300, 5, 2), (5_000, 10, 7)] {
        let workload = plan(&settings(bookings, 1), &[]);
        let endings: Vec<desk::Ending> = workload
            .publications
            .iter()
            .filter_map(|one| if let Expected::Review(ending) = one.expected { Some(ending) } else { None })
            .collect();
        assert_eq!((endings.len(), workload.newer.len()), (reviews, newer), "{endings:?}");
        assert!(matches!(endings[..5], [Linked(_), New, Rejected, Named(_), Cancelled]), "{endings:?}");
        for one in &workload.newer {
            let asked = workload.publications.iter().find(|asked| asked.booking() == one.booking());
            let asked = asked.expect("its booking is in review");
            assert!(is_review(asked) && one.event.version == asked.event.version + 1, "{one:?}");
        }
        let same = plan(&Settings { desk: Desk::Absent, ..settings(bookings, 1) }, &[]);
        let events = |of: &Workload| of.publications.iter().map(|one| one.event.clone()).collect::<Vec<_>>();
        assert_eq!(events(&same), events(&workload), "whoever decides, the same morning");
        assert!(same.newer.is_empty() && same.charts == workload.charts);
    }
}

/// Goal: a short torture has each ending, and links either candidate. Method: its fewest reviews, under several seeds.
#[test]
fn chance_leaves_no_ending_out() {
    use desk::Ending::{Cancelled, Linked, Named, New, Rejected};
    let mut seconds = HashSet::new();
    for seed in 0..20 {
        let workload = plan(&Settings { desk: Desk::Random, ..settings(300, seed) }, &[]);
        let endings: Vec<desk::Ending> = workload
            .publications
            .iter()
            .filter_map(|one| if let Expected::Review(ending) = one.expected { Some(ending) } else { None })
            .collect();
        let [Linked(chart), New, Rejected, Named(_), Cancelled] = endings[..] else { panic!("{endings:?}") };
        // The first review is of somebody whom HealthFlow has twice.
        seconds.insert(chart > 0 && workload.charts[chart - 1] == workload.charts[chart]);
    }
    assert_eq!(seconds.len(), 2, "now the first candidate, now the second");
}

#[test]
fn a_few_practices_have_most_bookings() {
    let (zipf, mut random) = (Zipf::new(200), Random::new(1));
    let mut drawn = [0_u32; 200];
    (0..10_000).for_each(|_| drawn[zipf.draw(&mut random)] += 1);
    // 1/H(200) is 0.170.
    assert!((1_500..1_900).contains(&drawn[0]), "{}", drawn[0]);
    assert!(drawn[0] > drawn[1] && drawn[1] > drawn[9] && drawn[9] > drawn[99]);
}
