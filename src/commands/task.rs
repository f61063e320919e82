//! `flow task`: the tasks that steps can use, those of the folder here among them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use flow_core::language::{Task, closest, task};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::report::{CommandError, Exit};
use crate::world::Beside;
use crate::{output, world};

/// The folder of tasks beside a workflow.
const FOLDER: &str = "tasks";

pub(crate) fn list(global: &Global) -> Exit {
    let actions = world::actions();
    let names: BTreeSet<String> = actions.tasks().map(str::to_owned).chain(own()).collect();
    let (mut tasks, mut exit) = (Vec::new(), Exit::Done);
    for name in &names {
        match task(name, &actions, &Beside(PathBuf::from("."))) {
            Ok(task) => tasks.extend(task),
            Err(faults) => {
                output::note(&faults.to_string());
                exit = Exit::Invalid;
            }
        }
    }
    if global.json {
        let told = tasks.iter().map(|task| {
            let mut told = about(task);
            told["takes"] = json!(takes(task));
            told
        });
        output::json(&told.collect());
        return exit;
    }
    let rows: Vec<_> = tasks
        .iter()
        .map(|task| {
            let (name, needs) = (task.name.clone(), task.needs.join(" "));
            vec![name, takes(task).join(" "), needs, origin(&task.name), task.summary.clone()]
        })
        .collect();
    output::data(&output::table(&["TASK", "TAKES", "NEEDS", "FROM", "DOES"], &rows));
    exit
}

pub(crate) fn show(global: &Global, name: &str) -> Result<Exit, CommandError> {
    let actions = world::actions();
    let name = name.strip_prefix("task.").unwrap_or(name);
    let found = match task(name, &actions, &Beside(PathBuf::from("."))) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let error = CommandError::invalid(format!("there is no task `{name}`"));
            let names: Vec<String> = actions.tasks().map(str::to_owned).chain(own()).collect();
            let meant = closest(name, names.iter().map(String::as_str))
                .map(|near| format!("did you mean `{near}`?"));
            return Err(error.hint(meant.unwrap_or_else(|| "`flow task ls` lists them".into())));
        }
        Err(faults) => {
            output::note(&faults.to_string());
            return Err(CommandError::invalid(format!("task `{name}` cannot be used")));
        }
    };
    if global.json {
        let mut told = about(&found);
        told["input"] = found.input.clone();
        told["one_of"] = json!(found.one_of);
        told["output"] = found.output_source();
        output::json(&told);
    } else {
        output::data(&found.text);
    }
    Ok(Exit::Done)
}

fn about(task: &Arc<Task>) -> Value {
    json!({
        "name": task.name,
        "version": task.version,
        "summary": task.summary,
        "needs": task.needs,
        "from": origin(&task.name),
    })
}

/// The keys of `with` that are the task's own.
fn takes(task: &Task) -> Vec<&str> {
    let keys = task.input["properties"].as_object().into_iter().flatten();
    let own = keys.filter(|(key, _)| !Task::is_setting(key));
    own.map(|(key, _)| key.as_str()).collect()
}

/// Where a task is from: its file here, if there is one, goes before the one that is built in.
fn origin(name: &str) -> String {
    let file = PathBuf::from(FOLDER).join(format!("{name}.yaml"));
    if file.exists() { file.display().to_string() } else { "flow".to_owned() }
}

/// Names of the tasks in the folder here.
fn own() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".yaml").map(str::to_owned)
    })
}
