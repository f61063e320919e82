//! Compiling a plugin, in a process of its own.
//!
//! A compiler is large, and its input comes from a stranger: a hostile file can make it use
//! unbounded time and memory, and a fault in it is a fault outside the sandbox. A thread cannot
//! be stopped and its memory not be bounded; a process can. So `flow` starts itself once more,
//! which gives itself limits before it reads anything (processor time and address space, by
//! `setrlimit`), compiles what comes in on stdin, writes native code to stdout and ends. What
//! it writes is kept in the cache under a code that only this user's flow can make.
//!
//! Where there is no `setrlimit`, time is bounded all the same: the process is killed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::engine;

/// Starts the compiler.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The program that serves [`serve`].
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it may use.
    pub cap: CompileCap,
}

/// What compiling may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileCap {
    /// Address space in bytes.
    pub memory: u64,
    /// Processor time; as much again may be waited for it.
    pub time: Duration,
}

impl CompileCap {
    /// 2 GiB and a minute: a Python plugin of 18 MB takes a quarter of that.
    pub const USUAL: Self = Self { memory: 2 << 30, time: Duration::from_mins(1) };
}

/// Why a plugin was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler says that something is wrong with it.
    #[error("it is damaged: {why}")]
    Refused {
        /// In the compiler's words.
        why: String,
    },
    /// It took too long.
    #[error("compiling it took more than {limit:?} and was stopped")]
    Time {
        /// The limit.
        limit: Duration,
    },
    /// It took too much memory, or the compiler fell over.
    #[error("compiling it took more than {limit} bytes of memory, or broke the compiler ({how})")]
    Memory {
        /// The limit.
        limit: u64,
        /// How the process ended, in the system's words.
        how: String,
    },
    /// The compiler could not be started or spoken to.
    #[error("the compiler cannot be used: {0}")]
    Process(#[from] std::io::Error),
}

/// The code by which the child says that it refused its input, with the reason on stderr.
const REFUSED: i32 = 3;

/// Bytes of a reason that are read.
const REASON: u64 = 64 << 10;

/// Bytes of native code that are taken.
const LARGEST: u64 = 1 << 30;

/// The variable that tells the child its limits, as `BYTES SECONDS`.
const CAP: &str = "FLOW_COMPILE_CAP";

impl Compiler {
    /// The compiler within this crate's own limits.
    pub fn new(program: PathBuf, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self { program, arguments: arguments.into_iter().collect(), cap: CompileCap::USUAL }
    }

    /// Compiles a component to native code. Blocks until it is done or its time is over.
    pub(crate) fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env(CAP, format!("{} {}", self.cap.memory, self.cap.time.as_secs().max(1)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let deadline = Instant::now() + self.cap.time * 2;
        std::thread::scope(|scope| {
            // All three pipes at once: one that fills up would stop the other end.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(wasm)));
            let native = scope.spawn(move || read(stdout, LARGEST));
            let reason = scope.spawn(move || read(stderr, REASON));
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break Some(status);
                }
                if Instant::now() >= deadline {
                    // It may have ended by itself just now.
                    let _ = child.kill();
                    child.wait()?;
                    break None;
                }
                std::thread::park_timeout(Duration::from_millis(2));
            };
            let joined =
                |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or_default();
            let (native, reason) = (joined(native), joined(reason));
            self.came(status, native, &reason)
        })
    }

    fn came(
        &self,
        status: Option<ExitStatus>,
        native: Vec<u8>,
        reason: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        let Some(status) = status else { return Err(CompileError::Time { limit: self.cap.time }) };
        if status.success() && !native.is_empty() {
            return Ok(native);
        }
        if status.code() == Some(REFUSED) {
            let why = String::from_utf8_lossy(reason).trim().replace('\n', "; ");
            return Err(CompileError::Refused { why });
        }
        if is_out_of_time(status) {
            return Err(CompileError::Time { limit: self.cap.time });
        }
        Err(CompileError::Memory { limit: self.cap.memory, how: status.to_string() })
    }
}

#[cfg(unix)]
fn is_out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGXCPU: i32 = 24;
    status.signal() == Some(SIGXCPU)
}

#[cfg(not(unix))]
fn is_out_of_time(_status: ExitStatus) -> bool {
    false
}

fn read(pipe: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read until an error is not whole, and is not taken.
        let _ = pipe.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// What the compiler's process does; the code it ends with.
///
/// It gives itself limits before it reads anything, from the variable `FLOW_COMPILE_CAP`.
pub fn serve(
    cap: Option<&str>,
    mut wasm: impl Read,
    mut native: impl Write,
    mut reason: impl Write,
) -> u8 {
    let cap = cap.and_then(|cap| {
        let (memory, seconds) = cap.split_once(' ')?;
        Some((memory.parse().ok()?, seconds.parse().ok()?))
    });
    let Some((memory, seconds)) = cap else {
        let _ = writeln!(reason, "this is a part of flow that it starts by itself");
        return 2;
    };
    let made = engine::compiling().map_err(|error| error.to_string()).and_then(|engine| {
        confine(memory, seconds).map_err(|error| format!("cannot set limits: {error}"))?;
        Ok(engine)
    });
    let engine = match made {
        Ok(engine) => engine,
        Err(why) => {
            let _ = writeln!(reason, "{why}");
            return 2;
        }
    };
    let mut bytes = Vec::new();
    if wasm.read_to_end(&mut bytes).is_err() {
        return 2;
    }
    match engine.precompile_component(&bytes) {
        Ok(code) => u8::from(native.write_all(&code).and_then(|()| native.flush()).is_err()) * 2,
        Err(error) => {
            let _ = writeln!(reason, "{error:#}");
            REFUSED as u8
        }
    }
}

/// The name of the variable that tells the compiler its limits.
pub const CAP_VARIABLE: &str = CAP;

#[cfg(unix)]
fn confine(memory: u64, seconds: u64) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    // No file is left behind that tells what was in its memory.
    setrlimit(Resource::Core, both(0))?;
    // At the soft limit it is told (SIGXCPU), at the hard one killed.
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 1) })?;
    // Some systems know no limit of address space; time bounds it there.
    let _ = setrlimit(Resource::As, both(memory));
    Ok(())
}

#[cfg(not(unix))]
fn confine(_memory: u64, _seconds: u64) -> std::io::Result<()> {
    Ok(())
}
