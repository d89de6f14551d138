//! How large a record may be. It is measured when it arrives, uncompressed: a broker limits what a producer compressed, and
//! our producer what it writes. A record that could be read and never be written again would stop its partition for ever.

use std::fmt;

/// The default of `kafka.record_bytes_max`.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bounds of `kafka.record_bytes_max`. Any result of a valid booking fits into the least; a consumer of librdkafka takes 100
/// MB at once.
pub const RECORD_BYTES_RANGE: std::ops::RangeInclusive<usize> = 256 * 1024..=64 * 1024 * 1024;
/// How much a record grows when it is written again: by its batch, headers, and the names in a dead letter.
pub const FRAMING_BYTES_MAX: usize = 4 * 1024;
/// How many bytes are kept of the value, and of the key, of a record that is too large.
pub const PART_BYTES_MAX: usize = 16 * 1024;

/// The limit of an input topic: half of the others', because a dead letter holds its record and more.
pub const fn input_topic_bytes(record_bytes_max: usize) -> usize {
    record_bytes_max / 2
}

/// The largest input record, key and value, that can be written again in every way: into a dead letter, and into its own
/// topic again if it was in the wrong partition.
pub const fn input_bytes_max(record_bytes_max: usize) -> usize {
    input_topic_bytes(record_bytes_max) - FRAMING_BYTES_MAX
}

/// How large a record is, and how large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Bytes of its key.
    pub key_bytes: usize,
    /// Bytes of its value.
    pub value_bytes: usize,
    /// The most bytes of both together.
    pub bytes_max: usize,
}

impl TooLarge {
    /// The sizes of a record, if it is too large.
    pub fn check(key: Option<&[u8]>, value: Option<&[u8]>, bytes_max: usize) -> Option<TooLarge> {
        let (key_bytes, value_bytes) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
        (key_bytes + value_bytes > bytes_max).then_some(TooLarge { key_bytes, value_bytes, bytes_max })
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLarge { key_bytes, value_bytes, bytes_max } = self;
        write!(
            f,
            "{}, uncompressed; at most {bytes_max} can be written again",
            sizes(*key_bytes, *value_bytes)
        )
    }
}

/// How large a record is, in words.
pub fn sizes(key_bytes: usize, value_bytes: usize) -> String {
    format!("it has a key of {key_bytes} bytes and a value of {value_bytes} bytes")
}

/// The first bytes of a key or value that is too large to be kept.
pub fn part(bytes: Option<&[u8]>) -> Option<Vec<u8>> {
    bytes.map(|bytes| bytes[..bytes.len().min(PART_BYTES_MAX)].to_vec())
}
