//! Local models by the real binary: tiny ones that are made here, and a small real one where
//! `scripts/fetch-llama-model` has put it.

#![cfg(feature = "llama")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod hosts;
mod parity;
mod real;

#[path = "../support/mod.rs"]
mod support;
#[path = "../../llama/examples/tiny/model.rs"]
mod tiny;

use std::path::PathBuf;

use image::{Rgb, RgbImage};
use serde_json::Value;

use support::World;

/// A world with the tiny models in `models/`, and images beside.
fn world() -> World {
    let world = World::new();
    tiny::write(&world.path("models"), None).unwrap();
    for (name, width, height) in [("square", 48, 48), ("wide", 120, 80), ("small", 30, 60)] {
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([
                (x * 255 / width) as u8,
                (y * 255 / height) as u8,
                ((x / 8 + y / 8) % 2 * 200) as u8,
            ])
        });
        image.save(world.path(&format!("{name}.png"))).unwrap();
    }
    world
}

/// The entries of `models:` for the tiny models, with one thread.
const MODELS: &str = "
models:
  llava: { provider: llama, path: models/llava.gguf, projector: models/mmproj-llava.gguf, options: { threads: 1, context: 1024, parallel: 4 } }
  llava16: { provider: llama, path: models/llava.gguf, projector: models/mmproj-llava16.gguf, options: { threads: 1, context: 1024, parallel: 4 } }
  qwen2vl: { provider: llama, path: models/qwen2vl.gguf, projector: models/mmproj-qwen2vl.gguf, options: { threads: 1, context: 1024, parallel: 4 } }
  alone: { provider: llama, path: models/qwen2vl.gguf, options: { threads: 1, context: 512, parallel: 1 } }
  text: { provider: llama, path: models/qwen2vl.gguf, options: { threads: 1, context: 512, parallel: 4 } }
";

/// A workflow that asks a model once: step `ask`, without another try.
fn asks(model: &str, with: &str) -> String {
    format!(
        "name: w{MODELS}\
         steps: [{{id: ask, uses: model.generate, model: {model}, retry: {{attempts: 1}}, cache: false, with: {with}}}]\n\
         outputs: {{text: \"{{{{ steps.ask.output }}}}\"}}\n"
    )
}

/// What an attempt was told by its model, and what it took: the raw reply that is kept.
fn replies(world: &World, run: &str, step: &str) -> Vec<Value> {
    let shown = world.flow(&["show", run, "--step", step, "--json"]).exits(0).json();
    let raw = shown["attempts"].as_array().unwrap().iter().map(|attempt| {
        let hash = attempt["raw"]["$artifact"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let (shard, rest) = hash.split_at(2);
        let file = world.path(".flow/artifacts").join(shard).join(rest);
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    });
    raw.collect()
}

/// The small real model, where it was fetched.
fn real_model() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = variable("FLOW_CACHE").map(PathBuf::from).or_else(|| {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
        Some(cache.or_else(home)?.join("flow"))
    });
    let file = cache?.join("models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    if file.is_file() {
        return Some(file);
    }
    support::say("skipped: there is no SmolLM2; scripts/fetch-llama-model gets it");
    None
}
