//! Faults of the network between workers and Kafka: connections cut or frozen, `EndTxn` requests delayed until long
//! after their transaction has timed out, `EndTxn` requests carried out and never answered.

use anyhow::Result;
use tokio::time::sleep;

use super::faults::{FaultInjector, NETWORK, SpanMs, between};
use healthflow_testkit::processes::kafka_proxy::END_TXN;

/// How long connections are frozen (milliseconds): some longer than lease and session.
const FROZEN_MS: SpanMs = SpanMs::new(500, 8_000);
/// How long ends of transactions are delayed (milliseconds): some longer than `kafka.transaction_timeout_ms`.
const END_DELAYED_MS: SpanMs = SpanMs::new(1_000, 12_000);
/// How long the answers to ends of transactions get lost (milliseconds).
const UNANSWERED_MS: SpanMs = SpanMs::new(500, 4_000);
/// How often the clients are cut off while the end of their transaction is delayed, so that it lands when they have
/// moved on.
const CUT_WHILE_DELAYED: f64 = 0.5;

impl FaultInjector<'_> {
    /// Breaks the way to one broker after the other, each in its own way.
    pub(super) async fn break_network(&self) -> Result<()> {
        let mut random = self.dice(NETWORK);
        // In turn, so that a short run has each.
        let mut fault = random.below(4);
        while self.wait(&mut random, self.rhythm.network_ms, END_DELAYED_MS.until).await {
            let proxy = &self.proxies[random.below(self.proxies.len())];
            fault = (fault + 1) % 4;
            match fault {
                0 => {
                    proxy.cut();
                    self.count(|done| done.connections_cut += 1);
                }
                1 => {
                    proxy.freeze();
                    sleep(between(&mut random, FROZEN_MS)).await;
                    self.count(|done| done.connections_held += 1);
                }
                2 => {
                    proxy.delay(END_TXN);
                    sleep(between(&mut random, END_DELAYED_MS)).await;
                    let delayed = proxy.delayed() as u64;
                    if random.fraction() < CUT_WHILE_DELAYED {
                        proxy.cut();
                        sleep(between(&mut random, FROZEN_MS)).await;
                    }
                    self.count(|done| done.transaction_ends_held += delayed);
                }
                _ => {
                    let lost = proxy.lost();
                    proxy.lose_answers(END_TXN);
                    sleep(between(&mut random, UNANSWERED_MS)).await;
                    self.count(|done| done.transaction_ends_unanswered += proxy.lost() - lost);
                }
            }
            proxy.calm();
        }
        Ok(())
    }
}
