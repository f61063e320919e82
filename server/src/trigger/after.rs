//! Workflows that start when runs of another have ended.
//!
//! Who follows is told by the store and not by what happens in this process: runs also end
//! elsewhere, and while nobody is here. A follower remembers up to when it has looked, and looks
//! again a little before that, for ends are written by several processes. The id of its run
//! follows from the run that ended and how it did, so that it starts once for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use flow_core::content::ContentHash;
use flow_core::engine::{EngineError, Program, Progress};
use flow_core::ids::RunId;
use flow_core::language::Trigger;
use flow_core::store::{EndedRun, StoreError};
use flow_core::template::{Scope, Template};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::given;
use crate::folder::Folder;
use crate::runs::{Cause, Runs, Start, StartError};
use crate::schedule::low_bits;

/// How often the store is asked for runs that ended elsewhere.
const LOOK: Duration = Duration::from_secs(1);

/// How far a look goes back behind the last one, in milliseconds.
const BACK_MS: i64 = 60_000;

/// As many ended runs are read at once.
const PAGE: u32 = 200;

/// As many runs follow one another at most: workflows may follow each other in a circle.
const DEEPEST: u32 = 16;

/// Starts runs behind others.
pub struct Follower {
    runs: Runs,
    folder: Arc<Folder>,
    /// What was looked at lately, for each that follows.
    seen: HashMap<String, HashSet<(RunId, i64)>>,
}

/// A trigger, and where it stands.
struct Following<'w> {
    slug: &'w str,
    place: usize,
    program: &'w Program,
    workflow: &'w str,
    status: &'w [String],
    inputs: Option<&'w Template>,
}

impl Follower {
    /// Follows for the workflows of a folder. Nothing happens before [`Follower::turn`].
    pub fn new(runs: Runs, folder: Arc<Folder>) -> Self {
        Self { runs, folder, seen: HashMap::new() }
    }

    /// Follows until it is told to stop. Dropping the future stops it, too: what ended
    /// meanwhile is found by the next follower.
    pub async fn watch(mut self, stop: CancellationToken) {
        let mut news = self.runs.listen();
        loop {
            if let Err(error) = self.turn().await {
                tracing::error!("runs that follow others cannot be started: {error}");
            }
            let look = tokio::time::sleep(LOOK);
            tokio::pin!(look);
            loop {
                tokio::select! {
                    () = &mut look => break,
                    told = news.recv() => match told {
                        Ok(news) => match news.what {
                            Progress::Run(status) if status.has_ended() => break,
                            _ => {}
                        },
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return,
                    },
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Starts a run behind each that ended.
    ///
    /// Dropping the future leaves some of them to the next turn.
    pub async fn turn(&mut self) -> Result<(), StoreError> {
        for listed in self.folder.workflows() {
            let Ok(reading) = &listed.reading else { continue };
            // What another run yields names no paths of the owner's.
            let Some(program) = &reading.requested else { continue };
            for (place, trigger) in program.workflow.triggers.iter().enumerate() {
                let Trigger::After { workflow, status, inputs } = trigger else { continue };
                let slug = listed.slug.as_str();
                let inputs = inputs.as_ref();
                let following = Following { slug, place, program, workflow, status, inputs };
                self.follow(&following).await?;
            }
        }
        Ok(())
    }

    async fn follow(&mut self, following: &Following<'_>) -> Result<(), StoreError> {
        let store = self.runs.store().clone();
        let name = format!("{}:{}>{}", following.slug, following.place, following.workflow);
        let Some(until) = store.followed_until(&name).await? else {
            // What ended before it was written is not followed.
            return store.follow_until(&name, self.runs.workplace().now()).await;
        };
        let first = !self.seen.contains_key(&name);
        let mut seen = self.seen.remove(&name).unwrap_or_default();
        let (mut since, mut after, mut latest) = (until - BACK_MS, None::<RunId>, until);
        let mut now_seen = HashSet::new();
        loop {
            let page = store.ended_since(following.workflow, since, after.as_ref(), PAGE).await?;
            for ended in &page {
                let this = (ended.run.id.clone(), ended.ended);
                // The first look of a life asks for runs that may be there already.
                let is_new = ended.ended >= until || !first;
                if is_new && !seen.contains(&this) && !self.start(following, ended).await? {
                    self.seen.insert(name, seen);
                    return Ok(());
                }
                seen.insert(this.clone());
                now_seen.insert(this);
                latest = latest.max(ended.ended);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    (since, after) = (last.ended, Some(last.run.id.clone()));
                }
                Some(_) | None => break,
            }
        }
        if latest > until {
            store.follow_until(&name, latest).await?;
        }
        self.seen.insert(name, now_seen);
        Ok(())
    }

    /// Starts the run behind one that ended; says whether that is done with.
    async fn start(&self, following: &Following<'_>, ended: &EndedRun) -> Result<bool, StoreError> {
        let run = &ended.run;
        if !following.status.iter().any(|status| status == run.status.as_str()) {
            return Ok(true);
        }
        let store = self.runs.store();
        let depth = store.depth_of(&run.id).await? + 1;
        let slug = following.slug;
        if depth > DEEPEST {
            tracing::error!(run = %run.id, "`{slug}` does not follow: {DEEPEST} runs did in a row");
            return Ok(true);
        }
        let id = run_id(following, ended);
        let scope = Scope::new().with("run", Arc::new(shown(ended)));
        let inputs = given::rendered(following.inputs, &scope)
            .and_then(|given| given::bound(following.program, following.inputs, &given, true));
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(why) => {
                tracing::error!(run = %run.id, "`{slug}` does not follow: {why}");
                return Ok(true);
            }
        };
        store.put_chained(&id, &run.id, depth).await?;
        let cause = Cause::After { trigger: following.place, run: run.id.clone() };
        let start = Start { id, program: following.program.clone(), inputs, cause };
        match self.runs.start(start).await {
            Ok(_) => Ok(true),
            Err(StartError::Engine(EngineError::Input(failure))) => {
                tracing::error!(run = %run.id, "`{slug}` does not follow: {}", failure.message);
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(run = %run.id, "`{slug}` does not follow yet: {error}");
                Ok(false)
            }
        }
    }
}

/// The id of the run that follows: one for each run and way to end.
fn run_id(following: &Following<'_>, ended: &EndedRun) -> RunId {
    let run = &ended.run;
    let names = json!([following.slug, following.place, run.id, run.status]);
    RunId::from_parts(run.started.unsigned_abs(), low_bits(&ContentHash::of_json(&names)))
}

/// What the inputs can ask of the run that ended.
fn shown(ended: &EndedRun) -> serde_json::Value {
    let run = &ended.run;
    json!({
        "id": run.id,
        "workflow": run.workflow,
        "status": run.status,
        "inputs": run.inputs,
        "outputs": run.outputs.clone().unwrap_or_else(|| json!({})),
        "error": run.error,
        "cost": run.cost.usd(),
    })
}
