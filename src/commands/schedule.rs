//! `flow schedule`: what starts at times, whether a server runs or not.
//!
//! A server looks at the store every second, so that pausing there is all there is to do.

use std::path::{Path, PathBuf};

use flow_core::engine::{Backend, Program, Submission};
use flow_core::language::{Instead, MissedTicks, Overlap};
use flow_core::store::{ScheduleRow, Store};
use flow_server::schedule::{Spec, inputs_of, known, remember};
use flow_server::workflow_files;
use serde_json::{Value, json};

use super::drive;
use crate::cli::{Global, Schedule, Scheduled};
use crate::report::{CommandError, Exit};
use crate::world::{self, Machine};
use crate::{output, progress};

/// As many ticks are shown of each schedule in the list.
const SHOWN: usize = 5;

/// A schedule of the folder.
#[derive(Clone)]
struct Found {
    name: String,
    file: PathBuf,
    spec: Spec,
    program: Program,
}

pub(crate) async fn run(global: &Global, command: Schedule) -> Result<Exit, CommandError> {
    match command {
        Schedule::Ls { dir } => list(global, &dir).await,
        Schedule::Next { schedule, count } => next(global, &schedule, count),
        Schedule::Pause(one) => pause(global, &one, true).await,
        Schedule::Resume(one) => pause(global, &one, false).await,
        Schedule::Run(one) => start(global, &one).await,
    }
}

async fn list(global: &Global, dir: &Path) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let (found, faulty) = schedules(dir, &machine)?;
    let store = Store::open_existing(&store_of(global, dir)).await?;
    let now = world::now();
    let mut listed = Vec::new();
    for schedule in &found {
        let row = match &store {
            Some(store) => row_of(store, &found, schedule, now).await?,
            None => None,
        };
        listed.push((schedule, row));
    }
    if global.json {
        let all: Vec<Value> =
            listed.iter().map(|(found, row)| object(found, row.as_ref(), now)).collect();
        output::json(&Value::Array(all));
    } else if found.is_empty() {
        output::note("no workflow here has a schedule\n");
    } else {
        let rows: Vec<_> =
            listed.iter().map(|(found, row)| line(found, row.as_ref(), now)).collect();
        let heads = ["SCHEDULE", "WHEN", "ZONE", "STATE", "NEXT", "LAST RUN"];
        output::data(&output::table(&heads, &rows));
    }
    for file in faulty {
        let file = file.display();
        output::note(&format!("`{file}` has errors and starts nothing; see `flow check {file}`\n"));
    }
    Ok(Exit::Done)
}

fn next(global: &Global, one: &Scheduled, count: usize) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let found = named(one, &machine)?.1;
    let ticks = found.spec.upcoming(world::now(), count);
    if global.json {
        output::json(&json!(ticks.iter().map(|tick| found.spec.shown(*tick)).collect::<Vec<_>>()));
    } else if ticks.is_empty() {
        output::note(&format!("`{}` never ticks again\n", found.name));
    } else {
        let lines: Vec<_> = ticks.iter().map(|tick| found.spec.shown(*tick) + "\n").collect();
        output::data(&lines.concat());
    }
    Ok(Exit::Done)
}

async fn pause(global: &Global, one: &Scheduled, paused: bool) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let (all, found) = named(one, &machine)?;
    let store = Store::open(&store_of(global, &one.dir)).await?;
    let now = world::now();
    remember(&store, &found.spec.workflow, &of_workflow(&all, &found), now).await?;
    let Spec { workflow, definition, .. } = &found.spec;
    store.pause_schedule(workflow, definition, paused, now).await?;
    store.close().await;
    if global.json {
        output::json(&json!({ "schedule": found.name, "paused": paused }));
    } else if paused {
        output::note(&format!("`{}` is paused\n", found.name));
    } else {
        let next = found.spec.upcoming(now, 1);
        let next = next.first().map_or_else(|| "never".into(), |tick| found.spec.shown(*tick));
        output::note(&format!("`{}` goes on; it ticks next: {next}\n", found.name));
    }
    Ok(Exit::Done)
}

async fn start(global: &Global, one: &Scheduled) -> Result<Exit, CommandError> {
    let machine = world::machine(None)?;
    let Found { spec, program, .. } = named(one, &machine)?.1;
    let inputs = inputs_of(&spec, &program).map_err(CommandError::invalid)?;
    let store = Store::open(&store_of(global, &one.dir)).await?;
    let engine = world::engine(store, machine.actions, true);
    let submission = Submission {
        id: world::new_run_id(),
        program: program.clone(),
        inputs,
        observer: progress::watcher(),
    };
    let handle = engine.submit(submission).await?;
    drive::to_the_end(global, &engine, &machine.services, &program, handle).await
}

/// The schedules of a folder, in the order of its files, and the files that have errors.
fn schedules(dir: &Path, machine: &Machine) -> Result<(Vec<Found>, Vec<PathBuf>), CommandError> {
    let files = workflow_files(dir).map_err(|error| {
        CommandError::invalid(format!("cannot read the folder `{}`: {error}", dir.display()))
    })?;
    let (mut found, mut faulty) = (Vec::new(), Vec::new());
    for (slug, file) in files {
        // As it is typed, so that what is said of it can be typed again.
        let file = if dir == Path::new(".") { file } else { dir.join(file) };
        let checked = world::checked(&file, machine, &Instead::default())?;
        if checked.workflow.is_none() {
            faulty.push(file);
            continue;
        }
        let program = world::usable(&checked, world::folder_of(&file))?;
        let (specs, errors) = Spec::all(&slug, &program.workflow);
        for error in errors {
            output::note(&format!("warning: `{}`: {error}\n", file.display()));
        }
        let among = specs.len();
        found.extend(specs.into_iter().map(|spec| Found {
            name: spec.name(among),
            file: file.clone(),
            spec,
            program: program.clone(),
        }));
    }
    Ok((found, faulty))
}

/// The schedule that is meant, among all of its folder.
fn named(one: &Scheduled, machine: &Machine) -> Result<(Vec<Found>, Found), CommandError> {
    let (found, _) = schedules(&one.dir, machine)?;
    if let Some(at) = found.iter().position(|found| found.name == one.schedule) {
        let meant = found[at].clone();
        return Ok((found, meant));
    }
    let names: Vec<_> = found.iter().map(|found| found.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => format!("no workflow in `{}` has a schedule", one.dir.display()),
        names => format!("there are: {}", names.join(", ")),
    };
    let message = format!("there is no schedule `{}`", one.schedule);
    Err(CommandError::invalid(message).hint(hint))
}

fn of_workflow(all: &[Found], found: &Found) -> Vec<Spec> {
    let same = all.iter().filter(|other| other.spec.workflow == found.spec.workflow);
    same.map(|other| other.spec.clone()).collect()
}

/// What is remembered of a schedule; none where no server has seen it.
async fn row_of(
    store: &Store,
    all: &[Found],
    found: &Found,
    now: i64,
) -> Result<Option<ScheduleRow>, CommandError> {
    let specs = of_workflow(all, found);
    let known = known(&specs, store.schedules_of(&found.spec.workflow).await?, now);
    let mut rows = known.rows.into_iter();
    Ok(rows.find(|row| row.definition == found.spec.definition && row.seen < now))
}

fn object(found: &Found, row: Option<&ScheduleRow>, now: i64) -> Value {
    let Spec { text, zone, catch_up, overlap, jitter, ticks, .. } = &found.spec;
    let next = found.spec.upcoming(now, SHOWN);
    json!({
        "schedule": found.name,
        "file": found.file,
        "when": text,
        "timezone": zone,
        "catch_up": match catch_up {
            MissedTicks::All => "all",
            MissedTicks::Latest => "latest",
            MissedTicks::None => "none",
        },
        "overlap": match overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Cancel => "cancel",
        },
        "jitter_ms": jitter.as_millis() as u64,
        "paused": row.is_some_and(|row| row.paused),
        "skipped": row.map_or(0, |row| row.skipped),
        "last_run": row.and_then(|row| row.last_run.clone()),
        "last": ticks.latest(now).map(|tick| found.spec.shown(tick)),
        "next": next.iter().map(|tick| found.spec.shown(*tick)).collect::<Vec<_>>(),
    })
}

fn line(found: &Found, row: Option<&ScheduleRow>, now: i64) -> Vec<String> {
    let next = found.spec.upcoming(now, 1);
    let paused = row.is_some_and(|row| row.paused);
    vec![
        found.name.clone(),
        found.spec.text.clone(),
        found.spec.zone.clone(),
        if paused { "paused" } else { "on" }.to_owned(),
        next.first().map_or_else(|| "never".into(), |tick| found.spec.shown(*tick)),
        row.and_then(|row| row.last_run.as_ref())
            .map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}

/// The folder of the store of a folder of workflows.
fn store_of(global: &Global, dir: &Path) -> PathBuf {
    world::store_beside(global, &dir.join("any"))
}
