//! `flow plugin install`, `ls` and `rm`: the plugins of others.

use flow_plugins::installed::{Entry, Source, fetch};
use serde_json::json;

use super::{folder, inspect, of_install};
use crate::cli::{Global, PluginInstall, PluginRemove};
use crate::output;
use crate::plugins;
use crate::report::{CommandError, Exit};

pub(super) async fn install(global: &Global, args: &PluginInstall) -> Result<Exit, CommandError> {
    let source = match Source::of(&args.source) {
        // It is told again wherever somebody stands later.
        Source::Path(path) => Source::Path(path.canonicalize().unwrap_or(path)),
        elsewhere @ (Source::Url(_) | Source::Oci(_)) => elsewhere,
    };
    let http = plugins::http(std::collections::BTreeMap::new());
    let fetched = fetch(&source, &*http).await.map_err(|error| of_install(&error))?;
    let sandbox = plugins::alone()?;
    let folder = folder();
    let candidate = folder.candidate(&sandbox, &source, fetched, args.sha256.as_deref());
    let candidate = candidate.map_err(|error| of_install(&error))?;
    let Entry { name, version, kind, sha256, .. } = &candidate.entry;
    let own = candidate.plugin.descriptor();
    let asked = candidate.manifest.as_ref().map_or(&own.capabilities, |own| &own.capabilities);
    folder.install(&candidate).map_err(|error| of_install(&error))?;
    if global.json {
        let mut told = json!(candidate.entry);
        told["asks"] = asked.to_json();
        output::json(&told);
        return Ok(Exit::Done);
    }
    output::note(&format!("installed {name}@{version}, a {kind}: {}\n", own.summary));
    output::note(&format!("sha256     {sha256}\nasks for   {}\n", inspect::asks(asked)));
    output::note(&format!(
        "it is granted nothing by that; in a workflow:\nplugins:\n  {name}: {{ use: {name}@{version} }}\n"
    ));
    Ok(Exit::Done)
}

pub(super) fn list(global: &Global) -> Result<Exit, CommandError> {
    let installed = folder().list().map_err(|error| of_install(&error))?;
    if global.json {
        output::json(&json!(installed));
        return Ok(Exit::Done);
    }
    let row = |entry: &Entry| {
        let Entry { name, version, kind, sha256, source } = entry.clone();
        vec![name, version, kind, sha256.chars().take(12).collect(), source]
    };
    let rows: Vec<_> = installed.iter().map(row).collect();
    match rows.is_empty() {
        true => output::note("no plugin is installed\n"),
        false => {
            output::data(&output::table(&["NAME", "VERSION", "KIND", "SHA256", "FROM"], &rows));
        }
    }
    Ok(Exit::Done)
}

pub(super) fn remove(global: &Global, args: &PluginRemove) -> Result<Exit, CommandError> {
    let (name, version) = match args.plugin.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (args.plugin.as_str(), None),
    };
    let removed = folder().remove(name, version).map_err(|error| of_install(&error))?;
    if global.json {
        output::json(&json!(removed));
        return Ok(Exit::Done);
    }
    for Entry { name, version, .. } in removed {
        output::note(&format!("removed {name}@{version}\n"));
    }
    Ok(Exit::Done)
}
