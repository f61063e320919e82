//! `flow graph`: draws a workflow.

use std::collections::BTreeMap;

use crate::cli::Graph;
use crate::report::{CommandError, Exit};
use crate::{graph, output, world};

pub(crate) fn run(args: &Graph) -> Result<Exit, CommandError> {
    let actions = world::actions(BTreeMap::new());
    let program = world::program(&args.file, &actions, &BTreeMap::new())?;
    output::data(&graph::draw(&program.workflow, args.format, &|_| None));
    Ok(Exit::Done)
}
