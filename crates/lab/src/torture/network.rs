//! What the network between workers and Kafka does to them: connections cut, connections held, ends of transactions held
//! until their transaction has long timed out, ends of transactions carried out and never answered for.

use anyhow::Result;
use tokio::time::sleep;

use super::faults::{FaultInjector, NETWORK, between};
use healthflow_testkit::processes::kafka_proxy::END_TXN;

/// How long connections are held (milliseconds): some longer than lease and session.
const HELD_MS: (i64, i64) = (500, 8_000);
/// How long ends of transactions are held (milliseconds): some longer than `kafka.transaction_timeout_ms`.
const END_HELD_MS: (i64, i64) = (1_000, 12_000);
/// How long the answers to ends of transactions get lost (milliseconds).
const UNANSWERED_MS: (i64, i64) = (500, 4_000);
/// How often the clients are cut off while the end of their transaction is held, so that it lands when they have gone on.
const CUT_WHILE_HELD: f64 = 0.5;

impl FaultInjector<'_> {
    /// Breaks the way to one broker after the other, each in its own way.
    pub(super) async fn break_network(&self) -> Result<()> {
        let mut random = self.dice(NETWORK);
        // In turn, so that a short run meets each.
        let mut fault = random.below(4);
        while self.wait(&mut random, self.rhythm.network_ms, END_HELD_MS.1).await {
            let proxy = &self.proxies[random.below(self.proxies.len())];
            fault = (fault + 1) % 4;
            match fault {
                0 => {
                    proxy.cut();
                    self.count(|done| done.connections_cut += 1);
                }
                1 => {
                    proxy.freeze();
                    sleep(between(&mut random, HELD_MS)).await;
                    self.count(|done| done.connections_held += 1);
                }
                2 => {
                    proxy.hold(END_TXN);
                    sleep(between(&mut random, END_HELD_MS)).await;
                    let held = proxy.held() as u64;
                    if random.fraction() < CUT_WHILE_HELD {
                        proxy.cut();
                        sleep(between(&mut random, HELD_MS)).await;
                    }
                    self.count(|done| done.transaction_ends_held += held);
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
