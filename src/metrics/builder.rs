//! Registers each metric together with its description, so that none is undocumented.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// One row of the table of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The full name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its meaning, in one sentence.
    pub help: &'static str,
}

/// Registers metrics and keeps their descriptions.
#[derive(Default)]
pub(super) struct MetricsBuilder {
    pub(super) registry: Registry,
    pub(super) described: Vec<Described>,
}

/// A metric, or the name that is taken twice.
pub(super) type Made<T> = Result<T, prometheus::Error>;
type Text = &'static str;

impl MetricsBuilder {
    fn register<C: Collector + Clone + 'static>(&mut self, metric: C, described: Described) -> Made<C> {
        self.registry.register(Box::new(metric.clone()))?;
        self.described.push(described);
        Ok(metric)
    }

    pub(super) fn counter(&mut self, name: Text, help: Text) -> Made<IntCounter> {
        self.register(IntCounter::new(name, help)?, Described { name, kind: "counter", labels: &[], help })
    }

    pub(super) fn counters(
        &mut self,
        name: Text,
        labels: &'static [Text],
        help: Text,
    ) -> Made<IntCounterVec> {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.register(metric, Described { name, kind: "counter", labels, help })
    }

    pub(super) fn level(&mut self, name: Text, help: Text) -> Made<IntGauge> {
        self.register(IntGauge::new(name, help)?, Described { name, kind: "gauge", labels: &[], help })
    }

    pub(super) fn seconds(&mut self, name: Text, help: Text) -> Made<Gauge> {
        self.register(Gauge::new(name, help)?, Described { name, kind: "gauge", labels: &[], help })
    }

    pub(super) fn gauges(&mut self, name: Text, labels: &'static [Text], help: Text) -> Made<IntGaugeVec> {
        let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.register(metric, Described { name, kind: "gauge", labels, help })
    }

    pub(super) fn ages(&mut self, name: Text, labels: &'static [Text], help: Text) -> Made<GaugeVec> {
        self.register(
            GaugeVec::new(Opts::new(name, help), labels)?,
            Described { name, kind: "gauge", labels, help },
        )
    }

    pub(super) fn histogram(
        &mut self,
        name: Text,
        labels: &'static [Text],
        help: Text,
        edges: &[f64],
    ) -> Made<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(edges.to_vec());
        self.register(
            HistogramVec::new(options, labels)?,
            Described { name, kind: "histogram", labels, help },
        )
    }

    pub(super) fn one_histogram(&mut self, name: Text, help: Text, edges: &[f64]) -> Made<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(edges.to_vec());
        self.register(
            Histogram::with_opts(options)?,
            Described { name, kind: "histogram", labels: &[], help },
        )
    }
}
