//! `flow model rm`: removes a model, and the files that only it has.

use std::path::PathBuf;

use flow_llama::store::{ModelName, StoreError};
use serde_json::json;

use crate::cli::Global;
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) fn run(global: &Global, name: &str) -> Result<Exit, CommandError> {
    let known: ModelName =
        name.parse().map_err(|_| StoreError::Unknown { name: name.to_owned(), meant: None })?;
    let removed = world::models().remove(&known)?;
    if global.json {
        output::json(&json!({
            "name": known,
            "freed": removed.freed.0,
            "shared": removed.shared,
            "outside": removed.outside,
        }));
        return Ok(Exit::Done);
    }
    output::note(&format!("removed `{known}`: {} freed\n", removed.freed));
    say(&removed.shared, "another model has it as well");
    say(&removed.outside, "it is yours");
    Ok(Exit::Done)
}

fn say(files: &[PathBuf], why: &str) {
    for file in files {
        output::note(&format!("  {} stays: {why}\n", file.display()));
    }
}
