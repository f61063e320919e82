//! What a call of an Extism plugin takes, each in an instance of its own: prints microseconds.
//!
//!     extism-calls GUEST.wasm

use std::time::Instant;

use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};

const CALLS: usize = 3_000;

fn main() {
    let guest = std::env::args().nth(1).expect("extism-calls GUEST.wasm");
    let manifest = Manifest::new([Wasm::file(guest)]);
    let compiled = CompiledPlugin::new(PluginBuilder::new(manifest)).expect("a plugin");
    let input = format!(r#"{{"do":"echo","text":"{}"}}"#, "x".repeat(1_000));
    let mut taken = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        let mut plugin = Plugin::new_from_compiled(&compiled).expect("an instance");
        let output: String = plugin.call("run", &input).expect("an output");
        taken.push(began.elapsed().as_secs_f64() * 1e6);
        assert!(output.len() > 1_000);
    }
    taken.sort_by(f64::total_cmp);
    println!("{:.1}", taken[taken.len() / 2]);
}
