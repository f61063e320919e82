//! Colours of a run painted into a graph, one pair a status, readable with dark text.

use flow_core::store::StepStatus;

/// Fill and stroke of a box that stands like this.
pub(crate) fn status_colours(status: StepStatus) -> (&'static str, &'static str) {
    match status {
        StepStatus::Running | StepStatus::Retrying => ("#ddf4ff", "#0969da"),
        StepStatus::Waiting => ("#fff8c5", "#9a6700"),
        StepStatus::Succeeded => ("#dafbe1", "#1a7f37"),
        StepStatus::Failed => ("#ffebe9", "#cf222e"),
        StepStatus::Skipped | StepStatus::Blocked | StepStatus::Cancelled => ("#f6f8fa", "#818b98"),
    }
}
