//! For those who operate a server: whether it lives, whether it is ready, and its numbers.

use std::fmt::Write;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::problem::Problem;
use crate::state::Site;

/// Whether it lives and is ready: for anybody.
pub(crate) fn open() -> Router<Site> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

/// The numbers: for those who may look.
pub(crate) fn closed() -> Router<Site> {
    Router::new().route("/metrics", get(metrics))
}

/// Ready is who can write into the store and read the folder, and is not about to stop.
async fn ready(State(site): State<Site>, _request: Request) -> Response {
    let faults = [
        site.gate.stopping.is_cancelled().then(|| "the server is stopping".to_owned()),
        site.runs.store().try_write().await.err().map(|error| error.to_string()),
        site.folder.trouble(),
    ];
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    if faults.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", faults.join("\n"))).into_response()
}

/// The numbers as Prometheus reads them.
async fn metrics(State(site): State<Site>) -> Result<Response, Problem> {
    let mut text = String::new();
    of_store(&site, &mut text).await?;
    of_process(&site, &mut text);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}

async fn of_store(site: &Site, text: &mut String) -> Result<(), Problem> {
    head(text, "flow_runs", "gauge", "Runs of the store by workflow and status.");
    for count in site.runs.store().run_counts().await? {
        let (workflow, status) = (label(&count.workflow), count.status);
        let labels = format!("workflow=\"{workflow}\",status=\"{status}\"");
        line(text, &format!("flow_runs{{{labels}}}"), count.runs);
    }
    let now = site.runs.workplace().now();
    // Since midnight: what is counted does not grow with the years.
    let today = now - now.rem_euclid(24 * 60 * 60 * 1000);
    let usage = site.runs.store().usage(today).await?;
    for (name, what) in [
        ("flow_model_calls_today", "Calls of models since midnight UTC."),
        ("flow_model_input_tokens_today", "Tokens read by models since midnight UTC."),
        ("flow_model_output_tokens_today", "Tokens written by models since midnight UTC."),
        ("flow_model_cost_usd_today", "Known cost of calls of models since midnight UTC."),
    ] {
        head(text, name, "gauge", what);
        for row in &usage {
            let labels = format!(
                "workflow=\"{}\",provider=\"{}\",model=\"{}\"",
                label(&row.workflow),
                label(row.provider.as_deref().unwrap_or_default()),
                label(&row.model),
            );
            let value = match name {
                "flow_model_calls_today" => row.calls as f64,
                "flow_model_input_tokens_today" => row.input_tokens as f64,
                "flow_model_output_tokens_today" => row.output_tokens as f64,
                _ => row.cost,
            };
            line(text, &format!("{name}{{{labels}}}"), value);
        }
    }
    Ok(())
}

fn of_process(site: &Site, text: &mut String) {
    let (counters, load) = (site.runs.counters(), site.runs.load());
    head(text, "flow_run_lives_total", "counter", "Times that a run came to a stand, by how.");
    for (status, count) in counters.lives() {
        line(text, &format!("flow_run_lives_total{{status=\"{status}\"}}"), count);
    }
    head(text, "flow_steps_settled_total", "counter", "Steps and instances settled, by status.");
    for (status, count) in counters.steps() {
        line(text, &format!("flow_steps_settled_total{{status=\"{status}\"}}"), count);
    }
    let workflows = site.folder.workflows();
    let faulty = |listed: &crate::folder::Listed| {
        listed.reading.as_ref().map_or(true, |reading| reading.program.is_none())
    };
    let faulty = workflows.iter().filter(|listed| faulty(listed)).count();
    for (name, kind, what, value) in [
        (
            "flow_steps_reused_total",
            "counter",
            "Steps of which nothing had to be done.",
            counters.reused() as f64,
        ),
        (
            "flow_retries_total",
            "counter",
            "Attempts that failed and were followed by another.",
            counters.retries() as f64,
        ),
        (
            "flow_cost_usd_total",
            "counter",
            "Known cost of steps settled by this process.",
            counters.cost_micros() as f64 / 1e6,
        ),
        ("flow_runs_driven", "gauge", "Runs that this process drives.", site.runs.at_work() as f64),
        (
            "flow_attempts_at_work",
            "gauge",
            "Attempts at work on this machine.",
            load.at_work as f64,
        ),
        (
            "flow_attempts_at_most",
            "gauge",
            "The most attempts at work at once.",
            load.at_most as f64,
        ),
        ("flow_attempts_ready_total", "counter", "Attempts that became ready.", load.ready as f64),
        ("flow_event_listeners", "gauge", "Who listens to events.", site.gate.listening() as f64),
        ("flow_workflows", "gauge", "Workflows of the folder.", workflows.len() as f64),
        ("flow_workflows_faulty", "gauge", "Those that cannot run.", faulty as f64),
    ] {
        head(text, name, kind, what);
        line(text, name, value);
    }
    if let Some(memory) = resident() {
        let what = "Resident memory of this process.";
        head(text, "process_resident_memory_bytes", "gauge", what);
        line(text, "process_resident_memory_bytes", memory);
    }
}

fn head(text: &mut String, name: &str, kind: &str, what: &str) {
    let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, series: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{series} {value}");
}

/// A label's value: what would end it is written otherwise.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Bytes of memory that are resident, where the system says it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_line() {
        assert_eq!(label("a\"} 1\nb\\"), "a\\\"} 1\\nb\\\\");
    }
}
