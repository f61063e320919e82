//! What a file says of itself, read without compiling or running any of it.
//!
//! Names and versions of interfaces stand at the top of a component. So whatever cannot work is
//! refused here, with words that say which, before anything costs time.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};
use wasmtime::Engine;

use crate::policy::limits::fixed;

/// The package of the interface.
const PACKAGE: &str = "flow:plugin/";

/// The version that this host has.
pub const VERSION: &str = "0.1.0";

/// Interfaces that a plugin may import.
const OFFERED: &[&str] =
    &["types", "artifacts", "content", "log", "config", "clock", "kv", "http", "chat", "llm"];

/// Interfaces of WASI 0.2 that are there, and give nothing.
const WASI: &[&str] = &["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is a step.
    Step,
    /// It serves model calls.
    Provider,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Provider => "provider",
        })
    }
}

/// What stands at the top of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// What it does.
    pub kind: Kind,
    /// The version of `flow:plugin` that it was built for.
    pub version: String,
    /// What it imports, by full name.
    pub imports: Vec<String>,
    /// What it exports, by full name.
    pub exports: Vec<String>,
}

/// Why a file is no plugin for this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is too large.
    #[error("it has {size} bytes, and a plugin has at most {}", fixed::WASM)]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// It is something else.
    #[error("it is no WebAssembly")]
    NotWasm,
    /// It was compiled by wasmtime.
    #[error("it is compiled code, which is never taken from anybody")]
    Precompiled,
    /// It is a module without types.
    #[error("it is a core module, and a plugin is a component")]
    CoreModule,
    /// It is broken.
    #[error("it is damaged: {why}")]
    Damaged {
        /// In the reader's words.
        why: String,
    },
    /// It was built for another version.
    #[error("it is built for flow:plugin@{built}, and this flow has flow:plugin@{VERSION}")]
    Version {
        /// That version.
        built: String,
    },
    /// It wants something that there is not.
    #[error("it imports `{import}`, which no plugin is given")]
    Import {
        /// By full name.
        import: String,
    },
    /// It does nothing that flow can use.
    #[error("it exports neither `flow:plugin/step` nor `flow:plugin/provider`")]
    NoExport,
    /// It says nothing of itself.
    #[error("it does not export `flow:plugin/meta`")]
    NoMeta,
}

impl Unfit {
    /// What its author can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::NotWasm | Self::Damaged { .. } => Some("build it again"),
            Self::TooLarge { .. } => Some("build it with `strip` and `opt-level = \"s\"`"),
            Self::Precompiled => Some("give the `.wasm` file: flow compiles it itself"),
            Self::CoreModule => {
                Some("build it for wasm32-wasip2, or wrap it by `wasm-tools component new`")
            }
            Self::Version { .. } => Some("build it again with the `wit` folder of this flow"),
            Self::Import { .. } => Some("use what `flow:plugin` offers instead"),
            Self::NoExport | Self::NoMeta => {
                Some("build it for the world `step-plugin` or `provider-plugin`")
            }
        }
    }
}

/// Reads what stands at the top of a component.
pub fn inspect(bytes: &[u8]) -> Result<Interface, Unfit> {
    if bytes.is_empty() {
        return Err(Unfit::Empty);
    }
    if bytes.len() as u64 > fixed::WASM {
        return Err(Unfit::TooLarge { size: bytes.len() as u64 });
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(Unfit::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Unfit::NotWasm);
    }
    let (imports, exports) = names(bytes)?;
    let kind = kind(&imports, &exports)?;
    Ok(Interface { kind: kind.0, version: kind.1, imports, exports })
}

type Names = (Vec<String>, Vec<String>);

fn names(bytes: &[u8]) -> Result<Names, Unfit> {
    let damaged = |error: wasmparser::BinaryReaderError| Unfit::Damaged {
        why: format!("{} (at byte {})", error.message(), error.offset()),
    };
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(Unfit::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// Decides what a component is by the names of its interfaces. A version comes first: what else
/// it lacks may be due to it.
fn kind(imports: &[String], exports: &[String]) -> Result<(Kind, String), Unfit> {
    let own: BTreeMap<&str, &str> = imports
        .iter()
        .chain(exports)
        .filter_map(|name| name.strip_prefix(PACKAGE)?.split_once('@'))
        .collect();
    if let Some(built) = own.values().find(|version| !is_compatible(version)) {
        return Err(Unfit::Version { built: (*built).to_owned() });
    }
    let has = |interface: &str| {
        exports.iter().find_map(|name| {
            let (found, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
            (found == interface).then(|| version.to_owned())
        })
    };
    let (kind, version) = match (has("step"), has("provider")) {
        (Some(version), _) => (Kind::Step, version),
        (None, Some(version)) => (Kind::Provider, version),
        (None, None) => return Err(Unfit::NoExport),
    };
    if has("meta").is_none() {
        return Err(Unfit::NoMeta);
    }
    let offered = |name: &String| {
        if let Some((interface, _)) = name.strip_prefix(PACKAGE).and_then(|n| n.split_once('@')) {
            return OFFERED.contains(&interface)
                || (interface == "progress" && kind == Kind::Provider);
        }
        let wasi = name.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
        wasi.is_some_and(|(package, rest)| {
            WASI.contains(&package)
                && rest.split_once('@').is_some_and(|(_, v)| v.starts_with("0.2."))
        })
    };
    match imports.iter().find(|name| !offered(name)) {
        Some(import) => Err(Unfit::Import { import: import.clone() }),
        None => Ok((kind, version)),
    }
}

/// Within 0.1, a guest of any patch version runs: what it does not know is not called, and what
/// this host does not have is named when it is imported.
fn is_compatible(version: &str) -> bool {
    let mut parts = version.split('.');
    (parts.next(), parts.next()) == (Some("0"), Some("1"))
        && parts
            .next()
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_none()
}
