//! What commands work with: the machine's side of what core is passed in.
//!
//! Here and in `settings`, and nowhere below, the environment and the user's folders are read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flow_core::action::ActionRegistry;
use flow_core::engine::{Embedded, Program, Setup};
use flow_core::ids::RunId;
use flow_core::language::{
    Bundle, Checked, Environment, Files, Instead, KnownProviders, check, check_bundle,
};
use flow_core::store::{RunRow, Store};
use flow_llama::store::ModelStore;
use flow_llama::{HostProgram, Runtime};
use flow_providers::documents::OcrRuntime;
use flow_providers::{Hub, ModelFolder, Providers, Tape};
use serde_json::{Value, json};

use crate::cassette::Cassette;
use crate::cli::Global;
use crate::failpoint;
use crate::output;
use crate::report::{CommandError, Exit};
use crate::settings;
use crate::tasks::TASKS;

/// The name of the store's folder beside a workflow.
const STORE: &str = ".flow";

/// The folder of the OCR models within the cache.
const OCR_MODELS: &str = "models/pp-ocrv6-small";

/// What workflows find on this machine.
pub(crate) struct Machine {
    /// The actions there are.
    pub(crate) actions: ActionRegistry,
    /// The providers there are, the user's own among them.
    pub(crate) providers: KnownProviders,
    /// What serves the model calls of the actions.
    pub(crate) services: Arc<Providers>,
}

/// What workflows find on this machine; `secrets` is a file of more of them.
pub(crate) fn machine(secrets: Option<&Path>) -> Result<Machine, CommandError> {
    taped_machine(secrets, Tape::default())
}

/// The same, and what becomes of exchanges with model services.
pub(crate) fn taped_machine(secrets: Option<&Path>, tape: Tape) -> Result<Machine, CommandError> {
    let known = settings::known_providers()?;
    let secrets = settings::secrets(secrets)?;
    let services = Arc::new(configured(&known, secrets.clone()).with_tape(tape.clone()));
    let mut actions = actions_of(&services);
    bring_plugins(&mut actions, &services, secrets, tape);
    Ok(Machine { actions, providers: known, services })
}

#[cfg(feature = "plugins")]
fn bring_plugins(
    actions: &mut ActionRegistry,
    services: &Arc<Providers>,
    secrets: BTreeMap<String, String>,
    tape: Tape,
) {
    actions.set_plugins(crate::plugins::of_machine(services, secrets, tape));
}

#[cfg(not(feature = "plugins"))]
fn bring_plugins(
    _actions: &mut ActionRegistry,
    _services: &Arc<Providers>,
    _secrets: BTreeMap<String, String>,
    _tape: Tape,
) {
}

/// The actions there are, for commands that run nothing.
pub(crate) fn actions() -> ActionRegistry {
    actions_of(&Arc::new(Providers::new(BTreeMap::new())))
}

fn actions_of(providers: &Arc<Providers>) -> ActionRegistry {
    let mut registry = ActionRegistry::default();
    flow_core::actions::register(&mut registry);
    let models = ModelFolder::new(ocr_models()).run_by(ocr_runtime());
    flow_providers::register(&mut registry, Arc::clone(providers), models, cores());
    for (name, text) in TASKS {
        registry.add_task(name, text);
    }
    registry
}

/// The providers there are.
pub(crate) fn providers() -> Result<Providers, CommandError> {
    Ok(configured(&settings::known_providers()?, settings::secrets(None)?))
}

fn configured(known: &KnownProviders, secrets: BTreeMap<String, String>) -> Providers {
    Providers::new(secrets)
        .with_configured(known.configured.clone())
        .with_local(Runtime::new(model_host()), Some(Arc::new(models())))
}

/// What becomes the process of a local model: this binary; none where it has no llama.cpp.
pub(crate) fn model_host() -> Option<HostProgram> {
    if !cfg!(feature = "llama") {
        return None;
    }
    // By this name it is found even after another version took its place on the disk.
    let linux = cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe"));
    let program = linux.or_else(|| std::env::current_exe().ok())?;
    Some(HostProgram { program, arguments: vec!["model-host".to_owned()] })
}

/// What runs the OCR models: ONNX Runtime where its library is named, else what is built in.
pub(crate) fn ocr_runtime() -> OcrRuntime {
    let Some(library) = variable("FLOW_ONNXRUNTIME").map(PathBuf::from) else {
        return OcrRuntime::Rten;
    };
    // A loader looks for a name without a folder in places of its own.
    let library = std::path::absolute(&library).unwrap_or(library);
    OcrRuntime::OnnxRuntime { library }
}

/// Where the OCR models are looked for.
pub(crate) fn ocr_models() -> PathBuf {
    if let Some(folder) = variable("FLOW_OCR_MODELS") {
        return folder.into();
    }
    cache().join(OCR_MODELS)
}

/// The folder of what can be had or made again.
pub(crate) fn cache() -> PathBuf {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    variable("FLOW_CACHE")
        .map_or_else(|| cache().unwrap_or_else(std::env::temp_dir).join("flow"), PathBuf::from)
}

/// The models of this machine: in the folder that `FLOW_MODELS` names, or among the user's data.
pub(crate) fn models() -> ModelStore {
    if let Some(folder) = variable("FLOW_MODELS") {
        return ModelStore::new(folder.into());
    }
    ModelStore::new(user_data().join("flow/models"))
}

/// The hub that models are pulled from, which `FLOW_HUB` may name.
pub(crate) fn hub() -> Result<Hub, CommandError> {
    Ok(Hub::new(variable("FLOW_HUB").as_deref(), variable("HF_TOKEN"))?)
}

/// The folder of plugins that the user installed.
#[cfg(feature = "plugins")]
pub(crate) fn plugins() -> PathBuf {
    if let Some(folder) = variable("FLOW_PLUGINS") {
        return folder.into();
    }
    user_data().join("flow/plugins")
}

/// Where programs keep what a user would miss.
fn user_data() -> PathBuf {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
    data.unwrap_or_else(std::env::temp_dir)
}

/// The cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Files beside a workflow.
pub(crate) struct Beside(pub(crate) PathBuf);

impl Files for Beside {
    fn read(&self, path: &str) -> Result<String, String> {
        self.read_if_any(path)?.ok_or_else(|| "there is no such file".to_owned())
    }

    fn read_if_any(&self, path: &str) -> Result<Option<String>, String> {
        let bytes = match std::fs::read(self.0.join(path)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        String::from_utf8(bytes).map(Some).map_err(|_| "it is not UTF-8".to_owned())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

/// The folder of a workflow's file.
pub(crate) fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())
}

/// Reads a workflow's file.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(file).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
            _ => error.to_string(),
        };
        CommandError::invalid(format!("cannot read `{}`: {why}", file.display()))
    })
}

/// Checks a workflow's file. Its faults are the caller's to report.
pub(crate) fn checked(
    file: &Path,
    machine: &Machine,
    instead: &Instead,
) -> Result<Checked, CommandError> {
    let name = file.display().to_string();
    let bytes = read(file)?;
    let files = Beside(folder_of(file));
    let Machine { actions, providers, .. } = machine;
    let environment = Environment { actions, providers, files: &files, instead };
    Ok(check(&name, &bytes, environment))
}

/// Checks a workflow's file and reports its faults; an error where it cannot run.
pub(crate) fn program(
    file: &Path,
    machine: &Machine,
    instead: &Instead,
) -> Result<Program, CommandError> {
    usable(&checked(file, machine, instead)?, folder_of(file))
}

/// Checks what a run goes on with: the definition that it was kept with, or a changed file. What
/// was said when it was run counts on, but for what is said now.
pub(crate) async fn resumed_program(
    store: &Store,
    run: &RunRow,
    machine: &Machine,
    from_file: Option<&Path>,
    now: Instead,
) -> Result<Program, CommandError> {
    let kept = kept(store, run).await?;
    if let Some(file) = from_file {
        let then = kept.map(|(bundle, _)| bundle.instead).unwrap_or_default();
        return program(file, machine, &then.and(now));
    }
    let Some((mut bundle, folder)) = kept else {
        let message = format!("the definition of run {} cannot be read", run.id);
        return Err(
            CommandError::failed(message).hint("`--from-file FILE` goes on with a workflow's file")
        );
    };
    bundle.instead = bundle.instead.and(now);
    usable(&check_bundle(&bundle, &machine.actions, &machine.providers), folder)
}

/// The definition that a run was kept with, and the folder of its paths; none where it cannot
/// be read.
pub(crate) async fn kept(
    store: &Store,
    run: &RunRow,
) -> Result<Option<(Bundle, PathBuf)>, CommandError> {
    let mut kept = store.definition(&run.definition).await?.unwrap_or_default();
    let bundle = serde_json::from_value(kept["bundle"].take()).ok();
    Ok(bundle.zip(kept["folder"].as_str().map(PathBuf::from)))
}

pub(crate) fn usable(checked: &Checked, folder: PathBuf) -> Result<Program, CommandError> {
    output::note(&checked.diagnostics.to_string());
    runnable(checked, folder).ok_or_else(|| {
        let errors = checked.diagnostics.errors();
        let faults = if errors == 1 { "an error" } else { "errors" };
        let message = format!("`{}` has {faults} and was not run", checked.bundle.entry);
        CommandError::invalid(message)
    })
}

/// What can be run of what was checked; none where it has errors.
pub(crate) fn runnable(checked: &Checked, folder: PathBuf) -> Option<Program> {
    let workflow = Arc::clone(checked.workflow.as_ref()?);
    let bundle = json!({ "bundle": checked.bundle.to_value(), "folder": folder });
    let definition = flow_core::content::ContentHash::of_json(&bundle);
    Some(Program { workflow, definition, bundle, folder })
}

/// The folder of the store for a workflow.
pub(crate) fn store_beside(global: &Global, file: &Path) -> PathBuf {
    global.store.clone().unwrap_or_else(|| folder_of(file).join(STORE))
}

/// The folder of the store where no workflow is named.
pub(crate) fn store_here(global: &Global) -> PathBuf {
    global.store.clone().unwrap_or_else(|| STORE.into())
}

/// Opens the store that a command names; an error where there is none.
pub(crate) async fn existing_store(global: &Global) -> Result<Store, CommandError> {
    let folder = store_here(global);
    Store::open_existing(&folder).await?.ok_or_else(|| {
        let message = format!("there is no store in `{}`", folder.display());
        CommandError::invalid(message).hint("name it by `--store DIR`")
    })
}

/// The run that is meant.
pub(crate) async fn run_named(store: &Store, part: &str) -> Result<RunRow, CommandError> {
    Ok(store.find_run(part).await?)
}

/// An engine over a store.
pub(crate) fn engine(store: Store, actions: ActionRegistry, use_cache: bool) -> Embedded {
    Embedded::new(setup(store, actions, use_cache))
}

/// An engine over a store, for a run that may have a cassette.
pub(crate) fn taped_engine(
    store: Store,
    actions: ActionRegistry,
    use_cache: bool,
    cassette: &Cassette,
) -> Embedded {
    let setup = setup(store, actions, use_cache && cassette.allows_cache());
    Embedded::new(Setup { clock: cassette.clock(setup.clock), ..setup })
}

fn setup(store: Store, actions: ActionRegistry, use_cache: bool) -> Setup {
    Setup {
        store,
        actions,
        clock: failpoint::clock(),
        sniff: flow_providers::documents::sniff,
        parallel: (cores() * 4).max(8),
        use_cache,
    }
}

/// The time, in milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// A new run's id.
pub(crate) fn new_run_id() -> RunId {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // Keyed by the system's randomness, and each otherwise than the one before.
    let random = || u128::from(RandomState::new().build_hasher().finish());
    RunId::from_parts(millis as u64, (random() << 64) | random())
}

/// Ends a command by how its run stands.
pub(crate) fn exit_of(report: &flow_core::engine::RunReport) -> Exit {
    Exit::of_run(report.run.status, report.failure.as_ref().map(|failure| failure.class))
}

/// A value as one line, cut where it is long.
pub(crate) fn shown(value: &Value, most: usize) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.replace('\n', " ");
    if line.chars().count() <= most {
        line
    } else {
        line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}
