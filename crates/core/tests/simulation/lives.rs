//! What DentScheduler publishes in one life, and the truth about it: who is who, and what every version asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use healthflow_core::booking::{
    Booking, BookingKey, BookingStatus, Patient, PatientId, PracticeId, Sex, Source, Version, VersionKey,
    Visit,
};
use healthflow_core::event::{Arrival, Identity, Unusable};
use healthflow_core::sync::FailureReason;
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_simulator::answer::PatientBody;

use crate::deadly;
use crate::placeholders;
use crate::plan::{BEGIN_MS, Plan};
use crate::returns;
use healthflow_proof::random::Random;

const GIVEN: [&str; 10] = ["Ada", "Bea", "Cleo", "Dora", "Emil", "Finn", "Gus", "Hugo", "Ines", "Jon"];
const FAMILY: [&str; 10] =
    ["Kant", "Lund", "Mohr", "Nash", "Olsen", "Pratt", "Quist", "Rowe", "Stone", "Thorn"];

/// Given names of twins that only a mark tells apart; of the last ones only the sex.
const TWINS: [(&str, &str); 6] = [
    ("たいき", "だいき"),
    ("राम", "रोमा"),
    ("Anh", "Ánh"),
    ("Begona", "Begoña"),
    ("אוֹרִי", "אוּרִי"),
    ("Kim", "Kim"),
];

/// One life.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// What is published, by time; `at` is never before the one before it.
    pub records: Vec<Publication>,
    /// Charts that stand in HealthFlow before it begins, and whose they are.
    pub seeded: Vec<(PatientBody, Human)>,
    /// Who is meant by a patient id and a family name: ids are reused for others.
    humans: BTreeMap<(PracticeId, PatientId, String), Human>,
    /// Every valid version, as it is asked for first.
    pub wanted: BTreeMap<VersionKey, Arc<Booking>>,
    pub next_human: Human,
}

/// A real person; ids and charts are only names for one.
pub type Human = usize;

#[derive(Clone, Debug)]
pub struct Publication {
    pub at: i64,
    /// Where it belongs.
    pub partition: i32,
    /// Where it is published, if a publisher has a partitioner of its own.
    pub strays_to: Option<i32>,
    pub arrival: Arrival,
}

/// Somebody as DentScheduler sends them.
#[derive(Clone, Debug)]
pub struct Person {
    pub practice: PracticeId,
    pub patient: Patient,
    pub human: Human,
}

impl Lives {
    /// Who is meant by a patient id under which somebody of this family name comes.
    pub fn human(&self, practice: &str, patient: &str, family_name: &str) -> Option<Human> {
        self.humans.get(&(practice.into(), patient.into(), family_name.to_owned())).copied()
    }

    /// Who is meant by a booking.
    pub fn human_of(&self, Booking { key, patient, .. }: &Booking) -> Option<Human> {
        self.human(key.practice.as_str(), patient.id.as_str(), patient.family_name.reveal())
    }

    /// Everybody who is meant by the patient id of a booking.
    pub fn humans_of(&self, Booking { key, patient, .. }: &Booking) -> BTreeSet<Human> {
        let is_one = |(at, id, _): &(_, _, _)| *at == key.practice && *id == patient.id;
        self.humans.iter().filter(|(known, _)| is_one(known)).map(|(_, human)| *human).collect()
    }

    /// Makes sure that somebody is meant by this patient id and family name.
    pub fn introduce(&mut self, practice: &PracticeId, patient: &PatientId, family_name: &str) {
        let known = (practice.clone(), patient.clone(), family_name.to_owned());
        if !self.humans.contains_key(&known) {
            self.next_human += 1;
            self.humans.insert(known, self.next_human);
        }
    }
}

/// The text by which a checker knows again what was asked for.
pub fn tag(booking: &Booking) -> &str {
    booking.visit.note.as_ref().map_or("", |note| note.reveal())
}

/// Draws a life.
pub fn draw(plan: &Plan) -> Lives {
    let mut random = Random::new(plan.seed.wrapping_mul(104_729) + 1);
    let mut lives = Lives::default();
    let practices = random.between(1, 4);
    for number in 0..practices {
        let practice = PracticeId::from(format!("pr-{number}"));
        let partition = (number as i32) % plan.partitions;
        if plan.legal_days {
            crate::desk::publish_days(&practice, partition, plan, &mut lives, &mut random);
            continue;
        }
        let people = people(&practice, plan.crowded, &mut lives, &mut random);
        let bursts: Vec<i64> = (0..plan.bursts).map(|_| plan.any_moment(&mut random)).collect();
        let publish = if plan.returns { returns::versions } else { versions };
        let bookings = random.between(3, 26);
        for index in 0..bookings {
            let key = BookingKey { practice: practice.clone(), booking: format!("b{number}-{index}").into() };
            let begins_at = match &bursts[..] {
                [] => plan.any_moment(&mut random),
                bursts => random.pick(bursts) + random.between(0, 400),
            };
            publish(&key, (partition, begins_at), &people, plan, &mut lives, &mut random);
        }
        // A record without identity is told from others by its offset: there must be one topic only.
        if plan.faults.topic_every_ms == 0 && random.chance(0.3) {
            publish_nonsense(&practice, partition, plan, &mut lives, &mut random);
        }
    }
    lives.records.extend(plan.deadly_record.then(|| deadly::record(plan)));
    lives.records.sort_by_key(|record| record.at);
    crate::limits::history_perhaps(&plan.settings.limits, &mut lives.records);
    for record in &lives.records {
        if let Arrival::Requested(booking) = &record.arrival {
            let version = booking.version_key();
            lives.wanted.entry(version).or_insert_with(|| Arc::new(Booking::clone(booking)));
        }
    }
    lives
}

fn people(practice: &PracticeId, crowded: bool, lives: &mut Lives, random: &mut Random) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::new();
    for _ in 0..random.between(1, if crowded { 2 } else { 6 }) {
        lives.next_human += 1;
        let human = lives.next_human;
        let mut patient = Patient {
            id: format!("{practice}-pt{}", people.len()).into(),
            healthflow_patient_id: None,
            given_name: (*random.pick(&GIVEN)).into(),
            family_name: (*random.pick(&FAMILY)).into(),
            date_of_birth: jiff::civil::date(
                random.between(1940, 2015) as i16,
                random.between(1, 12) as i8,
                random.between(1, 28) as i8,
            )
            .into(),
            postal_code: random.between(10_000, 10_020).to_string().into(),
            phone: None,
            email: None,
            sex: None,
        };
        let twins = random.chance(0.2).then(|| random.pick(&TWINS));
        if let Some((name, other)) = twins {
            patient.given_name = (*name).into();
            patient.sex = (name == other).then_some(Sex::Female);
        }
        stands_perhaps(practice, (&mut patient, human), crowded, lives, random);
        people.push(Person { practice: practice.clone(), patient: patient.clone(), human });
        if let Some((_, name)) = twins {
            lives.next_human += 1;
            let mut twin = patient.clone();
            twin.id = format!("{practice}-pt{}", people.len()).into();
            twin.healthflow_patient_id = None;
            twin.given_name = (*name).into();
            twin.sex = patient.sex.map(|_| Sex::Male);
            stands_perhaps(practice, (&mut twin, lives.next_human), crowded, lives, random);
            people.push(Person { practice: practice.clone(), patient: twin, human: lives.next_human });
        }
        for _ in 0..if crowded { 2 } else { i32::from(random.chance(0.25)) } {
            patient.id = format!("{practice}-pt{}", people.len()).into();
            if !crowded && random.chance(0.3) {
                // A typing error: only a person can tell.
                patient.given_name = format!("{}x", patient.given_name.reveal()).into();
            }
            people.push(Person { practice: practice.clone(), patient: patient.clone(), human });
        }
    }
    if !crowded && random.chance(0.5) {
        let reused = random.pick(&people).clone();
        lives.next_human += 1;
        people.push(Person { patient: another(&reused.patient, random), human: lives.next_human, ..reused });
    }
    if !crowded {
        mislead(&mut people, lives, random);
    }
    if !crowded && random.chance(0.15) {
        placeholders::namesakes(practice, &mut people, lives);
    }
    if !crowded && random.chance(0.1) {
        placeholders::crowd(practice, &mut people, lives, random);
    }
    for Person { practice, patient, human } in &people {
        let family_name = patient.family_name.reveal().clone();
        lives.humans.insert((practice.clone(), patient.id.clone(), family_name), *human);
    }
    people
}

/// What else DentScheduler may send along: an id that nobody knows, or that of somebody else's chart.
fn mislead(people: &mut Vec<Person>, lives: &Lives, random: &mut Random) {
    for index in 0..people.len() {
        if !random.chance(0.15) {
            continue;
        }
        let mut misled = people[index].clone();
        let (family_name, born) =
            (misled.patient.family_name.reveal(), misled.patient.date_of_birth.reveal());
        let other = lives.seeded.iter().position(|(chart, human)| {
            let born_then = chart.date_of_birth.starts_with(&born.year().to_string());
            *human != misled.human && chart.family_name != *family_name && !born_then
        });
        let id = match other.filter(|_| random.chance(0.7)) {
            Some(index) => format!("hfp-{}", index + 1),
            None => "hfp-99999".to_owned(),
        };
        misled.patient.healthflow_patient_id = Some(id.into());
        // Now and then always, else on some bookings only.
        match random.chance(0.5) {
            true => people[index] = misled,
            false => people.push(misled),
        }
    }
}

/// Somebody who agrees with nobody in anything, under the id of `patient`.
fn another(patient: &Patient, random: &mut Random) -> Patient {
    Patient {
        healthflow_patient_id: None,
        given_name: (*random.pick(&["Xaver", "Yann", "Zoe"])).into(),
        family_name: (*random.pick(&["Umber", "Vogt", "Wolf"])).into(),
        date_of_birth: jiff::civil::date(random.between(1900, 1930) as i16, 6, 5).into(),
        postal_code: random.between(20_000, 20_020).to_string().into(),
        ..patient.clone()
    }
}

/// Now and then somebody has a chart before the life begins, and now and then DentScheduler knows which.
fn stands_perhaps(
    practice: &PracticeId,
    (patient, human): (&mut Patient, Human),
    crowded: bool,
    lives: &mut Lives,
    random: &mut Random,
) {
    if !crowded && random.chance(0.35) {
        lives.seeded.push((chart(practice, patient), human));
        if random.chance(0.4) {
            patient.healthflow_patient_id = Some(format!("hfp-{}", lives.seeded.len()).into());
        }
    }
}

pub fn chart(practice: &PracticeId, patient: &Patient) -> PatientBody {
    PatientBody {
        practice_id: practice.as_str().into(),
        external_id: None,
        given_name: patient.given_name.reveal().clone(),
        family_name: patient.family_name.reveal().clone(),
        date_of_birth: patient.date_of_birth.reveal().to_string(),
        postal_code: patient.postal_code.reveal().clone(),
        sex: patient.sex.map(|sex| if sex == Sex::Male { "male" } else { "female" }.to_owned()),
        ..PatientBody::default()
    }
}

/// All versions of one booking, published in some order, some twice, some impossible.
fn versions(
    key: &BookingKey,
    (partition, begins_at): (i32, i64),
    people: &[Person],
    plan: &Plan,
    lives: &mut Lives,
    random: &mut Random,
) {
    let once = if plan.fickle { 0.1 } else { 0.5 };
    let most = if plan.clocked { 12 } else { 5 };
    let count = if random.chance(once) { 1 } else { random.between(2, most) as Version };
    let mut who = random.pick(people);
    let mut at = begins_at;
    // Many versions come closer together: the last one, too, is published while the life lasts.
    let gap_ms = random.pick(plan.gaps_ms) * 5 / most;
    let anew = if plan.wavering { 0.4 } else { 0.75 };
    let cancelled = if plan.fickle && !plan.wavering { 0.4 } else { 0.25 };
    let visit_soon = random.chance(if plan.walk_ins { 0.6 } else { 0.1 });
    let mut visits: Vec<Visit> = Vec::new();
    let mut published: Vec<Publication> = Vec::new();
    for number in 1..=count {
        let version = if plan.clocked { number * 7 + random.between(0, 5) as Version } else { number };
        if random.chance(0.1) {
            who = random.pick(people);
        }
        // Some are walk-ins, some are cancelled or changed after they began.
        let start_ms = match visit_soon {
            true => at + random.between(-30_000, 60_000),
            false => BEGIN_MS + 30 * DAY_MS + random.between(0, 12) * 900_000,
        };
        let booking = Booking {
            event_id: format!("e-{}-{version}", key.booking).into(),
            key: key.clone(),
            location_id: "loc".into(),
            version,
            status: if random.chance(cancelled) {
                BookingStatus::Cancelled
            } else {
                BookingStatus::Scheduled
            },
            requested_at: Timestamp(at),
            source: if random.chance(0.9) { Source::Live } else { Source::Backfill },
            patient: who.patient.clone(),
            // Now and then what was wanted before is wanted again.
            visit: match visits.is_empty() || random.chance(anew) {
                true => visit(key, version, start_ms, random),
                false => random.pick(&visits).clone(),
            },
        };
        visits.push(booking.visit.clone());
        let arrival = if random.chance(0.05) {
            Arrival::Unusable(Box::new(Unusable {
                raw_key: None,
                raw_value: None,
                reason: FailureReason::Impossible,
                detail: "visit.duration_minutes must be at least 1".into(),
                identity: Some(Identity::from(&booking)),
                named: Default::default(),
                decision_id: None,
            }))
        } else {
            Arrival::Requested(Arc::new(booking))
        };
        let strays_to = plan.strays_to(partition, random);
        published.push(Publication { at, partition, strays_to, arrival: arrival.clone() });
        if random.chance(0.15) {
            let again_at = at + random.between(0, 40_000);
            let strays_to = plan.strays_to(partition, random);
            lives.records.push(Publication { at: again_at, partition, strays_to, arrival });
        }
        at += random.between(0, gap_ms);
    }
    reorder(&mut published, plan, random);
    lives.records.extend(published);
}

/// Versions that are not published in their order: two of them swapped, or all of them backwards.
fn reorder(published: &mut [Publication], plan: &Plan, random: &mut Random) {
    let last = published.len() - 1;
    if plan.clocked && random.chance(0.5) {
        for index in 0..published.len() / 2 {
            let (left, right) = (published[index].at, published[last - index].at);
            (published[index].at, published[last - index].at) = (right, left);
        }
    } else if last > 0 && random.chance(0.25) {
        let swap = random.below(last);
        let (left, right) = (published[swap].at, published[last].at);
        (published[swap].at, published[last].at) = (right, left);
    }
}

pub fn visit(key: &BookingKey, tag_of: Version, start_ms: i64, random: &mut Random) -> Visit {
    Visit {
        start: Timestamp(start_ms),
        duration_minutes: 30,
        time_zone: "America/Chicago".into(),
        provider_id: format!("dr-{}", random.between(0, 1)).into(),
        operatory_id: None,
        procedure_codes: Vec::new(),
        note: Some(format!("{} v{tag_of}", key.booking).into()),
    }
}

/// Records nobody can read.
fn publish_nonsense(
    practice: &PracticeId,
    partition: i32,
    plan: &Plan,
    lives: &mut Lives,
    random: &mut Random,
) {
    for _ in 0..random.between(1, 2) {
        let (raw_key, raw_value) = (Some(practice.as_str().as_bytes().to_vec()), Some(vec![0xff; 3]));
        let (reason, detail) = (FailureReason::Undecodable, "no Avro".into());
        let named = Default::default();
        let unusable =
            Unusable { raw_key, raw_value, reason, detail, identity: None, named, decision_id: None };
        let (at, arrival) = (random.between(BEGIN_MS, plan.faults_until), Arrival::Unusable(unusable.into()));
        lives.records.push(Publication { at, partition, strays_to: None, arrival });
    }
}
