//! Plugins on this machine: where they are kept, and what they reach.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use flow_core::plugin::{HttpClient, Models};
use flow_plugins::installed::Folder;
use flow_plugins::{
    CACHE_FOLDER, CAP_VARIABLE, Compiler, NoHttp, Plugins, Sandbox, Services, Setup, serve_compiler,
};
use flow_providers::{PluginHttp, Providers, Tape};

use crate::report::CommandError;
use crate::world;

/// The word by which flow starts itself to compile a plugin. No command of the user's.
const COMPILE: &str = "plugin-compile";

/// Compiles a plugin, where this process was started for that.
pub(crate) fn compiler() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != COMPILE {
        return None;
    }
    let cap = world::variable(CAP_VARIABLE);
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    Some(serve_compiler(cap.as_deref(), stdin, stdout, stderr).into())
}

/// The plugins that workflows can name. None is loaded, and nothing set up, before one is named.
pub(crate) fn of_machine(
    providers: &Arc<Providers>,
    secrets: BTreeMap<String, String>,
    tape: Tape,
) -> Arc<Plugins> {
    let models = Arc::clone(providers) as Arc<dyn Models>;
    let http = Arc::new(PluginHttp::new(secrets, tape));
    Arc::new(Plugins::new(setup(http), models, Arc::new(installed())))
}

/// The plugins that the user installed.
pub(crate) fn installed() -> Folder {
    Folder::new(world::plugins())
}

/// What a sandbox on this machine is made with.
fn setup(http: Arc<dyn HttpClient>) -> Setup {
    let program = std::env::current_exe().unwrap_or_else(|_| "flow".into());
    Setup {
        cache: world::cache().join(CACHE_FOLDER),
        compiler: Compiler::new(program, [COMPILE.into()]),
        services: Services { http, now_ms: world::now },
        seats: world::cores().saturating_sub(1).max(1),
    }
}

/// The way to servers for commands that run no workflow.
pub(crate) fn http(secrets: BTreeMap<String, String>) -> Arc<dyn HttpClient> {
    Arc::new(PluginHttp::new(secrets, Tape::default()))
}

/// A sandbox for a command that calls a plugin.
pub(crate) fn sandbox(secrets: BTreeMap<String, String>) -> Result<Arc<Sandbox>, CommandError> {
    sandbox_over(http(secrets))
}

/// A sandbox whose plugins reach nobody.
pub(crate) fn alone() -> Result<Arc<Sandbox>, CommandError> {
    sandbox_over(Arc::new(NoHttp))
}

/// A sandbox whose plugins reach servers this way.
pub(crate) fn sandbox_over(http: Arc<dyn HttpClient>) -> Result<Arc<Sandbox>, CommandError> {
    Sandbox::new(setup(http)).map_err(|error| {
        let hints = error.hint().into_iter().collect();
        CommandError { hints, ..CommandError::failed(error.to_string()) }
    })
}
