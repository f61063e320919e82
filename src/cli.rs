//! The command line.

#[cfg(feature = "plugins")]
mod plugin;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use flow_core::language::Instead;
use flow_core::units::{Money, UnitError, parse_duration, parse_size};
use flow_llama::store::ModelName;
use flow_server::Scope;
use flow_server::graph::Format;

#[cfg(feature = "plugins")]
pub(crate) use plugin::{
    Plugin, PluginBuild, PluginInspect, PluginInstall, PluginLanguage, PluginNew, PluginRemove,
    PluginRun, PluginTest,
};

/// Runs document and vision workloads as durable DAGs written in YAML.
#[derive(Parser, Debug)]
#[command(name = "flow", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Debug, Clone)]
pub(crate) struct Global {
    /// Print data as JSON on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder of the store [default: `.flow` beside the workflow, or here].
    #[arg(long, global = true, env = "FLOW_STORE", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a workflow.
    Run(Run),
    /// Say everything that is wrong with a workflow; runs nothing.
    Check(Check),
    /// Say what would run: of a workflow, or of a run that is resumed.
    Plan(Plan),
    /// Draw a workflow.
    Graph(Graph),
    /// List runs, the newest first.
    Runs(Runs),
    /// Show a run and its steps.
    Show(Show),
    /// Print what the steps of a run wrote.
    Logs(Logs),
    /// Take a run up again: what is done is kept, what failed or changed is run.
    Resume(Resume),
    /// Stop a run.
    Cancel(OneRun),
    /// Answer what a run asks.
    Approve(Approve),
    /// Forget runs that ended long ago, and what only they needed.
    Prune(Prune),
    /// What starts at times: schedules of the workflows of a folder.
    #[command(subcommand)]
    Schedule(Schedule),
    /// Copy the store into a folder, while others work with it.
    Backup {
        /// The folder, which is not there yet.
        to: PathBuf,
    },
    /// Make a store from a copy; one that is there is not touched.
    Restore {
        /// The folder that `flow backup` made.
        from: PathBuf,
    },
    /// Serve the workflows of a folder: run them over HTTP, and take up what was left.
    Serve(Serve),
    /// The tokens that open a server.
    #[command(subcommand)]
    Token(Token),
    /// Run a workflow over cases whose answers are known, and say how well it does.
    Eval(Eval),
    /// Print the JSON Schema of workflow files, for editors.
    Schema,
    /// Say what this machine has and what is missing; asks the model services that are set up.
    Doctor,
    /// The models there are.
    #[command(subcommand)]
    Model(Model),
    /// Be the process of a model: what a run starts for each of them, and nobody else.
    #[command(hide = true)]
    ModelHost(ModelHost),
    /// The tasks that steps can use: questions to a model, kept as data.
    #[command(subcommand)]
    Task(Task),
    /// Plugins: write them, try them, install those of others.
    #[cfg(feature = "plugins")]
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ModelHost {
    /// Say what computes on this machine, and end.
    #[arg(long)]
    pub(crate) devices: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Schedule {
    /// List the schedules, and when each ticks next.
    Ls {
        /// The folder of the workflows.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Print when a schedule ticks next, in its time zone.
    Next {
        #[command(flatten)]
        schedule: Scheduled,
        /// As many times are printed.
        #[arg(long, short = 'n', default_value_t = 5)]
        count: usize,
    },
    /// Let a schedule rest; what it would have run meanwhile is not made up for.
    Pause(Scheduled),
    /// Let a schedule go on from now.
    Resume(Scheduled),
    /// Run the workflow now, with the inputs that the schedule gives.
    Run(Scheduled),
}

#[derive(Args, Debug)]
pub(crate) struct Scheduled {
    /// The schedule, as `flow schedule ls` names it.
    pub(crate) schedule: String,
    /// The folder of the workflows.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Model {
    /// List the models of this machine, and what each model service has, takes and costs; asks them.
    Ls(ModelLs),
    /// Download a model: by a name of the catalogue, or by where it is at the hub.
    Pull(ModelPull),
    /// Make a model that is on this machine known by a name; it stays where it is.
    Add(ModelAdd),
    /// Remove a model, and the files that only it has.
    Rm {
        /// Its name.
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ModelLs {
    /// List the models that can be pulled by name instead; asks nobody.
    #[arg(long)]
    pub(crate) catalog: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ModelPull {
    /// The model: `NAME`, or `hf:ORG/REPO[@REVISION]:FILE[+PROJECTOR]`.
    pub(crate) model: String,
    /// The projector's file in the same repository, where the model takes images.
    #[arg(long, value_name = "FILE")]
    pub(crate) projector: Option<String>,
    /// What the model is to be called.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ModelName>,
}

#[derive(Args, Debug)]
pub(crate) struct ModelAdd {
    /// The model's file; the first one where it has several.
    pub(crate) file: PathBuf,
    /// The projector's file, where the model takes images.
    #[arg(long, value_name = "FILE")]
    pub(crate) projector: Option<PathBuf>,
    /// What the model is to be called.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ModelName>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Task {
    /// List the tasks that are built in, and those of the folder `tasks` here.
    Ls,
    /// Print a task: its file, or with `--json` what it takes and yields.
    Show {
        /// The task's name.
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The workflow's file.
    pub(crate) file: PathBuf,
    /// Give an input: `NAME=VALUE`; a file is found from here, else from the workflow's folder.
    #[arg(long = "input", short, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) inputs: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) instead: InsteadArgs,
    /// File of secrets, a `NAME=VALUE` a line; the environment where a name is not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Do everything again, even what the step cache knows.
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) cassette: Cassette,
    /// Check the workflow and its inputs, say what would run, and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What becomes of exchanges with model services.
#[derive(Args, Debug)]
pub(crate) struct Cassette {
    /// Write every exchange with a model service into this folder, for `--replay`.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Take the answers of model services from this folder: no network, no keys, no cost.
    #[arg(long, value_name = "DIR")]
    pub(crate) replay: Option<PathBuf>,
}

/// What counts instead of what the workflow says, for the rest of the run's life.
#[derive(Args, Clone, Debug)]
pub(crate) struct InsteadArgs {
    /// Ask another model: `NAME=PROVIDER/MODEL`, or `*=…` for all.
    #[arg(long = "model", short, value_name = "NAME=MODEL", value_parser = pair)]
    models: Vec<(String, String)>,
    /// What the run may cost in all, e.g. `2.50 USD`.
    #[arg(long, value_name = "COST")]
    budget: Option<Money>,
}

impl From<InsteadArgs> for Instead {
    fn from(args: InsteadArgs) -> Self {
        Self { models: args.models.into_iter().collect(), budget: args.budget, from_request: false }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// The workflows' files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// The workflow's file; with `--resume`, a changed one to go on with.
    #[arg(required_unless_present = "resume")]
    pub(crate) file: Option<PathBuf>,
    /// Say what resuming this run would do.
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<String>,
    #[command(flatten)]
    pub(crate) instead: InsteadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct Graph {
    /// The workflow's file.
    pub(crate) file: PathBuf,
    /// What to draw in.
    #[arg(long, short, value_enum, default_value = "mermaid")]
    pub(crate) format: Drawing,
}

/// A language to draw a workflow in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Drawing {
    /// A Mermaid flowchart, for Markdown.
    Mermaid,
    /// Graphviz.
    Dot,
    /// A picture that needs nothing else.
    Svg,
}

impl From<Drawing> for Format {
    fn from(drawing: Drawing) -> Self {
        match drawing {
            Drawing::Mermaid => Self::Mermaid,
            Drawing::Dot => Self::Dot,
            Drawing::Svg => Self::Svg,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Runs {
    /// Only runs of this workflow.
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// Only runs that stand so, e.g. `failed`.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// The most runs to list.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Args, Debug)]
pub(crate) struct OneRun {
    /// The run: its id, or the beginning or the end of it that no other has.
    pub(crate) run: String,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The run: its id, or the beginning or the end of it that no other has.
    pub(crate) run: String,
    /// Show one step or instance: its output and its attempts.
    #[arg(long, value_name = "PATH")]
    pub(crate) step: Option<String>,
    /// Print a page of HTML: the pages that values were read from, each with its box.
    #[arg(long, conflicts_with_all = ["step", "json"])]
    pub(crate) html: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// The run: its id, or the beginning or the end of it that no other has.
    pub(crate) run: String,
    /// Only what this step or instance wrote.
    #[arg(long, value_name = "PATH")]
    pub(crate) step: Option<String>,
    /// Print the run's events instead: what happened, in order.
    #[arg(long, conflicts_with = "step")]
    pub(crate) events: bool,
    /// The most lines to print: the last ones.
    #[arg(long, short = 'n', default_value_t = 1000, conflicts_with = "all")]
    pub(crate) limit: u32,
    /// Print every line.
    #[arg(long)]
    pub(crate) all: bool,
    /// Go on printing as long as the run is driven.
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Forget what ended so long ago, or was of no use for so long, e.g. `30d`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) older_than: Duration,
    /// Keep the latest runs of each workflow, so many, however old they are.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) keep: u32,
    /// Forget runs that stand so, e.g. `failed`; may be repeated [default: succeeded].
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// Say what would be forgotten, and forget nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Give the space that gets free back to the disk; nobody can write meanwhile.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) vacuum: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The folder; its store is `.flow` within.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Where to listen: `HOST:PORT`, or port 0 for one that is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8400")]
    pub(crate) addr: String,
    /// A name that the server is called by, besides where it listens; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// How long runs may go on when the server is told to stop.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// The most requests a second of one token, or of one address without.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) rate: u32,
    /// The largest upload, e.g. `2GB`.
    #[arg(long, value_name = "SIZE", default_value = "1GB", value_parser = size)]
    pub(crate) max_upload: u64,
    /// File of secrets, a `NAME=VALUE` a line; the environment where a name is not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// How the log is written, on stderr.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log: LogFormat,
}

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Token {
    /// Make a token and print it: once, for only its hash is kept.
    New(TokenNew),
    /// List the tokens.
    Ls,
    /// Remove a token; what has it is shut out at once.
    Rm {
        /// Its name.
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TokenNew {
    /// Its name, for people and logs.
    pub(crate) name: String,
    /// What it allows: `read`, `run` (and read), `approve` (and run) or `admin`.
    #[arg(long)]
    pub(crate) scope: Scope,
    /// How long it opens, e.g. `90d` [default: for ever].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) expires: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct Eval {
    /// The workflow's file.
    pub(crate) file: PathBuf,
    /// Folder of cases: `NAME.json` with the known answers, and a file of that name beside it.
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: PathBuf,
    /// Models to compare, each asked in the place of all that the workflow names.
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub(crate) models: Vec<String>,
    /// The output that holds the fields; the outputs themselves where none is named.
    #[arg(long, value_name = "NAME")]
    pub(crate) output: Option<String>,
    /// A field, and what the known answers call it; all that both have where none is named.
    #[arg(long = "field", value_name = "FIELD=NAME", value_parser = pair)]
    pub(crate) fields: Vec<(String, String)>,
    /// Write a page with what is not right, side by side.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// File of secrets, a `NAME=VALUE` a line; the environment where a name is not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cassette: Cassette,
}

#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// The run: its id, or the beginning or the end of it that no other has.
    pub(crate) run: String,
    /// Go on with this changed workflow instead of the one that was kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) instead: InsteadArgs,
    /// File of secrets, a `NAME=VALUE` a line; the environment where a name is not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Do again what the step cache knows; what the run itself has done is kept.
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) cassette: Cassette,
}

#[derive(Args, Debug)]
pub(crate) struct Approve {
    /// The run: its id, or the beginning or the end of it that no other has.
    pub(crate) run: String,
    /// The step that asks; needed where several do.
    #[arg(long, value_name = "PATH")]
    pub(crate) step: Option<String>,
    /// Say no.
    #[arg(long)]
    pub(crate) reject: bool,
    /// The output of the step, where it asks for one: JSON, or `@FILE` with it.
    #[arg(long, value_name = "JSON", conflicts_with = "reject")]
    pub(crate) output: Option<String>,
    /// Write something beside the answer.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

fn duration(text: &str) -> Result<Duration, UnitError> {
    parse_duration(text)
}

fn size(text: &str) -> Result<u64, UnitError> {
    parse_size(text)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as `NAME=VALUE`".to_owned()),
    }
}
