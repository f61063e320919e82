//! `flow doctor`: what this machine has, and what is missing.
//!
//! The model services are asked, each for a moment. One that is not set up or away is said,
//! and is no fault of the machine: nobody needs all of them.

use flow_core::store::Store;
use flow_llama::Device;
use flow_providers::documents::OcrModels;
use flow_providers::{Providers, Surveyed};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cli::Global;
use crate::commands::model;
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// The most models of a service that are shown here.
const SHOWN: usize = 12;

/// A thing that was looked at.
struct Finding {
    name: String,
    found: bool,
    what: String,
    hint: Option<String>,
}

pub(crate) async fn run(global: &Global) -> Result<Exit, CommandError> {
    let findings =
        [store(global).await, ocr_models(), ocr_engine(), local_models().await, providers()];
    let services = world::providers()?.survey().await;
    if global.json {
        let services = services.iter().map(service_json);
        output::json(&findings.iter().map(finding_json).chain(services).collect());
    } else {
        findings.iter().for_each(say);
        services.iter().for_each(say_service);
    }
    let missing = findings.iter().any(|finding| !finding.found);
    Ok(if missing { Exit::Failed } else { Exit::Done })
}

fn say(finding: &Finding) {
    let sign = if finding.found { "✓" } else { "✗" };
    output::data(&format!("{sign} {:10} {}\n", finding.name, finding.what));
    if let Some(hint) = &finding.hint {
        output::data(&format!("  hint: {hint}\n"));
    }
}

fn say_service(service: &Surveyed) {
    say(&of_service(service));
    let models = service.models.as_ref().map_or(&[][..], Vec::as_slice);
    for shown in models.iter().take(SHOWN) {
        output::data(&format!("  {}\n", model::in_words(shown)));
    }
    if models.len() > SHOWN {
        let more = models.len() - SHOWN;
        output::data(&format!("  and {more} more: see `flow model ls`\n"));
    }
}

fn of_service(service: &Surveyed) -> Finding {
    let name = service.name.clone();
    match &service.models {
        Ok(models) => {
            let address = service.address.as_deref().unwrap_or_default();
            let what = format!("{address}, {} models", models.len());
            Finding { name, found: true, what, hint: None }
        }
        Err(failure) => {
            let (what, hint) = (failure.message.clone(), failure.hint.clone());
            Finding { name, found: false, what, hint }
        }
    }
}

fn service_json(service: &Surveyed) -> Value {
    let mut value = finding_json(&of_service(service));
    let told = service.to_value();
    for key in ["configured", "reachable", "models"] {
        value[key] = told[key].clone();
    }
    value
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

/// The backends of llama.cpp that are compiled in.
const BACKENDS: &[(bool, &str)] = &[
    (cfg!(feature = "llama"), "cpu"),
    (cfg!(feature = "cuda"), "cuda"),
    (cfg!(feature = "metal"), "metal"),
    (cfg!(feature = "vulkan"), "vulkan"),
];

/// What local models are computed by. llama.cpp is asked in a process of its own.
async fn local_models() -> Finding {
    let name = "llama".to_owned();
    let Some(host) = world::model_host() else {
        let failure = flow_llama::not_built_in();
        return Finding { name, found: false, what: failure.message, hint: failure.hint };
    };
    let asked = Command::new(host.program).args(host.arguments).arg("--devices").output().await;
    let devices: Option<Vec<Device>> =
        asked.ok().and_then(|said| serde_json::from_slice(&said.stdout).ok());
    let built: Vec<_> =
        BACKENDS.iter().filter_map(|(is_in, backend)| is_in.then_some(*backend)).collect();
    let built = format!("built in: {}", built.join(", "));
    let Some(devices) = devices else {
        let what = format!("{built}; llama.cpp does not start here");
        let hint = Some("`flow model-host --devices` shows what it says".to_owned());
        return Finding { name, found: false, what, hint };
    };
    let devices: Vec<_> = devices.iter().map(described).collect();
    Finding {
        name,
        found: true,
        what: format!("{built}; computes on {}", devices.join(", ")),
        hint: None,
    }
}

fn described(device: &Device) -> String {
    let gibibytes = device.memory as f64 / f64::from(1 << 30);
    format!("{} ({}, {gibibytes:.0} GiB)", device.name, device.description)
}

/// What was found, or what is wrong and what to do about it.
fn finding(name: &str, found: Result<String, (String, Option<&'static str>)>) -> Finding {
    let name = name.to_owned();
    match found {
        Ok(what) => Finding { name, found: true, what, hint: None },
        Err((what, hint)) => Finding { name, found: false, what, hint: hint.map(str::to_owned) },
    }
}

fn providers() -> Finding {
    let (kinds, date) = (Providers::KINDS.join(", "), Providers::facts_date());
    let what = format!("built in: {kinds}; what models take and cost is of {date}");
    Finding { name: "providers".to_owned(), found: true, what, hint: None }
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "found": finding.found,
        "what": finding.what,
        "hint": finding.hint,
    })
}
