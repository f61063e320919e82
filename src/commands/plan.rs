//! `flow plan`: says what would run.

use flow_core::engine::{Forecast, PlannedStep};
use flow_core::language::{Block, Work, Workflow};
use flow_core::units::Money;
use serde_json::{Value, json};

use crate::cli::{Global, Plan};
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: &Plan) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let file = args.file.as_deref();
    let Some(part) = &args.resume else {
        let Some(file) = file else {
            return Err(CommandError::invalid("name a workflow's file"));
        };
        let program = world::program(file, &machine, &args.instead.clone().into())?;
        print_workflow(global, &program.workflow);
        return Ok(Exit::Done);
    };
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, part).await?;
    let instead = args.instead.clone().into();
    let program = world::resumed_program(&store, &run, &machine, file, instead).await?;
    let engine = world::engine(store, machine.actions, true);
    let steps = engine.plan_resume(&run.id, program).await?;
    if global.json {
        output::json(&json!({ "run": run.id, "steps": steps }));
    } else {
        print_resume(&steps);
    }
    Ok(Exit::Done)
}

fn print_resume(steps: &[PlannedStep]) {
    let mut cost = Some(Money::ZERO);
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let what = match &step.forecast {
                Forecast::Kept => "kept".to_owned(),
                Forecast::Run { reason } => format!("run: {reason}"),
                Forecast::Unknown { behind } => format!("run if `{behind}` changes it"),
            };
            if step.forecast != Forecast::Kept {
                cost = cost.zip(step.cost_before).map(|(sum, step)| sum + step);
            }
            let cost = step.cost_before.map_or("unknown".into(), |cost| cost.to_string());
            vec![step.path.clone(), what, step.instances.to_string(), cost]
        })
        .collect();
    output::data(&output::table(&["STEP", "WOULD", "INSTANCES", "COST BEFORE"], &rows));
    match cost {
        Some(cost) => output::note(&format!("what would run cost {cost} before\n")),
        None => output::note("what would run has an unknown cost\n"),
    }
}

/// Prints the steps of a workflow in an order they could run in.
pub(crate) fn print_workflow(global: &Global, workflow: &Workflow) {
    if global.json {
        let sections = [
            ("steps", &workflow.steps),
            ("on_failure", &workflow.on_failure),
            ("finally", &workflow.finally),
        ];
        let mut plan = json!({ "workflow": workflow.name });
        for (name, block) in sections {
            plan[name] = block_json(block);
        }
        return output::json(&plan);
    }
    let mut rows = Vec::new();
    block_rows(&workflow.steps, "", &mut rows);
    block_rows(&workflow.on_failure, "on_failure/", &mut rows);
    block_rows(&workflow.finally, "finally/", &mut rows);
    output::data(&output::table(&["STEP", "USES", "AFTER"], &rows));
}

fn block_rows(block: &Block, within: &str, rows: &mut Vec<Vec<String>>) {
    for at in block.in_order() {
        let step = &block.steps[at];
        let after: Vec<_> = step.after.iter().map(|at| block.steps[*at].id.as_str()).collect();
        let each = if step.for_each.is_some() { " (for each)" } else { "" };
        let path = format!("{within}{}", step.id);
        rows.push(vec![path.clone(), format!("{}{each}", uses(&step.work)), after.join(", ")]);
        match &step.work {
            Work::Body { block, .. } => block_rows(block, &format!("{path}/"), rows),
            Work::Workflow { workflow, .. } => {
                block_rows(&workflow.steps, &format!("{path}/"), rows);
            }
            Work::Action { .. } => {}
        }
    }
}

fn block_json(block: &Block) -> Value {
    let steps = block.in_order().into_iter().map(|at| {
        let step = &block.steps[at];
        let after: Vec<_> = step.after.iter().map(|at| block.steps[*at].id.as_str()).collect();
        let mut object = json!({
            "id": step.id,
            "uses": uses(&step.work),
            "after": after,
            "for_each": step.for_each.is_some(),
        });
        match &step.work {
            Work::Body { block, .. } => object["steps"] = block_json(block),
            Work::Workflow { workflow, .. } => object["steps"] = block_json(&workflow.steps),
            Work::Action { .. } => {}
        }
        object
    });
    steps.collect()
}

fn uses(work: &Work) -> &str {
    match work {
        Work::Action { name, .. } => name,
        Work::Body { .. } => "steps",
        Work::Workflow { .. } => "workflow.run",
    }
}
