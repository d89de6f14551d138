//! Measures in virtual time, through the shipped core: what takes hours or days on a clock. The name of one, `quota` or `outage`, is the
//! argument.

mod load;
mod outage;
mod quota;
mod report;
mod world;

fn main() -> std::io::Result<()> {
    let report = match std::env::args().nth(1).as_deref() {
        Some("quota") => quota::measure(),
        Some("outage") => outage::measure(),
        other => panic!("{other:?}: say which measure, quota or outage"),
    };
    assert!(report.publish()?, "see the lines marked with !");
    Ok(())
}
