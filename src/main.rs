//! The `flow` binary: reads the command line, does what it says, and ends with a code that
//! tells how it went.

mod cassette;
mod cli;
mod commands;
mod eval;
mod failpoint;
mod output;
mod page;
mod places;
#[cfg(feature = "plugins")]
mod plugins;
mod progress;
mod report;
mod server;
mod settings;
mod tasks;
mod world;

use std::panic;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use flow_providers::documents::PARSER_THREAD;

fn main() -> ExitCode {
    #[cfg(feature = "plugins")]
    if let Some(exit) = plugins::compiler() {
        return exit;
    }
    silence_parsers();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error),
    };
    if let cli::Command::ModelHost(args) = &cli.command {
        return commands::model_host::run(args);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::failed(&report::CommandError::from(error)),
    };
    let outcome = runtime.block_on(commands::dispatch(cli));
    // A blocking read of the terminal must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => report::failed(&error),
    }
}

/// Keeps the panics of document parsers off the terminal: each becomes an error that names
/// its document.
fn silence_parsers() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some(PARSER_THREAD) {
            usual(panic);
        }
    }));
}
