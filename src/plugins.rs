//! Plugins on this machine: where they are kept, and what they reach.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use flow_core::plugin::Models;
use flow_plugins::{
    CACHE_FOLDER, CAP_VARIABLE, Compiler, NoneInstalled, Plugins, Services, Setup, serve_compiler,
};
use flow_providers::{PluginHttp, Providers, Tape};

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
    let program = std::env::current_exe().unwrap_or_else(|_| "flow".into());
    let setup = Setup {
        cache: world::cache().join(CACHE_FOLDER),
        compiler: Compiler::new(program, [COMPILE.into()]),
        services: Services { http: Arc::new(PluginHttp::new(secrets, tape)), now_ms: world::now },
        seats: world::cores().saturating_sub(1).max(1),
    };
    let models = Arc::clone(providers) as Arc<dyn Models>;
    Arc::new(Plugins::new(setup, models, Arc::new(NoneInstalled)))
}
