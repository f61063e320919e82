//! The keys of the language: one table for the checker and for the editors' schema.

/// A key, and one line about it.
pub(super) type Key = (&'static str, &'static str);

pub(super) const WORKFLOW: &[Key] = &[
    ("flow", "Version of the language: 1."),
    ("name", "Name of the workflow; the file's name where none is given."),
    ("description", "What the workflow is for."),
    ("inputs", "Values a run is started with, by name."),
    (
        "providers",
        "Settings of model providers, by name; only what differs from the built-in ones.",
    ),
    ("models", "Names for models; a list is a chain, tried in order."),
    ("plugins", "WebAssembly plugins, by name."),
    ("defaults", "Policies of every step that does not set its own."),
    ("budget", "What a run may cost, checked before a call is sent."),
    ("concurrency", "How many step instances of a run work at once."),
    ("triggers", "What starts the workflow besides a person."),
    (
        "keep",
        "How long runs are kept once they have ended, e.g. `30d`; for ever where it is not said.",
    ),
    ("steps", "The steps: a graph, ordered by what refers to what."),
    ("on_failure", "Steps that run when a step failed."),
    ("finally", "Steps that run last, whatever happened."),
    ("outputs", "What the run yields, by name."),
];

/// The user's own settings.
pub(super) const USER: &[Key] =
    &[("providers", "Settings of model providers that every workflow may name, by name.")];

pub(super) const STEP: &[Key] = &[
    ("id", "Name of the step, as in `steps.ID.output`."),
    ("name", "Name for people."),
    ("uses", "The action the step runs."),
    ("model", "The model to ask: a name from `models`, `provider/model`, or a list of them."),
    ("with", "Input of the action."),
    ("needs", "Steps that must be settled first, besides those the step refers to."),
    ("when", "Condition; the step is skipped when it is false."),
    ("for_each", "Items to run over: a list, a count, or a file of JSON lines."),
    ("as", "Name of the item; `item` where none is given."),
    ("key", "Identity of an item; its content where none is given."),
    ("max_parallel", "How many instances work at once."),
    ("steps", "Steps to run for each item."),
    ("collect", "What an instance yields; the last step's output where none is given."),
    ("on_error", "`fail`, `continue`, or `{value: …}` to go on with."),
    ("timeout", "The most an attempt may take, e.g. `30s`."),
    ("retry", "When a failed attempt is followed by another."),
    ("cache", "Whether the step cache may answer."),
    ("budget", "What the step may cost over all its instances."),
    ("deadline", "The most all attempts together may take."),
    ("on_lost", "What becomes of a call in flight at a crash: `resend`, `ask` or `fail`."),
    ("agree", "Two models, and the fields of the answer that they must agree on."),
    ("require_grounded", "Whether every value that a model reads must stand on the page."),
];

pub(super) const TASK: &[Key] = &[
    ("name", "Name of the task, as in `uses: task.NAME`, and of its file."),
    ("version", "Grows when the same input would yield another output."),
    ("summary", "What it does, in one line."),
    ("needs", "What a model must take: `images`, `documents`, `video`, `audio`."),
    ("input", "What it takes, as a JSON Schema."),
    ("one_of", "Keys of the input of which exactly one is given."),
    ("system", "System text."),
    ("content", "What is asked: texts and files, in order."),
    ("prompt", "A text that is asked last."),
    ("output", "JSON Schema of the answer; text where there is none."),
    ("ground", "Pages that values of the answer are looked for on."),
    (
        "parts",
        "How it is asked in parts: `of` the keys that hold documents, `into` the key of the records.",
    ),
    ("adds", "What is computed from the answer and stands beside its keys."),
    ("temperature", "Sampling temperature, where the step gives none."),
    ("max_tokens", "The most tokens to write, where the step does not say."),
    ("timeout", "The most an attempt may take, where the workflow does not say."),
];

pub(super) const TASK_PARTS: &[Key] = &[
    ("of", "Keys of the input, one of which holds the documents."),
    ("into", "The key of the answer that holds a record for each."),
];

pub(super) const TASK_INPUT: &[Key] = &[
    ("properties", "The keys of `with`, each with its schema."),
    ("required", "The keys that must be given."),
];

pub(super) const TASK_PART: &[Key] = &[
    ("text", "A text."),
    ("image", "An image, or a list of them."),
    ("document", "A PDF, or a list of them."),
    ("video", "A video."),
    ("audio", "A sound."),
    ("file", "A file that is sent as what it is."),
    ("content", "Parts."),
    ("when", "Condition; the part is left out when it is false."),
    ("for_each", "Items to repeat the part for."),
    ("as", "Name of the item; `item` where none is given."),
];

pub(super) const INPUT: &[Key] = &[
    ("type", "Type of the value."),
    ("description", "What it means."),
    ("default", "The value when none is given."),
    ("required", "Whether it must be given; true where there is no default."),
    ("media", "Media types taken, such as `image/*`."),
    ("enum", "The only values taken."),
    ("schema", "JSON Schema of the value."),
];

pub(super) const AGREE: &[Key] = &[
    ("models", "Two models; the second is asked only for what the first leaves open."),
    ("on", "Fields of the answer that they must agree on."),
];

pub(super) const RETRY: &[Key] = &[
    ("attempts", "The most attempts, the first included."),
    ("backoff", "`exponential` or `constant`."),
    ("initial", "The first wait."),
    ("max", "The longest wait."),
    ("jitter", "Share of the wait that is random, 0 to 1."),
    ("on", "Classes of errors worth another try."),
];

pub(super) const DEFAULTS: &[Key] = &[
    ("timeout", "The most an attempt may take."),
    ("deadline", "The most all attempts of a step together may take."),
    ("retry", "When a failed attempt is followed by another."),
    ("cache", "Whether the step cache may answer."),
    ("on_lost", "What becomes of a call in flight at a crash."),
    ("model", "The model of every step that takes one."),
];

pub(super) const BUDGET: &[Key] = &[
    ("cost", "The most that may be spent, e.g. `0.50 USD`."),
    ("allow_unknown", "Whether a model of unknown price may be called."),
];

pub(super) const MODEL: &[Key] = &[
    ("provider", "The provider's name."),
    ("model", "The model's name at the provider."),
    ("path", "A model file outside the model store."),
    ("projector", "The projector file beside `path`."),
    ("options", "Settings of the model's own."),
];

pub(super) const COMMAND: &[Key] = &[
    ("type", "The kind of provider."),
    ("command", "The program and its arguments."),
    ("price", "What a call costs, e.g. `0.01 USD`."),
];

pub(super) const PLUGIN: &[Key] = &[
    ("path", "Its `.wasm` file, its `plugin.yaml`, or the folder of that."),
    ("use", "One that was installed: `NAME@VERSION`."),
    ("grant", "What it may do: `http`, `models`, `kv`; nothing where it is not said."),
    ("limits", "How much it may use: `memory`, `deadline`, `output`, `log`."),
    ("config", "Settings that it reads."),
];

/// A provider of type `plugin`.
pub(super) const PLUGIN_PROVIDER: &[Key] = &[
    ("type", "The kind of provider."),
    ("plugin", "Its name under `plugins`."),
    ("price", "What a call costs, e.g. `0.01 USD`."),
];

pub(super) const SCHEDULE: &[Key] = &[
    ("schedule", "A cron expression, or `@every 15m`."),
    ("timezone", "IANA name of the time zone; UTC where none is given."),
    ("catch_up", "What happens to missed ticks: `all`, `latest` or `none`."),
    ("overlap", "What happens while an earlier run goes on: `skip`, `queue` or `cancel`."),
    ("jitter", "Random delay up to this."),
    ("inputs", "Inputs of the run."),
];

pub(super) const WATCH: &[Key] = &[
    ("watch", "Folder with a file pattern."),
    ("input", "The input that takes the file."),
    ("inputs", "The other inputs of the run."),
    ("settle", "How long a file must stay as it is before it is taken; 2s where none is given."),
    ("done", "Folder that a file goes to when its run succeeded."),
    ("failed", "Folder that a file goes to when its run did not succeed."),
];

pub(super) const WEBHOOK: &[Key] = &[
    ("webhook", "Path it is served at below `/hooks`, e.g. `/invoices`."),
    ("secret", "The secret that a request brings: `{{ secrets.NAME }}`."),
    ("hmac", "The secret that a request's body is signed with: `{{ secrets.NAME }}`."),
    ("header", "Header of the secret or the signature."),
    ("delivery", "Header that is the same when a request is sent once more."),
    ("inputs", "Inputs of the run, from `body`, `headers` and `query`; the body where none are."),
];

pub(super) const AFTER: &[Key] = &[
    ("after", "Name of the workflow whose runs are waited for."),
    ("status", "Statuses that count; `succeeded` where none is given."),
    ("inputs", "Inputs of the run, from `run`: the one that ended."),
];

pub(super) const INPUT_TYPES: &[&str] =
    &["string", "integer", "number", "boolean", "file", "files", "array", "object", "json"];
