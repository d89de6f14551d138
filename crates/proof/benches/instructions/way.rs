//! The way itself, in virtual time: the shipped processor in the shell that all proofs share, a HealthFlow that answers
//! after 20 ms and a Kafka that commits in 5.

use std::collections::BTreeMap;
use std::sync::Arc;

use healthflow_core::booking::Booking;
use healthflow_core::booking::Source;
use healthflow_core::event::avro::{Decoder, Encoder, contract};
use healthflow_core::event::codec::Codec;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::event::{Arrival, Outgoing, arrival, sample};
use healthflow_core::healthflow::decode::decode;
use healthflow_core::healthflow::encode::encode;
use healthflow_core::healthflow::wire::WireReply;
use healthflow_core::healthflow::{Answer, Reply, Request, WrittenAppointment};
use healthflow_core::life::{CallId, Incarnation};
use healthflow_core::limits::controls::Controls;
use healthflow_core::partition::commit_batch::CommitBatch;
use healthflow_core::partition::start::{Acquired, Start};
use healthflow_core::patient::digests::PersonDigests;
use healthflow_core::patient::{Link, LinkOrigin, Person};
use healthflow_core::processor::{CommitEnded, Input, Processor};
use healthflow_core::settings::{GuardMode, Settings};
use healthflow_core::state::{PatientState, StateRecord, TaskState};
use healthflow_core::time::{DAY_MS, Timestamp};
use healthflow_core::topics::{Lane, REQUESTED};
use healthflow_proof::shell::{Begun, Call, Shell};

const START: Timestamp = sample::NOW;
const PARTITIONS: i32 = 12;
/// A booking comes every so many milliseconds on the steady way: 120 a second.
const STEADY_MS: i64 = 8;
const COMMIT_MS: i64 = 5;
/// Calls take 20 ms on average; not all the same, or all of a backlog would be answered in one turn for ever.
const CALL_MS: [i64; 5] = [18, 19, 20, 21, 22];
/// Longer than any way takes; a booking that has no result by then is stuck.
const END_MS: i64 = 600_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Decisions only, one booking after the other.
    Steady,
    /// Decisions only, all bookings at once.
    Backlog,
    /// The same, and everything that is decoded and encoded.
    Codecs,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Steady, Way::Backlog, Way::Codecs];

    pub fn name(self) -> &'static str {
        match self {
            Way::Steady => "steady",
            Way::Backlog => "backlog",
            Way::Codecs => "codecs",
        }
    }
}

/// Bookings to be lived, as they arrive.
pub struct Plan {
    way: Way,
    bookings: Vec<Made>,
    wire: Wire,
}

struct Made {
    booking: Arc<Booking>,
    /// The record that it comes in.
    record: Vec<u8>,
}

/// What turns records, requests and answers into bytes and back.
struct Wire {
    decoder: Decoder,
    codec: Codec,
}

impl Plan {
    /// Makes so many bookings of known patients, each of another one.
    pub fn new(way: Way, count: usize) -> Plan {
        let ours = contract(REQUESTED).expect("the topic has a schema");
        let encoder = Encoder::new(ours, sample::ID);
        let made = |number: usize| {
            let event = event(number);
            let mut record = Vec::new();
            encoder.encode(&event, &mut record).expect("the event fits its schema");
            Made { booking: Arc::new(event.into_booking(START).expect("the booking is possible")), record }
        };
        let wire = Wire { decoder: Decoder::own(ours), codec: Codec::new("group", |_| sample::ID) };
        Plan { way, bookings: (0..count).map(made).collect(), wire }
    }

    /// Brings the first `count` of them to their results; returns how many have one.
    pub fn live(&self, count: usize) -> usize {
        let mut world = World::new(self);
        let end = START.plus_ms(END_MS);
        while world.finished < count && world.now < end {
            world.arrive(count);
            world.answer();
            world.end_commits();
            world.turn();
            world.now = world.next_moment(count).clamp(world.now.plus_ms(1), end);
        }
        world.finished
    }

    fn arrives_at(&self, number: usize) -> Timestamp {
        match self.way {
            Way::Steady => START.plus_ms(number as i64 * STEADY_MS),
            Way::Backlog | Way::Codecs => START,
        }
    }
}

fn event(number: usize) -> AppointmentRequested {
    let mut event = sample::event();
    event.event_id = format!("ev-{number:07}").into();
    event.booking_id = format!("bk-{number:07}").as_str().into();
    event.practice_id = format!("practice-{:03}", number as i32 % PARTITIONS).as_str().into();
    event.version = 1;
    event.requested_at = START;
    event.source = Source::Live;
    event.patient.patient_id = healthflow_core::booking::PatientId::from(format!("p-{number}")).into();
    event.patient.healthflow_patient_id = Some(format!("hf-{number}").into());
    event.visit.start = START.plus_ms((number as i64 + 2) * DAY_MS / 8);
    event
}

/// Kafka, HealthFlow and the clock.
struct World<'plan> {
    plan: &'plan Plan,
    processor: Processor,
    shell: Shell<()>,
    now: Timestamp,
    lives: Vec<Incarnation>,
    next_offsets: Vec<i64>,
    arrived: usize,
    /// Calls under way, by when they are answered.
    calls: BTreeMap<(Timestamp, u64), (CallId, Request)>,
    /// Commits under way, by when they are good.
    commits: BTreeMap<(Timestamp, u64), (i32, Incarnation, u64, CommitBatch)>,
    begun: u64,
    finished: usize,
    buffer: Vec<u8>,
}

impl<'plan> World<'plan> {
    fn new(plan: &'plan Plan) -> Self {
        let settings = Settings {
            partition_count: PARTITIONS as u32,
            guard: GuardMode::IdempotencyKey,
            requests_per_second: 1e6,
            ..Settings::for_tests()
        };
        let mut world = World {
            plan,
            processor: Processor::new(settings, Controls::default(), START),
            shell: Shell::default(),
            now: START,
            lives: Vec::new(),
            next_offsets: vec![0; PARTITIONS as usize],
            arrived: 0,
            calls: BTreeMap::new(),
            commits: BTreeMap::new(),
            begun: 0,
            finished: 0,
            buffer: Vec::new(),
        };
        for partition in 0..PARTITIONS {
            world.processor.handle(Input::TaskAssigned { partition }, START);
        }
        world.turn();
        for partition in 0..PARTITIONS {
            world.acquire(partition);
        }
        world
    }

    fn acquire(&mut self, partition: i32) {
        let incarnation = self.shell.task(partition).expect("it is to be acquired").incarnation;
        self.lives.push(incarnation);
        let mut state = TaskState::default();
        for (_, made) in
            self.plan.bookings.iter().enumerate().filter(|(at, _)| partition_of(*at) == partition)
        {
            state.apply(known_patient(&made.booking));
        }
        let start = Start { next_offsets: Lane::ALL.map(|lane| lane.at(0)).to_vec(), ..Start::default() };
        let restored_records = state.len() as u64;
        let acquired =
            Box::new(Acquired { fenced_at: START, start, state, restored_at: START, restored_records });
        self.processor.handle(Input::TaskAcquired { partition, incarnation, acquired }, START);
    }

    /// Bookings whose time has come.
    fn arrive(&mut self, count: usize) {
        while self.arrived < count && self.plan.arrives_at(self.arrived) <= self.now {
            let partition = partition_of(self.arrived);
            let made = &self.plan.bookings[self.arrived];
            self.arrived += 1;
            let arrival = if self.plan.way == Way::Codecs {
                let key = made.booking.key.practice.as_str().as_bytes();
                let decoder = Some(&self.plan.wire.decoder);
                arrival::read(Lane::Requested, Some(key), Some(&made.record), decoder, self.now)
            } else {
                Arrival::Requested(made.booking.clone())
            };
            let (lane, incarnation) = (Lane::Requested, self.lives[partition as usize]);
            let offset = self.next_offsets[partition as usize];
            self.next_offsets[partition as usize] += 1;
            let size_bytes = made.record.len();
            let input = Input::Arrived { partition, incarnation, lane, offset, size_bytes, arrival };
            self.processor.handle(input, self.now);
        }
    }

    /// Calls whose answer has come.
    fn answer(&mut self) {
        while let Some(entry) = self.calls.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (_, number) = *entry.key();
            let (call, request) = entry.remove();
            let reply = self.reply(number, &request);
            self.processor.handle(Input::Answered { call, reply }, self.now);
        }
    }

    fn reply(&self, number: u64, request: &Request) -> Reply {
        let Request::CreateAppointment { content, .. } = request else {
            panic!("a known patient's new booking needs a create, and no {:?}", request.operation())
        };
        if self.plan.way != Way::Codecs {
            return Ok(Answer::AppointmentCreated(WrittenAppointment {
                id: format!("hf-apt-{number}").as_str().into(),
                revision: None,
            }));
        }
        let body = format!(
            r#"{{"id":"hf-apt-{number}","practice_id":"{}","external_id":"{}","patient_id":"{}","status":"scheduled","duration_minutes":45,"provider_id":"dr-1"}}"#,
            content.practice.as_str(),
            content.booking.as_str(),
            content.patient.as_str(),
        );
        decode(request, Ok(WireReply::bare(201, body.into_bytes())), self.now)
    }

    /// Commits whose end has come.
    fn end_commits(&mut self) {
        while let Some(entry) = self.commits.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (partition, incarnation, sequence, batch) = entry.remove();
            let results = batch.records.iter().filter(|record| matches!(record, Outgoing::Synced(_)));
            self.finished += results.count();
            let ended = CommitEnded::Good { started_at: self.now.plus_ms(-COMMIT_MS), aborts: 0 };
            self.processor.handle(Input::CommitEnded { partition, incarnation, sequence, ended }, self.now);
        }
    }

    /// One turn, as the worker has it.
    fn turn(&mut self) {
        self.processor.decide(self.now);
        while let Some(effect) = self.processor.next_effect() {
            for begun in self.shell.perform(effect) {
                self.begin(begun);
            }
        }
        while self.processor.next_fact().is_some() {}
    }

    fn begin(&mut self, begun: Begun) {
        self.begun += 1;
        match begun {
            Begun::Call(Call { id, request, .. }) => {
                if self.plan.way == Way::Codecs {
                    std::hint::black_box(encode(&request));
                }
                let call_ms = CALL_MS[self.begun as usize % CALL_MS.len()];
                self.calls.insert((self.now.plus_ms(call_ms), self.begun), (id, request));
            }
            Begun::Commit { partition, incarnation, sequence, batch } => {
                if self.plan.way == Way::Codecs {
                    for record in &batch.records {
                        let encoded = self.plan.wire.codec.encode(record, &mut self.buffer);
                        std::hint::black_box(encoded.expect("what is committed can be encoded"));
                    }
                }
                let at = (self.now.plus_ms(COMMIT_MS), self.begun);
                self.commits.insert(at, (partition, incarnation, sequence, batch));
            }
            Begun::Refused(call) => panic!("{call:?} is of a life that is over, and none ends here"),
            _ => {}
        }
    }

    /// When something happens next.
    fn next_moment(&mut self, count: usize) -> Timestamp {
        let arrival = (self.arrived < count).then(|| self.plan.arrives_at(self.arrived));
        let answer = self.calls.keys().next().map(|(at, _)| *at);
        let commit = self.commits.keys().next().map(|(at, _)| *at);
        let wakeup = self.processor.next_wakeup(self.now);
        let next = [arrival, answer, commit, wakeup].into_iter().flatten().min();
        next.unwrap_or(START.plus_ms(END_MS))
    }
}

fn partition_of(number: usize) -> i32 {
    number as i32 % PARTITIONS
}

/// The patient's link, as an earlier booking has left it.
fn known_patient(booking: &Booking) -> StateRecord {
    let digests = Some(PersonDigests::of(&booking.patient_key(), &Person::from(&booking.patient)));
    let healthflow_patient_id = booking.patient.healthflow_patient_id.as_deref().unwrap_or_default().into();
    let link =
        Link { healthflow_patient_id, origin: LinkOrigin::Found, digests, outranks: None, decided: None };
    StateRecord::Patient(booking.patient_key(), PatientState { link: Some(link), ..PatientState::default() })
}
