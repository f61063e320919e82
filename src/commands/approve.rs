//! `flow approve`: answers what a run asks.

use flow_core::engine::{Answer, Backend};
use flow_core::ids::InstancePath;
use flow_core::store::{RunRow, Store};
use serde_json::{Value, json};

use crate::cli::{Approve, Global};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: Approve) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    let path = match args.step {
        Some(path) => InstancePath::from_stored(&path),
        None => only_question(&store, &run).await?,
    };
    let engine = world::engine(store, world::actions(), true);
    let output = args.output.as_deref().map(output_of).transpose()?;
    let answer = Answer { approved: !args.reject, comment: args.comment, output };
    let word = if answer.approved { "approved" } else { "rejected" };
    engine.approve(&run.id, &path, answer).await?;
    if global.json {
        output::json(&json!({ "run": run.id, "step": path, "answer": word }));
    } else {
        output::note(&format!("{word} `{path}`; `flow resume {}` goes on\n", run.id));
    }
    Ok(Exit::Done)
}

/// The output as it was typed: JSON, a file of it, or a text that is no JSON.
fn output_of(typed: &str) -> Result<Value, CommandError> {
    let Some(file) = typed.strip_prefix('@') else { return Ok(json_or_text(typed)) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        CommandError::invalid(format!("cannot read the output in `{file}`: {error}"))
    })?;
    Ok(json_or_text(text.trim_end()))
}

/// What was written for an output: JSON, or a text where it is none.
pub(super) fn json_or_text(written: &str) -> Value {
    serde_json::from_str(written).unwrap_or_else(|_| written.into())
}

async fn only_question(store: &Store, run: &RunRow) -> Result<InstancePath, CommandError> {
    let mut open = store.open_approvals(&run.id).await?.into_iter().map(|row| row.path);
    match (open.next(), open.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => Err(CommandError::invalid(format!("run {} asks nothing", run.id))),
        (Some(first), Some(second)) => {
            let message = format!("run {} asks at `{first}`, `{second}` and perhaps more", run.id);
            Err(CommandError::invalid(message).hint("name one by `--step PATH`"))
        }
    }
}
