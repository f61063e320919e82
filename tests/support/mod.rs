//! A folder of its own for each test, and the real binary in it.
//!
//! Nothing of the machine's `flow` settings reaches the binary: `FLOW_*` and the variables of
//! model services are cleared, the
//! home folder is the test's own. What a command came to is compared whole: its code, what
//! it printed, and what it said.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

mod store;

pub(crate) use store::{Kept, execute, kept};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Variables that would lead a test to a service of the machine's owner.
const SERVICES: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "GOOGLE_API_KEY",
    "HF_TOKEN",
    "OLLAMA_API_KEY",
    "OLLAMA_HOST",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
];

/// A program that answers as a model: it writes the prompt to `calls`, fails the first time
/// with what passes where there is a file `flaky`, and answers the prompt in capitals.
pub(crate) const ANSWER: &str = r#"#!/bin/sh
prompt=$(sed 's/.*"text":"\([^"]*\)".*/\1/')
# Who calls may die before it has asked.
[ -n "$prompt" ] || exit 1
echo "$prompt" >> calls
if [ -e flaky ] && mkdir "tried-$prompt" 2>/dev/null; then
    echo "busy" >&2
    exit 75
fi
echo "$prompt" | tr a-z A-Z
"#;

/// What a command came to.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        Self {
            code: status.code(),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }

    /// Fails unless the command ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// What was printed, which must be exactly one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The id of the run that `--json` told.
    #[track_caller]
    pub(crate) fn run(&self) -> String {
        self.json()["run"].as_str().expect("a run").to_owned()
    }
}

/// A folder of a test's own.
pub(crate) struct World {
    home: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join("work")).expect("a folder of work");
        Self { home }
    }

    /// A folder with a file `w.yaml`, and the program [`ANSWER`] beside it.
    pub(crate) fn with(workflow: &str) -> Self {
        let world = Self::new();
        world.write("w.yaml", workflow);
        world.script("answer.sh", ANSWER);
        world
    }

    /// The folder that commands run in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join("work")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    #[cfg(unix)]
    pub(crate) fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(name, text);
        let rights = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), rights).expect("rights");
    }

    /// The lines of a file; none where it is missing.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The binary, set up and not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("flow"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLOW_")) {
            command.env_remove(name);
        }
        for name in SERVICES {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.folder())
            .env("HOME", self.home.path())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    #[must_use]
    pub(crate) fn flow(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// Starts the binary.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// The id of the only run there is.
    #[track_caller]
    pub(crate) fn only_run(&self) -> String {
        let runs = self.flow(&["runs", "--json"]).exits(0).json();
        assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs:#}");
        runs[0]["run"].as_str().expect("an id").to_owned()
    }
}

/// Numbers that nobody chose, the same each time (xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Says why a test did not do all it could.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().expect("the command runs");
    Output::new(output.status, &output.stdout, &output.stderr)
}

/// What a started command comes to.
pub(crate) fn ended(child: Child) -> Output {
    let output = child.wait_with_output().expect("the command ends");
    Output::new(output.status, &output.stdout, &output.stderr)
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    let _ = kill.arg(format!("-{name}")).arg(pid.to_string()).output();
}

/// Looks until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every file of a folder and those in it.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
