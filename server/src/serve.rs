//! Serving: one port, the runs, the folder, and their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::follow::Follow;
use crate::gate::{self, Peer};
use crate::problem::Problem;
use crate::schedule::Keeper;
use crate::state::Site;
use crate::trigger::after::Follower;
use crate::trigger::watch::Watcher;
use crate::trigger::webhook;
use crate::{api, ops, page, retention};

/// Connections at once; the next ones wait to be taken.
const CONNECTIONS: usize = 8192;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);

/// How long answers that are on their way may take when the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long it is waited after the system could not take a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping` is cancelled, lets runs end within `grace`, and interrupts the rest
/// so that the next server takes them up.
///
/// Dropping the future ends it at once, as a crash would.
pub async fn serve(
    site: Site,
    listener: TcpListener,
    grace: Duration,
    stopping: CancellationToken,
) {
    let background = TaskTracker::new();
    let (runs, folder) = (site.runs.clone(), Arc::clone(&site.folder));
    background.spawn({
        let (runs, stopping) = (runs.clone(), stopping.clone());
        async move { stopping.run_until_cancelled(take_up(&runs)).await }
    });
    background.spawn(Arc::clone(&folder).watch(stopping.clone()));
    start_by_themselves(&background, &runs, &folder, &stopping);
    background.close();
    let connections = TaskTracker::new();
    accept(router(site.clone()), listener, &connections, &stopping).await;
    let follow = site.follow.clone();
    connections.close();
    tracing::info!(runs = runs.at_work(), "stopping");
    runs.stop(grace).await;
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.wait()).await;
    follow.stopped().await;
    background.wait().await;
    tracing::info!("stopped");
}

/// Runs what nobody asks for: schedules, watched folders, runs behind others; and forgets.
fn start_by_themselves(
    background: &TaskTracker,
    runs: &crate::runs::Runs,
    folder: &Arc<crate::folder::Folder>,
    stopping: &CancellationToken,
) {
    let both = || (runs.clone(), Arc::clone(folder));
    let (runs, folder) = both();
    background.spawn(Keeper::new(runs, folder).watch(stopping.clone()));
    let (runs, folder) = both();
    background.spawn(Watcher::new(runs, folder).watch(stopping.clone()));
    let (runs, folder) = both();
    background.spawn(Follower::new(runs, folder).watch(stopping.clone()));
    let (runs, folder) = both();
    background.spawn(retention::every_day(runs, folder, stopping.clone()));
}

/// Takes up what an earlier server left, and from then on what is answered elsewhere.
async fn take_up(runs: &crate::runs::Runs) {
    match runs.recover().await {
        Ok(0) => {}
        Ok(went_on) => tracing::info!(runs = went_on, "runs go on"),
        Err(error) => tracing::error!("taking runs up: {error}"),
    }
    runs.look_for_answers().await;
}

/// All that is served.
pub fn router(site: Site) -> Router {
    let closed = Router::new()
        .nest("/api/v1", api::router())
        .merge(ops::closed())
        .merge(page::router())
        .layer(from_fn_with_state(site.clone(), gate::visitors));
    Router::new()
        .merge(closed)
        .merge(ops::open())
        .merge(webhook::router())
        .merge(gate::login())
        .merge(page::open())
        .fallback(async |request: Request| {
            Problem::not_found(format!("there is nothing at `{}`", request.uri().path()))
        })
        .layer(from_fn(caught))
        .layer(from_fn_with_state(site.clone(), gate::doors))
        .with_state(site)
}

/// A handler that panics is a fault of flow, and of one request only.
async fn caught(request: Request, next: axum::middleware::Next) -> Response {
    let path = request.uri().path().to_owned();
    match std::panic::AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("internal error: `{path}` failed");
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, detail).hint("please report it").into_response()
        }
    }
}

/// Takes connections until the server stops.
async fn accept(
    router: Router,
    listener: TcpListener,
    connections: &TaskTracker,
    stopping: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        match stopping.run_until_cancelled(next).await.flatten() {
            None => return,
            Some((place, Ok((stream, peer)))) => {
                let (router, stopping) = (router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(router, stream, peer, stopping).await;
                    drop(place);
                });
            }
            // Too many files are open, or the other side is gone already.
            Some((_, Err(error))) => {
                tracing::warn!("a connection could not be taken: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers the requests of a connection; when the server stops, the one that is on its way.
async fn connection(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    stopping: CancellationToken,
) {
    // Small answers are not held back for more.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "a connection broke off: {error}");
    }
}

impl Site {
    /// Puts it together.
    pub fn new(
        runs: crate::runs::Runs,
        folder: Arc<crate::folder::Folder>,
        gate: gate::Gate,
    ) -> Self {
        let follow = Follow::new(runs.clone(), gate.stopping.clone());
        Self { runs, folder, gate: Arc::new(gate), follow }
    }
}
