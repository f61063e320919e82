//! `flow plugin test`: runs a plugin's own cases.

use std::sync::Arc;

use flow_core::intake::Intake;
use flow_core::plugin::PluginMemories;
use flow_core::store::Store;
use flow_plugins::trial::{CaseError, Recorded, Tried, Verdict, cases_in, judge};
use serde_json::{Value, json};

use crate::cli::{Global, PluginTest};
use crate::output;
use crate::plugins;
use crate::report::{CommandError, Exit};

pub(super) async fn run(global: &Global, args: &PluginTest) -> Result<Exit, CommandError> {
    let recorded = Recorded::default();
    let sandbox = plugins::sandbox_over(Arc::new(recorded.clone()))?;
    let tried = Tried::load(&sandbox, &args.folder).map_err(super::of_fault)?;
    let cases = cases_in(&args.folder).map_err(|error| of_case(&error))?;
    if cases.is_empty() {
        let message = format!("`{}` has no cases", args.folder.join("cases").display());
        let hint = "write one: `input:` and `output:` in `cases/NAME.yaml`";
        return Err(CommandError::invalid(message).hint(hint));
    }
    let folder = tempfile::tempdir()?;
    let (mut failed, mut told) = (0, Vec::new());
    for case in &cases {
        // What a case remembers is not known to the next one.
        let store = Store::open(&folder.path().join(&case.name)).await?;
        let intake = Intake::new(store.artifacts().clone(), flow_providers::documents::sniff);
        let memories: &dyn PluginMemories = &store;
        let memory = memories.of(tried.name());
        let verdict = judge(&tried, case, &recorded, &intake, Some(memory)).await;
        store.close().await;
        let passed = verdict.differences.is_empty();
        if args.update && !passed {
            case.update(&verdict.came).map_err(|error| of_case(&error))?;
        }
        failed += usize::from(!passed && !args.update);
        match global.json {
            true => told.push(in_json(&case.name, &verdict)),
            false => say(&case.name, &verdict, args.update),
        }
    }
    let count = cases.len();
    if global.json {
        output::json(&Value::Array(told));
    } else {
        let cases = if count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        output::note(&format!("{cases}, {failed} failed\n"));
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn say(name: &str, verdict: &Verdict, update: bool) {
    let word = match (verdict.differences.is_empty(), update) {
        (true, _) => "ok     ",
        (false, true) => "updated",
        (false, false) => "FAILED ",
    };
    output::data(&format!("{word} {name}\n"));
    if update || verdict.differences.is_empty() {
        return;
    }
    for line in &verdict.differences {
        output::data(&format!("  {}\n", line.replace('\n', "\n  ")));
    }
    for line in &verdict.log {
        output::data(&format!("  log: {line}\n"));
    }
    if let Some(hint) = &verdict.hint {
        output::data(&format!("  hint: {}\n", hint.replace('\n', "\n  ")));
    }
}

fn in_json(name: &str, verdict: &Verdict) -> Value {
    json!({
        "case": name,
        "passed": verdict.differences.is_empty(),
        "differences": verdict.differences,
        "log": verdict.log,
    })
}

fn of_case(error: &CaseError) -> CommandError {
    CommandError::invalid(error.to_string())
}
