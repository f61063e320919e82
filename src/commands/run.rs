//! `flow run`: runs a workflow.

use flow_core::engine::{Backend, Submission};
use flow_core::language::{InputType, Workflow, bind_inputs};
use flow_core::store::Store;
use serde_json::{Map, Value};

use crate::cassette::Cassette;
use crate::cli::{Global, Run};
use crate::commands::{drive, plan};
use crate::report::{CommandError, Exit};
use crate::{progress, world};

pub(crate) async fn run(global: &Global, args: Run) -> Result<Exit, CommandError> {
    // What runs nothing records nothing.
    let cassette = if args.dry_run { Cassette::none() } else { Cassette::of(args.cassette)? };
    let machine = world::taped_machine(args.secrets.as_deref(), cassette.tape())?;
    let program = world::program(&args.file, &machine, &args.instead.into())?;
    let inputs = bound(&program.workflow, args.inputs)?;
    if args.dry_run {
        plan::print_workflow(global, &program.workflow);
        return Ok(Exit::Done);
    }
    let store = Store::open(&world::store_beside(global, &args.file)).await?;
    let engine = world::taped_engine(store, machine.actions, !args.no_cache, &cassette);
    let submission = Submission {
        id: world::new_run_id(),
        program: program.clone(),
        inputs,
        observer: progress::watcher(),
    };
    let handle = engine.submit(submission).await?;
    let exit = drive::to_the_end(global, &engine, &machine.services, &program, handle).await;
    cassette.say();
    exit
}

/// Binds what was typed to the workflow's inputs.
pub(super) fn bound(
    workflow: &Workflow,
    typed: Vec<(String, String)>,
) -> Result<Map<String, Value>, CommandError> {
    let given = typed.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
    let mut bound = bind_inputs(workflow, &given).map_err(|faults| {
        let hints = faults.iter().filter_map(|fault| fault.hint.clone()).collect();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        CommandError { hints, ..CommandError::invalid(faults.join("\nerror: ")) }
    })?;
    for input in &workflow.inputs {
        if let (InputType::File { .. } | InputType::Files { .. }, true) =
            (&input.kind, given.contains_key(&input.name))
        {
            match bound.get_mut(&input.name) {
                Some(Value::Array(files)) => files.iter_mut().for_each(from_here),
                Some(file) => from_here(file),
                None => {}
            }
        }
    }
    Ok(bound)
}

/// A path as it was typed: from here if there is such a file, else from the workflow's
/// folder, which the engine takes it from.
fn from_here(value: &mut Value) {
    if let Some(path) = value.as_str()
        && let Ok(whole) = std::path::absolute(path)
        && whole.exists()
    {
        *value = Value::String(whole.to_string_lossy().into_owned());
    }
}
