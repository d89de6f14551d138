//! Measures in virtual time, through the shipped core: what takes hours or days on a clock. The name of one, `quota` or `outage`, is the
//! argument.

mod load;
mod outage;
mod quota;
mod world;

use healthflow_proof::finding::Report;

/// Prints the table and writes `target/measure/NAME.json`; fails if not everything is good.
fn main() -> std::io::Result<()> {
    let report: Report = match std::env::args().nth(1).as_deref() {
        Some("quota") => quota::measure(),
        Some("outage") => outage::measure(),
        other => panic!("{other:?}: say which measure, quota or outage"),
    };
    println!("\n{}", report.text());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/measure");
    std::fs::create_dir_all(folder)?;
    let text = serde_json::to_string_pretty(&report)? + "\n";
    std::fs::write(format!("{folder}/{}.json", report.name), text)?;
    assert!(report.ok, "see the lines marked with !");
    Ok(())
}
