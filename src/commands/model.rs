//! `flow model ls`: the models of every service that is set up, by asking them.

use flow_providers::{ModelPrice, Surveyed, SurveyedModel};

use crate::cli::Global;
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn list(global: &Global) -> Result<Exit, CommandError> {
    let services = world::providers()?.survey().await;
    if global.json {
        output::json(&services.iter().map(Surveyed::to_value).collect());
        return Ok(Exit::Done);
    }
    for failure in services.iter().filter_map(|service| service.models.as_ref().err()) {
        output::note(&format!("✗ {}\n", failure.message));
        if let Some(hint) = &failure.hint {
            output::note(&format!("  hint: {hint}\n"));
        }
    }
    let rows: Vec<_> = services.iter().flat_map(rows).collect();
    if rows.is_empty() {
        output::note("no models\n");
    } else {
        let heads = ["MODEL", "TAKES", "SCHEMA", "INPUT", "OUTPUT", "CONTEXT", "ENDS"];
        output::data(&output::table(&heads, &rows));
    }
    Ok(Exit::Done)
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
