//! A process that holds one model, as seen from the process that started it.
//!
//! ```text
//!   requests ──▶ stdin   ┌──────────────┐  stdout ──▶ to whom each answer belongs
//!                        │  model-host  │
//!   dropped ──▶ killed   └──────────────┘  stderr ──▶ the last lines, for when it dies
//! ```
//!
//! One task writes, one reads until the process has ended; both are owned by the [`Process`]
//! and end with it. When it dies, everybody who waits is told what it died of.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use flow_core::error::{ErrorClass, Failure};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::protocol::{Ask, FromHost, Load, Loaded, ToHost};

/// The last lines of stderr that are kept, and the most letters of one.
const LINES: usize = 40;
const LETTERS: usize = 300;

/// The program that becomes a model's process.
#[derive(Clone, Debug)]
pub struct HostProgram {
    /// The program: this one.
    pub program: PathBuf,
    /// What tells it to be a model's process.
    pub arguments: Vec<String>,
}

/// A process that holds a model.
pub(crate) struct Process {
    name: String,
    to: UnboundedSender<ToHost>,
    shared: Arc<Shared>,
    ids: AtomicU64,
    kill: CancellationToken,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Default)]
struct Shared {
    /// Who waits for what of which request.
    waiting: Mutex<HashMap<u64, UnboundedSender<FromHost>>>,
    /// What it died of, once it has.
    died: OnceLock<Failure>,
    /// The last lines of its stderr.
    tail: Mutex<VecDeque<String>>,
    ended: CancellationToken,
}

/// An answer that is waited for; dropping it takes the question back.
pub(crate) struct Answering<'p> {
    process: &'p Process,
    id: u64,
    from: UnboundedReceiver<FromHost>,
}

impl Process {
    /// Starts one and waits until its model is there.
    ///
    /// Dropping the future ends the process.
    pub(crate) async fn start(program: &HostProgram, load: Load) -> Result<Self, Failure> {
        let name = load.name.clone();
        let mut child = spawn(program).map_err(|error| {
            let message = format!("cannot start a process for model `{name}`: {error}");
            Failure::new(ErrorClass::Io, message)
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::internal("a model's process was started without pipes"));
        };
        let (to, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let kill = CancellationToken::new();
        let (told, mut loading) = mpsc::unbounded_channel();
        shared.waiting().insert(LOADING, told);
        let reader =
            Reader { name: name.clone(), child, shared: Arc::clone(&shared), kill: kill.clone() };
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(write(stdin, messages))),
            AbortOnDropHandle::new(tokio::spawn(reader.read(stdout, stderr))),
        ];
        let process = Self { name, to, shared, ids: AtomicU64::new(1), kill, _tasks: tasks };
        process.tell(ToHost::Load(load));
        match loading.recv().await {
            Some(FromHost::Loaded(Loaded { .. })) => Ok(process),
            Some(FromHost::Unusable { failure }) => {
                process.ended().await;
                Err(process.shared.explained(failure))
            }
            Some(_) | None => Err(process.death()),
        }
    }

    /// Asks something; `make` is given the id of the request.
    pub(crate) fn ask(&self, make: impl FnOnce(u64) -> Ask) -> Answering<'_> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let (told, from) = mpsc::unbounded_channel();
        self.shared.waiting().insert(id, told);
        // One that died in between has told everybody by now, or tells this one.
        if self.shared.died.get().is_some() {
            self.shared.waiting().remove(&id);
        }
        self.tell(ToHost::Generate(Box::new(make(id))));
        Answering { process: self, id, from }
    }

    /// Whether it is no more.
    pub(crate) fn is_dead(&self) -> bool {
        self.shared.died.get().is_some()
    }

    /// Ends it, whatever it does.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }

    /// Waits until it is no more, and its memory is free.
    ///
    /// Dropping the future does nothing.
    pub(crate) async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    /// What it died of.
    fn death(&self) -> Failure {
        let unknown = || {
            let message = format!("the process of model `{}` ended", self.name);
            Failure::new(ErrorClass::Server, message)
        };
        self.shared.died.get().cloned().unwrap_or_else(unknown)
    }

    fn tell(&self, message: ToHost) {
        // One that has ended is told nothing; who waits for an answer learns of that.
        let _ = self.to.send(message);
    }
}

impl Answering<'_> {
    /// What the process tells next of this request; its death is a failure.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<FromHost, Failure> {
        self.from.recv().await.ok_or_else(|| self.process.death())
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if self.process.shared.waiting().remove(&self.id).is_some() {
            self.process.tell(ToHost::Cancel { id: self.id });
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, UnboundedSender<FromHost>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let mut tail = self.tail();
        if tail.len() == LINES {
            tail.pop_front();
        }
        tail.push_back(line.chars().take(LETTERS).collect());
    }

    /// A failure with what llama.cpp says of it.
    fn explained(&self, failure: Failure) -> Failure {
        let complains = |line: &&String| {
            let line = line.to_lowercase();
            line.contains("error") || line.contains("fail")
        };
        let words: Vec<_> = self.tail().iter().filter(complains).take(WORDS).cloned().collect();
        match words.is_empty() {
            true => failure,
            false => Failure {
                message: format!("{}: it says {}", failure.message, words.join(" / ")),
                ..failure
            },
        }
    }
}

/// The request that stands for loading.
const LOADING: u64 = 0;

fn spawn(program: &HostProgram) -> std::io::Result<Child> {
    let mut command = Command::new(&program.program);
    command
        .args(&program.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // What the terminal sends to stop a run is ours to answer.
    #[cfg(unix)]
    command.arg0("flow").process_group(0);
    command.spawn()
}

/// Writes messages until nobody sends any or nobody reads them.
async fn write(mut stdin: ChildStdin, mut messages: UnboundedReceiver<ToHost>) {
    while let Some(message) = messages.recv().await {
        let mut line = serde_json::to_vec(&message).unwrap_or_default();
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Reads what a process says until it has ended.
struct Reader {
    name: String,
    child: Child,
    shared: Arc<Shared>,
    kill: CancellationToken,
}

impl Reader {
    async fn read(mut self, stdout: impl AsyncRead + Unpin, stderr: impl AsyncRead + Unpin) {
        let (mut said, mut complained) = (lines(stdout), lines(stderr));
        let (mut says, mut complains) = (true, true);
        let kill = self.kill.clone();
        let mut killed = false;
        while says || complains {
            tokio::select! {
                line = said.next_line(), if says => match line {
                    Ok(Some(line)) => self.pass_on(&line),
                    Ok(None) | Err(_) => says = false,
                },
                line = complained.next_line(), if complains => match line {
                    Ok(Some(line)) => self.shared.keep(&line),
                    Ok(None) | Err(_) => complains = false,
                },
                () = kill.cancelled(), if !killed => {
                    killed = true;
                    // One that has ended cannot be killed.
                    let _ = self.child.start_kill();
                }
            }
        }
        let how = self.child.wait().await;
        let failure = self.obituary(how, killed);
        let _ = self.shared.died.set(failure);
        self.shared.waiting().clear();
        self.shared.ended.cancel();
    }

    /// Hands what was said to whom it belongs.
    fn pass_on(&self, line: &str) {
        let Ok(message) = serde_json::from_str::<FromHost>(line) else { return };
        let (id, is_last) = match &message {
            FromHost::Loaded(_) | FromHost::Unusable { .. } => (LOADING, true),
            FromHost::Encoding { id, .. }
            | FromHost::Text { id, .. }
            | FromHost::Note { id, .. } => (*id, false),
            FromHost::Done { id, .. } | FromHost::Failed { id, .. } => (*id, true),
        };
        let mut waiting = self.shared.waiting();
        // Who took the question back is gone.
        if let Some(told) = waiting.get(&id) {
            let _ = told.send(message);
        }
        if is_last {
            waiting.remove(&id);
        }
    }

    /// What it died of, with its last words.
    fn obituary(&self, how: std::io::Result<ExitStatus>, killed: bool) -> Failure {
        let how = match how {
            Ok(status) => in_words(status),
            Err(error) => format!("ended ({error})"),
        };
        let message = format!("the process of model `{}` {how}", self.name);
        if killed {
            return Failure::new(ErrorClass::Cancelled, message);
        }
        let tail = self.shared.tail();
        let words: Vec<_> = tail.iter().skip(tail.len().saturating_sub(WORDS)).cloned().collect();
        let message = match words.is_empty() {
            true => message,
            false => format!("{message}; its last words: {}", words.join(" / ")),
        };
        Failure::new(ErrorClass::Server, message)
            .with_hint("the next request starts it anew; `dmesg` says whether memory ran out")
    }
}

/// The lines of stderr that a message shows.
const WORDS: usize = 3;

fn lines<R: AsyncRead + Unpin>(from: R) -> Lines<BufReader<R>> {
    BufReader::new(from).lines()
}

#[cfg(unix)]
fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(4) => "was stopped by SIGILL: this processor lacks what it was built for".into(),
        Some(6) => "gave up (SIGABRT)".into(),
        Some(9) => "was killed (SIGKILL)".into(),
        Some(11) => "crashed (SIGSEGV)".into(),
        Some(signal) => format!("was stopped by signal {signal}"),
        None => format!("ended with code {}", status.code().unwrap_or_default()),
    }
}

#[cfg(not(unix))]
fn in_words(status: ExitStatus) -> String {
    format!("ended with code {}", status.code().unwrap_or_default())
}
