//! What the API answers with.

use std::collections::BTreeMap;

use flow_core::ids::InstancePath;
use flow_core::store::{AttemptRow, RunRow, StepRow, Store, StoreError};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::timestamp;

/// The most steps of one level that a run is shown with.
pub(super) const STEPS: u32 = 200;

/// A run in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    pub run: String,
    /// Name of its workflow.
    pub workflow: String,
    /// `running`, `waiting`, `interrupted`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// When it started, as RFC 3339.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// What it cost in USD, as far as it is known.
    pub cost: f64,
    /// Whether something in the cost is not known.
    pub cost_uncertain: bool,
}

impl From<&RunRow> for RunSummary {
    fn from(run: &RunRow) -> Self {
        Self {
            run: run.id.to_string(),
            workflow: run.workflow.clone(),
            status: run.status.to_string(),
            started: timestamp(run.started),
            ended: run.ended.map(timestamp),
            cost: run.cost.usd(),
            cost_uncertain: run.cost_uncertain,
        }
    }
}

/// A run: what `flow run --json` prints, and more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunShape {
    /// Its id.
    pub run: String,
    /// Name of its workflow.
    pub workflow: String,
    /// `running`, `waiting`, `interrupted`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// What it yielded.
    #[schema(value_type = Object)]
    pub outputs: Value,
    /// What it cost in USD, as far as it is known.
    pub cost: f64,
    /// Whether something in the cost is not known.
    pub cost_uncertain: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// The workflow's own steps that began, by id; the first 200.
    #[schema(value_type = Object)]
    pub steps: BTreeMap<String, Value>,
    /// What it was started with.
    #[schema(value_type = Object)]
    pub inputs: Value,
    /// When it started, as RFC 3339.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// Why the server started it; none where a person did, by the command line.
    #[schema(value_type = Option<Object>)]
    pub cause: Option<Value>,
    /// What it asks people.
    pub asks: Vec<Ask>,
}

/// A question of a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ask {
    /// The path of the step that asks.
    pub step: String,
    /// What is shown to who answers; with `output_schema` where an output is asked for.
    #[schema(value_type = Object)]
    pub show: Value,
    /// When it was asked.
    pub asked: String,
}

impl RunShape {
    /// Reads it from the store.
    pub async fn read(store: &Store, run: &RunRow) -> Result<Self, StoreError> {
        let mut steps = BTreeMap::new();
        for row in store.steps(&run.id, None, None, STEPS).await?.rows {
            let shape = StepShape::read(store, &row).await?;
            let step = json!({
                "status": shape.status,
                "output": shape.output,
                "error": shape.error,
                "meta": shape.meta,
            });
            steps.insert(row.step, step);
        }
        let outputs = match &run.outputs {
            Some(outputs) => store.unpack(outputs.clone()).await?,
            None => json!({}),
        };
        let asks = store.open_approvals(&run.id).await?.into_iter().map(|row| Ask {
            step: row.path.to_string(),
            show: row.show,
            asked: timestamp(row.asked),
        });
        Ok(Self {
            run: run.id.to_string(),
            workflow: run.workflow.clone(),
            status: run.status.to_string(),
            outputs,
            cost: run.cost.usd(),
            cost_uncertain: run.cost_uncertain,
            error: run.error.clone(),
            steps,
            inputs: run.inputs.clone(),
            started: timestamp(run.started),
            ended: run.ended.map(timestamp),
            cause: store.start_of(&run.id).await?,
            asks: asks.collect(),
        })
    }
}

/// A step, or an instance of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepShape {
    /// Its path, unique in the run.
    pub path: String,
    /// Position of the item, from 0, of an instance.
    pub ordinal: Option<u64>,
    /// How it stands.
    pub status: String,
    /// What it yielded.
    #[schema(value_type = Object)]
    pub output: Value,
    /// What is known of how: model, tokens, cost.
    #[schema(value_type = Option<Object>)]
    pub meta: Option<Value>,
    /// Why it failed: `class` and `message`.
    #[schema(value_type = Option<Object>)]
    pub error: Option<Value>,
    /// Attempts so far.
    pub attempts: u32,
    /// Whether the output came from an earlier run.
    pub cached: bool,
    /// When it began.
    pub started: Option<String>,
    /// When it was settled.
    pub ended: Option<String>,
}

impl StepShape {
    /// Reads it, with its output whole.
    pub async fn read(store: &Store, row: &StepRow) -> Result<Self, StoreError> {
        let output = match &row.output {
            Some(packed) => store.unpack(packed.clone()).await?,
            None => Value::Null,
        };
        Ok(Self { output, ..Self::without_output(row) })
    }

    /// It, without its output.
    pub fn without_output(row: &StepRow) -> Self {
        let error = |message| json!({ "class": row.error_class, "message": message });
        Self {
            path: row.path.to_string(),
            ordinal: row.ordinal,
            status: row.status.to_string(),
            output: Value::Null,
            meta: row.meta.clone(),
            error: row.error.as_ref().map(error),
            attempts: row.attempts,
            cached: row.cached,
            started: row.started.map(timestamp),
            ended: row.ended.map(timestamp),
        }
    }
}

/// A step with its attempts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct StepDetail {
    #[serde(flatten)]
    step: StepShape,
    /// The attempts, the first one first.
    tries: Vec<Attempt>,
    /// How many of the steps directly below stand so.
    #[schema(value_type = Object)]
    below: BTreeMap<String, u64>,
}

/// One try at a step.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Attempt {
    number: u32,
    status: String,
    provider: Option<String>,
    model: Option<String>,
    #[schema(value_type = Option<Object>)]
    error: Option<Value>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    /// In USD; none where nobody knows.
    cost: Option<f64>,
    latency_ms: Option<i64>,
    request_id: Option<String>,
    /// The raw reply, an artifact.
    #[schema(value_type = Option<Object>)]
    raw: Option<Value>,
    started: String,
    ended: Option<String>,
    /// Whether it goes by a batch of its service.
    batch: bool,
    /// What a plugin was granted and used.
    #[schema(value_type = Option<Object>)]
    plugin: Option<Value>,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        let class = row.error_class;
        Self {
            number: row.number,
            status: row.status.to_string(),
            provider: row.provider,
            model: row.model,
            error: row.error.map(|message| json!({ "class": class, "message": message })),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cost: row.cost.map(flow_core::units::Money::usd),
            latency_ms: row.latency_ms,
            request_id: row.request_id,
            raw: row.raw,
            started: timestamp(row.started),
            ended: row.ended.map(timestamp),
            batch: row.batch,
            plugin: row.plugin,
        }
    }
}

impl StepDetail {
    /// Reads it; none where the run has no such step.
    pub(super) async fn read(
        store: &Store,
        run: &RunRow,
        path: &InstancePath,
    ) -> Result<Option<Self>, StoreError> {
        let Some(row) = store.step(&run.id, path).await? else { return Ok(None) };
        let tries = store.attempts(&run.id, path).await?.into_iter().map(Attempt::from);
        let below = store.step_counts(&run.id, Some(path)).await?.into_iter();
        let below = below.map(|(status, count)| (status.to_string(), count)).collect();
        Ok(Some(Self { step: StepShape::read(store, &row).await?, tries: tries.collect(), below }))
    }
}
