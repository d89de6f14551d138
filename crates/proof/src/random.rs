//! Random numbers from a seed: the same seed gives the same life, workload or fault on every machine, so that a failed
//! run can be repeated. A change of these numbers changes every life of the simulation.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough to choose faults with.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
        random.number();
        random
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to `end`, without `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.number() % end as u64) as usize }
    }

    /// From `least` to `most`, both included; `least` if `most` is less.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let choices = if most < least { 1 } else { most.abs_diff(least).saturating_add(1) };
        least.wrapping_add_unsigned(self.number() % choices)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of them, of which there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the seeds that documents and reports name keep giving the same lives.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(1);
        let numbers: Vec<u64> = (0..3).map(|_| random.number()).collect();
        assert_eq!(numbers, KNOWN);
        let mut random = Random::new(1);
        let among = (random.below(7), random.between(-3, 3), random.chance(0.5), *random.pick(&[1, 2, 3]));
        assert_eq!(random.below(0), 0);
        assert!(among.0 < 7 && (-3..=3).contains(&among.1), "{among:?}");
    }

    const KNOWN: [u64; 3] = [0x382f_f84c_b272_81e9, 0x6d1d_b36c_cba9_82d2, 0xb4a0_472e_5780_69ae];
}
