//! Chance that can be repeated: the same seed plans the same morning, so that a run that went wrong can be run again. The
//! simulator has dice of its own: who plans and who answers share no code.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// From `from` up to, not including, `end`, which must be more.
    pub fn between(&mut self, from: i64, end: i64) -> i64 {
        from + (self.next() % end.abs_diff(from)) as i64
    }
}

/// Zipf's law with exponent 1: the practice of rank `k` has `1/k` of the bookings of the first one.
pub struct Zipf {
    upper_edges: Vec<f64>,
}

impl Zipf {
    /// Over `count` ranks, at least one.
    pub fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let upper_edges = (1..=count.max(1)).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Zipf { upper_edges: upper_edges.collect() }
    }

    /// A rank, from 0.
    pub fn draw(&self, random: &mut Random) -> usize {
        let all = self.upper_edges.last().copied().unwrap_or(1.0);
        let point = random.fraction() * all;
        self.upper_edges.partition_point(|edge| *edge <= point).min(self.upper_edges.len() - 1)
    }
}
