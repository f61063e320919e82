//! What changes, as it changes: pieces of HTML over SSE.
//!
//! News come by the thousand when a loop runs; a listener is told at most so often, and only
//! of pieces that came out otherwise than before. What a piece shows is read from the store, so
//! that a listener who missed news misses nothing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use flow_core::content::ContentHash;
use flow_core::ids::RunId;
use flow_core::language::Workflow;
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::render::{Fault, Viewer, piece};
use super::run::{Asked, Definitions, Head, drawn, named};
use super::steps::{Part, Steps};
use crate::runs::News;
use crate::state::Site;

/// The least time between two looks of a listener.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a run is looked at that may be driven by another process, which tells no news.
const LOOK: Duration = Duration::from_secs(3);

/// Boxes of a graph that are sent at every look; a larger one is sent every so many looks.
const BOXES: usize = 200;
const SELDOM: u32 = 6;

/// Tells that the list of runs is another one.
pub(super) async fn runs(State(site): State<Site>) -> Result<impl IntoResponse, Fault> {
    let permit = site.gate.listener()?;
    let listener = (Waiting { news: site.runs.listen(), look: None }, permit);
    let events = futures::stream::unfold(listener, async |(mut listener, permit)| {
        listener.wait().await?;
        let changed = Event::default().event("changed").data("");
        Some((Ok::<_, Infallible>(changed), (listener, permit)))
    });
    let stopping = site.gate.stopping.clone().cancelled_owned();
    Ok(Sse::new(events.take_until(stopping)).keep_alive(KeepAlive::default()))
}

/// Sends what changes on the page of a run.
pub(super) async fn run(
    State(site): State<Site>,
    Extension(definitions): Extension<Definitions>,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Fault> {
    let row = named(&site, &id).await?;
    let permit = site.gate.listener()?;
    let stopping = site.gate.stopping.clone().cancelled_owned();
    // Listened to before it is looked at, so that nothing falls between.
    let news = site.runs.listen_to(&row.id);
    let workflow = definitions.of(&site, &row).await.ok();
    let waiting = Waiting { news, look: Some(LOOK) };
    let watcher = Watcher {
        permit,
        site,
        viewer,
        run: row.id,
        workflow,
        part: asked.part(),
        waiting,
        sent: [None; 3],
        looks: 0,
        ended: false,
    };
    Ok(Sse::new(watcher.events().take_until(stopping)).keep_alive(KeepAlive::default()))
}

/// Waits for news, and no shorter than the pause.
struct Waiting {
    news: Receiver<News>,
    /// How long it waits at most.
    look: Option<Duration>,
}

impl Waiting {
    /// Waits until something happened; none when nothing will any more.
    async fn wait(&mut self) -> Option<()> {
        let first = match self.look {
            Some(look) => tokio::time::timeout(look, self.news.recv()).await,
            None => Ok(self.news.recv().await),
        };
        if let Ok(Err(RecvError::Closed)) = first {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
        // What came meanwhile is seen by the look that follows.
        self.news = self.news.resubscribe();
        Some(())
    }
}

/// Who looks at a run.
struct Watcher {
    /// The right to listen, as long as it does.
    #[expect(dead_code, reason = "it is held, and nobody reads it")]
    permit: OwnedSemaphorePermit,
    site: Site,
    viewer: Viewer,
    run: RunId,
    workflow: Option<Arc<Workflow>>,
    part: Part,
    waiting: Waiting,
    /// The hashes of the pieces that were sent last: head, graph, steps.
    sent: [Option<ContentHash>; 3],
    looks: u32,
    ended: bool,
}

impl Watcher {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let looks = futures::stream::unfold((self, false), async |(mut watcher, waited)| {
            if watcher.ended || (waited && watcher.waiting.wait().await.is_none()) {
                return None;
            }
            let events = match watcher.look().await {
                Ok(events) => events,
                Err(fault) => {
                    tracing::warn!(run = %watcher.run, "{}", fault.message());
                    return None;
                }
            };
            Some((futures::stream::iter(events.into_iter().map(Ok)), (watcher, true)))
        });
        looks.flatten()
    }

    /// Reads how the run stands, and tells the pieces that are not as they were.
    async fn look(&mut self) -> Result<Vec<Event>, Fault> {
        let store = self.site.runs.store();
        let none = || Fault::not_found(format!("there is no run `{}`", self.run));
        let run = store.run(&self.run).await?.ok_or_else(none)?;
        let now = self.site.runs.workplace().now();
        let head = Head::of(store, &run, now).await?;
        let mut pieces = vec![(0, "head", piece("run_head.html", &self.viewer, head)?)];
        if let Some(workflow) = &self.workflow {
            let many = workflow.steps.steps.len() > BOXES;
            if !many || run.status.has_ended() || self.looks.is_multiple_of(SELDOM) {
                let drawing = drawn(store, &run, workflow).await?;
                pieces.push((1, "graph", piece("dag.html", &self.viewer, drawing)?));
            }
        }
        let here = format!("/runs/{}", run.id);
        let steps = Steps::below(store, &run.id, None, self.part, &here, now).await?;
        pieces.push((2, "steps", piece("run_steps.html", &self.viewer, steps)?));
        self.looks += 1;
        self.ended = run.status.has_ended();
        let mut events = Vec::new();
        for (at, name, html) in pieces {
            let hash = ContentHash::of_bytes(html.as_bytes());
            if self.sent[at].replace(hash) != Some(hash) {
                events.push(Event::default().event(name).data(html));
            }
        }
        if self.ended {
            // The page closes the stream, and does not ask for it again.
            events.push(Event::default().event("ended").data(""));
        }
        Ok(events)
    }
}
