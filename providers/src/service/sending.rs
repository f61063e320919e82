//! Sends the bytes of a file, and goes on where it broke.
//!
//! ```text
//! start ──► chunk ──► chunk … last chunk ──► done
//!   ▲        │ ▲ broken
//!   │        ▼ │ goes on from what has come
//!   └─lost─ query
//! ```

use std::path::Path;

use flow_core::error::{ErrorClass, Failure};
use flow_core::retry::next_wait;
use flow_core::units::Size;

use super::file_service::{InChunks, Outgoing, Received, RemoteFile, Session, Way};
use super::upload::Uploader;
use crate::http::FilePart;

/// Bytes of a chunk, where the service does not want multiples of something else.
const CHUNK: u64 = 8 << 20;

/// A file on its way.
pub(super) struct Sending<'s> {
    uploader: &'s Uploader<'s>,
    outgoing: Outgoing<'s>,
    path: &'s Path,
    /// The most bytes that are known to have come, in any session.
    furthest: u64,
    /// How often it broke since it got further.
    breaks: u32,
}

/// What is done next.
enum Next<'s> {
    Start,
    Chunk(&'s dyn InChunks, Session, u64),
    Query(&'s dyn InChunks, Session),
    Done(RemoteFile),
}

/// Something broke; what is done after a wait.
struct Broken<'s>(Failure, Next<'s>);

impl<'s> Sending<'s> {
    pub(super) fn new(uploader: &'s Uploader<'s>, outgoing: Outgoing<'s>, path: &'s Path) -> Self {
        Self { uploader, outgoing, path, furthest: 0, breaks: 0 }
    }

    /// Brings all of it to the service.
    ///
    /// Dropping the future leaves half a file there, which the service forgets.
    pub(super) async fn send(mut self) -> Result<RemoteFile, Failure> {
        let mut next = Next::Start;
        loop {
            self.unchanged()?;
            let done = match next {
                Next::Done(file) => return Ok(file),
                Next::Start => self.start().await,
                Next::Chunk(way, session, at) => self.chunk(way, session, at).await,
                Next::Query(way, session) => self.query(way, session).await,
            };
            next = match done {
                Ok(next) => next,
                Err(Broken(failure, then)) => {
                    self.unchanged()?;
                    self.wait(failure).await?;
                    then
                }
            };
        }
    }

    async fn start(&mut self) -> Result<Next<'s>, Broken<'s>> {
        let Uploader { service, files, .. } = self.uploader;
        let broken = |failure| Broken(failure, Next::Start);
        match files.upload(&service.endpoint, &self.outgoing) {
            Way::Whole(call) => {
                let reply = self.uploader.exchange(call).await.map_err(broken)?;
                let file = self.uploader.read(&reply, |reply| files.read(&reply.body));
                file.map(Next::Done).map_err(broken)
            }
            Way::InChunks(call, way) => {
                let reply = self.uploader.exchange(call).await.map_err(broken)?;
                let session = self.uploader.read(&reply, |reply| way.begun(reply));
                let session = session.map_err(broken)?;
                Ok(Next::Chunk(way, session, 0))
            }
        }
    }

    async fn chunk(
        &mut self,
        way: &'s dyn InChunks,
        session: Session,
        at: u64,
    ) -> Result<Next<'s>, Broken<'s>> {
        let FilePart { source, len: whole, .. } = self.outgoing.part;
        let step = session.granularity.max(1);
        let len = (CHUNK / step).max(1).saturating_mul(step).min(whole - at);
        let last = at + len == *whole;
        let part = FilePart { source: source.clone(), start: at, len };
        let call = way.chunk(&self.uploader.service.endpoint, &session, part, last);
        let received = match self.uploader.exchange(call).await {
            Ok(reply) => self.uploader.read(&reply, |reply| way.received(reply)),
            Err(failure) => Err(failure),
        };
        match received {
            Ok(Received::Active(_)) if !last => {
                self.came(at + len);
                Ok(Next::Chunk(way, session, at + len))
            }
            Ok(Received::Final(Some(file))) if last => Ok(Next::Done(file)),
            Ok(Received::Active(_) | Received::Final(_)) => {
                let failure = self.astray("is not where it should be");
                Err(Broken(failure, Next::Query(way, session)))
            }
            Ok(Received::Cancelled) => Err(Broken(self.astray("gave it up"), Next::Start)),
            Err(failure) => Err(after(failure, way, session)),
        }
    }

    async fn query(
        &mut self,
        way: &'s dyn InChunks,
        session: Session,
    ) -> Result<Next<'s>, Broken<'s>> {
        let call = way.query(&self.uploader.service.endpoint, &session);
        let received = match self.uploader.exchange(call).await {
            Ok(reply) => self.uploader.read(&reply, |reply| way.received(reply)),
            Err(failure) => Err(failure),
        };
        match received {
            Ok(Received::Active(Some(at))) if at <= self.outgoing.part.len => {
                self.came(at);
                Ok(Next::Chunk(way, session, at))
            }
            Ok(Received::Final(Some(file))) => Ok(Next::Done(file)),
            // All of it came, and nobody says as what; or something else did.
            Ok(Received::Active(_) | Received::Final(None)) => {
                Err(Broken(self.astray("is not where it should be"), Next::Start))
            }
            Ok(Received::Cancelled) => Err(Broken(self.astray("gave it up"), Next::Start)),
            Err(failure) => Err(after(failure, way, session)),
        }
    }

    /// Notes how much has come. Only what came never before is a progress.
    fn came(&mut self, bytes: u64) {
        if bytes > self.furthest {
            (self.furthest, self.breaks) = (bytes, 0);
        }
    }

    fn astray(&self, what: &str) -> Failure {
        let message = format!("provider `{}` {what}", self.uploader.service.name());
        Failure::new(ErrorClass::Server, message)
    }

    /// Waits before what broke is gone on with; the failure where it is not.
    async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        // That a session is gone is no reason to give up: another one is begun.
        let lost = failure.class == ErrorClass::NotFound && self.furthest > 0;
        let class = if lost { ErrorClass::Server } else { failure.class };
        let judged = Failure { class, ..failure.clone() };
        self.breaks += 1;
        let Some(wait) = next_wait(&self.uploader.breaks, self.breaks, &judged, 0.5) else {
            return Err(failure);
        };
        let (name, at) = (self.outgoing.name, Size(self.furthest));
        let why = &failure.message;
        self.uploader.log(&format!("the upload of {name} broke after {at}, and goes on: {why}"));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Refuses to go on with a file that is not as long as it was.
    fn unchanged(&self) -> Result<(), Failure> {
        let length = std::fs::metadata(self.path).map(|file| file.len());
        if length.as_ref().is_ok_and(|length| *length == self.outgoing.part.len) {
            return Ok(());
        }
        let message = format!("{} changed while it was uploaded", self.path.display());
        Err(Failure::new(ErrorClass::Io, message)
            .with_hint("restore the file from a backup, or run the workflow again"))
    }
}

/// What follows a chunk or a query that failed.
fn after(failure: Failure, way: &dyn InChunks, session: Session) -> Broken<'_> {
    match failure.class == ErrorClass::NotFound {
        true => Broken(failure, Next::Start),
        false => Broken(failure, Next::Query(way, session)),
    }
}
