//! Records that no processor can use. Each must end as a dead letter with its reason, and delay no other booking.

use healthflow_core::defects::DEADLY;
use healthflow_core::event::requested::AppointmentRequested;
use healthflow_core::time::Timestamp;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// Text instead of Avro.
    NotAvro,
    /// The last bytes are missing.
    Truncated,
    /// The patient will be born later.
    NotYetBorn,
    /// The given name holds a NUL, which no PostgreSQL stores.
    Nul,
    /// The visit starts in January 1970: seconds where milliseconds are meant.
    InSeconds,
    /// The key names another practice than the value.
    ForeignKey,
    /// A note of megabytes, in one letter: a few hundred bytes on the wire, and too much to be written again.
    TooLarge,
    /// A newer schema, and 12 kB that unfold to three thousand million nulls in a field that is new.
    Unfolding,
    /// Ends the process that decodes it; only a build with planted defects does.
    Deadly,
}

/// More than any record may have that is admitted by default.
const LARGE_NOTE_BYTES: usize = 2_200_000;

impl Poison {
    /// Every kind that a shipped program meets.
    pub const ALL: [Poison; 8] = [
        Poison::NotAvro,
        Poison::Truncated,
        Poison::NotYetBorn,
        Poison::Nul,
        Poison::InSeconds,
        Poison::ForeignKey,
        Poison::TooLarge,
        Poison::Unfolding,
    ];

    /// The reason that its dead letter must give (`docs/reasons.md`).
    pub fn reason(self) -> &'static str {
        match self {
            Poison::NotAvro | Poison::Truncated | Poison::Unfolding => "UNDECODABLE",
            Poison::NotYetBorn | Poison::Nul | Poison::InSeconds => "IMPOSSIBLE",
            Poison::ForeignKey => "NO_IDENTITY",
            Poison::TooLarge => "TOO_LARGE",
            Poison::Deadly => "CRASH_SUSPECT",
        }
    }

    /// Spoils the event before it is encoded.
    pub fn spoil_event(self, event: &mut AppointmentRequested) {
        match self {
            Poison::NotYetBorn => event.patient.date_of_birth = "2199-12-31".into(),
            Poison::Nul => event.patient.given_name = "Ada\0".into(),
            Poison::InSeconds => event.visit.start = Timestamp(event.visit.start.0 / 1_000),
            Poison::TooLarge => event.visit.note = Some("n".repeat(LARGE_NOTE_BYTES).into()),
            Poison::Deadly => event.visit.note = Some(DEADLY.to_owned().into()),
            Poison::NotAvro | Poison::Truncated | Poison::ForeignKey | Poison::Unfolding => {}
        }
    }

    /// Spoils the encoded record; `unfolding` is the id of [`unfolding_schema`].
    pub fn spoil_bytes(self, bytes: &mut Vec<u8>, unfolding: u32) {
        match self {
            Poison::NotAvro => *bytes = b"this is not Avro".to_vec(),
            Poison::Truncated => bytes.truncate(bytes.len() * 2 / 3),
            Poison::Unfolding => unfold(bytes, unfolding),
            Poison::NotYetBorn
            | Poison::Nul
            | Poison::InSeconds
            | Poison::ForeignKey
            | Poison::TooLarge
            | Poison::Deadly => {}
        }
    }
}

/// The schema `json` with a field more, an array of arrays of nulls: compatible, and without end.
pub fn unfolding_schema(json: &str) -> serde_json::Result<String> {
    let mut schema: serde_json::Value = serde_json::from_str(json)?;
    let nulls = serde_json::json!({"type": "array", "items": {"type": "array", "items": "null"}});
    let field = serde_json::json!({"name": "padding", "type": nulls, "default": []});
    if let Some(fields) = schema["fields"].as_array_mut() {
        fields.push(field);
    }
    Ok(schema.to_string())
}

/// Makes a record of the schema before one of [`unfolding_schema`], with 3,000 arrays of a million nulls each.
fn unfold(bytes: &mut Vec<u8>, id: u32) {
    bytes[1..5].copy_from_slice(&id.to_be_bytes());
    bytes.extend([0xf0, 0x2e]);
    bytes.extend([0x80, 0x89, 0x7a, 0].repeat(3_000));
    bytes.push(0);
}
