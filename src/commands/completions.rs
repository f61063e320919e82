//! `flow completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::output;
use crate::report::Exit;

pub(crate) fn run(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "flow", &mut script);
    output::data(&String::from_utf8_lossy(&script));
    Exit::Done
}
