//! What happened, reported once. Logs, metrics and tests all read these facts; none carries patient data.

mod causes;

use std::sync::Arc;

use crate::booking::{BookingId, BookingKey, PracticeId, Source, Version};
use crate::event::decision::VerdictSymbol;
use crate::event::{Control, NoticeKind, Origin};
use crate::healthflow::Operation;
use crate::life::{Incarnation, LostPosition};
use crate::limits::rejection_storm::StormChange;
use crate::limits::{BreakerCause, QuotaEnd};
use crate::patient::search::PassKind;
use crate::retry::WaitReason;
use crate::sync::{Disposition, FailureReason, ReviewReason, SyncedOutcome};
use crate::time::Timestamp;

pub use causes::{DropCause, DuplicateOf, LinkChange, PauseCause};

/// One thing that happened: noun, then past-tense verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A task went live.
    TaskAcquired {
        /// The task.
        partition: i32,
        /// Its life.
        incarnation: Incarnation,
        /// Records the restore read.
        restored_records: u64,
        /// From the end of fencing to the end of the restore.
        restore_ms: u64,
        /// Writes found open, each now in doubt.
        open_intents: u64,
    },
    /// A task was given back, drained and committed.
    TaskReleased {
        /// The task.
        partition: i32,
    },
    /// A task was dropped with all its memory.
    TaskDropped {
        /// The task.
        partition: i32,
        /// Why.
        why: DropCause,
    },
    /// A lane could not go on from where it was (rule K9).
    PositionLost {
        /// The task.
        partition: i32,
        /// Which lane, how, and where it goes on.
        position: LostPosition,
    },
    /// A version got its final good result, and the transaction with it is good.
    BookingSynced {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// How it ended.
        outcome: SyncedOutcome,
        /// Live or history.
        source: Source,
        /// From requested-at to the commit.
        end_to_end_ms: i64,
    },
    /// A version or record was dead-lettered, and the transaction with it is good.
    BookingFailed {
        /// Which booking, as far as known.
        key: Option<BookingKey>,
        /// Where the record came from, as far as known.
        origin: Option<Origin>,
        /// Why.
        reason: FailureReason,
        /// What an operator does with it.
        disposition: Disposition,
        /// Field and rule; never a value.
        detail: Arc<str>,
    },
    /// A version waits for a person.
    BookingHeld {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// Why.
        reason: ReviewReason,
    },
    /// A person's decision about a version was carried out.
    DecisionTaken {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// What was decided.
        verdict: VerdictSymbol,
    },
    /// A version that waited for a person goes on.
    BookingReleased {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// HealthFlow is asked whether the question about a version has answered itself.
    ReviewLookedAt {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A version waits for a person, and its visit draws near.
    ReviewUrgent {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A parked version was written again at the tail of the retry topic, for its record kept the lane from moving.
    BookingReparked {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A version was parked, to be tried again.
    BookingParked {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// Attempts that failed so far.
        attempts: u32,
        /// Not before this.
        not_before: Timestamp,
        /// What went wrong, or what it waits for.
        last_error: Arc<str>,
    },
    /// A version waits for a slot that another booking of the practice will free (rule K11).
    SlotAwaited {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A version waited for its slot, which is still taken.
    SlotAwaitedInVain {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// Whether the booking that has it waits, directly or through others, for this booking's slot.
        is_cycle: bool,
    },
    /// An older version is written although a newer one is at hand, because another booking waits for the slot that it frees.
    WrittenFirst {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A version that is answered or parked already came again and was skipped.
    DuplicateSkipped {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
        /// Whether its content differs from the first one's; none if unknown.
        differs: Option<bool>,
    },
    /// A version of a booking with too many to remember may have been answered: it gets a result, perhaps its second (rule K5).
    AnswerForgotten {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// A record in the wrong partition for its key was forwarded, and the transaction with it is good.
    RecordForwarded {
        /// Where it was.
        origin: Origin,
        /// The partition it was sent to.
        home: i32,
    },
    /// Records under one key come into a foreign partition; reported once a minute for each key.
    KeyMisrouted {
        /// The practice that the key names; none if the record does not show at once that it is one.
        practice: Option<PracticeId>,
        /// Where the last of them was.
        origin: Origin,
        /// Where they belong.
        home: i32,
        /// How many since the last report.
        records: u64,
    },
    /// A link changed, and the transaction with it is good.
    LinkChanged {
        /// The booking that brought the change.
        key: BookingKey,
        /// How.
        how: LinkChange,
    },
    /// A redrive reopened a dead-lettered version, and the transaction with it is good (rule K10).
    BookingReopened {
        /// Which booking.
        key: BookingKey,
        /// Which version.
        version: Version,
    },
    /// Old bookings were forgotten, and the transaction with that is good (rule K9).
    BookingsForgotten {
        /// Which task.
        partition: i32,
        /// How many.
        count: u64,
    },
    /// A call was sent.
    CallSent {
        /// The kind of request.
        operation: Operation,
    },
    /// A call ended.
    CallAnswered {
        /// The kind of request.
        operation: Operation,
        /// What went wrong; none if it is a good answer.
        fault: Option<WaitReason>,
        /// From dispatch to the answer.
        elapsed_ms: u64,
    },
    /// An error came in other words than the contract's: from a proxy, or something else at that address.
    ForeignAnswer {
        /// Whose practice.
        practice: PracticeId,
        /// Which booking; none for a patient.
        booking: Option<BookingId>,
        /// The kind of request.
        operation: Operation,
        /// The status it came under.
        status: u16,
    },
    /// A pass of the search for a patient finds more than is read: it is abandoned, and other passes replace it.
    SearchTooWide {
        /// For which booking.
        key: BookingKey,
        /// Which pass.
        pass: PassKind,
    },
    /// HealthFlow refuses our account a request for this booking (403).
    CallForbidden {
        /// Whose practice.
        practice: PracticeId,
        /// Which booking; none for a patient.
        booking: Option<BookingId>,
        /// The kind of request.
        operation: Operation,
    },
    /// HealthFlow did not answer several reads of a kind in a row: from now on one asks, and the others wait for it.
    ReadsFail {
        /// Which kind.
        operation: Operation,
    },
    /// HealthFlow answers them again.
    ReadsAnswered {
        /// Which kind.
        operation: Operation,
    },
    /// It is unknown whether HealthFlow carried out a write (rule W4).
    DoubtOpened {
        /// Which booking; none for a patient.
        key: Option<BookingKey>,
        /// Which write.
        operation: Operation,
        /// When a late write would be visible to a search.
        settles_at: Timestamp,
    },
    /// A doubt was settled (rule W5).
    DoubtSettled {
        /// Which booking; none for a patient.
        key: Option<BookingKey>,
        /// Whether the write exists in HealthFlow; none if there was no look-up.
        found: Option<bool>,
    },
    /// HealthFlow has more than one of what we created once: a person must remove the duplicate.
    DuplicateFound {
        /// Which booking; none for a patient.
        key: Option<BookingKey>,
        /// What exists twice.
        what: DuplicateOf,
    },
    /// Somebody changed an appointment in HealthFlow since we wrote it; the newest version overwrites that.
    EditOverwritten {
        /// Which booking.
        key: BookingKey,
    },
    /// HealthFlow does not work: nothing is sent from now on but a probe now and then.
    BreakerOpened {
        /// What opened it.
        cause: BreakerCause,
        /// Calls that were judged.
        calls: usize,
        /// How many of them failed, or were slow.
        bad: usize,
    },
    /// A probe failed: HealthFlow still does not work.
    BreakerProbeFailed,
    /// A probe was answered: HealthFlow works again.
    BreakerClosed {
        /// How long nothing else was sent.
        open_ms: u64,
    },
    /// A storm of refusals began, or is over.
    StormChanged(StormChange),
    /// HealthFlow asks us to wait, or refuses our credentials: nothing is sent before `until`.
    AccountPaused {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: PauseCause,
        /// The practice whose call it was.
        practice: PracticeId,
        /// Which booking; none for a patient.
        booking: Option<BookingId>,
    },
    /// The shared counter does not answer this worker any more, or answers it again.
    CounterChanged(crate::limits::shared_counter::Change),
    /// An operator set something by hand, or took it back: this worker obeys from now on.
    ControlChanged {
        /// What, by whom, and why.
        control: Arc<Control>,
    },
    /// A limit with a long window will be used up before that ends, as fast as it was used lately; told once a window.
    QuotaRunsOut(QuotaEnd),
    /// HealthFlow tells a limit that is not configured, for the first time.
    LimitUnknown {
        /// The name that HealthFlow gives it.
        name: Box<str>,
        /// How many calls it allows.
        calls: u64,
        /// In how many seconds, if HealthFlow tells that.
        window_s: Option<u64>,
    },
    /// HealthFlow asks this booking to wait and serves others meanwhile: only this one waits.
    CallThrottled {
        /// Whose practice.
        practice: PracticeId,
        /// Which booking; none for a patient.
        booking: Option<BookingId>,
        /// The kind of request.
        operation: Operation,
        /// Until when.
        until: Timestamp,
    },
    /// A notice is written.
    NoticeWritten {
        /// The task.
        partition: i32,
        /// What it is about.
        kind: NoticeKind,
    },
    /// A version has its result that was told when to expect it.
    PromiseEnded {
        /// How much later that is; negative: earlier.
        late_ms: i64,
    },
    /// A transaction is good.
    TransactionCommitted {
        /// The task.
        partition: i32,
        /// Records in it.
        records: u64,
        /// How often it was aborted and begun again before.
        aborts: u32,
        /// From its start to the answer.
        elapsed_ms: u64,
    },
}
