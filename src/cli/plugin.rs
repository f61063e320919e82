//! What `flow plugin` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub(crate) enum Plugin {
    /// Begin a plugin: a folder that builds, tests and runs as it is.
    New(PluginNew),
    /// Build a plugin with the tools of its language.
    Build(PluginBuild),
    /// Run the cases of a plugin: what it is given, what it should make of it.
    Test(PluginTest),
    /// Call a plugin once; its output on stdout, its log on stderr.
    Run(PluginRun),
    /// Say what a plugin is, takes, yields and asks for.
    Inspect(PluginInspect),
    /// Install a plugin, and pin its hash.
    Install(PluginInstall),
    /// List the plugins that are installed.
    Ls,
    /// Remove a plugin that is installed.
    Rm(PluginRemove),
}

#[derive(Args, Debug)]
pub(crate) struct PluginNew {
    /// Its name: lower-case letters, digits and `-`.
    pub(crate) name: String,
    /// What it is written in.
    #[arg(long, value_enum, default_value = "rust")]
    pub(crate) lang: PluginLanguage,
    /// The folder to make its folder in [default: here].
    #[arg(long = "in", value_name = "DIR")]
    pub(crate) within: Option<PathBuf>,
}

/// What a plugin is written in.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PluginLanguage {
    /// Rust, with the crate `flow-plugin`.
    Rust,
    /// JavaScript, by componentize-qjs.
    Js,
    /// Python, by componentize-py.
    Python,
    /// C, by zig.
    C,
}

#[derive(Args, Debug)]
pub(crate) struct PluginBuild {
    /// The plugin's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// The folder to put its component into [default: the plugin's].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PluginTest {
    /// The plugin's folder.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Write what the cases came to into their files.
    #[arg(long)]
    pub(crate) update: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PluginRun {
    /// Its file or folder, or the name of one that is installed.
    pub(crate) plugin: String,
    /// What it is given: JSON, or `@FILE` with it. Files that it names are relative to FILE.
    #[arg(long, short, value_name = "JSON", default_value = "{}")]
    pub(crate) input: String,
    /// Its settings, as in a workflow.
    #[arg(long, value_name = "YAML")]
    pub(crate) config: Option<String>,
    /// What it is granted, as under `grant:` of a workflow.
    #[arg(long, value_name = "YAML")]
    pub(crate) allow: Option<String>,
    /// File of secrets, a `NAME=VALUE` a line; the environment where a name is not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct PluginInspect {
    /// Its file or folder, or the name of one that is installed.
    pub(crate) plugin: String,
}

#[derive(Args, Debug)]
pub(crate) struct PluginInstall {
    /// A path, the `https://` address of a `.wasm` or a `plugin.yaml`, or `oci://REGISTRY/NAME:TAG`.
    pub(crate) source: String,
    /// The hash that it must have.
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PluginRemove {
    /// Its name, or NAME@VERSION for one version alone.
    pub(crate) plugin: String,
}
