//! `flow plugin`: writing plugins, trying them, and installing those of others.

mod author;
mod inspect;
mod install;
mod run;
mod test;

use std::sync::Arc;

use flow_core::plugin::PluginFault;
use flow_plugins::Sandbox;
use flow_plugins::installed::{Folder, InstallError, place_named};
use flow_plugins::trial::Tried;

use crate::cli::{Global, Plugin};
use crate::plugins;
use crate::report::{CommandError, Exit};

/// Carries a command out.
pub(super) async fn dispatch(global: &Global, command: Plugin) -> Result<Exit, CommandError> {
    match command {
        Plugin::New(args) => author::new(global, &args),
        Plugin::Build(args) => author::build(global, &args),
        Plugin::Test(args) => test::run(global, &args).await,
        Plugin::Run(args) => run::run(global, args).await,
        Plugin::Inspect(args) => inspect::run(global, &args),
        Plugin::Install(args) => install::install(global, &args).await,
        Plugin::Ls => install::list(global),
        Plugin::Rm(args) => install::remove(global, &args),
    }
}

/// Loads the plugin that a command names: a path, or one that is installed.
fn tried(sandbox: &Arc<Sandbox>, named: &str) -> Result<Tried, CommandError> {
    let place = place_named(&plugins::installed(), named).map_err(|error| of_install(&error))?;
    Tried::load(sandbox, &place).map_err(of_fault)
}

/// The plugins of the user.
fn folder() -> Folder {
    plugins::installed()
}

fn of_fault(fault: PluginFault) -> CommandError {
    let hints = fault.hint.into_iter().collect();
    CommandError { hints, ..CommandError::invalid(fault.message) }
}

fn of_install(error: &InstallError) -> CommandError {
    let hints = error.hint().into_iter().collect();
    CommandError { hints, ..CommandError::failed(error.to_string()) }
}
