//! `flow eval`: runs a workflow over cases whose answers are known, and says how well it did.

use std::sync::Arc;

use flow_core::engine::{Backend, Embedded, Program, RunReport, Submission};
use flow_core::language::{InputType, Instead, Workflow};
use flow_core::store::{RunStatus, Store};
use serde_json::json;

use super::run::bound;
use crate::cassette::Cassette;
use crate::cli::{Eval, Global};
use crate::eval::{Case, Column, Judged, Outcome, html, judge, read};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: Eval) -> Result<Exit, CommandError> {
    let cassette = Cassette::of(args.cassette)?;
    let machine = world::taped_machine(args.secrets.as_deref(), cassette.tape())?;
    let models: Vec<Option<String>> = match args.models.is_empty() {
        true => vec![None],
        false => args.models.iter().cloned().map(Some).collect(),
    };
    // Every model is checked before the first is asked.
    let mut programs = Vec::new();
    for model in models {
        let instead = Instead {
            models: model.iter().map(|model| ("*".to_owned(), model.clone())).collect(),
            ..Instead::default()
        };
        programs.push((model, world::program(&args.file, &machine, &instead)?));
    }
    let workflow = Arc::clone(&programs[0].1.workflow);
    let cases = read(&args.cases, file_input(&workflow))?;
    let store = Store::open(&world::store_beside(global, &args.file)).await?;
    let engine = world::taped_engine(store, machine.actions, true, &cassette);
    let wanted = Wanted { output: args.output, fields: args.fields };
    let mut columns = Vec::new();
    for (model, program) in programs {
        let mut outcomes = Vec::new();
        for case in &cases {
            let outcome = one(&engine, &program, case, &wanted).await?;
            note(model.as_deref(), &outcome);
            outcomes.push(outcome);
        }
        columns.push(Column { model, outcomes });
    }
    engine.store().close().await;
    cassette.say();
    if let Some(file) = &args.html {
        std::fs::write(file, html(&workflow.name, &columns)).map_err(|error| {
            CommandError::failed(format!("cannot write `{}`: {error}", file.display()))
        })?;
    }
    if global.json {
        output::json(&json!({
            "workflow": workflow.name,
            "cases": cases.len(),
            "models": columns.iter().map(Column::to_value).collect::<Vec<_>>(),
        }));
    } else {
        output::data(&table(&columns));
    }
    let failed = columns.iter().flat_map(|column| &column.outcomes).any(|o| o.error.is_some());
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// What of a run's outputs is judged.
struct Wanted {
    /// The output that holds the fields; none where they are outputs themselves.
    output: Option<String>,
    /// Fields, and the names of the known answers; all that both have where none is named.
    fields: Vec<(String, String)>,
}

/// The input that takes the file beside a case.
fn file_input(workflow: &Workflow) -> Option<&str> {
    let takes_file = |kind: &InputType| match kind {
        InputType::File { .. } => true,
        InputType::Files { .. }
        | InputType::String { .. }
        | InputType::Integer
        | InputType::Number
        | InputType::Boolean
        | InputType::Array
        | InputType::Json { .. } => false,
    };
    let input = workflow.inputs.iter().find(|input| input.required && takes_file(&input.kind));
    input.map(|input| input.name.as_str())
}

async fn one(
    engine: &Embedded,
    program: &Program,
    case: &Case,
    wanted: &Wanted,
) -> Result<Outcome, CommandError> {
    let inputs = bound(&program.workflow, case.inputs.clone()).map_err(|error| CommandError {
        message: format!("case `{}`: {}", case.name, error.message),
        ..error
    })?;
    let submission = Submission {
        id: world::new_run_id(),
        program: program.clone(),
        inputs,
        observer: Arc::new(()),
    };
    let report = engine.submit(submission).await?.wait().await?;
    let error = match report.run.status {
        RunStatus::Succeeded => None,
        status => Some(report.run.error.clone().unwrap_or_else(|| format!("the run is {status}"))),
    };
    let judged = match error {
        None => judged(&report, case, wanted),
        Some(_) => Vec::new(),
    };
    Ok(Outcome {
        case: case.name.clone(),
        error,
        judged,
        cost: report.run.cost.usd(),
        cost_uncertain: report.run.cost_uncertain,
        millis: report.run.ended.unwrap_or(report.run.started) - report.run.started,
    })
}

fn judged(report: &RunReport, case: &Case, wanted: &Wanted) -> Vec<Judged> {
    let outputs = report.run.outputs.clone().unwrap_or_default();
    let of = match &wanted.output {
        Some(name) => &outputs[name.as_str()],
        None => &outputs,
    };
    let named: Vec<(String, String)> = match wanted.fields.is_empty() {
        false => wanted.fields.clone(),
        true => {
            let both = case.expect.keys().filter(|key| of.get(key.as_str()).is_some());
            both.map(|key| (key.clone(), key.clone())).collect()
        }
    };
    let known = named.iter().filter_map(|(field, name)| Some((field, case.expect.get(name)?)));
    known
        .map(|(field, known)| {
            let found = of.pointer(&format!("/{}", field.replace('.', "/"))).cloned();
            let found = found.unwrap_or_default();
            let verdict = judge(known, &found);
            let grounded = grounded(report, field).filter(|_| !found.is_null());
            Judged { field: field.clone(), known: known.clone(), found, verdict, grounded }
        })
        .collect()
}

/// Whether a field stands on the page, as far as a step knows.
fn grounded(report: &RunReport, field: &str) -> Option<bool> {
    report.steps.values().find_map(|step| {
        let grounding = step.meta.get("grounding")?;
        if grounding["values"].get(field).is_some() {
            return Some(true);
        }
        let nowhere = grounding["ungrounded"].as_array()?;
        nowhere.iter().any(|path| path == field).then_some(false)
    })
}

fn note(model: Option<&str>, outcome: &Outcome) {
    let of = model.map(|model| format!("{model}  ")).unwrap_or_default();
    let right = outcome.judged.iter().filter(|judged| judged.verdict.is_right()).count();
    let said = match &outcome.error {
        Some(error) => format!("failed: {error}"),
        None => format!("{right} of {} right", outcome.judged.len()),
    };
    output::note(&format!("{of}{}  {said}\n", outcome.case));
}

/// The table: a row a field and model, and one for all.
fn table(columns: &[Column]) -> String {
    let mut rows = Vec::new();
    for column in columns {
        let (cost, uncertain) = column.cost();
        let cost = match uncertain {
            true => format!("{cost:.4} and more"),
            false => format!("{cost:.4}"),
        };
        let fields = column.fields().into_iter().map(|field| (field, String::new(), String::new()));
        let total = (column.total(), cost, output::duration(column.millis()));
        for (field, cost, time) in fields.chain([total]) {
            let share = |part: usize| format!("{part}/{}", field.known);
            let grounded = match field.looked_for {
                0 => "-".to_owned(),
                all => format!("{}/{all}", field.grounded),
            };
            rows.push(vec![
                column.name().to_owned(),
                field.name.clone(),
                share(field.exact),
                share(field.right()),
                grounded,
                cost,
                time,
            ]);
        }
    }
    let heads = ["MODEL", "FIELD", "EXACT", "NORMALISED", "GROUNDED", "USD", "A CASE"];
    output::table(&heads, &rows)
}
