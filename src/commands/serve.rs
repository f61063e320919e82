//! `flow serve`: the workflows of a folder, over HTTP.
//!
//! The first Ctrl-C or SIGTERM stops it gracefully, the second at once; what was running is
//! taken up by the next one in both cases.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use flow_core::store::{ServerLock, ServerLockError, Store};
use flow_server::gate::{Gate, GateSetup};
use flow_server::{Folder, Runs, Site, Workplace};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Global, LogFormat, Serve};
use crate::commands::drive::{end_at_once, stop_signal};
use crate::output;
use crate::report::{CommandError, Exit};
use crate::server::Here;
use crate::world;

/// The variable that says what is logged, as `warn,flow_server=debug`.
const LOG: &str = "FLOW_LOG";

/// What is logged where nobody says it.
const LOGGED: &str = "warn,flow=info,flow_core=info,flow_server=info,flow_providers=info,\
flow_llama=info,flow_plugins=info";

pub(crate) async fn run(global: &Global, args: Serve) -> Result<Exit, CommandError> {
    log(args.log)?;
    let dir = &args.dir;
    if !dir.is_dir() {
        let message = format!("there is no folder `{}`", dir.display());
        return Err(CommandError::invalid(message).hint("name the folder of the workflows"));
    }
    let machine = Arc::new(world::machine(args.secrets.as_deref())?);
    let address = resolved(&args.addr).await?;
    let store = Store::open(&store_of(global, dir)).await?;
    let mut lock = ServerLock::acquire(store.folder())?;
    may_listen(&store, address).await?;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        CommandError::failed(format!("cannot listen at {address}: {error}"))
            .hint("`--addr HOST:PORT` names another place; port 0 is one that is free")
    })?;
    let address = listener.local_addr()?;
    lock.listens_at(&address.to_string())?;

    let engine = world::engine(store.clone(), machine.actions.clone(), true);
    let here: Arc<dyn Workplace> = Arc::new(Here { machine });
    let folder = opened(dir, Arc::clone(&here)).await?;
    let stopping = CancellationToken::new();
    let gate = Gate::new(GateSetup {
        store: store.clone(),
        address,
        hosts: args.hosts,
        rate: args.rate,
        largest: args.max_upload,
        stopping: stopping.clone(),
    });
    let site = Site::new(Runs::new(engine, here), Arc::new(folder), gate);
    if global.json {
        let place = json!({ "address": address.to_string(), "url": format!("http://{address}") });
        output::data(&format!("{place}\n"));
    }
    output::note(&format!("serving `{}` at http://{address}\n", dir.display()));
    let signals = tokio::spawn(stopped_by_signals(stopping.clone()));
    flow_server::serve(site, listener, args.grace, stopping).await;
    signals.abort();
    store.close().await;
    drop(lock);
    Ok(Exit::Done)
}

/// The store of a folder of workflows.
fn store_of(global: &Global, dir: &Path) -> std::path::PathBuf {
    global.store.clone().unwrap_or_else(|| dir.join(".flow"))
}

async fn opened(dir: &Path, here: Arc<dyn Workplace>) -> Result<Folder, CommandError> {
    let dir = dir.to_path_buf();
    let shown = dir.display().to_string();
    let opened = tokio::task::spawn_blocking(move || Folder::open(dir, here)).await;
    opened
        .map_err(|error| CommandError::failed(error.to_string()))?
        .map_err(|error| CommandError::failed(format!("cannot read the folder `{shown}`: {error}")))
}

async fn resolved(address: &str) -> Result<SocketAddr, CommandError> {
    let wrong = |why: String| {
        CommandError::invalid(format!("cannot listen at `{address}`: {why}"))
            .hint("write it as `127.0.0.1:8400`, or `[::1]:8400`")
    };
    let mut found =
        tokio::net::lookup_host(address).await.map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("it has no address".to_owned()))
}

/// Whoever reaches a server without a token does all that it does.
async fn may_listen(store: &Store, address: SocketAddr) -> Result<(), CommandError> {
    let now = world::now();
    let opens = |token: &flow_core::store::TokenRow| token.expires.is_none_or(|until| now < until);
    if address.ip().is_loopback() || store.tokens().await?.iter().any(opens) {
        return Ok(());
    }
    let message = format!("refusing to listen at {address} without a token");
    let hint = format!(
        "`flow token new NAME --scope admin --store {}` makes one; 127.0.0.1 needs none",
        store.folder().display()
    );
    Err(CommandError::invalid(message).hint(hint))
}

async fn stopped_by_signals(stopping: CancellationToken) {
    stop_signal().await;
    output::note("stopping; press Ctrl-C again to stop at once\n");
    stopping.cancel();
    stop_signal().await;
    output::note("stopped; `flow serve` goes on with what was running\n");
    end_at_once();
}

/// Begins to write the log.
fn log(format: LogFormat) -> Result<(), CommandError> {
    let wanted = world::variable(LOG);
    let targets: Targets = wanted.as_deref().unwrap_or(LOGGED).parse().map_err(|error| {
        CommandError::invalid(format!("`{LOG}` says nothing that can be logged: {error}"))
            .hint("write it as `warn,flow_server=debug`")
    })?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()
        .map_err(|error| CommandError::failed(format!("cannot begin a log: {error}")))
}

impl From<ServerLockError> for CommandError {
    fn from(error: ServerLockError) -> Self {
        let hints = error.hint().map(str::to_owned).into_iter().collect();
        Self { hints, ..Self::failed(error.to_string()) }
    }
}
