//! What each effect asks of which part: the table that worker, flow tests, simulation and small worlds live by.

use std::convert::Infallible;

use super::*;
use crate::healthflow::AppointmentId;

/// Notes what is asked of the parts.
#[derive(Default)]
struct Recorder(Vec<String>);

impl Recorder {
    fn note(&mut self, what: &str, of: impl std::fmt::Debug) {
        self.0.push(format!("{what} {of:?}"));
    }
}

impl Parts for Recorder {
    type Fault = Infallible;

    fn begin_calls(&mut self, of: TaskLife) {
        self.note("begin calls", (of.partition, of.incarnation));
    }

    fn end_calls(&mut self, partition: i32) {
        self.note("end calls", partition);
    }

    fn call(&mut self, id: CallId, of: TaskLife, until: Until, _: Request) {
        self.note("call", (id.0, (of.partition, of.incarnation), until));
    }

    fn ask_permits(&mut self, ask: PermitAsk) {
        self.note("ask permits", ask.number);
    }

    fn acquire(&mut self, of: TaskLife, not_before: Timestamp) -> Result<(), Infallible> {
        self.note("acquire", ((of.partition, of.incarnation), not_before));
        Ok(())
    }

    fn commit(&mut self, partition: i32, sequence: u64, _: Box<CommitBatch>) {
        self.note("commit", (partition, sequence));
    }

    fn drop_task(&mut self, partition: i32) {
        self.note("drop task", partition);
    }

    fn watch(&mut self, of: TaskLife, _: TopicIds) {
        self.note("watch", (of.partition, of.incarnation));
    }

    fn unwatch(&mut self, partition: i32) {
        self.note("unwatch", partition);
    }

    fn read(&mut self, of: TaskLife, next_offsets: Vec<Position>, guarded: Vec<Position>) {
        self.note("read", ((of.partition, of.incarnation), next_offsets, guarded));
    }

    fn decode(&mut self, partition: i32, release: GuardedRange) {
        self.note("decode", (partition, release.from));
    }

    fn read_contents(&mut self, of: TaskLife, which: Vec<VersionKey>) {
        self.note("read contents", ((of.partition, of.incarnation), which.len()));
    }

    fn pause(&mut self, partition: i32, lane: Lane) {
        self.note("pause", (partition, lane));
    }

    fn resume(&mut self, partition: i32, lane: Lane) {
        self.note("resume", (partition, lane));
    }

    fn stop_reading(&mut self, partition: i32) {
        self.note("stop reading", partition);
    }

    fn give_back(&mut self, partition: i32) {
        self.note("give back", partition);
    }
}

/// One effect of each kind, and what it asks.
fn table() -> Vec<(Effect, &'static [&'static str])> {
    let (partition, incarnation, lane) = (3, 7, Lane::Retry);
    let release = GuardedRange { lane, from: 4, to: 5, dead_lettered_after: None };
    let request = Box::new(Request::ReadAppointment { id: AppointmentId::from("a") });
    let (next_offsets, guarded) = (vec![lane.at(4)], vec![lane.at(6)]);
    let topic_ids = TopicIds::default();
    vec![
        (
            Effect::Acquire { partition, incarnation, not_before: Timestamp(9) },
            &["begin calls (3, 7)", "acquire ((3, 7), Timestamp(9))"],
        ),
        (
            Effect::Fetch { partition, incarnation, next_offsets, guarded, topic_ids },
            &[
                "watch (3, 7)",
                "read ((3, 7), [Position { lane: Retry, offset: 4 }], [Position { lane: Retry, offset: 6 }])",
            ],
        ),
        (
            Effect::Call {
                call: CallId(1),
                partition,
                incarnation,
                lease_until: Some(Timestamp(8)),
                permit_until: None,
                request,
            },
            &["call (1, (3, 7), Until { lease: Some(Timestamp(8)), permit: None })"],
        ),
        (Effect::ReadContents { partition, incarnation, of: Vec::new() }, &["read contents ((3, 7), 0)"]),
        (Effect::Commit { partition, incarnation, sequence: 2, batch: Box::default() }, &["commit (3, 2)"]),
        (
            Effect::Release { partition },
            &["end calls 3", "unwatch 3", "stop reading 3", "drop task 3", "give back 3"],
        ),
        (
            Effect::Drop { partition, incarnation },
            &["end calls 3", "unwatch 3", "stop reading 3", "drop task 3"],
        ),
        (Effect::Decode { partition, release }, &["decode (3, 4)"]),
        (Effect::Pause { partition, lane }, &["pause (3, Retry)"]),
        (Effect::Resume { partition, lane }, &["resume (3, Retry)"]),
        (Effect::Stop, &[]),
    ]
}

/// Goal: nobody changes what an effect means unnoticed. Method: a recording worker. The processor's promises rest on this
/// table as much as on its rules: a lost task that is given back, say, answers a question that the group has not asked.
#[test]
fn every_effect_drives_these_parts_in_this_order() {
    for (effect, expected) in table() {
        let (shown, is_stop) = (format!("{effect:?}"), matches!(effect, Effect::Stop));
        let mut recorder = Recorder::default();
        let Ok(flow) = perform(effect, &mut recorder);
        assert_eq!(recorder.0, expected, "{shown}");
        assert_eq!(flow.is_break(), is_stop, "{shown}");
    }
}
