//! Starts runs for the files of all watched folders, in one task.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flow_core::artifact::ArtifactRef;
use flow_core::engine::{EngineError, Program, Progress};
use flow_core::error::Failure;
use flow_core::ids::RunId;
use flow_core::language::{InputType, Trigger, bind_inputs};
use flow_core::store::{RunStatus, StoreError, WatchedFile};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use super::place::move_into;
use super::{Pattern, Sight, Sights};
use crate::folder::{Folder, Listed};
use crate::runs::{Cause, News, Runs, Start, StartError};

/// How often folders are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often all runs that have not ended are asked for, in turns: others may drive them.
const ASK_ALL: u32 = 15;

/// As many runs of a watch are at work at once; those that wait for a person do not count.
const AT_WORK: usize = 16;

/// As many paths are looked up at once.
const LOOKED_UP: usize = 500;

/// Watches folders.
pub struct Watcher {
    runs: Runs,
    folder: Arc<Folder>,
    /// By what it is known in the store.
    watches: HashMap<String, Watch>,
    told: HashSet<String>,
    turns: u32,
}

/// A watched folder.
struct Watch {
    workflow: PathBuf,
    spec: Spec,
    sights: Sights,
    /// Settled files that nothing is known of, in the order in which their turn comes.
    candidates: VecDeque<(String, Sight)>,
    /// Files of which something is left to do, by their runs.
    open: HashMap<RunId, Open>,
}

/// A file of which something is left to do.
struct Open {
    file: WatchedFile,
    /// It, taken in, where that was in this life.
    taken: Option<ArtifactRef>,
    /// How its run stands; none where it is not known to be there.
    status: Option<RunStatus>,
}

/// A watch as its workflow says it.
#[derive(Clone)]
struct Spec {
    place: usize,
    pattern: String,
    input: String,
    is_list: bool,
    inputs: Value,
    settle: Duration,
    done: Option<String>,
    failed: Option<String>,
    program: Program,
}

impl Watcher {
    /// Watches the folders of a server's workflows. Nothing happens before [`Watcher::turn`].
    pub fn new(runs: Runs, folder: Arc<Folder>) -> Self {
        Self { runs, folder, watches: HashMap::new(), told: HashSet::new(), turns: 0 }
    }

    /// Watches until it is told to stop. Dropping the future stops it, too: what was begun the
    /// next watcher goes on with.
    pub async fn watch(mut self, stop: CancellationToken) {
        let mut news = self.runs.listen();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = look.tick() => self.turn().await,
                told = news.recv() => {
                    let mut some = Vec::new();
                    let mut lost = false;
                    match told {
                        Ok(first) => some.push(first),
                        Err(RecvError::Lagged(_)) => lost = true,
                        Err(RecvError::Closed) => return,
                    }
                    loop {
                        match news.try_recv() {
                            Ok(next) => some.push(next),
                            Err(TryRecvError::Lagged(_)) => lost = true,
                            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                        }
                    }
                    self.hear(some, lost).await
                }
                () = stop.cancelled() => return,
            };
            if let Err(error) = done {
                self.tell(&format!("watched folders cannot be looked after: {error}"));
            }
        }
    }

    /// Looks at every folder once, and does what is to be done.
    ///
    /// Dropping the future leaves some of it undone, which the next turn does.
    pub async fn turn(&mut self) -> Result<(), StoreError> {
        self.read_workflows().await?;
        self.turns = self.turns.wrapping_add(1);
        let names: Vec<String> = self.watches.keys().cloned().collect();
        for name in names {
            self.scan(&name).await?;
            if self.turns.is_multiple_of(ASK_ALL) {
                self.ask_all(&name).await?;
            }
            self.go_on(&name).await?;
        }
        Ok(())
    }

    /// How many files have something left to do.
    pub fn open(&self) -> usize {
        self.watches.values().map(|watch| watch.open.len() + watch.candidates.len()).sum()
    }

    /// Hears how runs stand.
    async fn hear(&mut self, news: Vec<News>, lost: bool) -> Result<(), StoreError> {
        let mut names = HashSet::new();
        for News { run, what, .. } in news {
            let Progress::Run(status) = what else { continue };
            for (name, watch) in &mut self.watches {
                if let Some(open) = watch.open.get_mut(&run) {
                    open.status = Some(status);
                    names.insert(name.clone());
                }
            }
        }
        if lost {
            for name in self.watches.keys().cloned().collect::<Vec<_>>() {
                self.ask_all(&name).await?;
                names.insert(name);
            }
        }
        for name in names {
            self.go_on(&name).await?;
        }
        Ok(())
    }

    /// Takes over what the files of workflows say now.
    async fn read_workflows(&mut self) -> Result<(), StoreError> {
        let mut there = HashSet::new();
        for listed in self.folder.workflows() {
            let Ok(reading) = &listed.reading else { continue };
            let Some(program) = &reading.program else { continue };
            for (place, trigger) in program.workflow.triggers.iter().enumerate() {
                let Some(spec) = Spec::of(place, trigger, program) else { continue };
                let name = spec.name(&listed);
                if there.insert(name.clone()) {
                    self.take_over(name, &listed, spec).await?;
                }
            }
        }
        self.watches.retain(|name, _| there.contains(name));
        Ok(())
    }

    async fn take_over(
        &mut self,
        name: String,
        listed: &Listed,
        spec: Spec,
    ) -> Result<(), StoreError> {
        if let Some(watch) = self.watches.get_mut(&name) {
            watch.spec = spec;
            return Ok(());
        }
        let mut open = HashMap::new();
        for file in self.runs.store().open_watched_files(&name, u32::MAX).await? {
            let status = self.runs.store().status_of(&file.run).await?;
            open.insert(file.run.clone(), Open { file, taken: None, status });
        }
        let (sights, candidates) = (Sights::default(), VecDeque::new());
        let watch = Watch { workflow: listed.file.clone(), spec, sights, candidates, open };
        self.watches.insert(name, watch);
        Ok(())
    }

    /// Looks at a folder.
    async fn scan(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(watch) = self.watches.get_mut(name) else { return Ok(()) };
        let pattern = watch.spec.whole_pattern();
        let Ok((found, troubles)) = tokio::task::spawn_blocking(move || pattern.scan()).await
        else {
            return Ok(());
        };
        let now = self.runs.workplace().now();
        watch.sights.see(found, now);
        let settled = watch.sights.settled(now, watch.spec.settle);
        let workflow = watch.workflow.display().to_string();
        for trouble in troubles {
            self.tell(&format!("`{workflow}`: {trouble}"));
        }
        let mut candidates = VecDeque::new();
        for part in settled.chunks(LOOKED_UP) {
            candidates.extend(self.unknown(name, part).await?);
        }
        if let Some(watch) = self.watches.get_mut(name) {
            watch.candidates = candidates;
        }
        Ok(())
    }

    /// Those of these files that nothing is known of as they are.
    async fn unknown(
        &mut self,
        name: &str,
        files: &[(String, Sight)],
    ) -> Result<Vec<(String, Sight)>, StoreError> {
        let store = self.runs.store().clone();
        let paths: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
        let rows = store.watched_files(name, &paths).await?;
        let Some(watch) = self.watches.get_mut(name) else { return Ok(Vec::new()) };
        let moves = watch.spec.done.is_some() || watch.spec.failed.is_some();
        let mut unknown = Vec::new();
        for (path, sight) in files {
            let row = rows.iter().find(|row| {
                row.path == *path && (row.size, row.modified) == (sight.size, sight.modified)
            });
            match row {
                None => unknown.push((path.clone(), *sight)),
                // It came once more, and goes where it went.
                Some(row) if moves && !row.open && row.error.is_none() => {
                    let open = Open { file: row.clone(), taken: None, status: None };
                    watch.open.entry(row.run.clone()).or_insert(open);
                    watch.sights.is_known(path, *sight);
                }
                Some(_) => watch.sights.is_known(path, *sight),
            }
        }
        for open in watch.open.values_mut().filter(|open| !open.file.open) {
            open.status = store.status_of(&open.file.run).await?;
        }
        Ok(unknown)
    }

    /// Asks the store how the runs stand that are not known to have ended.
    async fn ask_all(&mut self, name: &str) -> Result<(), StoreError> {
        let store = self.runs.store().clone();
        let Some(watch) = self.watches.get_mut(name) else { return Ok(()) };
        for (run, open) in &mut watch.open {
            if open.status.is_some_and(|status| !status.has_ended()) {
                open.status = store.status_of(run).await?;
            }
        }
        Ok(())
    }

    /// Settles what has ended, takes files in for the places that are free, and starts runs.
    async fn go_on(&mut self, name: &str) -> Result<(), StoreError> {
        self.settle(name).await?;
        self.take_in(name).await?;
        self.start(name).await
    }

    /// Moves the files of runs that have ended, and closes their rows.
    async fn settle(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(watch) = self.watches.get(name) else { return Ok(()) };
        let ended: Vec<_> = watch
            .open
            .values()
            .filter_map(|open| {
                let status = open.status.filter(|status| status.has_ended())?;
                Some((open.file.clone(), watch.spec.target(status)))
            })
            .collect();
        let folder = watch.spec.program.folder.clone();
        let settled = join_all(ended.into_iter().map(|(file, target)| {
            let (runs, folder) = (self.runs.clone(), folder.clone());
            async move { (settle(&runs, name, &folder, &file, target, None).await, file) }
        }));
        let mut troubles = Vec::new();
        for (outcome, file) in settled.await {
            if let Some(trouble) = outcome? {
                troubles.push(trouble);
            }
            if let Some(watch) = self.watches.get_mut(name) {
                watch.open.remove(&file.run);
            }
        }
        troubles.iter().for_each(|trouble| self.tell(trouble));
        Ok(())
    }

    /// Takes files in, as many as there are places for runs.
    async fn take_in(&mut self, name: &str) -> Result<(), StoreError> {
        let now = self.runs.workplace().now();
        let Some(watch) = self.watches.get_mut(name) else { return Ok(()) };
        let free = AT_WORK.saturating_sub(watch.at_work()).min(watch.candidates.len());
        let chosen: Vec<_> = watch.candidates.drain(..free).collect();
        let folder = watch.spec.program.folder.clone();
        let taken = join_all(chosen.into_iter().map(|(path, sight)| {
            let (runs, file) = (self.runs.clone(), folder.join(&path));
            async move {
                let taken = runs.intake().take(&path, &file).await;
                // What changed meanwhile is not what was seen.
                let stands = Sight::of(&file) == Some(sight);
                (path, sight, stands.then_some(taken))
            }
        }))
        .await;
        let mut rows = Vec::new();
        let mut artifacts = HashMap::new();
        for (path, sight, taken) in taken {
            match taken {
                Some(Ok(artifact)) => {
                    let run = self.runs.workplace().new_run_id();
                    rows.push(WatchedFile {
                        path: path.clone(),
                        content: artifact.hash,
                        size: sight.size,
                        modified: sight.modified,
                        run,
                        at: now,
                        open: true,
                        error: None,
                    });
                    artifacts.insert(path, artifact);
                }
                Some(Err(failure)) => self.tell(&failure.message),
                None => {}
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.keep(name, rows, artifacts).await
    }

    /// Keeps files that were taken in; those that were known, bytes and path, keep their runs.
    async fn keep(
        &mut self,
        name: &str,
        rows: Vec<WatchedFile>,
        mut artifacts: HashMap<String, ArtifactRef>,
    ) -> Result<(), StoreError> {
        let store = self.runs.store().clone();
        store.put_watched_files(name, &rows).await?;
        let paths: Vec<String> = rows.iter().map(|row| row.path.clone()).collect();
        let kept = store.watched_files(name, &paths).await?;
        for row in kept {
            let is_of_these =
                rows.iter().any(|new| new.path == row.path && new.content == row.content);
            if !is_of_these {
                continue;
            }
            let is_new = rows.iter().any(|new| new.run == row.run);
            let status = if is_new { None } else { store.status_of(&row.run).await? };
            let sight = Sight { size: row.size, modified: row.modified };
            let Some(watch) = self.watches.get_mut(name) else { return Ok(()) };
            watch.sights.is_known(&row.path, sight);
            let taken = artifacts.remove(&row.path);
            watch.open.insert(row.run.clone(), Open { file: row, taken, status });
        }
        Ok(())
    }

    /// Starts the runs that are not there.
    async fn start(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(watch) = self.watches.get(name) else { return Ok(()) };
        let to_start: Vec<_> = watch
            .open
            .values()
            .filter(|open| open.status.is_none())
            .map(|open| (open.file.clone(), open.taken.clone()))
            .collect();
        let spec = watch.spec.clone();
        let started = join_all(to_start.into_iter().map(|(file, taken)| {
            let (runs, spec) = (self.runs.clone(), &spec);
            async move { (start(&runs, spec, &file, taken).await, file) }
        }));
        let mut troubles = Vec::new();
        for (outcome, file) in started.await {
            let Some(watch) = self.watches.get_mut(name) else { return Ok(()) };
            match outcome {
                // It may have ended by now, which is heard later.
                Ok(()) => {
                    if let Some(open) = watch.open.get_mut(&file.run) {
                        open.status.get_or_insert(RunStatus::Running);
                        open.taken = None;
                    }
                }
                Err(NoRun::Now(why)) => troubles.push(format!("`{}`: {why}", file.path)),
                Err(NoRun::ForGood(why)) => {
                    watch.open.remove(&file.run);
                    let target = watch.spec.target(RunStatus::Failed);
                    let folder = watch.spec.program.folder.clone();
                    let (runs, why) = (self.runs.clone(), why.as_str());
                    let moved = settle(&runs, name, &folder, &file, target, Some(why)).await?;
                    troubles.push(format!("`{}` starts no run: {why}", file.path));
                    troubles.extend(moved);
                }
            }
        }
        troubles.iter().for_each(|trouble| self.tell(trouble));
        Ok(())
    }

    /// Says something that stays as it is for a while only once.
    fn tell(&mut self, what: &str) {
        if self.told.insert(what.to_owned()) {
            tracing::error!("{what}");
        }
    }
}

impl Watch {
    fn at_work(&self) -> usize {
        self.open.values().filter(|open| open.status != Some(RunStatus::Waiting)).count()
    }
}

impl Spec {
    fn of(place: usize, trigger: &Trigger, program: &Program) -> Option<Self> {
        let Trigger::Watch { pattern, input, inputs, settle, done, failed } = trigger else {
            return None;
        };
        let kind = program.workflow.inputs.iter().find(|known| known.name == *input);
        Some(Self {
            place,
            pattern: pattern.clone(),
            input: input.clone(),
            is_list: kind.is_some_and(|kind| matches!(kind.kind, InputType::Files { .. })),
            inputs: inputs.clone(),
            settle: *settle,
            done: done.clone(),
            failed: failed.clone(),
            program: program.clone(),
        })
    }

    /// What it is known by in the store. Not the pattern: a file that was read is not read
    /// again because the pattern was written otherwise.
    fn name(&self, listed: &Listed) -> String {
        format!("{}:{}", listed.slug, self.input)
    }

    fn whole_pattern(&self) -> Pattern {
        let except: Vec<&str> =
            [&self.done, &self.failed].into_iter().flatten().map(String::as_str).collect();
        Pattern::new(&self.program.folder, &self.pattern, &except)
    }

    /// Where a file goes whose run ended like this.
    fn target(&self, status: RunStatus) -> Option<PathBuf> {
        let folder = match status {
            RunStatus::Succeeded => &self.done,
            RunStatus::Failed
            | RunStatus::Cancelled
            | RunStatus::Running
            | RunStatus::Waiting
            | RunStatus::Interrupted => &self.failed,
        };
        folder.as_ref().map(|folder| self.program.folder.join(folder))
    }
}

/// Why a file starts no run.
enum NoRun {
    Now(String),
    ForGood(String),
}

/// Starts the run of a file; one that is there already is as good.
async fn start(
    runs: &Runs,
    spec: &Spec,
    file: &WatchedFile,
    taken: Option<ArtifactRef>,
) -> Result<(), NoRun> {
    let artifact = match taken {
        Some(artifact) => artifact,
        None => again(runs, spec, file).await?,
    };
    let mut given = spec.inputs.as_object().cloned().unwrap_or_default();
    let value = artifact.to_value();
    given.insert(spec.input.clone(), if spec.is_list { json!([value]) } else { value });
    let inputs = bind_inputs(&spec.program.workflow, &given).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        NoRun::ForGood(faults.join("; "))
    })?;
    let cause = Cause::File { trigger: spec.place, path: file.path.clone() };
    let start = Start { id: file.run.clone(), program: spec.program.clone(), inputs, cause };
    match runs.start(start).await {
        Ok(_) => Ok(()),
        Err(StartError::Engine(EngineError::Input(failure))) => Err(gone_wrong(failure)),
        Err(error) => Err(NoRun::Now(error.to_string())),
    }
}

/// Takes a file in once more whose run was about to be started in an earlier life.
async fn again(runs: &Runs, spec: &Spec, file: &WatchedFile) -> Result<ArtifactRef, NoRun> {
    let path = spec.program.folder.join(&file.path);
    let artifact = runs.intake().take(&file.path, &path).await.map_err(gone_wrong)?;
    if artifact.hash == file.content {
        Ok(artifact)
    } else {
        Err(NoRun::ForGood("it was replaced before its run began".to_owned()))
    }
}

fn gone_wrong(failure: Failure) -> NoRun {
    match failure.class {
        flow_core::error::ErrorClass::Input => NoRun::ForGood(failure.message),
        _ => NoRun::Now(failure.message),
    }
}

/// Moves a file whose run has ended, if it is still the one, and closes its row. Says what went
/// wrong with moving it, which is not tried again before the file changes.
async fn settle(
    runs: &Runs,
    watch: &str,
    folder: &Path,
    file: &WatchedFile,
    target: Option<PathBuf>,
    error: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let mut trouble = None;
    if let Some(target) = target {
        let path = folder.join(&file.path);
        let sight = Sight { size: file.size, modified: file.modified };
        let moved = tokio::task::spawn_blocking(move || {
            if Sight::of(&path) == Some(sight) {
                move_into(&path, &target).map(drop)
            } else {
                Ok(())
            }
        });
        if let Ok(Err(error)) = moved.await {
            trouble = Some(format!("cannot move `{}`: {error}", file.path));
        }
    }
    runs.store().close_watched_file(watch, file, error).await?;
    Ok(trouble)
}
