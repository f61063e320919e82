//! The sandbox of a process: one engine, the plugins that were loaded, and room for calls.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use flow_core::content::ContentHash;
use flow_plugin_cache::{Cache, Found};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::{provider, step};
use crate::call::ceiling_in;
use crate::compile::Compiler;
use crate::engine::{self, Ticker};
use crate::fault::LoadError;
use crate::host::{self, Guest};
use crate::inspect::{Interface, Kind, Unfit, VERSION, inspect};
use crate::plugin::Plugin;
use crate::policy::limits::fixed;
use crate::seams::Services;

/// Calls at once, of each depth.
const CALLS: usize = 16;

/// The name of the folder of compiled plugins within flow's cache.
pub const CACHE_FOLDER: &str = "plugins";

/// What a sandbox is made with.
pub struct Setup {
    /// The folder of compiled plugins. It is made private.
    pub cache: PathBuf,
    /// Compiles what is not in it.
    pub compiler: Compiler,
    /// What plugins reach.
    pub services: Services,
    /// Guests that compute at once; one core less than there are, so that the rest goes on.
    pub seats: usize,
}

/// Runs plugins.
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) services: Services,
    /// Who may compute.
    pub(crate) seats: Arc<Semaphore>,
    /// Room for calls, a number for each depth: who waits for one deeper than itself cannot be
    /// waited for by it.
    slots: Vec<Arc<Semaphore>>,
    compiler: Compiler,
    cache: Cache,
    fingerprint: String,
    steps: Linker<Guest>,
    providers: Linker<Guest>,
    pub(crate) checked: host::artifacts::Checked,
    loaded: Mutex<HashMap<ContentHash, Weak<Plugin>>>,
}

/// A plugin that is compiled and linked.
pub(crate) enum Linked {
    Step(step::StepPluginPre<Guest>),
    Provider(provider::ProviderPluginPre<Guest>),
}

impl Sandbox {
    /// Sets a sandbox up.
    pub fn new(setup: Setup) -> Result<Arc<Self>, LoadError> {
        let Setup { cache, compiler, services, seats } = setup;
        let failed = |error: wasmtime::Error| LoadError::Sandbox(format!("{error:#}"));
        let depths = fixed::DEPTH;
        let engine = engine::running((CALLS * depths) as u32).map_err(failed)?;
        let ticker =
            Ticker::start(engine.clone()).map_err(|error| LoadError::Sandbox(error.to_string()))?;
        let fingerprint = engine::fingerprint(&engine);
        let (steps, providers) = (
            host::for_steps(&engine).map_err(failed)?,
            host::for_providers(&engine).map_err(failed)?,
        );
        Ok(Arc::new(Self {
            cache: Cache::open(&cache)?,
            seats: Arc::new(Semaphore::new(seats.max(1))),
            slots: (0..depths).map(|_| Arc::new(Semaphore::new(CALLS))).collect(),
            checked: Arc::default(),
            loaded: Mutex::default(),
            engine,
            ticker,
            services,
            compiler,
            fingerprint,
            steps,
            providers,
        }))
    }

    /// Room for one call more.
    pub(crate) async fn slot(&self, depth: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots[depth]).acquire_owned().await.ok()
    }

    /// Loads a plugin from its file: reads what it is, compiles it unless that was done before,
    /// and asks what it says of itself.
    ///
    /// Blocks while it is compiled for the first time. A plugin is loaded once a process.
    pub fn load_file(self: &Arc<Self>, path: &Path) -> Result<Arc<Plugin>, LoadError> {
        let failed = |why: String| LoadError::Read { path: path.to_path_buf(), why };
        let size = std::fs::metadata(path).map_err(|error| failed(reason(&error)))?.len();
        if size > fixed::WASM {
            return Err(Unfit::TooLarge { size }.into());
        }
        let bytes = std::fs::read(path).map_err(|error| failed(reason(&error)))?;
        self.load(&bytes)
    }

    /// The same from its bytes.
    pub fn load(self: &Arc<Self>, wasm: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        let hash = ContentHash::of_bytes(wasm);
        if let Some(known) = self.loaded().get(&hash).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let interface = inspect(wasm)?;
        let component = self.component(&hash, wasm)?;
        let linked = self.link(&component, &interface)?;
        let plugin = Arc::new(Plugin::new(Arc::clone(self), hash, interface, linked, wasm.len())?);
        self.loaded().insert(hash, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// The plugin of this hash, from the copy that was kept when it was compiled; none where there
    /// is none.
    pub fn load_kept(self: &Arc<Self>, sha256: &str) -> Result<Option<Arc<Plugin>>, LoadError> {
        match self.cache.get(&format!("{sha256}.wasm")) {
            Found::Kept(bytes) => self.load(&bytes).map(Some),
            Found::Nothing | Found::Tampered => Ok(None),
        }
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<ContentHash, Weak<Plugin>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The native code of a component, from the cache or from the compiler. What somebody put
    /// into the cache or changed there is not run: it is made anew.
    fn component(&self, hash: &ContentHash, wasm: &[u8]) -> Result<Component, LoadError> {
        let name = format!("{}-{}.native", hash.hex(), self.fingerprint);
        match self.cache.component(&self.engine, &name) {
            Found::Kept(Ok(component)) => return Ok(component),
            // Another wasmtime made it, or it wants more than there is.
            Found::Kept(Err(_)) | Found::Nothing => {}
            Found::Tampered => {
                tracing::warn!(file = name, "a compiled plugin was changed; it is compiled anew");
            }
        }
        let native = self.compiler.compile(wasm)?;
        self.cache.put(&name, &native)?;
        // A run that is resumed goes on with the plugin that it began with.
        self.cache.put(&format!("{}.wasm", hash.hex()), wasm)?;
        match self.cache.component(&self.engine, &name) {
            Found::Kept(Ok(component)) => Ok(component),
            Found::Kept(Err(error)) => {
                let words = format!("{error:#}");
                Err(ceiling_in(&words).map_or(LoadError::Sandbox(words), LoadError::Ceiling))
            }
            Found::Nothing | Found::Tampered => {
                Err(LoadError::Sandbox("what was compiled cannot be loaded".into()))
            }
        }
    }

    fn link(&self, component: &Component, interface: &Interface) -> Result<Linked, LoadError> {
        let failed = |error: wasmtime::Error| {
            let built = &interface.version;
            let why = format!("{error:#}");
            LoadError::Link(format!(
                "it is built for flow:plugin@{built}, this flow has flow:plugin@{VERSION}, and they differ: {why}"
            ))
        };
        Ok(match interface.kind {
            Kind::Step => {
                let linked = self.steps.instantiate_pre(component).map_err(failed)?;
                Linked::Step(step::StepPluginPre::new(linked).map_err(failed)?)
            }
            Kind::Provider => {
                let linked = self.providers.instantiate_pre(component).map_err(failed)?;
                Linked::Provider(provider::ProviderPluginPre::new(linked).map_err(failed)?)
            }
        })
    }

    /// What was said of a plugin before, by its hash.
    pub(crate) fn known_descriptor(&self, hash: &ContentHash) -> Option<String> {
        match self.cache.get(&descriptor_name(hash)) {
            Found::Kept(bytes) => String::from_utf8(bytes).ok(),
            Found::Nothing | Found::Tampered => None,
        }
    }

    /// Keeps what a plugin says of itself.
    pub(crate) fn keep_descriptor(&self, hash: &ContentHash, text: &str) -> Result<(), LoadError> {
        Ok(self.cache.put(&descriptor_name(hash), text.as_bytes())?)
    }

    /// The folder of compiled plugins.
    pub fn cache_folder(&self) -> &Path {
        self.cache.folder()
    }
}

fn descriptor_name(hash: &ContentHash) -> String {
    format!("{}-{VERSION}.json", hash.hex())
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}
