//! How bookings spread over practices: few have many.

use healthflow_proof::random::Random;

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
