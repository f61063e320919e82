//! `flow model ls`: the models of this machine, then those of every service that is set up, by
//! asking them.

use flow_core::units::Size;
use flow_llama::catalog::Catalog;
use flow_llama::store::{Facts, Kept, Manifest, ModelStore};
use flow_providers::{ModelPrice, Surveyed, SurveyedModel};
use serde_json::{Value, json};

use crate::cli::{Global, ModelLs};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn list(global: &Global, args: &ModelLs) -> Result<Exit, CommandError> {
    if args.catalog {
        return Ok(catalog(global));
    }
    let store = world::models();
    let local = store.models()?;
    let services = world::providers()?.survey().await;
    if global.json {
        let here = local_service(&store, &local);
        let services = services.iter().map(Surveyed::to_value);
        output::json(&std::iter::once(here).chain(services).collect());
        return Ok(Exit::Done);
    }
    list_local(&store, &local);
    for failure in services.iter().filter_map(|service| service.models.as_ref().err()) {
        output::note(&format!("✗ {}\n", failure.message));
        if let Some(hint) = &failure.hint {
            output::note(&format!("  hint: {hint}\n"));
        }
    }
    let rows: Vec<_> = services.iter().flat_map(rows).collect();
    if rows.is_empty() && local.is_empty() {
        output::note("no models\n");
    } else if !rows.is_empty() {
        if !local.is_empty() {
            output::data("\n");
        }
        let heads = ["MODEL", "TAKES", "SCHEMA", "INPUT", "OUTPUT", "CONTEXT", "ENDS"];
        output::data(&output::table(&heads, &rows));
    }
    Ok(Exit::Done)
}

/// Lists the models that can be pulled by name.
fn catalog(global: &Global) -> Exit {
    let catalog = Catalog::built_in();
    if global.json {
        let models = catalog.models().map(|(name, listed)| {
            json!({
                "name": name,
                "about": listed.about,
                "source": listed.source().to_string(),
                "size": listed.size().map(|size| size.0),
                "context": listed.context,
                "licence": listed.licence,
                "homepage": listed.homepage,
            })
        });
        output::json(&json!({ "date": catalog.date(), "models": models.collect::<Vec<_>>() }));
        return Exit::Done;
    }
    let unknown = || "unknown".to_owned();
    let rows: Vec<_> = catalog
        .models()
        .map(|(name, listed)| {
            vec![
                name.to_owned(),
                listed.size().map_or_else(unknown, |size| size.to_string()),
                listed.context.to_string(),
                listed.licence.clone().unwrap_or_else(unknown),
                listed.about.clone(),
            ]
        })
        .collect();
    output::data(&output::table(&["NAME", "SIZE", "CONTEXT", "LICENCE", "FOR"], &rows));
    Exit::Done
}

fn list_local(store: &ModelStore, models: &[Manifest]) {
    let rows: Vec<_> = models.iter().map(|model| local_row(store, model)).collect();
    if !rows.is_empty() {
        let heads = ["MODEL", "TAKES", "SIZE", "MEMORY", "CONTEXT", "LICENCE", "SOURCE"];
        output::data(&output::table(&heads, &rows));
    }
}

fn local_row(store: &ModelStore, model: &Manifest) -> Vec<String> {
    let (takes, memory, context) = match store.facts(model) {
        Ok(facts) => {
            let context = room(model, &facts);
            (takes(&facts).join(" "), memory(&facts, context).to_string(), context.to_string())
        }
        Err(error) => {
            output::note(&format!("✗ {error}\n"));
            if let Some(hint) = error.hint() {
                output::note(&format!("  hint: {hint}\n"));
            }
            ("nothing".to_owned(), "unknown".to_owned(), "unknown".to_owned())
        }
    };
    vec![
        format!("llama/{}", model.name),
        takes,
        model.size().to_string(),
        memory,
        context,
        model.licence.clone().unwrap_or_else(|| "unknown".to_owned()),
        model.origin(),
    ]
}

/// The tokens that a model is given room for.
fn room(model: &Manifest, facts: &Facts) -> u32 {
    model.context.map_or(facts.model.context, |context| context.min(facts.model.context))
}

fn takes(facts: &Facts) -> Vec<&'static str> {
    let projector = facts.projector.as_ref();
    let images = projector.filter(|projector| projector.vision).map(|_| "images");
    let audio = projector.filter(|projector| projector.audio).map(|_| "audio");
    std::iter::once("text").chain(images).chain(audio).collect()
}

/// What a model takes of the memory with room for so many tokens.
fn memory(facts: &Facts, context: u32) -> Size {
    let projector = facts.projector.as_ref().map_or(0, |projector| projector.bytes);
    Size(facts.model.memory(context).saturating_add(projector))
}

/// The models of this machine, in the form of a service.
fn local_service(store: &ModelStore, models: &[Manifest]) -> Value {
    let models: Vec<_> = models.iter().map(|model| local_json(store, model)).collect();
    json!({
        "provider": "llama",
        "configured": true,
        "reachable": true,
        "address": store.folder(),
        "error": null,
        "hint": null,
        "models": models,
    })
}

/// A model of this machine as data.
pub(crate) fn local_json(store: &ModelStore, model: &Manifest) -> Value {
    let facts = store.facts(model);
    let error = facts.as_ref().err().map(ToString::to_string);
    let facts = facts.ok();
    let room = facts.as_ref().map(|facts| room(model, facts));
    let file = |kept: &Kept| json!({ "path": store.path(kept), "size": kept.size, "sha256": kept.sha256.hex() });
    json!({
        "name": model.name,
        "takes": facts.as_ref().map(takes),
        "size": model.size().0,
        "memory": facts.as_ref().zip(room).map(|(facts, room)| memory(facts, room).0),
        "context": room,
        "trained_context": facts.as_ref().map(|facts| facts.model.context),
        "architecture": facts.as_ref().map(|facts| &facts.model.architecture),
        "parameters": facts.as_ref().map(|facts| facts.model.parameters),
        "weights": model.weights.iter().map(file).collect::<Vec<_>>(),
        "projector": model.projector.as_ref().map(file),
        "source": model.source,
        "commit": model.commit,
        "licence": model.licence,
        "homepage": model.homepage,
        "added": model.added,
        "error": error,
    })
}

fn rows(service: &Surveyed) -> impl Iterator<Item = Vec<String>> {
    service.models.iter().flatten().map(|model| {
        let (input, output) = match model.price {
            ModelPrice::Free => ("free".into(), "free".into()),
            ModelPrice::Usd { input, output } => (usd(input), usd(output)),
            ModelPrice::Unknown => ("unknown".into(), "unknown".into()),
        };
        vec![
            format!("{}/{}", service.name, model.name),
            model.takes().join(" "),
            if model.capabilities.schema { "yes" } else { "no" }.into(),
            input,
            output,
            model.context.map_or_else(|| "unknown".into(), |tokens| tokens.to_string()),
            model.ends.clone().unwrap_or_default(),
        ]
    })
}

/// A price of a million tokens.
fn usd(price: f64) -> String {
    format!("{price} USD/M")
}

/// A model in a few words.
pub(crate) fn in_words(model: &SurveyedModel) -> String {
    let price = match model.price {
        ModelPrice::Free => "free".to_owned(),
        ModelPrice::Usd { input, output } => format!("{} in, {} out", usd(input), usd(output)),
        ModelPrice::Unknown => "price unknown".to_owned(),
    };
    let schema = if model.capabilities.schema { ", holds a schema" } else { "" };
    format!("{}: takes {}{schema}; {price}", model.name, model.takes().join(", "))
}
