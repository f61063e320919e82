//! `flow cancel`: stops a run.

use flow_core::engine::Backend;
use serde_json::json;

use crate::cli::{Global, OneRun};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: &OneRun) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    let engine = world::engine(store, world::actions(), true);
    engine.cancel(&run.id).await?;
    let run = engine.attach(&run.id).await?;
    if global.json {
        output::json(&json!({ "run": run.id, "status": run.status }));
    } else {
        output::note(&format!("run {} {}\n", run.id, run.status));
    }
    Ok(Exit::Done)
}
