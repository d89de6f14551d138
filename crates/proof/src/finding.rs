//! What a measure sought and found.

use serde::Serialize;
use serde_json::Value;

/// One measure.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// Under which load, and whatever else helps to understand the numbers.
    pub load: Value,
    /// What was sought and found.
    pub findings: Vec<Finding>,
    /// Whether all of it is good.
    pub ok: bool,
}

/// One number, and what it should be.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What it says.
    pub what: &'static str,
    /// The bound.
    pub sought: Sought,
    /// What was measured.
    pub measured: f64,
    /// Whether it keeps the bound.
    pub ok: bool,
}

/// A bound.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sought {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Finding {
    /// `measured` against `sought`. What is no number keeps no bound.
    pub fn new(what: &'static str, sought: Sought, measured: f64) -> Finding {
        let ok = match sought {
            Sought::AtLeast(least) => measured >= least,
            Sought::AtMost(most) => measured <= most,
        };
        Finding { what, sought, measured, ok }
    }
}

impl Report {
    /// Of all findings.
    pub fn new(name: &'static str, load: Value, findings: Vec<Finding>) -> Report {
        let ok = findings.iter().all(|finding| finding.ok);
        Report { name, load, findings, ok }
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("  {:<58}{:>12}{:>12}", "", "sought", "measured")];
        for finding in &self.findings {
            let sought = match finding.sought {
                Sought::AtLeast(least) => format!("≥ {least:.3}"),
                Sought::AtMost(most) => format!("≤ {most:.3}"),
            };
            let mark = if finding.ok { "" } else { "  !" };
            lines.push(format!("  {:<58}{:>12}{:>12.3}{mark}", finding.what, sought, finding.measured));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_kept_or_broken() {
        let good = |sought, measured| Finding::new("it", sought, measured).ok;
        assert!(good(Sought::AtLeast(0.9), 0.9) && !good(Sought::AtLeast(0.9), 0.89));
        assert!(good(Sought::AtMost(0.0), 0.0) && !good(Sought::AtMost(0.0), 1.0));
        assert!(!good(Sought::AtLeast(0.9), f64::NAN) && !good(Sought::AtMost(0.9), f64::NAN));
        let report = Report::new("it", Value::Null, vec![Finding::new("it", Sought::AtMost(1.0), 2.0)]);
        assert!(!report.ok && report.text().contains('!'), "{}", report.text());
    }
}
