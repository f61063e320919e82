//! A sandbox for tests, and guests as text.
//!
//! A guest is a core module in WAT that speaks the canonical ABI by hand; `wit-component` makes
//! a component of it, as it does for every language. So each attack is written down to the
//! instruction, and no toolchain stands between it and the host.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod guest;

pub(crate) use guest::{Guest, Texts, component_of};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::error::{ErrorClass, Failure};
use flow_core::intake::Intake;
use flow_core::plugin::{HttpClient, HttpRequest, HttpResponse};
use flow_core::store::Store;
use flow_plugins::policy::{Capabilities, Granted, Limits};
use flow_plugins::{Alone, Call, Came, Compiler, Outside, Plugin, Sandbox, Services, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A sandbox in a folder of its own, with a store beside it.
pub(crate) struct Place {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) http: Arc<Recorded>,
    pub(crate) store: Store,
    pub(crate) intake: Intake,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: TempDir,
}

/// A way to servers that answers by itself and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) asked: Mutex<Vec<HttpRequest>>,
    /// Never answers.
    pub(crate) silent: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl HttpClient for Recorded {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        if self.silent.load(std::sync::atomic::Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if request.url.contains("busy") {
            return Err(Failure::new(ErrorClass::Overloaded, "it is busy"));
        }
        let headers = vec![("content-type".into(), "text/plain".into())];
        Ok(HttpResponse { status: 200, headers, body: b"hello".to_vec() })
    }
}

/// Compiles in the process that belongs to these tests.
pub(crate) fn compiler() -> Compiler {
    Compiler::new(env!("CARGO_BIN_EXE_flow-plugin-compiler").into(), [])
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::with(compiler()).await
    }

    pub(crate) async fn with(compiler: Compiler) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let http = Arc::new(Recorded::default());
        let services = Services { http: Arc::clone(&http) as _, now_ms: || 1_700_000_000_000 };
        let cache = folder.path().join("cache");
        let setup = Setup { cache, compiler, services, seats: 1 };
        let sandbox = Sandbox::new(setup).expect("a sandbox");
        let store = Store::open(&folder.path().join("store")).await.expect("a store");
        let intake = Intake::new(store.artifacts().clone(), |_| None);
        Self { sandbox, http, store, intake, log: Arc::default(), folder }
    }

    pub(crate) fn load(&self, guest: &Guest) -> Arc<Plugin> {
        self.sandbox.load(&guest.component()).expect("a plugin")
    }

    /// Runs a step that is granted nothing.
    pub(crate) async fn run(&self, plugin: &Plugin, input: &Value) -> Came<Value> {
        self.run_with(plugin, input, &granted(&json!({}), Limits::USUAL)).await
    }

    /// Runs a step with these grants, all of which it asks for.
    pub(crate) async fn run_with(
        &self,
        plugin: &Plugin,
        input: &Value,
        granted: &Arc<Granted>,
    ) -> Came<Value> {
        self.run_outside(plugin, input, granted, &Alone).await
    }

    pub(crate) async fn run_outside(
        &self,
        plugin: &Plugin,
        input: &Value,
        granted: &Arc<Granted>,
        outside: &dyn Outside,
    ) -> Came<Value> {
        self.call(plugin, input, granted, outside, CancellationToken::new()).await
    }

    pub(crate) async fn call(
        &self,
        plugin: &Plugin,
        input: &Value,
        granted: &Arc<Granted>,
        outside: &dyn Outside,
        cancel: CancellationToken,
    ) -> Came<Value> {
        let lines = Arc::clone(&self.log);
        let config = BTreeMap::from([("tolerance".to_owned(), "0.01".to_owned())]);
        let memories: &dyn flow_core::plugin::PluginMemories = &self.store;
        let call = Call {
            run: "run",
            step: "step",
            attempt: 1,
            granted,
            config: &Arc::new(config),
            intake: Some(&self.intake),
            log: Arc::new(move |line: &str| {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
            }),
            memory: Some(memories.of("guest")),
            outside,
            cancel,
        };
        plugin.run(&call, input).await
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails unless a plugin that does nothing wrong is served.
    pub(crate) async fn serves_the_next(&self) {
        let plugin = self.load(&Guest::says("\"well\""));
        let came = self.run(&plugin, &json!({})).await;
        assert_eq!(came.result.expect("a sound plugin is served"), json!("well"));
    }
}

/// Grants that a plugin asks for and gets, within these limits.
pub(crate) fn granted(grant: &Value, limits: Limits) -> Arc<Granted> {
    let asked = Capabilities::read(grant, "grant").expect("capabilities");
    Arc::new(Granted::of("guest", asked.clone(), &asked, limits, Some(limits)))
}

/// Limits that are reached soon.
pub(crate) fn small() -> Limits {
    Limits { memory: 4 << 20, deadline: Duration::from_millis(300), output: 64 << 10, log: 1 << 10 }
}

/// Says why a test did not do all it could.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
