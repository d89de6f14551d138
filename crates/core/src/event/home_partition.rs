//! Where a record belongs: the partition that Kafka's default partitioner gives its key. A producer with another partitioner
//! would give a practice to two tasks at once, so every record is checked (rule K8).

use crate::event::Misrouted;

/// The partition of `key` among `count`: murmur2, as `BuiltInPartitioner.partitionForKey` of Kafka's Java client has it
/// and librdkafka's `murmur2_random`. `count` of 0 counts as 1.
pub fn partition_of(key: &[u8], count: u32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % count.max(1)).cast_signed()
}

/// The record, if its key belongs to another partition than this one. A record without key or value belongs nowhere, so
/// the task that reads it keeps it.
pub fn misrouted(key: Option<&[u8]>, value: Option<&[u8]>, partition: i32, count: u32) -> Option<Misrouted> {
    let (key, value) = (key?, value?);
    let home = partition_of(key, count);
    (home != partition).then(|| Misrouted { home, key: key.to_vec(), value: value.to_vec() })
}

/// Austin Appleby's MurmurHash2 with the seed of `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(key: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Keys are short; the hash is defined over 32 bits of length.
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed = (mixed ^ (mixed >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of `testMurmur2` in Kafka's `UtilsTest`.
    #[test]
    fn hashes_as_kafka_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn only_what_belongs_elsewhere_is_misrouted() {
        let home = partition_of(b"practice-1", 12);
        assert_eq!(misrouted(Some(b"practice-1"), Some(b"value"), home, 12), None);
        let strays = misrouted(Some(b"practice-1"), Some(b"value"), home + 1, 12);
        assert_eq!(strays, Some(Misrouted { home, key: b"practice-1".into(), value: b"value".into() }));
        assert_eq!(misrouted(None, Some(b"value"), 0, 12), None);
        assert_eq!(misrouted(Some(b"practice-1"), None, home + 1, 12), None);
    }

    #[test]
    fn a_partition_is_one_of_those_there_are() {
        for count in [0, 1, 7, 12] {
            for practice in 0..500 {
                let home = partition_of(format!("practice-{practice}").as_bytes(), count);
                assert!((0..count.max(1).cast_signed()).contains(&home));
            }
        }
    }
}
