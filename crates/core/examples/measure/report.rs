//! What a measure sought and found, as a table and as a file.

use serde_json::{Value, json};

/// One number, and what it should be.
pub struct Finding {
    what: &'static str,
    sought: (&'static str, f64),
    measured: f64,
}

/// One measure.
pub struct Report {
    pub name: &'static str,
    pub load: Value,
    pub findings: Vec<Finding>,
}

impl Finding {
    pub fn at_least(what: &'static str, bound: f64, measured: f64) -> Finding {
        Finding { what, sought: ("at_least", bound), measured }
    }

    pub fn at_most(what: &'static str, bound: f64, measured: f64) -> Finding {
        Finding { what, sought: ("at_most", bound), measured }
    }

    fn is_ok(&self) -> bool {
        // What is no number keeps no bound.
        match self.sought.0 {
            "at_least" => self.measured >= self.sought.1,
            _ => self.measured <= self.sought.1,
        }
    }

    fn json(&self) -> Value {
        let (bound, sought) = self.sought;
        json!({ "what": self.what, "sought": { bound: sought }, "measured": self.measured, "ok": self.is_ok() })
    }
}

impl Report {
    /// Prints the table and writes `target/measure/NAME.json`; whether everything is good.
    pub fn publish(&self) -> std::io::Result<bool> {
        println!("\n  {:<58}{:>12}{:>12}", "", "sought", "measured");
        for finding in &self.findings {
            let sign = if finding.sought.0 == "at_least" { "≥" } else { "≤" };
            let mark = if finding.is_ok() { "" } else { "  !" };
            let sought = format!("{sign} {:.3}", finding.sought.1);
            println!("  {:<58}{sought:>12}{:>12.3}{mark}", finding.what, finding.measured);
        }
        let ok = self.findings.iter().all(Finding::is_ok);
        let findings: Vec<Value> = self.findings.iter().map(Finding::json).collect();
        let report = json!({ "name": self.name, "load": self.load, "findings": findings, "ok": ok });
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/measure");
        std::fs::create_dir_all(folder)?;
        std::fs::write(format!("{folder}/{}.json", self.name), format!("{report:#}\n"))?;
        Ok(ok)
    }
}
