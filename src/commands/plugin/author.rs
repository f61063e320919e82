//! `flow plugin new` and `flow plugin build`.

use flow_plugins::project::{BuildError, Language, NewError, build as build_it, create};
use serde_json::json;

use crate::cli::{Global, PluginBuild, PluginLanguage, PluginNew};
use crate::output;
use crate::report::{CommandError, Exit};

pub(super) fn new(global: &Global, args: &PluginNew) -> Result<Exit, CommandError> {
    let language = match args.lang {
        PluginLanguage::Rust => Language::Rust,
        PluginLanguage::Js => Language::JavaScript,
        PluginLanguage::Python => Language::Python,
        PluginLanguage::C => Language::C,
    };
    let within = args.within.clone().unwrap_or_else(|| ".".into());
    let folder = create(&within, &args.name, language).map_err(|error| of_new(&error))?;
    let shown = folder.strip_prefix(".").unwrap_or(&folder).display();
    let tools = match language {
        Language::Rust | Language::C => None,
        Language::JavaScript => Some(format!("npm install --prefix {shown}")),
        Language::Python => Some(format!(
            "python3 -m venv {shown}/.venv && {shown}/.venv/bin/pip install -r {shown}/requirements.txt"
        )),
    };
    let next: Vec<_> = tools
        .into_iter()
        .chain([
            format!("flow plugin build {shown}"),
            format!("flow plugin test {shown}"),
            format!("flow plugin run {shown} --input '{{\"text\": \"two words\"}}'"),
        ])
        .collect();
    if global.json {
        output::json(&json!({ "folder": folder, "next": next }));
        return Ok(Exit::Done);
    }
    output::note(&format!("made `{shown}`, a step in {language}; now:\n"));
    output::data(&format!("{}\n", next.join("\n")));
    Ok(Exit::Done)
}

fn of_new(error: &NewError) -> CommandError {
    let hints = error.hint().map(str::to_owned).into_iter().collect();
    CommandError { hints, ..CommandError::invalid(error.to_string()) }
}

pub(super) fn build(global: &Global, args: &PluginBuild) -> Result<Exit, CommandError> {
    let built = build_it(&args.folder, args.out.as_deref()).map_err(|error| of_build(&error))?;
    if global.json {
        output::json(&json!({
            "component": built.component,
            "size": built.size,
            "sha256": built.sha256,
            "kind": built.interface.kind,
            "interface": format!("flow:plugin@{}", built.interface.version),
        }));
        return Ok(Exit::Done);
    }
    let here = std::env::current_dir().unwrap_or_default();
    let shown = built.component.strip_prefix(here.canonicalize().unwrap_or(here));
    let shown = shown.unwrap_or(&built.component).display();
    let size = output::bytes(built.size as u64);
    output::note(&format!("built `{shown}`, {size}, sha256:{}\n", built.sha256));
    Ok(Exit::Done)
}

fn of_build(error: &BuildError) -> CommandError {
    let hints = error.hint().into_iter().collect();
    let invalid = matches!(error, BuildError::NoProject(_) | BuildError::Manifest { .. });
    let of = if invalid { CommandError::invalid } else { CommandError::failed };
    CommandError { hints, ..of(error.to_string()) }
}
