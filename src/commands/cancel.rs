//! `flow cancel`: stops a run.

use flow_core::batches::BatchRecord;
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
    for BatchRecord { provider, remote, .. } in engine.store().open_batches(&run.id).await? {
        let remote = remote.map(|id| format!(" `{id}`")).unwrap_or_default();
        output::note(&format!("what it gave to batch{remote} of `{provider}` may still be paid\n"));
    }
    if global.json {
        output::json(&json!({ "run": run.id, "status": run.status }));
    } else {
        output::note(&format!("run {} {}\n", run.id, run.status));
    }
    Ok(Exit::Done)
}
