//! Building a plugin by the tools of its language.
//!
//! flow brings no compiler. It finds those of the author, says what gets a missing one, and
//! makes a component of what they make where they do not do that themselves.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use flow_core::content::ContentHash;
use serde_json::Value;

use super::tools::{asked, missing, program, program_near, run};
use super::{Language, WrapError, component_of};
use crate::inspect::{Interface, Unfit, inspect};
use crate::loader::MANIFEST;
use crate::policy::{Manifest, ManifestError};

/// A plugin that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its file.
    pub component: PathBuf,
    /// The bytes of it.
    pub size: usize,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
    /// What it is.
    pub interface: Interface,
}

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Nothing of a plugin is there.
    #[error("`{}` is no folder of a plugin", .0.display())]
    NoProject(PathBuf),
    /// Its manifest cannot be used.
    #[error("`{}`: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: ManifestError,
    },
    /// A tool is not there.
    #[error("{what} is missing")]
    Missing {
        /// The tool.
        what: String,
        /// The command that gets it.
        get: String,
    },
    /// A tool failed.
    #[error("`{tool}` failed: {why}")]
    Failed {
        /// The tool.
        tool: String,
        /// Why.
        why: String,
    },
    /// What came out is no component.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// What came out is no plugin.
    #[error("what was built is no plugin: {0}")]
    Unfit(#[from] Unfit),
    /// It cannot be written.
    #[error("cannot write `{}`: {why}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
}

impl BuildError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoProject(_) => Some("`flow plugin new` makes one".into()),
            Self::Missing { get, .. } => Some(get.clone()),
            Self::Unfit(unfit) => unfit.hint().map(str::to_owned),
            Self::Manifest { .. } | Self::Failed { .. } | Self::Wrap(_) | Self::Write { .. } => {
                None
            }
        }
    }
}

/// Builds the plugin of a folder into the file that its manifest names, or into another folder.
///
/// Blocks as long as the tools work.
pub fn build(folder: &Path, out: Option<&Path>) -> Result<Built, BuildError> {
    // Tools run in the folder itself.
    let folder = &folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let language =
        Language::of_folder(folder).ok_or_else(|| BuildError::NoProject(folder.clone()))?;
    let path = folder.join(MANIFEST);
    let bytes = std::fs::read(&path).map_err(|_| BuildError::NoProject(folder.clone()))?;
    let manifest =
        Manifest::read(&bytes).map_err(|why| BuildError::Manifest { path: path.clone(), why })?;
    let wasm = match language {
        Language::Rust => rust(folder),
        Language::JavaScript => javascript(folder),
        Language::Python => python(folder),
        Language::C => c(folder),
    }?;
    let wasm = component_of(wasm)?;
    let interface = inspect(&wasm)?;
    let component = out.unwrap_or(folder).join(&manifest.file);
    let failed = |why| BuildError::Write { path: component.clone(), why };
    std::fs::write(&component, &wasm).map_err(failed)?;
    let sha256 = ContentHash::of_bytes(&wasm).hex();
    // A manifest that names the hash goes on naming the right one.
    if let (Some(old), None) = (&manifest.sha256, out) {
        let text = String::from_utf8_lossy(&bytes).replace(old.as_str(), &sha256);
        std::fs::write(&path, text).map_err(|why| BuildError::Write { path: path.clone(), why })?;
    }
    Ok(Built { component, size: wasm.len(), sha256, interface })
}

/// How Rust is built here.
struct Cargo {
    target: &'static str,
    /// The standard library is built, too.
    with_std: bool,
}

fn rust(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let get = "install Rust by rustup, then `rustup target add wasm32-wasip2`";
    let cargo = program(Some("CARGO"), "cargo").ok_or_else(|| missing("cargo", get))?;
    let rustc = program(Some("RUSTC"), "rustc").ok_or_else(|| missing("rustc", get))?;
    let sysroot = asked(&rustc, &["--print", "sysroot"]).ok_or_else(|| missing("rustc", get))?;
    let libraries = Path::new(&sysroot).join("lib/rustlib");
    let has = |target: &str| libraries.join(target).join("lib").is_dir();
    let how = match () {
        () if has("wasm32-wasip2") => Cargo { target: "wasm32-wasip2", with_std: false },
        () if has("wasm32-unknown-unknown") => {
            Cargo { target: "wasm32-unknown-unknown", with_std: false }
        }
        () if libraries.join("src/rust/library/std").is_dir() => {
            Cargo { target: "wasm32-unknown-unknown", with_std: true }
        }
        () => {
            let what = "Rust's target wasm32-wasip2";
            return Err(missing(what, "`rustup target add wasm32-wasip2`"));
        }
    };
    let mut args = vec!["build", "--release", "--message-format=json-render-diagnostics"];
    args.extend(["--target", how.target]);
    let mut variables: Vec<(&str, OsString)> =
        vec![("RUSTC", rustc.clone().into()), ("RUSTFLAGS", remapped(folder).into())];
    if how.with_std {
        args.extend(["-Z", "build-std=std,panic_abort"]);
        variables.push(("RUSTC_BOOTSTRAP", "1".into()));
        let linker = linker().ok_or_else(|| missing("the linker rust-lld", get))?;
        variables.push(("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker.into()));
    }
    let told = run(folder, &cargo, &args, &variables)?;
    let made = String::from_utf8_lossy(&told).lines().rev().find_map(artifact);
    read(&made.ok_or_else(|| BuildError::Failed {
        tool: "cargo".into(),
        why: "it made no `.wasm`; a plugin is a library of `crate-type = [\"cdylib\"]`".into(),
    })?)
}

/// Paths of the author's machine are no part of a plugin.
fn remapped(folder: &Path) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    let remap = |path: &Path, name: &str| format!(" --remap-path-prefix={}={name}", path.display());
    let near = folder.parent().and_then(Path::parent);
    let near = near.filter(|near| near.components().count() > 1);
    let near = near.map(|near| remap(near, "plugins")).unwrap_or_default();
    format!("{own}{near}{}{}", remap(&cargo, "cargo"), remap(folder, "plugin")).trim().to_owned()
}

/// The file that a line of cargo's tells of.
fn artifact(line: &str) -> Option<PathBuf> {
    let line: Value = serde_json::from_str(line).ok()?;
    let mut files = line["filenames"].as_array()?.iter().filter_map(Value::as_str).map(Path::new);
    files.find(|file| file.extension().is_some_and(|it| it == "wasm")).map(Path::to_path_buf)
}

/// A linker of WebAssembly that rustup brought.
fn linker() -> Option<PathBuf> {
    let rustup = program(None, "rustup")?;
    let list = asked(&rustup, &["toolchain", "list"])?;
    list.lines().find_map(|line| {
        let toolchain = line.split(' ').next()?;
        let sysroot = asked(&rustup, &["run", toolchain, "rustc", "--print", "sysroot"])?;
        let hosts = std::fs::read_dir(Path::new(&sysroot).join("lib/rustlib")).ok()?;
        let mut found: Vec<_> = hosts
            .flatten()
            .map(|host| host.path().join("bin/rust-lld"))
            .filter(|file| file.is_file())
            .collect();
        found.sort();
        found.into_iter().next()
    })
}

fn javascript(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let tool = program_near(&[folder.join("node_modules/.bin")], "componentize-qjs")
        .ok_or_else(|| missing("componentize-qjs", "`npm install` in the plugin's folder"))?;
    let made = scratch(folder)?;
    let out = made.path().join("plugin.wasm");
    let shown = out.display().to_string();
    let world = world_of(folder, "plugin.js");
    let args =
        ["--wit", "wit", "--js", "plugin.js", "--world", world, "--sync", "-o", shown.as_str()];
    run(folder, &tool, &args, &[])?;
    read(&out)
}

fn python(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let get = "`python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` in the plugin's folder";
    let tool = program_near(&[folder.join(".venv/bin")], "componentize-py")
        .ok_or_else(|| missing("componentize-py", get))?;
    let made = scratch(folder)?;
    let out = made.path().join("plugin.wasm");
    let shown = out.display().to_string();
    let world = world_of(folder, "app.py");
    let args = ["-d", "wit", "-w", world, "componentize", "app", "-o", shown.as_str()];
    run(folder, &tool, &args, &[])?;
    read(&out)
}

/// The world that a source is written for: who serves models says which it has.
fn world_of(folder: &Path, source: &str) -> &'static str {
    let text = std::fs::read_to_string(folder.join(source)).unwrap_or_default();
    match text.contains("const provider") || text.contains("class Provider") {
        true => "provider-plugin",
        false => "step-plugin",
    }
}

fn c(folder: &Path) -> Result<Vec<u8>, BuildError> {
    let (zig, mut args): (PathBuf, Vec<String>) = match program(Some("ZIG"), "zig") {
        Some(zig) => (zig, Vec::new()),
        None => {
            let near = [folder.join(".venv/bin")];
            let python = program_near(&near, "python3")
                .filter(|python| asked(python, &["-m", "ziglang", "version"]).is_some())
                .ok_or_else(|| missing("zig", "`pip install ziglang`"))?;
            (python, vec!["-m".into(), "ziglang".into()])
        }
    };
    let made = scratch(folder)?;
    let out = made.path().join("plugin.wasm");
    let fixed = "cc -target wasm32-wasi -mexec-model=reactor -Os -s -Ibindings plugin.c \
                 bindings/step_plugin.c bindings/step_plugin_component_type.o -o";
    args.extend(fixed.split_whitespace().map(str::to_owned));
    args.push(out.display().to_string());
    run(folder, &zig, &args, &[])?;
    read(&out)
}

fn scratch(folder: &Path) -> Result<tempfile::TempDir, BuildError> {
    tempfile::tempdir().map_err(|why| BuildError::Write { path: folder.to_path_buf(), why })
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let tool = path.display().to_string();
    std::fs::read(path).map_err(|why| BuildError::Failed { tool, why: why.to_string() })
}
