//! Brings a run to where it can go no further: what `run` and `resume` share.
//!
//! Ctrl-C asks the run to stop so that it can be resumed; a second one ends the process at
//! once. On a terminal, what the run asks a person is asked here, and the run goes on.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use flow_core::engine::{
    Answer, Backend, Embedded, EngineError, Program, Resume, RunHandle, RunReport,
};
use flow_core::ids::RunId;
use flow_core::store::{ApprovalRow, RunStatus};
use flow_core::template::StepView;
use flow_providers::Providers;
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::commands::approve::json_or_text;
use crate::output;
use crate::progress;
use crate::report::{CommandError, Exit};
use crate::world;

/// Drives a run that was started, reports what it came to, and ends.
pub(crate) async fn to_the_end(
    global: &Global,
    engine: &Embedded,
    providers: &Providers,
    program: &Program,
    mut handle: RunHandle,
) -> Result<Exit, CommandError> {
    loop {
        let report = interruptible(&mut handle).await?;
        let answered = report.run.status == RunStatus::Waiting
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
            && ask(engine, &report.run.id).await?;
        if !answered {
            if report.run.status.has_ended() {
                tidy(engine, providers, program, &report.run.id).await;
            }
            engine.store().close().await;
            return Ok(finish(global, engine.store().folder(), &report));
        }
        let (id, program, observer) = (report.run.id, program.clone(), progress::watcher());
        handle = engine.resume(Resume { id, program, observer }).await?;
    }
}

/// Removes what was uploaded for runs that have ended. What cannot be removed now is told, and
/// is tried again when the next run ends; Ctrl-C leaves the rest to that, too.
async fn tidy(engine: &Embedded, providers: &Providers, program: &Program, run: &RunId) {
    let uploads = engine.store().uploads(run.clone());
    let models = program.workflow.models_of_steps();
    let left = tokio::select! {
        left = providers.tidy(models, &uploads) => left,
        () = stop_signal() => return,
    };
    for failure in left {
        output::note(&format!("warning: {}\n", failure.message));
    }
}

/// Waits for the run. The first Ctrl-C asks it to stop, the second ends the process.
async fn interruptible(handle: &mut RunHandle) -> Result<RunReport, EngineError> {
    let id = handle.id().clone();
    tokio::select! {
        report = handle.wait() => return report,
        () = stop_signal() => {
            output::note("stopping; press Ctrl-C again to stop at once\n");
            handle.interrupt();
        }
    }
    tokio::select! {
        report = handle.wait() => report,
        () = stop_signal() => {
            output::note(&format!("stopped; `flow resume {id}` goes on\n"));
            end_at_once()
        }
    }
}

/// Ends without waiting for anything: what is durable stays, as after a crash.
#[expect(clippy::exit, reason = "the second Ctrl-C must end the process whatever still works")]
pub(crate) fn end_at_once() -> ! {
    std::process::exit(Exit::Interrupted as i32)
}

#[cfg(unix)]
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
pub(crate) async fn stop_signal() {
    let _ = tokio::signal::ctrl_c().await;
}

/// Asks what the run asks. Says whether it goes on: something was answered, and the person
/// did not want to stop.
async fn ask(engine: &Embedded, run: &RunId) -> Result<bool, CommandError> {
    let mut answered = false;
    for approval in engine.store().open_approvals(run).await? {
        let path = approval.path.clone();
        let answer = tokio::select! {
            answer = tokio::task::spawn_blocking(move || question(&approval)) => answer,
            () = stop_signal() => {
                output::note("\n");
                return Ok(false);
            }
        };
        let Ok(Some(answer)) = answer else { continue };
        match engine.approve(run, &path, answer).await {
            Ok(()) => answered = true,
            // The question stays open: it can be answered by a command.
            Err(unfit @ EngineError::Unfit { .. }) => output::note(&format!("error: {unfit}\n")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answered)
}

/// Puts a question on the terminal; none where the person leaves it open.
fn question(approval: &ApprovalRow) -> Option<Answer> {
    let text = approval.show["question"].as_str().unwrap_or("approve?");
    output::note(&format!("\n{}: {text}\n", approval.path));
    for key in ["why", "reply"] {
        if let Some(told) = approval.show[key].as_str() {
            output::note(&format!("{told}\n"));
        }
    }
    let shown = approval.show.get("show").unwrap_or(&approval.show);
    output::note(&format!("{shown:#}\n"));
    let wanted = approval.output_schema();
    if let Some(schema) = wanted {
        output::note(&format!("as JSON that fits {schema}\n"));
    }
    loop {
        output::note(match wanted {
            Some(_) => "the answer, [n]o, or Enter to decide later: ",
            None => "[y]es, [n]o, or Enter to decide later: ",
        });
        let mut line = String::new();
        std::io::stderr().flush().ok()?;
        if std::io::stdin().lock().read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (line, comment) = (line.trim(), None);
        match (line.to_lowercase().as_str(), wanted) {
            ("", _) => return None,
            ("n" | "no", _) => return Some(Answer { approved: false, comment, output: None }),
            (_, Some(_)) => {
                let output = Some(json_or_text(line));
                return Some(Answer { approved: true, comment, output });
            }
            ("y" | "yes", None) => return Some(Answer { approved: true, comment, output: None }),
            (_, None) => {}
        }
    }
}

/// Reports what a run came to.
fn finish(global: &Global, store: &Path, report: &RunReport) -> Exit {
    let exit = world::exit_of(report);
    if global.json {
        output::json(&run_object(report));
    } else if let Some(outputs) = report.run.outputs.as_ref().filter(|all| **all != json!({})) {
        output::json(outputs);
    }
    let run = &report.run;
    let took = run.ended.map(|ended| output::duration(ended - run.started));
    let cost = match (run.cost.micros(), run.cost_uncertain) {
        (0, false) => "nothing".to_owned(),
        (_, false) => run.cost.to_string(),
        (0, true) => "unknown".to_owned(),
        (_, true) => format!("{} and what is unknown", run.cost),
    };
    let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
    output::note(&format!("run {} {}{took}, cost: {cost}\n", run.id, run.status));
    if let Some(error) = &run.error {
        output::note(&format!("error: {error}\n"));
    }
    if let Some(hint) = report.failure.as_ref().and_then(|failure| failure.hint.as_ref()) {
        output::note(&format!("hint: {hint}\n"));
    }
    if let Some(next) = next_command(run.status) {
        let id = &run.id;
        let here = world::store_here(global);
        let at = if global.store.is_none() && same_folder(&here, store) {
            String::new()
        } else {
            format!(" --store {}", shorter(store).display())
        };
        output::note(&format!("hint: `flow {next} {id}{at}`\n"));
    }
    exit
}

fn next_command(status: RunStatus) -> Option<&'static str> {
    match status {
        RunStatus::Waiting => Some("approve"),
        RunStatus::Interrupted | RunStatus::Running | RunStatus::Failed | RunStatus::Cancelled => {
            Some("resume")
        }
        RunStatus::Succeeded => None,
    }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A path relative to where the command was typed, if it is below it.
fn shorter(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path)
}

/// The one JSON object that `run` and `resume` print.
fn run_object(report: &RunReport) -> Value {
    let steps: Map<String, Value> =
        report.steps.iter().map(|(id, view)| (id.clone(), step_object(view))).collect();
    json!({
        "run": report.run.id,
        "workflow": report.run.workflow,
        "status": report.run.status,
        "outputs": report.run.outputs.clone().unwrap_or_else(|| json!({})),
        "cost": report.run.cost.usd(),
        "cost_uncertain": report.run.cost_uncertain,
        "error": report.run.error,
        "steps": steps,
    })
}

fn step_object(view: &Arc<StepView>) -> Value {
    json!({
        "status": view.status,
        "output": view.output,
        "error": view.error,
        "meta": view.meta,
    })
}
