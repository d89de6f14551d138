//! What one seed is about: the limits, the modes and how hostile the world is. Drawn once, before the life begins.

use healthflow_core::limits::{BreakerLimits, RejectionStormLimits};
use healthflow_core::settings::{GuardMode, Settings};

use crate::deadly;
use crate::defects::Defect;
use crate::faults::FaultKind;
use crate::hostility::{
    day_faults, faults, late_creation_faults, repeat_faults, revision_faults, zombie_faults,
};
use crate::schemas::NewSchema;
use healthflow_proof::random::Random;

/// When every life begins, in milliseconds of the world's clock.
pub const BEGIN_MS: i64 = 1_900_000_000_000;

/// After so long without a sign of life the group gives a worker's partitions to others.
pub const SESSION_MS: i64 = 10_000;

/// A transaction that is open for longer is aborted by the broker, and its producer fenced.
pub const TRANSACTION_TIMEOUT_MS: i64 = 15_000;

/// What a life is rich in. Most are rich in everything; what needs three things to meet is rare there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Mixed,
    /// Workers that do not know that they lost their tasks, while their calls and commits hang: what the lease is for.
    Zombies,
    /// People created under several ids, whose creations land late while workers are killed: what rule W7 is for.
    LateCreations,
    /// Creates that are repeated while a first copy is still on its way, of bookings that change their mind: what rule
    /// W3 is for.
    Repeats,
    /// Bookings that change their mind back and forth, offices that edit them, and replicas that lag: what `If-Match` is for.
    Revisions,
    /// Legal days of practices whose HealthFlow keeps slots exclusive: what rule K11 is for.
    Days,
    /// One booking kills every worker that touches it, and nothing else goes wrong with them: what rule K6 is for.
    CrashLoop,
    /// Topics are recreated, records deleted and offsets forgotten, under workers that come and go: what rule K9 is for.
    Topics,
}

impl Theme {
    const ALL: [Theme; 24] = [
        Theme::Mixed,
        Theme::Mixed,
        Theme::Mixed,
        Theme::Mixed,
        Theme::Mixed,
        Theme::Mixed,
        Theme::Mixed,
        Theme::Zombies,
        Theme::Zombies,
        Theme::Zombies,
        Theme::Zombies,
        Theme::LateCreations,
        Theme::LateCreations,
        Theme::LateCreations,
        Theme::Repeats,
        Theme::Repeats,
        Theme::Repeats,
        Theme::Revisions,
        Theme::Revisions,
        Theme::CrashLoop,
        Theme::Topics,
        Theme::Topics,
        Theme::Days,
        Theme::Days,
    ];
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub partitions: i32,
    pub workers: usize,
    pub settings: Settings,
    pub faults: Faults,
    /// Bookings are published and faults strike until then; afterwards everything is well.
    pub faults_until: i64,
    pub slot_conflicts: bool,
    /// Desks take legal steps only, and nobody does anything by hand.
    pub legal_days: bool,
    /// HealthFlow looks at the slot before it looks at the key: what we created ourselves refuses its own repeat.
    pub slots_before_keys: bool,
    /// A booking that kills the worker that writes it or looks it up, if there is one.
    pub killer: Option<Killer>,
    /// The killer is the only one that a person may have to look at as a suspect.
    pub one_suspect: bool,
    pub deadly_record: bool,
    /// When a producer's new schema is not known yet; never on legal days, whose records may not overtake each other.
    pub new_schema: Option<NewSchema>,
    /// Publishers with a partitioner of their own put records into the wrong partition.
    pub misroutes: bool,
    /// Few people under many ids, all of them new.
    pub crowded: bool,
    /// Bookings come in so many bursts, as on a Monday morning; 0: evenly.
    pub bursts: usize,
    /// Most bookings have several versions, and many are cancelled.
    pub fickle: bool,
    /// Most visits begin while it lives, some before they are asked for.
    pub walk_ins: bool,
    /// Versions are many and far apart, as from a producer's clock, and come in any order.
    pub clocked: bool,
    /// Versions ask for what was asked for before.
    pub wavering: bool,
    /// Bookings want their first visit back while an update to their second is in doubt.
    pub returns: bool,
    /// How long after each other the versions of one booking are published, at most; one of these a booking.
    pub gaps_ms: &'static [i64],
    pub replays_for_other_bytes: bool,
    pub page_size: usize,
    /// How far the clocks of workers' machines may differ from the world's, either way; a restart has another one.
    pub skew_max_ms: i64,
    /// Whether workers compare their clock with the brokers' before they start.
    pub clocks_are_compared: bool,
    /// How the shell around the processor is broken on purpose.
    pub defect: Option<Defect>,
}

/// When the booking `b0-0` kills a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killer {
    /// When the request is about to be written.
    AtSocket,
    /// When the answer is read.
    AtAnswer,
}

/// How often what goes wrong: probabilities of one event, or mean pauses between two.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub call: f64,
    /// Each life meets only some kinds, so that those often meet each other.
    pub calls: Vec<FaultKind>,
    pub commits: Vec<FaultKind>,
    pub workers: Vec<FaultKind>,
    pub commit: f64,
    pub acquire: f64,
    /// A call waits long for a connection before it reaches the socket.
    pub queue: f64,
    pub queue_max_ms: i64,
    /// A worker sleeps between its last look at the lease and the socket.
    pub nap: f64,
    pub roll_every_ms: i64,
    pub clock_every_ms: i64,
    pub wrong_clock_every_ms: i64,
    pub disk_every_ms: i64,
    pub edit_every_ms: i64,
    pub worker_every_ms: i64,
    pub pause_max_ms: i64,
    pub deletion_every_ms: i64,
    pub outage_every_ms: i64,
    pub storm_every_ms: i64,
    pub redrive_every_ms: i64,
    pub decide_every_ms: i64,
    pub topic_every_ms: i64,
}

impl Plan {
    /// When the faults are over, everything must be answered within this: a session runs out, tasks are acquired,
    /// doubts become quiet (also those of a creation under a newer incarnation), and the longest back-off passes.
    pub fn rest_within_ms(&self) -> i64 {
        let settings = &self.settings;
        let retries_ms = 6 * settings.retry_backoff_max_ms;
        // "Not before" is written by one clock and read by another.
        let quiet_ms = settings.lease_ms + settings.settle_ms();
        // So often a worker must die of one booking before a person has to look at it.
        let deaths = if self.killer.is_some() { 8 } else { 0 } + if self.deadly_record { 8 } else { 0 };
        let loop_ms = deaths * (20_000 + quiet_ms + settings.retry_backoff_max_ms);
        // Whoever waits for a slot that is not freed waits for the longest time; on legal days hardly anybody does.
        let slot_waits = if self.legal_days { 2 } else { 4 };
        let slot_ms = if self.slot_conflicts { slot_waits * settings.slot_wait_max_ms } else { 0 };
        // A practice whose own data are bad, of each kind, one after the other.
        let storms = &settings.rejection_storm;
        let storm_ms =
            if storms.calls_min > 0 { 3 * (storms.believed_after_ms + 2 * storms.trial_ms) } else { 0 };
        60_000
            + crate::limits::rest_ms(&settings.limits)
            + storm_ms
            + slot_ms
            + 3 * quiet_ms
            + retries_ms
            + loop_ms
            + 2 * self.skew_max_ms
    }

    /// `level` 0 is a world without faults and with one worker; from 3 on everything happens.
    pub fn draw(seed: u64, level: u32) -> Plan {
        let mut random = Random::new(seed.wrapping_mul(7919));
        let theme = if level < 3 { &Theme::Mixed } else { random.pick(&Theme::ALL) };
        let returns = *theme == Theme::Revisions && crate::returns::is_in(seed);
        let mut settings = settings(*theme, &mut random);
        draw_apart(seed, *theme, &mut settings);
        let clocked = random.chance(0.12);
        // Nine bytes hold four versions that lie apart, and no more.
        settings.answered_bytes_max = if clocked && random.chance(0.6) { 9 } else { 4_096 };
        let many = level > 0 && (*theme != Theme::Mixed || random.chance(0.8));
        let skew_max_ms = if level < 2 { 0 } else { *random.pick(&[0, 0, 20_000, 300_000]) };
        let window_ms = random.between(45_000, 200_000);
        Plan {
            seed,
            partitions: settings.partition_count as i32,
            workers: if many { random.between(2, 5) as usize } else { 1 },
            faults: crate::storms::with_storms(
                match theme {
                    Theme::Mixed => faults(&mut random, level),
                    Theme::Days => day_faults(&mut random, level),
                    Theme::Zombies => zombie_faults(&mut random),
                    Theme::LateCreations => late_creation_faults(&mut random),
                    Theme::Repeats => repeat_faults(&mut random),
                    Theme::Revisions if returns => crate::returns::faults(&mut random),
                    Theme::Revisions => revision_faults(&mut random),
                    Theme::Topics => crate::topics::faults(&mut random),
                    Theme::CrashLoop => Faults {
                        call: 0.1,
                        calls: vec![FaultKind::Throttled, FaultKind::Connect, FaultKind::ErrorAfter],
                        ..Faults::default()
                    },
                },
                &settings.rejection_storm,
                level,
            ),
            faults_until: BEGIN_MS + window_ms,
            slot_conflicts: random.chance(match theme {
                Theme::Days => 1.0,
                Theme::Repeats => 0.5,
                _ => 0.2,
            }),
            legal_days: *theme == Theme::Days,
            slots_before_keys: random.chance(0.5),
            killer: (*theme == Theme::CrashLoop
                || (level >= 3 && !matches!(theme, Theme::Topics | Theme::Days) && random.chance(0.03)))
            .then(|| *random.pick(&[Killer::AtSocket, Killer::AtAnswer])),
            // A record that kills beside it leaves others open too.
            one_suspect: *theme == Theme::CrashLoop && !deadly::is_in(seed),
            deadly_record: level >= 3 && !matches!(theme, Theme::Topics | Theme::Days) && deadly::is_in(seed),
            new_schema: (level >= 3 && *theme != Theme::Days)
                .then(|| NewSchema::draw(seed, BEGIN_MS + window_ms))
                .flatten(),
            misroutes: level >= 3 && !matches!(theme, Theme::Topics | Theme::Days) && random.chance(0.2),
            crowded: *theme == Theme::LateCreations || random.chance(0.25),
            bursts: *random.pick(if *theme == Theme::LateCreations { &[1, 2, 3, 6] } else { &[0, 1, 3, 6] }),
            fickle: matches!(theme, Theme::Repeats | Theme::Revisions) || random.chance(0.2),
            walk_ins: random.chance(0.15),
            clocked,
            wavering: *theme == Theme::Revisions,
            returns,
            gaps_ms: match theme {
                Theme::Revisions => &[2_000],
                Theme::Repeats => &[500, 6_000, 6_000],
                Theme::Days => &[2, 100, 3_000],
                _ => &[5, 500, 20_000],
            },
            replays_for_other_bytes: random.chance(0.5),
            page_size: *random.pick(&[1, 2, 50]),
            skew_max_ms,
            // A clock that is ahead ends every wait for a slot.
            clocks_are_compared: random.chance(0.5) || *theme == Theme::Days,
            defect: None,
            settings,
        }
    }

    /// Where a record of this partition is published, if not there.
    pub fn strays_to(&self, partition: i32, random: &mut Random) -> Option<i32> {
        let strays = self.misroutes && random.chance(0.2);
        let to = random.below(self.partitions as usize) as i32;
        (strays && to != partition).then_some(to)
    }

    /// A moment at which a booking may be published first.
    pub fn any_moment(&self, random: &mut Random) -> i64 {
        random.between(BEGIN_MS, self.faults_until - 5_000)
    }

    /// What the workers are told of their surroundings.
    pub fn told_settings(&self) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(defect) = self.defect {
            defect.mislead(&mut settings);
        }
        settings
    }

    pub fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

/// What is drawn by itself, so that lives without it stay as they are.
fn draw_apart(seed: u64, theme: Theme, settings: &mut Settings) {
    settings.limits = crate::limits::stated(seed);
    crate::limits::draw_long(seed, settings);
    crate::counter::draw(seed, settings);
    crate::operators::draw(seed, theme, settings);
    settings.rejection_storm = crate::storms::limits(seed, &theme);
    settings.retry_repark_after_ms = crate::limits::repark_after_ms(seed);
    crate::notices::draw(seed, settings);
    settings.history_share = *Random::new(seed.wrapping_mul(49_979_687) + 11).pick(&[0.01, 0.05, 0.5]);
}

fn settings(theme: Theme, random: &mut Random) -> Settings {
    let guards =
        [GuardMode::IdempotencyKey, GuardMode::UniqueReference, GuardMode::Reference, GuardMode::Search];
    let look_first = [GuardMode::Reference, GuardMode::Reference, GuardMode::Search];
    let guard = match theme {
        Theme::Zombies if random.chance(0.6) => *random.pick(&look_first),
        Theme::LateCreations if random.chance(0.3) => *random.pick(&look_first),
        Theme::Repeats => *random.pick(&[GuardMode::IdempotencyKey, GuardMode::UniqueReference]),
        // Without references a person may have to tell what became of a write.
        Theme::Days => *random.pick(&guards[..3]),
        _ => *random.pick(&guards),
    };
    let lease_ms = random.between(3_000, 5_000);
    let (request_life_ms, late_landing_ms, search_lag_ms) = delays_ms(theme, random);
    let key_retention_ms = key_retention_ms(request_life_ms + late_landing_ms, random);
    Settings {
        partition_count: if theme == Theme::CrashLoop { 1 } else { random.between(1, 4) as u32 },
        guard,
        supports_if_match: theme == Theme::Revisions || random.chance(0.4),
        updates_without_content: random.chance(0.2),
        key_retention_ms,
        request_life_ms,
        late_landing_ms,
        search_lag_ms,
        search_pages_max: *random.pick(&[3, 20]),
        requests_per_second: *random.pick(&[10.0, 50.0, 1_000.0]),
        unauthorised_pause_ms: 5_000,
        throttled_pause_ms: 1_000,
        pause_max_ms: *random.pick(&[3_000, 30_000]),
        breaker: breaker(random),
        rejection_storm: RejectionStormLimits::off(),
        lease_ms,
        lease_margin_ms: 500,
        max_in_flight: random.between(1, if theme == Theme::LateCreations { 4 } else { 20 }) as usize,
        ready_queue_max: random.between(2, 40) as usize,
        again_share: *random.pick(&[0.01, 0.25, 0.9]),
        commit_interval_ms: random.between(20, 200),
        transactions_per_second_max: *random.pick(&[10.0, 100.0]),
        read_ahead_bytes: *random.pick(&[2_000, 20_000, 1_000_000]),
        overdue_after_ms: *random.pick(&[0, 1_000, 25_000]),
        promise_ms: 0,
        notices_max: 200,
        memory_wait_ms: *random.pick(&[2_000, 30_000]),
        release_drain_ms: 5_000,
        reacquire_pause_ms: 6_000,
        crash_suspect_after: 2,
        crash_review_after: if theme == Theme::Days { 1_000 } else { 3 },
        answered_bytes_max: 4_096,
        keep_days: 400,
        retry_backoff_min_ms: random.between(200, 2_000),
        retry_backoff_max_ms: random.between(5_000, 30_000),
        retry_max_age_ms: if theme != Theme::Days && random.chance(0.1) { 30_000 } else { 259_200_000 },
        retry_visit_grace_ms: *random.pick(&[1_000, 30_000, 1_800_000]),
        review_contents_max: *random.pick(&[0, 2, 10_000]),
        review_look_again_ms: *random.pick(&[20_000, 120_000, 86_400_000]),
        review_urgent_before_ms: 86_400_000,
        slot_wait_max_ms: if theme == Theme::Days { 3_600_000 } else { *random.pick(&[5_000, 60_000]) },
        retry_repark_after_ms: 300_000,
        waiting_room_max: *random.pick(&[4, 1_000]),
        // The rest is drawn apart.
        ..Settings::for_tests()
    }
}

/// In a third of the lives a doubt is over soon: only then does a worker sleep longer than its doubts last.
fn delays_ms(theme: Theme, random: &mut Random) -> (i64, i64, i64) {
    if theme == Theme::Zombies {
        (500, 200, random.between(0, 200))
    } else if theme == Theme::Revisions {
        (1_000, 500, random.between(1_000, 5_000))
    } else if random.chance(0.35) {
        (1_000, 500, random.between(0, 500))
    } else {
        (random.between(1_000, 10_000), random.between(1_000, 60_000), random.between(0, 5_000))
    }
}

/// A key that is forgotten before a late request lands protects nothing: shorter ones are not allowed.
fn key_retention_ms(lands_ms: i64, random: &mut Random) -> i64 {
    if random.chance(0.1) { lands_ms + 60_000 } else { 86_400_000 }
}

/// From one that opens at once to none at all.
fn breaker(random: &mut Random) -> BreakerLimits {
    BreakerLimits {
        window_ms: *random.pick(&[5_000, 30_000]),
        calls_min: *random.pick(&[0, 0, 0, 3, 10]),
        failed_share: *random.pick(&[0.3, 0.5, 0.9]),
        slow_ms: *random.pick(&[500, 5_000]),
        slow_share: *random.pick(&[0.5, 0.8]),
        probe_min_ms: *random.pick(&[100, 1_000]),
        probe_max_ms: 5_000,
        ramp_ms: *random.pick(&[1, 10_000]),
        notice_after_ms: 0,
    }
}
