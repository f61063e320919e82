//! WebAssembly plugins in a sandbox: steps, and providers of models.
//!
//! ```text
//!  file ─ inspect ─▶ compile (a process of its own) ─▶ cache ─▶ Plugin ─ describe
//!                                                                │
//!  manifest ∧ workflow ─▶ Granted ──────────────────────────────▶│ Call ─▶ Came { result, used }
//!                                                                │
//!                     host functions: log, config, clock, files ─┘
//!                     and, where granted: kv, http, models
//! ```
//!
//! A plugin is a stranger's. It computes, within limits that every call has, and reaches what
//! was granted, and nothing else. What it may do is decided in [`policy`] before it runs; how
//! it is run is in [`Sandbox`] and [`Plugin`]; what the rest of flow sees are [`Plugins`], which
//! makes steps and providers of those that a workflow names.

mod action;
mod bindings;
mod call;
mod compile;
mod descriptor;
mod engine;
mod fault;
mod host;
mod inspect;
pub mod installed;
mod limiter;
mod loader;
mod output;
mod plugin;
pub mod policy;
pub mod project;
mod provider;
mod sandbox;
mod seams;
pub mod trial;
mod turns;
mod usage;

pub use call::{Call, Came};
pub use compile::{CAP_VARIABLE, CompileCap, CompileError, Compiler, serve as serve_compiler};
pub use descriptor::{Descriptor, DescriptorFault, Takes};
pub use fault::{CallFault, Ceiling, LoadError, Trap};
pub use inspect::{Interface, Kind, Unfit, VERSION, inspect};
pub use loader::{Installed, MANIFEST, NoneInstalled, Plugins};
pub use plugin::{Completion, Plugin};
pub use sandbox::{CACHE_FOLDER, Sandbox, Setup};
pub use seams::{Alone, NoHttp, NoModels, Outside, Services};
pub use usage::Used;
