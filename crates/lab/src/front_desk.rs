//! The front desk of the demo: it ends every review as the plan says, with the command that people have, or by a newer version
//! of the booking.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use healthflow_core::event::requested::RequestedStatus;

use crate::dentscheduler::publisher::Publisher;
use crate::journal::Journal;
use crate::workload::desk::Ending;
use crate::workload::{Expected, Publication, Workload};
use healthflow_testkit::processes::{beside, run};

/// Who decides, as the decisions say.
pub const WHO: &str = "frontdesk-2";

/// The one of the demo.
pub struct FrontDesk<'a> {
    /// DentScheduler.
    pub publisher: &'a Publisher,
    /// Its journal.
    pub journal: &'a Arc<Journal>,
    /// HealthFlow's ids of the charts that were there before.
    pub chart_ids: &'a [String],
    /// The flags that point the command at Kafka and the registry.
    pub settings: Vec<String>,
}

impl FrontDesk<'_> {
    /// Ends every review of the plan, and prints what it does.
    pub async fn end_reviews(&self, workload: &Workload) -> Result<()> {
        let program = beside("healthflow-sync")?;
        self.command(&program, &["review", "list"]).await;
        for asked in &workload.publications {
            let Expected::Review(ending) = asked.expected else { continue };
            if let Some(decision) = self.decision(asked, ending)? {
                self.command(&program, &decision.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
        }
        for newer in &workload.newer {
            let is_cancelled = newer.event.status == RequestedStatus::Cancelled;
            let what = if is_cancelled { "cancels it" } else { "names the patient's chart" };
            println!(
                "{}: DentScheduler publishes version {}, which {what}",
                newer.booking(),
                newer.event.version
            );
        }
        self.publisher.publish(&workload.newer, self.chart_ids, self.journal).await
    }

    /// The command that ends a review so; none if a newer version does.
    fn decision(&self, asked: &Publication, ending: Ending) -> Result<Option<Vec<String>>> {
        let (verdict, why, chart) = match ending {
            Ending::Linked(chart) => {
                let id = self
                    .chart_ids
                    .get(chart)
                    .context("a review is to be linked to a chart that is not there")?;
                ("LINK", "same-person-twice", Some(id))
            }
            Ending::New => ("CREATE", "asked-by-phone", None),
            Ending::Rejected => ("REJECT", "booked-by-mistake", None),
            Ending::Open | Ending::Named(_) | Ending::Cancelled => return Ok(None),
        };
        let booking = asked.booking();
        let mut command: Vec<String> =
            ["review", "decide", booking.practice.as_str(), booking.booking.as_str(), verdict]
                .map(str::to_owned)
                .to_vec();
        command.extend(chart.map(|id| format!("--healthflow-patient-id={id}")));
        command.extend([format!("--by={WHO}"), format!("--why={why}")]);
        Ok(Some(command))
    }

    /// Runs a command and prints it with its answer. One that fails leaves its review open, which the audit counts.
    async fn command(&self, program: &Path, command: &[&str]) {
        println!("$ healthflow-sync {}", command.join(" "));
        let arguments = command.iter().map(|&word| word.to_owned()).chain(self.settings.clone()).collect();
        match run(program, arguments).await {
            Ok(answer) => print!("{answer}"),
            Err(error) => println!("{error:#}"),
        }
    }
}
