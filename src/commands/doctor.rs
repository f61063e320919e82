//! `flow doctor`: what this machine has, and what is missing.

use flow_core::store::Store;
use flow_providers::Providers;
use flow_providers::documents::OcrModels;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// A thing that was looked at.
struct Finding {
    name: &'static str,
    found: bool,
    what: String,
    hint: Option<String>,
}

pub(crate) async fn run(global: &Global) -> Result<Exit, CommandError> {
    let findings = [store(global).await, ocr_models(), ocr_engine(), providers()];
    if global.json {
        output::json(&findings.iter().map(finding_json).collect());
    } else {
        for finding in &findings {
            let sign = if finding.found { "✓" } else { "✗" };
            output::data(&format!("{sign} {:10} {}\n", finding.name, finding.what));
            if let Some(hint) = &finding.hint {
                output::data(&format!("  hint: {hint}\n"));
            }
        }
    }
    let missing = findings.iter().any(|finding| !finding.found);
    Ok(if missing { Exit::Failed } else { Exit::Done })
}

async fn store(global: &Global) -> Finding {
    let folder = world::store_here(global);
    let shown = folder.display();
    let whole = match Store::open_existing(&folder).await {
        Ok(Some(store)) => store.integrity_check().await.map(|()| format!("`{shown}` is whole")),
        Ok(None) => Ok(format!("none in `{shown}` yet; the first run makes one")),
        Err(error) => Err(error),
    };
    finding("store", whole.map_err(|error| (error.to_string(), error.hint())))
}

fn ocr_models() -> Finding {
    let folder = world::ocr_models();
    let models = OcrModels::in_folder(&folder).verify();
    let found = models.map(|()| folder.display().to_string());
    finding("ocr models", found.map_err(|error| (error.to_string(), error.hint())))
}

fn ocr_engine() -> Finding {
    let found = world::ocr_runtime().verify();
    finding("ocr engine", found.map_err(|error| (error.to_string(), error.hint())))
}

/// What was found, or what is wrong and what to do about it.
fn finding(name: &'static str, found: Result<String, (String, Option<&'static str>)>) -> Finding {
    match found {
        Ok(what) => Finding { name, found: true, what, hint: None },
        Err((what, hint)) => Finding { name, found: false, what, hint: hint.map(str::to_owned) },
    }
}

fn providers() -> Finding {
    let what = format!("built in: {}", Providers::KINDS.join(", "));
    Finding { name: "providers", found: true, what, hint: None }
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "found": finding.found,
        "what": finding.what,
        "hint": finding.hint,
    })
}
