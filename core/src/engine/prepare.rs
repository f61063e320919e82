//! From a step's template to the input its action will see.
//!
//! Rendering, taking the files that are named into the store, checking the result against
//! the action's schema, and hashing what remains. Shared by the runner and by the planner,
//! so that a plan speaks of exactly what a run would do.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::action::{Action, ActionRegistry, PathPolicy};
use crate::agreement::Agreement;
use crate::artifact::{ArtifactRef, for_each_artifact};
use crate::content::ContentHash;
use crate::engine::identity;
use crate::engine::task::TaskAction;
use crate::error::{ErrorClass, Failure};
use crate::intake::Intake;
use crate::language::{ASKS_BY, Agree, InputType, ModelChoice, Step, Task, Work, Workflow};
use crate::store::{Store, StoreError};
use crate::template::Scope;

/// What preparing needs of the world.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) store: Store,
    pub(crate) actions: ActionRegistry,
    pub(crate) intake: Intake,
    pub(crate) folder: PathBuf,
}

/// An action with the input it will see.
pub(crate) struct Prepared {
    pub(crate) action: Arc<dyn Action>,
    pub(crate) models: Vec<ModelChoice>,
    pub(crate) input: Value,
    pub(crate) hash: ContentHash,
    pub(crate) paths: PathPolicy,
    /// Whether the step cache may answer.
    pub(crate) cacheable: bool,
    /// Whether a file was named by its path.
    pub(crate) by_path: bool,
    /// Whether every value that a model reads must stand on the page.
    pub(crate) grounded: bool,
    /// What a second model must agree on.
    pub(crate) agree: Option<Agreeing>,
    /// How it is asked in parts.
    pub(crate) parting: Option<Parting>,
}

/// A task about many documents, which is asked in parts.
pub(crate) struct Parting {
    pub(crate) task: Arc<Task>,
    /// The step's own input.
    pub(crate) given: Value,
    /// The key of the input that holds the documents.
    pub(crate) key: String,
    pub(crate) documents: Vec<Value>,
    /// The key of the answer that holds a record for each.
    pub(crate) into: String,
    /// The action that asks a model.
    pub(crate) asks_by: Arc<dyn Action>,
}

/// How the second model of a step is asked.
pub(crate) struct Agreeing {
    /// Whom, and about what.
    pub(crate) agree: Agree,
    /// Identity of what the first model is asked alone.
    pub(crate) first: ContentHash,
    /// The action that asks a model, without what is computed from a whole answer.
    pub(crate) asks_by: Arc<dyn Action>,
}

impl Prepared {
    /// The question of a step that two models must agree on, for some of its fields and the
    /// second model.
    pub(crate) fn narrowed(
        &self,
        agreeing: &Agreeing,
        agreement: &dyn Agreement,
        fields: &[String],
    ) -> Self {
        let models = agreeing.agree.second.clone();
        let input = agreement.narrowed(&self.input, fields);
        Self { models, ..self.asking(Arc::clone(&agreeing.asks_by), input) }
    }

    /// Another question of the same work, which needs no more than one answer.
    pub(crate) fn asking(&self, action: Arc<dyn Action>, input: Value) -> Self {
        Self {
            action,
            models: self.models.clone(),
            input,
            hash: self.hash,
            paths: self.paths.clone(),
            cacheable: self.cacheable,
            by_path: self.by_path,
            grounded: self.grounded,
            agree: None,
            parting: None,
        }
    }
}

impl Workshop {
    /// Prepares a step that runs an action.
    ///
    /// Dropping the future leaves at most files in the artifact store that nothing names.
    pub(crate) async fn prepare(&self, step: &Step, scope: &Scope) -> Result<Prepared, Failure> {
        let Work::Action { name, with, computed, models, task, grounded, agree, brought } =
            &step.work
        else {
            return Err(Failure::internal(format!("step `{}` runs no action", step.id)));
        };
        let name = task.as_ref().map_or(name.as_str(), |_| ASKS_BY);
        let action = match brought {
            Some(brought) => Some(Arc::clone(brought.action())),
            None => self.actions.get(name).cloned(),
        };
        let action =
            action.ok_or_else(|| Failure::internal(format!("there is no action `{name}`")))?;
        let paths = PathPolicy { folder: self.folder.clone(), computed: computed.clone() };
        let mut input = with.render(scope).map_err(|e| Failure::input(format!("`with`: {e}")))?;
        let schema = task.as_ref().map_or(&action.spec().input, |task| &task.input);
        let by_path = self.take_files(schema, &mut input, &paths).await?;
        let asks_by = Arc::clone(&action);
        let parting = task.as_ref().and_then(|task| parting(task, &input, &asks_by));
        let (action, input, of) = match task {
            Some(task) => {
                let asked = task.request(&input)?;
                let of = identity::of_task(task, &input);
                let (task, given) = (Arc::clone(task), input);
                let action = TaskAction { task, asks_by: action, given };
                (Arc::new(action) as Arc<dyn Action>, asked, Some(of))
            }
            None => (action, input, None),
        };
        match brought {
            Some(brought) => brought.check_input(name, &input)?,
            None => self.actions.check_input(name, &input)?,
        }
        let first = identity::of_action(&*action, models, &input, of, *grounded);
        let hash = agree.as_ref().map_or(first, |agree| identity::of_agreement(first, agree));
        let agree = agree.clone().map(|agree| Agreeing { agree, first, asks_by });
        let cacheable = step.policy.cache.unwrap_or(action.spec().cacheable);
        let (models, grounded) = (models.clone(), *grounded);
        Ok(Prepared {
            action,
            models,
            input,
            hash,
            paths,
            cacheable,
            by_path,
            grounded,
            agree,
            parting,
        })
    }

    /// Replaces the paths given where the schema takes files by artifacts. Says whether there
    /// were any.
    async fn take_files(
        &self,
        schema: &Value,
        input: &mut Value,
        paths: &PathPolicy,
    ) -> Result<bool, Failure> {
        let (Some(properties), Some(input)) =
            (schema["properties"].as_object(), input.as_object_mut())
        else {
            return Ok(false);
        };
        let mut any = false;
        for (key, property) in properties {
            if let Some(value) = input.get_mut(key) {
                any |= self.take_where_wanted(key, property, value, paths).await?;
            }
        }
        Ok(any)
    }

    /// Takes the files in a value where its schema takes them, in lists and maps as well. `key`
    /// is the one of the whole input under which the value stands.
    async fn take_where_wanted(
        &self,
        key: &str,
        schema: &Value,
        value: &mut Value,
        paths: &PathPolicy,
    ) -> Result<bool, Failure> {
        let mut any = false;
        match value {
            Value::Array(files) if schema["x-file"] == true => {
                for file in files {
                    any |= self.take_file(key, file, paths).await?;
                }
            }
            file if schema["x-file"] == true => any = self.take_file(key, file, paths).await?,
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for item in items {
                        any |= Box::pin(self.take_where_wanted(key, schema, item, paths)).await?;
                    }
                }
            }
            Value::Object(map) => {
                for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                    if let Some(part) = map.get_mut(name) {
                        any |= Box::pin(self.take_where_wanted(key, schema, part, paths)).await?;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(any)
    }

    async fn take_file(
        &self,
        key: &str,
        value: &mut Value,
        paths: &PathPolicy,
    ) -> Result<bool, Failure> {
        let Value::String(path) = value else {
            return Ok(false);
        };
        if path.starts_with("http://") || path.starts_with("https://") {
            return Ok(false);
        }
        let file = paths.resolve(key, path)?;
        *value = self.intake.take(path, &file).await?.to_value();
        Ok(true)
    }

    /// Takes the files that are given as inputs of a workflow into the store.
    ///
    /// `computed` are the inputs that a step computed, whose paths are confined to the
    /// workflow's folder; all others are the owner's: relative to it, and free to leave it.
    pub(crate) async fn take_inputs(
        &self,
        workflow: &Workflow,
        inputs: &mut Map<String, Value>,
        computed: &[String],
    ) -> Result<(), Failure> {
        let paths = PathPolicy { folder: self.folder.clone(), computed: computed.to_vec() };
        for input in &workflow.inputs {
            let (InputType::File { media } | InputType::Files { media }) = &input.kind else {
                continue;
            };
            match inputs.get_mut(&input.name) {
                Some(Value::Array(files)) => {
                    for file in files {
                        self.take_input(&input.name, media, file, &paths).await?;
                    }
                }
                Some(file) => self.take_input(&input.name, media, file, &paths).await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn take_input(
        &self,
        input: &str,
        media: &[String],
        value: &mut Value,
        paths: &PathPolicy,
    ) -> Result<(), Failure> {
        let artifact = match value {
            Value::String(path) => {
                let file = paths.resolve(input, path)?;
                let taken = self.intake.take(path, &file).await;
                let artifact = taken.map_err(|failure| Failure {
                    message: format!("input `{input}`: {}", failure.message),
                    ..failure
                })?;
                *value = artifact.to_value();
                artifact
            }
            other => match ArtifactRef::from_value(other) {
                Some(artifact) => artifact,
                None => return Ok(()),
            },
        };
        if media.is_empty() || media.iter().any(|taken| fits(taken, &artifact.media_type)) {
            return Ok(());
        }
        let message = format!(
            "input `{input}`: `{}` is {}, and the workflow takes {}",
            artifact.name,
            artifact.media_type,
            media.join(", ")
        );
        Err(Failure::input(message)
            .with_hint("the type is read from the file's bytes, not its name"))
    }

    /// Whether every file that a value names is still in the store.
    pub(crate) async fn holds_all(&self, value: &Value) -> bool {
        let mut hashes = Vec::new();
        for_each_artifact(value, &mut |artifact| hashes.push(artifact.hash));
        hashes.is_empty() || self.store.artifacts().refresh(hashes).await
    }
}

/// How a task about many documents is asked; none of any other.
fn parting(task: &Arc<Task>, given: &Value, asks_by: &Arc<dyn Action>) -> Option<Parting> {
    let parts = task.parts.as_ref()?;
    let key = parts.of.iter().find(|key| given.get(*key).is_some_and(|value| !value.is_null()))?;
    let documents = match &given[key] {
        Value::Array(documents) => documents.clone(),
        one => vec![one.clone()],
    };
    Some(Parting {
        task: Arc::clone(task),
        given: given.clone(),
        key: key.clone(),
        documents,
        into: parts.into.clone(),
        asks_by: Arc::clone(asks_by),
    })
}

/// Whether a media type is one of a pattern such as `image/*`.
fn fits(pattern: &str, media_type: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(family) => media_type.split('/').next() == Some(family),
        None => pattern == "*" || pattern == media_type,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = error.hint();
        let failure = Self::new(ErrorClass::Io, error.to_string());
        match hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
