//! What a call of a plugin takes, for `benches/plugins.py`: prints one JSON object.
//!
//!     plugin_calls COMPILER GUEST.wasm FOLDER
//!
//! Times are microseconds, medians over many calls, each in a store of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use flow_core::intake::Intake;
use flow_core::store::Store;
use flow_plugins::policy::Granted;
use flow_plugins::{Alone, Call, Compiler, NoHttp, Plugin, Sandbox, Services, Setup};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const CALLS: usize = 3_000;
const FILES: usize = 40;
const IMAGE: usize = 16 << 20;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "what it found goes to who measures")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [compiler, guest, folder] = arguments.as_slice() else {
        panic!("plugin_calls COMPILER GUEST.wasm FOLDER");
    };
    let folder = Path::new(folder);
    let store = Store::open(&folder.join("store")).await.expect("a store");
    let intake = Intake::new(store.artifacts().clone(), |_| None);
    let setup = Setup {
        cache: folder.join("cache"),
        compiler: Compiler::new(compiler.into(), ["plugin-compile".into()]),
        services: Services { http: Arc::new(NoHttp), now_ms: || 0 },
        seats: 1,
    };
    let sandbox = Sandbox::new(setup).expect("a sandbox");
    let plugin = sandbox.load_file(Path::new(guest)).expect("a plugin");
    let text = json!({ "do": "echo", "text": "x".repeat(1_000) });
    let call = median(&plugin, &intake, &text, CALLS).await;
    let image = intake.keep(vec![7; IMAGE], "image").await.expect("a file");
    let sum = json!({ "do": "sum", "file": image.to_value() });
    let file = median(&plugin, &intake, &sum, FILES).await;
    println!("{}", json!({ "call_us": call, "file_us": file }));
}

async fn median(plugin: &Plugin, intake: &Intake, input: &Value, calls: usize) -> f64 {
    let granted = Arc::new(Granted::nothing("sample"));
    let config = Arc::new(BTreeMap::new());
    let mut taken = Vec::with_capacity(calls);
    for _ in 0..calls {
        let call = Call {
            run: "",
            step: "",
            attempt: 1,
            granted: &granted,
            config: &config,
            intake: Some(intake),
            log: Arc::new(|_| {}),
            memory: None,
            outside: &Alone,
            cancel: CancellationToken::new(),
        };
        let began = Instant::now();
        plugin.run(&call, input).await.result.expect("an output");
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}
