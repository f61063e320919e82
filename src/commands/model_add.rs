//! `flow model add`: makes a model that is on this machine known by a name.
//!
//! Its file is checked and hashed where it lies, and named there: nothing is copied.

use flow_llama::store::{Addition, Manifest};

use crate::cli::{Global, ModelAdd};
use crate::commands::model;
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: ModelAdd) -> Result<Exit, CommandError> {
    let store = world::models();
    let adding = store.clone();
    // Hashing gigabytes takes a while, and must not keep the runtime from its work.
    let added = tokio::task::spawn_blocking(move || add(&adding, args)).await;
    let manifest = added.map_err(|error| CommandError::failed(error.to_string()))??;
    if global.json {
        output::json(&model::local_json(&store, &manifest));
    } else {
        output::note(&format!(
            "added `{}` ({}), which stays in {}\n",
            manifest.name,
            manifest.size(),
            manifest.origin()
        ));
    }
    Ok(Exit::Done)
}

fn add(store: &flow_llama::store::ModelStore, args: ModelAdd) -> Result<Manifest, CommandError> {
    let ModelAdd { file, projector, name } = args;
    let (weights, projector) = (file.as_path(), projector.as_deref());
    Ok(store.add(Addition { weights, projector, name, now: world::now() })?)
}
