//! Plugins on this machine: where they are kept, and what they reach.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::action::CallUsage;
use flow_core::error::Failure;
use flow_core::language::ModelChoice;
use flow_core::provider::{Answer, CallContext, Request};
use flow_core::units::Money;
use flow_plugins::{
    CACHE_FOLDER, CAP_VARIABLE, Compiler, HttpClient, HttpRequest, HttpResponse, Models,
    NoneInstalled, Plugins, Services, Setup, serve_compiler,
};
use flow_providers::{PluginHttp, PluginReply, PluginRequest, Providers, Tape};

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
        services: Services {
            http: Arc::new(Http(PluginHttp::new(secrets, tape))),
            now_ms: world::now,
        },
        seats: world::cores().saturating_sub(1).max(1),
    };
    let models = Arc::new(OfProviders(Arc::clone(providers)));
    Arc::new(Plugins::new(setup, models, Arc::new(NoneInstalled)))
}

/// Requests of plugins go the way of all others.
struct Http(PluginHttp);

#[async_trait]
impl HttpClient for Http {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let HttpRequest { plugin, method, url, headers, secrets, body, timeout, most, private } =
            request;
        let request =
            PluginRequest { plugin, method, url, headers, secrets, body, timeout, most, private };
        let PluginReply { status, headers, body } = self.0.send(request).await?;
        Ok(HttpResponse { status, headers, body })
    }
}

/// So do their questions to models.
struct OfProviders(Arc<Providers>);

#[async_trait]
impl Models for OfProviders {
    async fn ask(
        &self,
        chain: &[ModelChoice],
        request: &Request,
        most: Option<Money>,
        folder: &Path,
        context: &CallContext<'_>,
    ) -> Result<(Answer, CallUsage), (Failure, Option<CallUsage>)> {
        self.0.ask(chain, request, most, folder, context).await
    }
}
