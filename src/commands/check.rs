//! `flow check`: says everything that is wrong with a workflow.

use serde_json::json;

use flow_core::language::Instead;

use crate::cli::{Check, Global};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) fn run(global: &Global, args: &Check) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    for file in &args.files {
        let checked = world::checked(file, &machine, &Instead::default())?;
        if checked.diagnostics.has_errors() {
            exit = Exit::Invalid;
        }
        if global.json {
            all.extend(checked.diagnostics.iter().cloned());
            continue;
        }
        output::note(&checked.diagnostics.to_string());
        match checked.diagnostics.errors() {
            0 => output::note(&format!("{}: ok\n", file.display())),
            1 => output::note(&format!("{}: 1 error\n", file.display())),
            errors => output::note(&format!("{}: {errors} errors\n", file.display())),
        }
    }
    if global.json {
        output::json(&json!(all));
    }
    Ok(exit)
}
