//! `flow plugin run`: calls a plugin once, without a workflow.

use std::path::Path;
use std::sync::Arc;

use flow_core::intake::Intake;
use flow_core::plugin::PluginMemories;
use flow_core::store::Store;
use flow_plugins::policy::Capabilities;
use flow_plugins::{Alone, Call};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, PluginRun};
use crate::output;
use crate::plugins;
use crate::report::{CommandError, Exit};
use crate::settings;

pub(super) async fn run(_global: &Global, args: PluginRun) -> Result<Exit, CommandError> {
    let sandbox = plugins::sandbox(settings::secrets(args.secrets.as_deref())?)?;
    let tried = super::tried(&sandbox, &args.plugin)?;
    let (input, beside) = read(&args.input)?;
    let grant = match &args.allow {
        None => Capabilities::default(),
        Some(text) => Capabilities::read(&yaml("--allow", text)?, "--allow").map_err(|fault| {
            let hints = fault.hint.clone().into_iter().collect();
            CommandError { hints, ..CommandError::invalid(fault.message) }
        })?,
    };
    let config = match &args.config {
        None => Value::Null,
        Some(text) => yaml("--config", text)?,
    };
    let config = tried.settings(&config).map_err(super::of_fault)?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path()).await?;
    let intake = Intake::new(store.artifacts().clone(), flow_providers::documents::sniff);
    let input = tried.input(input, &beside, &intake).await.map_err(super::of_fault)?;
    let memories: &dyn PluginMemories = &store;
    let granted = Arc::new(tried.granted(&grant).within(Path::new(".")));
    let call = Call {
        run: "",
        step: "",
        attempt: 1,
        granted: &granted,
        config: &Arc::new(config),
        intake: Some(&intake),
        log: Arc::new(|line: &str| output::note(&format!("{line}\n"))),
        memory: Some(memories.of(tried.name())),
        outside: &Alone,
        cancel: CancellationToken::new(),
    };
    let came = tried.perform(&call, &input).await;
    store.close().await;
    match came.result {
        Ok(value) => {
            output::json(&value);
            Ok(Exit::Done)
        }
        Err(fault) => {
            let failure = fault.into_failure(tried.name());
            let hints = failure.hint.clone().into_iter().collect();
            Err(CommandError { hints, ..CommandError::failed(failure.message) })
        }
    }
}

/// The input as it was typed, and the folder that its files are relative to.
fn read(typed: &str) -> Result<(Value, std::path::PathBuf), CommandError> {
    let Some(file) = typed.strip_prefix('@') else {
        return Ok((yaml("--input", typed)?, ".".into()));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| CommandError::invalid(format!("cannot read `{file}`: {error}")))?;
    let folder = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((yaml(file, &text)?, folder.unwrap_or(Path::new(".")).to_path_buf()))
}

/// JSON, or YAML as it stands in workflows.
fn yaml(what: &str, text: &str) -> Result<Value, CommandError> {
    flow_plugins::policy::read_yaml(text)
        .map_err(|why| CommandError::invalid(format!("`{what}` is neither JSON nor YAML: {why}")))
}
