//! `flow show`: a run and its steps, or one of them.

use flow_core::action::Speed;
use flow_core::ids::InstancePath;
use flow_core::store::{AttemptRow, RunRow, StepRow, Store};
use flow_server::Cause;
use serde_json::{Value, json};

use super::runs::{cost, run_json, timestamp};
use crate::cli::{Global, Show};
use crate::progress::sign;
use crate::report::{CommandError, Exit};
use crate::{output, places, world};

/// The most steps of one level that are listed.
const LISTED: u32 = 200;

pub(crate) async fn run(global: &Global, args: &Show) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    if args.html {
        let Some(page) = places::html(&store, &run).await? else {
            let message = format!("no step of run {} knows where its values stand", run.id);
            let hint = "`extract.fields` does, and a task that is given `pages` with words";
            return Err(CommandError::invalid(message).hint(hint));
        };
        output::data(&page);
        return Ok(Exit::Done);
    }
    match &args.step {
        Some(path) => step(global, &store, &run, path).await?,
        None => whole(global, &store, &run).await?,
    }
    Ok(Exit::Done)
}

async fn whole(global: &Global, store: &Store, run: &RunRow) -> Result<(), CommandError> {
    let page = store.steps(&run.id, None, None, LISTED).await?;
    let open = store.open_approvals(&run.id).await?;
    let outputs = match &run.outputs {
        Some(outputs) => store.unpack(outputs.clone()).await?,
        None => Value::Null,
    };
    if global.json {
        let mut object = run_json(run);
        object["inputs"] = run.inputs.clone();
        object["outputs"] = outputs;
        object["error"] = json!(run.error);
        object["cause"] = json!(store.start_of(&run.id).await?);
        object["steps"] = page.rows.iter().map(step_json).collect();
        object["asks"] =
            open.iter().map(|row| json!({ "step": row.path, "show": row.show })).collect();
        output::json(&object);
        return Ok(());
    }
    let took = run.ended.map(|ended| format!(", {}", output::duration(ended - run.started)));
    output::data(&format!(
        "run       {}\nworkflow  {}\nstatus    {}\nstarted   {}{}\ncost      {}\n",
        run.id,
        run.workflow,
        run.status,
        output::time(run.started),
        took.unwrap_or_default(),
        cost(run),
    ));
    let cause = store.start_of(&run.id).await?;
    if let Some(cause) = cause.and_then(|why| serde_json::from_value::<Cause>(why).ok()) {
        output::data(&format!("cause     {cause}\n"));
    }
    if let Some(error) = &run.error {
        output::data(&format!("error     {error}\n"));
    }
    output::data("\n");
    for row in &page.rows {
        output::data(&format!("{}\n", step_line(store, run, row).await?));
    }
    if page.next.is_some() {
        output::data(&format!("… only the first {LISTED} steps are shown\n"));
    }
    for row in open {
        output::data(&format!("\nasks at `{}`: {}\n", row.path, world::shown(&row.show, 200)));
    }
    if !outputs.is_null() {
        output::data(&format!("\noutputs\n{outputs:#}\n"));
    }
    Ok(())
}

async fn step_line(store: &Store, run: &RunRow, row: &StepRow) -> Result<String, CommandError> {
    let ordinal = row.ordinal.map(|at| format!("#{} ", at + 1)).unwrap_or_default();
    let mut line = format!("{} {ordinal}{}  {}", sign(row.status), row.path, row.status);
    let counts = store.step_counts(&run.id, Some(&row.path)).await?;
    if !counts.is_empty() {
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable();
        let counts: Vec<_> =
            counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
        line.push_str(&format!(" ({})", counts.join(", ")));
    }
    if let (Some(started), Some(ended)) = (row.started, row.ended) {
        line.push_str(&format!("  {}", output::duration(ended - started)));
    }
    if row.attempts > 1 {
        line.push_str(&format!("  {} attempts", row.attempts));
    }
    if row.cached {
        line.push_str("  known");
    }
    if row.meta.as_ref().is_some_and(|meta| meta["replayed"] == true) {
        line.push_str("  replayed");
    }
    if let Some(error) = &row.error {
        line.push_str(&format!("\n    {error}"));
    }
    Ok(line)
}

async fn step(
    global: &Global,
    store: &Store,
    run: &RunRow,
    path: &str,
) -> Result<(), CommandError> {
    let path = InstancePath::from_stored(path);
    let Some(row) = store.step(&run.id, &path).await? else {
        return Err(CommandError::invalid(format!("run {} has no step at `{path}`", run.id))
            .hint(format!("`flow show {}` lists its steps", run.id)));
    };
    let attempts = store.attempts(&run.id, &path).await?;
    let inner = store.steps(&run.id, Some(&path), None, LISTED).await?;
    let value = match &row.output {
        Some(packed) => store.unpack(packed.clone()).await?,
        None => Value::Null,
    };
    if global.json {
        let mut object = step_json(&row);
        object["output"] = value;
        object["attempts"] = attempts.iter().map(attempt_json).collect();
        object["instances"] = inner.rows.iter().map(step_json).collect();
        output::json(&object);
        return Ok(());
    }
    output::data(&format!("{}\n", step_line(store, run, &row).await?));
    for attempt in &attempts {
        output::data(&format!("  {}\n", attempt_line(attempt)));
        for line in attempt.plugin.iter().flat_map(plugin_lines) {
            output::data(&format!("    {line}\n"));
        }
    }
    for instance in &inner.rows {
        output::data(&format!("  {}\n", step_line(store, run, instance).await?));
    }
    if inner.next.is_some() {
        output::data(&format!("  … only the first {LISTED} instances are shown\n"));
    }
    if !value.is_null() {
        output::data(&format!("{value:#}\n"));
    }
    Ok(())
}

fn attempt_line(attempt: &AttemptRow) -> String {
    let mut line = format!("attempt {} {}", attempt.number, attempt.status);
    if let (Some(provider), Some(model)) = (&attempt.provider, &attempt.model) {
        line.push_str(&format!("  {provider}/{model}"));
    }
    if attempt.batch {
        line.push_str("  by batch");
    }
    if let Some(millis) = attempt.latency_ms {
        line.push_str(&format!("  {}", output::duration(millis)));
    }
    if let Some(cost) = attempt.cost {
        line.push_str(&format!("  {cost}"));
    }
    if let Some(speed) = &attempt.speed {
        line.push_str(&speed_line(speed));
    }
    if let Some(error) = &attempt.error {
        let class = attempt.error_class.map_or("", |class| class.as_str());
        line.push_str(&format!("  {error} ({class})"));
    }
    line
}

/// Tokens a second of a model of this machine, as far as there were any.
fn speed_line(speed: &Speed) -> String {
    let rates =
        [("prompt", speed.prompt), ("image", speed.image), ("generation", speed.generation)];
    let rates = rates.into_iter().filter_map(|(what, rate)| Some((what, rate?)));
    let mut line = String::new();
    for (what, rate) in rates {
        line.push_str(&format!("  {what} {rate:.1} tok/s"));
    }
    if speed.reused > 0 {
        line.push_str(&format!("  {} tokens known", speed.reused));
    }
    if speed.together > 1 {
        line.push_str(&format!("  {} at once", speed.together));
    }
    line
}

/// What a plugin was granted in an attempt, and what it used.
fn plugin_lines(record: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let hash: String = text(&record["sha256"]).chars().take(12).collect();
    let mut lines = vec![format!("plugin {} ({hash})", text(&record["plugin"]))];
    let may = &record["granted"]["may"];
    let may = match may.as_object().is_some_and(serde_json::Map::is_empty) {
        true => "nothing but to compute".to_owned(),
        false => may.to_string(),
    };
    lines.push(format!("granted {may}"));
    let used = &record["used"];
    if let Some(used) = used.as_object() {
        let amount = |key: &str| used.get(key).and_then(Value::as_u64).unwrap_or_default();
        let mut line = format!(
            "used {:.1} ms ({:.1} at work), {} KiB of memory, {} calls of the host",
            amount("time_us") as f64 / 1e3,
            amount("at_work_us") as f64 / 1e3,
            amount("memory") >> 10,
            amount("host_calls"),
        );
        for (key, what) in [
            ("requests", "requests"),
            ("sent", "bytes sent"),
            ("received", "bytes received"),
            ("questions", "questions to models"),
            ("read", "bytes of files read"),
            ("made", "bytes of files made"),
        ] {
            if amount(key) > 0 {
                line.push_str(&format!(", {} {what}", amount(key)));
            }
        }
        lines.push(line);
        for denied in used.get("denied").and_then(Value::as_array).into_iter().flatten() {
            lines.push(format!("denied: {}", text(denied)));
        }
    }
    lines
}

fn step_json(row: &StepRow) -> Value {
    json!({
        "path": row.path,
        "status": row.status,
        "meta": row.meta,
        "error": row.error.as_ref().map(|message| json!({
            "class": row.error_class,
            "message": message,
        })),
        "attempts": row.attempts,
        "cached": row.cached,
        "started": row.started.map(timestamp),
        "ended": row.ended.map(timestamp),
    })
}

fn attempt_json(row: &AttemptRow) -> Value {
    json!({
        "number": row.number,
        "status": row.status,
        "provider": row.provider,
        "model": row.model,
        "error": row.error.as_ref().map(|message| json!({
            "class": row.error_class,
            "message": message,
        })),
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost": row.cost.map(flow_core::units::Money::usd),
        "latency_ms": row.latency_ms,
        "request_id": row.request_id,
        "raw": row.raw,
        "batch": row.batch,
        "speed": row.speed,
        "plugin": row.plugin,
    })
}
