//! A checked workflow: what the engine runs.
//!
//! Building one is the checker's privilege. References are resolved to indexes, policies
//! have the workflow's defaults merged in, sub-workflows are embedded, templates are
//! compiled. What is spelt wrong in a file cannot be represented here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::action::Brought;
use crate::error::ErrorClass;
use crate::ids::StepId;
use crate::language::task::Task;
use crate::plugin::PluginSlot;
use crate::template::Template;
use crate::units::Money;

/// A workflow that has passed every check.
#[derive(Debug)]
pub struct Workflow {
    /// Its name; the file's stem where the file gives none.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Inputs in the order of the file.
    pub inputs: Vec<Input>,
    /// Providers that the file adds or changes, by name.
    pub providers: BTreeMap<String, Arc<ProviderConfig>>,
    /// Named models; each a chain, tried in order.
    pub models: BTreeMap<String, Vec<ModelChoice>>,
    /// What a run may cost.
    pub budget: Option<Budget>,
    /// How many step instances of a run work at once; the engine's default if unset.
    pub concurrency: Option<usize>,
    /// What starts it besides a person.
    pub triggers: Vec<Trigger>,
    /// How long its runs are kept once they have ended; for ever where it is not said.
    pub keep: Option<Duration>,
    /// The DAG.
    pub steps: Arc<Block>,
    /// Runs when a step of `steps` failed.
    pub on_failure: Arc<Block>,
    /// Runs last, whatever happened.
    pub finally: Arc<Block>,
    /// What the run yields, in the order of the file.
    pub outputs: Vec<(String, Template)>,
}

impl Workflow {
    /// Whether a step in it has a budget of its own.
    pub fn has_step_budget(&self) -> bool {
        let blocks = [&self.steps, &self.on_failure, &self.finally];
        blocks.into_iter().any(|block| block.has_step_budget())
    }

    /// The models that its steps may ask, those of bodies and sub-workflows included.
    pub fn models_of_steps(&self) -> Vec<&ModelChoice> {
        let blocks = [&self.steps, &self.on_failure, &self.finally];
        let mut models = Vec::new();
        blocks.into_iter().for_each(|block| block.gather_models(&mut models));
        models
    }
}

/// A value that a run is started with.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, as in `inputs.NAME`.
    pub name: String,
    /// What may be given.
    pub kind: InputType,
    /// What it means.
    pub description: Option<String>,
    /// The value when none is given; an input without one is required unless optional.
    pub default: Option<Value>,
    /// Whether it may be left out.
    pub required: bool,
}

/// The type of an input.
#[derive(Clone, Debug, PartialEq)]
pub enum InputType {
    /// Text, optionally one of the given.
    String {
        /// The only values taken; all when empty.
        choices: Vec<String>,
    },
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A file, taken into the artifact store when the run starts.
    File {
        /// Media types taken, such as `image/*`; all when empty.
        media: Vec<String>,
    },
    /// A list of files.
    Files {
        /// Media types taken, such as `image/*`; all when empty.
        media: Vec<String>,
    },
    /// A list of anything.
    Array,
    /// Anything that fits a JSON Schema (`true` where none is given).
    Json {
        /// The schema.
        schema: Value,
    },
}

/// Settings of a provider, as the file gives them.
///
/// Templates are kept unrendered: a secret is read when a call is made and nowhere else.
#[derive(Clone, Debug, Default)]
pub struct ProviderConfig {
    /// Its kind, e.g. `openai`; the provider's own name where the file gives none.
    pub kind: String,
    /// Everything else, by key.
    pub settings: BTreeMap<String, Template>,
    /// The plugin that it is, of one of type `plugin`.
    pub plugin: Option<PluginSlot>,
}

/// One entry of a model chain.
#[derive(Clone, Debug)]
pub struct ModelChoice {
    /// The provider's name; `auto` for the model `auto`.
    pub provider: String,
    /// The provider's settings.
    pub config: Arc<ProviderConfig>,
    /// The model's name at that provider, or `auto`.
    pub model: String,
    /// A file outside the model store, with its projector.
    pub path: Option<String>,
    /// The projector file beside `path`.
    pub projector: Option<String>,
    /// Settings of the model's own, as canonical JSON.
    pub options: Option<String>,
}

impl ModelChoice {
    /// Whether it is a person: the last of a chain, who is asked where no model gave an answer.
    pub fn is_person(&self) -> bool {
        self.config.kind == PERSON
    }
}

/// The name of the person in a chain of models.
pub(crate) const PERSON: &str = "human";

/// What a run or a step may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most that may be spent.
    pub cost: Money,
    /// Whether a model of unknown price may be called under it.
    pub allow_unknown: bool,
}

/// Something besides a person that starts a run.
#[derive(Clone, Debug)]
pub enum Trigger {
    /// A time.
    Schedule {
        /// When.
        cron: Cron,
        /// IANA name of the time zone; UTC where none is given.
        timezone: Option<String>,
        /// What happens to ticks that were missed.
        catch_up: MissedTicks,
        /// What happens while an earlier run still goes on.
        overlap: Overlap,
        /// Random delay up to this.
        jitter: Duration,
        /// Inputs of the run; null where none are given.
        inputs: Value,
    },
    /// A new file in a folder.
    Watch {
        /// The folder with a file pattern.
        pattern: String,
        /// The input that takes the file.
        input: String,
        /// The other inputs of the run; null where none are given.
        inputs: Value,
        /// How long a file must stay as it is before it is taken.
        settle: Duration,
        /// The folder that a file goes to when its run succeeded.
        done: Option<String>,
        /// The folder that a file goes to when its run did not succeed.
        failed: Option<String>,
    },
    /// A request over HTTP.
    Webhook {
        /// The path it is served at, below `/hooks`.
        path: String,
        /// How a request shows that it may.
        proof: Proof,
        /// The header that is the same when a request is sent once more.
        delivery: String,
        /// Inputs of the run, from `body`, `headers` and `query`; the keys of the body where
        /// none are given.
        inputs: Option<Template>,
    },
    /// The end of another workflow's run.
    After {
        /// Name of that workflow.
        workflow: String,
        /// The statuses that count; `succeeded` where none is given.
        status: Vec<String>,
        /// Inputs of the run, from `run`: the one that ended.
        inputs: Option<Template>,
    },
}

/// How a request to a webhook shows that it may start a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What is compared.
    pub kind: ProofKind,
    /// Name of the secret, as in `secrets.NAME`.
    pub secret: String,
    /// The header that it is read from.
    pub header: String,
}

/// What a request brings as proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofKind {
    /// The secret itself.
    Secret,
    /// The HMAC-SHA256 of the body under the secret, in hexadecimal digits.
    Hmac,
}

/// When a schedule ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cron {
    /// A cron expression of five or six fields, checked.
    Expression(String),
    /// A fixed distance, from `@every 15m`.
    Every(Duration),
}

/// What happens to ticks missed while nothing was there to run them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Each is made up for.
    All,
    /// The latest is made up for.
    #[default]
    Latest,
    /// They are forgotten.
    None,
}

/// What happens at a tick while an earlier run still goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// The tick is left out.
    #[default]
    Skip,
    /// It waits.
    Queue,
    /// The earlier run is cancelled.
    Cancel,
}

/// Steps that share a namespace. Indexes into `steps` name them within the block.
#[derive(Debug, Default)]
pub struct Block {
    /// The steps in the order of the file.
    pub steps: Vec<Step>,
    /// For each step, the indexes of those that wait for it.
    dependents: Vec<Vec<usize>>,
}

impl Block {
    /// Builds a block from its steps, whose `after` must name steps of the list and hold no
    /// cycle.
    pub fn new(steps: Vec<Step>) -> Self {
        let mut dependents = vec![Vec::new(); steps.len()];
        for (index, step) in steps.iter().enumerate() {
            for before in &step.after {
                dependents[*before].push(index);
            }
        }
        Self { steps, dependents }
    }

    fn has_step_budget(&self) -> bool {
        self.steps.iter().any(|step| {
            step.policy.budget.is_some()
                || match &step.work {
                    Work::Action { .. } => false,
                    Work::Body { block, .. } => block.has_step_budget(),
                    Work::Workflow { workflow, .. } => workflow.has_step_budget(),
                }
        })
    }

    fn gather_models<'b>(&'b self, models: &mut Vec<&'b ModelChoice>) {
        for step in &self.steps {
            match &step.work {
                Work::Action { models: own, agree, .. } => {
                    models.extend(own);
                    models.extend(agree.iter().flat_map(|agree| &agree.second));
                }
                Work::Body { block, .. } => block.gather_models(models),
                Work::Workflow { workflow, .. } => models.extend(workflow.models_of_steps()),
            }
        }
    }

    /// An order in which every step comes after those it waits for, the file's where it can be.
    pub fn in_order(&self) -> Vec<usize> {
        let mut missing: Vec<_> = self.steps.iter().map(|step| step.after.len()).collect();
        let mut ready: BTreeSet<_> = (0..self.steps.len()).filter(|at| missing[*at] == 0).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        while let Some(at) = ready.pop_first() {
            order.push(at);
            for behind in self.dependents(at) {
                missing[*behind] -= 1;
                if missing[*behind] == 0 {
                    ready.insert(*behind);
                }
            }
        }
        order
    }

    /// The indexes of the steps that wait for the step at `index`, ascending.
    pub fn dependents(&self, index: usize) -> &[usize] {
        &self.dependents[index]
    }
}

/// A node of the DAG.
#[derive(Debug)]
pub struct Step {
    /// Its id, unique within its block and the blocks around it.
    pub id: StepId,
    /// Name for people.
    pub name: Option<String>,
    /// Indexes of the steps of this block that must be settled first, ascending. They come
    /// from `needs` and from every expression of the step, those of its body included.
    pub after: Vec<usize>,
    /// The condition to run at all.
    pub when: Option<Template>,
    /// Whether `when` speaks of the item, and so is asked for each instance.
    pub when_per_item: bool,
    /// The items it runs over.
    pub for_each: Option<ForEach>,
    /// What it does.
    pub work: Work,
    /// What happens when it fails for good.
    pub on_error: OnError,
    /// Time, tries and money.
    pub policy: Policy,
    /// Whether an expression asks for its output. Where none does, the outputs of a
    /// million instances need not be gathered.
    pub output_used: bool,
    /// Where it stands in its file, from 1, for messages.
    pub line: u32,
}

/// The items of a `for_each` step.
#[derive(Debug)]
pub struct ForEach {
    /// Yields a list, a count, or an artifact of JSON lines.
    pub items: Template,
    /// Name of the item in expressions; `item` unless `as` says otherwise.
    pub item_name: String,
    /// Yields the identity of an item; its content where unset.
    pub key: Option<Template>,
    /// How many instances work at once.
    pub max_parallel: Option<usize>,
}

/// What a step does.
#[derive(Debug)]
pub enum Work {
    /// Runs an action.
    Action {
        /// Its name, e.g. `document.ocr` or `task.chart`.
        name: String,
        /// Its input; always a map.
        with: Template,
        /// Top-level keys of `with` whose value is computed from a step or an item. A path
        /// under such a key is confined to the workflow's folder.
        computed: Vec<String>,
        /// The models it may ask, in order; empty where it asks none.
        models: Vec<ModelChoice>,
        /// The task that it is; none of an action.
        task: Option<Arc<Task>>,
        /// Whether every value that a model reads must stand on the page.
        grounded: bool,
        /// What a second model must agree on; none where one model is enough.
        agree: Option<Agree>,
        /// The action itself, where the workflow brings it: a plugin.
        brought: Option<Brought>,
    },
    /// Runs a block of steps for each item.
    Body {
        /// The steps.
        block: Arc<Block>,
        /// What an instance yields; the last step's output where unset.
        collect: Option<Template>,
    },
    /// Runs another workflow, with its own inputs and steps.
    Workflow {
        /// Names of inputs whose value is computed, as with an action's input.
        computed: Vec<String>,
        /// That workflow.
        workflow: Arc<Workflow>,
        /// Its inputs.
        inputs: Template,
    },
}

/// Fields of an answer that two models must agree on. The first is the step's own.
#[derive(Clone, Debug)]
pub struct Agree {
    /// The second, a chain as the first is: asked only for what the first leaves open.
    pub second: Vec<ModelChoice>,
    /// Names of the fields, top-level keys of the answer, in the order of the file.
    pub on: Vec<String>,
}

/// What happens when a step, or an instance of it, fails for good.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnError {
    /// The steps behind it are blocked and the run fails.
    #[default]
    Fail,
    /// The output is null and the run goes on.
    Continue,
    /// The output is this value and the run goes on.
    Value(Value),
}

/// Time, tries and money of a step, with the workflow's defaults merged in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The most an attempt may take; what is usual for the action where it is not said.
    pub timeout: Option<Duration>,
    /// The most all attempts together may take, waits included.
    pub deadline: Option<Duration>,
    /// When to try again.
    pub retry: Retry,
    /// Whether the step cache may answer; the action's own wish where unset.
    pub cache: Option<bool>,
    /// What the step may cost over all its instances.
    pub budget: Option<Budget>,
    /// What becomes of a call that was in flight when the process died.
    pub on_lost: OnLost,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The most attempts, the first included; 1 means no retry.
    pub attempts: u32,
    /// Whether the wait doubles from try to try.
    pub exponential: bool,
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// Share of the wait that is random, 0 to 1.
    pub jitter: f64,
    /// The classes worth another try.
    pub on: Vec<ErrorClass>,
}

/// What becomes of a call that was in flight when the process died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It is sent again, and may be paid twice.
    #[default]
    Resend,
    /// A person is asked.
    Ask,
    /// The step fails.
    Fail,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            exponential: true,
            initial: Duration::from_secs(1),
            max: Duration::from_mins(1),
            jitter: 0.2,
            on: vec![
                ErrorClass::RateLimit,
                ErrorClass::Overloaded,
                ErrorClass::Timeout,
                ErrorClass::Connection,
                ErrorClass::Server,
            ],
        }
    }
}
