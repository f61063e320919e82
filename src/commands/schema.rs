//! `flow schema`: the JSON Schema of workflow files.

use flow_core::language::json_schema;

use crate::report::Exit;
use crate::{output, world};

pub(crate) fn run() -> Exit {
    output::json(&json_schema(&world::actions()));
    Exit::Done
}
