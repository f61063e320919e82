//! `flow graph`: draws a workflow.

use flow_core::language::Instead;

use crate::cli::Graph;
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) fn run(args: &Graph) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let program = world::program(&args.file, &machine, &Instead::default())?;
    output::data(&flow_server::graph::draw(&program.workflow, args.format.into(), &|_| None));
    Ok(Exit::Done)
}
