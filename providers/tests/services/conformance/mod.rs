//! What we send beside what the services' own libraries send, case by case.
//!
//! A row says how our side is asked for what a recorded case does, and what it must make of
//! the recorded answers. A recorded case that has no row is named with the reason, and one
//! that has neither fails the test, so that none is forgotten.

mod anthropic;
mod batches;
mod gemini;
mod ollama;
mod openai;
mod uploads;

use std::fmt::Write as _;
use std::path::Path;

use flow_core::error::{ErrorClass, Failure};
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::recordings::{self, Case};
use crate::server::Server;

/// How our side is asked for what a recorded case does.
pub(crate) struct Row {
    /// The case.
    pub(crate) case: &'static str,
    /// The model.
    pub(crate) model: &'static str,
    /// Settings of the provider, besides its address and its key.
    pub(crate) settings: Value,
    /// The attempts, each with what must come of it.
    pub(crate) asks: Vec<(How, Told)>,
}

/// What our side is asked.
pub(crate) enum How {
    /// `model.generate` with this input. `@NAME` is a file of the recordings' fixtures.
    Generate(Value),
    /// `model.embed` with this input.
    Embed(Value),
    /// The models there are.
    Models,
}

/// What our side makes of an answer.
pub(crate) enum Told {
    /// This output, and so many tokens read and written.
    Output(Value, u64, u64),
    /// A failure of this class with this message.
    Fails(ErrorClass, &'static str),
}

impl Told {
    /// A failure of this class with this message, which is put together.
    pub(crate) fn fails(class: ErrorClass, message: &str) -> Self {
        Self::Fails(class, message.to_owned().leak())
    }
}

impl Row {
    /// A case that is one call.
    pub(crate) fn one(case: &'static str, model: &'static str, input: Value, told: Told) -> Self {
        Self { case, model, settings: json!({}), asks: vec![(How::Generate(input), told)] }
    }

    /// With these settings of the provider as well.
    pub(crate) fn with(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }
}

#[expect(clippy::print_stderr, reason = "a test says what it leaves out")]
pub(super) fn say(what: &str) {
    eprintln!("{what}");
}

/// Holds the cases of a folder against rows. `path` is what the address of the service ends
/// with.
async fn hold(kind: &str, folder: &str, path: &str, rows: &[Row], left_out: &[(&str, &str)]) {
    let Some(all) = recordings::folder() else {
        say("skipped: there is no folder shared/recordings beside the checkout");
        return;
    };
    let (name, folder) = (folder, all.join(folder));
    let mut faults = String::new();
    for case in recordings::cases(&folder) {
        let has_row = rows.iter().any(|row| row.case == case) || uploads::holds(name, &case);
        let reason = left_out.iter().find(|(name, _)| *name == case);
        match (has_row, reason) {
            (true, None) => {}
            (false, Some((_, reason))) => say(&format!("not covered: {kind} {case}: {reason}")),
            (true, Some(_)) => _ = writeln!(faults, "{case}: has a row and is left out"),
            (false, None) => _ = writeln!(faults, "{case}: has no row and no reason"),
        }
    }
    for row in rows {
        let case = recordings::case(&folder, row.case);
        if let Err(fault) = holds(kind, path, row, case, &all.join("fixtures")).await {
            _ = writeln!(faults, "{}: {fault}", row.case);
        }
    }
    assert!(faults.is_empty(), "{kind}:\n{faults}");
}

async fn holds(
    kind: &str,
    path: &str,
    row: &Row,
    case: Case,
    fixtures: &Path,
) -> Result<(), String> {
    let server = Server::of(case.answers).await;
    let mut settings = row.settings.clone();
    settings["base_url"] = json!(format!("{}{path}", server.url()));
    if kind != "ollama" {
        settings["api_key"] = json!("<api-key>");
    }
    let asking = Asking::new(kind, &settings, row.model).await;
    for (how, told) in &row.asks {
        match how {
            How::Generate(input) => {
                let outcome = asking.ask(input, fixtures).await;
                let usage = asking.usage().await;
                let tokens = usage.map(|(usage, _)| (usage.input_tokens, usage.output_tokens));
                compare(told, outcome, tokens.unwrap_or_default())?;
            }
            How::Embed(input) => {
                let outcome = asking.embed(input).await;
                let usage = asking.usage().await;
                let tokens = usage.map(|(usage, _)| (usage.input_tokens, usage.output_tokens));
                compare(told, outcome, tokens.unwrap_or_default())?;
            }
            How::Models => {
                let choice = asking.context.model.as_ref().expect("it has a model");
                let models = asking.providers.models(choice, &asking.context.paths.folder).await;
                let Told::Output(expected, ..) = told else {
                    return Err("a list of models is an output".into());
                };
                let models = models.map(Value::from);
                if models.as_ref() != Ok(expected) {
                    return Err(format!("told {models:?} instead of {expected}"));
                }
            }
        }
    }
    let sent: Vec<_> = server.received().iter().map(recordings::received).collect();
    if sent == case.requests {
        return Ok(());
    }
    let pretty = |value: &Vec<Value>| serde_json::to_string_pretty(value).expect("it is JSON");
    Err(format!("sent\n{}\ninstead of\n{}", pretty(&sent), pretty(&case.requests)))
}

fn compare(
    told: &Told,
    outcome: Result<Value, Failure>,
    tokens: (Option<u64>, Option<u64>),
) -> Result<(), String> {
    match (told, outcome) {
        (Told::Output(expected, read, written), Ok(output)) => {
            if output != *expected || tokens != (Some(*read), Some(*written)) {
                return Err(format!(
                    "told {output} and {tokens:?} instead of {expected} and {:?}",
                    (read, written)
                ));
            }
        }
        (Told::Fails(class, message), Err(failure)) => {
            if (failure.class, failure.message.as_str()) != (*class, *message) {
                return Err(format!("failed as {failure:?} instead of {class}: {message}"));
            }
        }
        (_, outcome) => return Err(format!("came to {outcome:?}")),
    }
    Ok(())
}
