//! Brings a file to a service, once.
//!
//! ```text
//! ledger: is it there? ── ready ─────────────────────────────► named by the question
//!    │ no          └────── processing ───┐                        ▲
//!    ▼                                   ▼                        │
//!  sent, as `sending` says ──► noted ──► look ──► look … ready ──► noted
//!                                         └ failed, or not in time
//! ```
//!
//! A file of any size is read a piece at a time. What broke is gone on with after a wait, as
//! long as the upload gets further or not for too long; what the service refuses for good ends
//! it. Everything here is part of one attempt of a step: its timeout and its end end it.

use std::time::Duration;

use flow_core::artifact::ArtifactRef;
use flow_core::error::{ErrorClass, Failure};
use flow_core::language::Retry;
use flow_core::provider::CallContext;
use flow_core::retry::next_wait;
use flow_core::units::Size;
use flow_core::uploads::{Keep, Upload, UploadKey, UploadState};
use jiff::Timestamp;
use tokio::time::Instant;

use super::Service;
use super::file_service::{FileService, Outgoing, RemoteFile, RemoteState};
use super::sending::Sending;
use super::served::stopped;
use super::shown::moment;
use super::upload_options::UploadOptions;
use crate::http::{Call, FilePart, Reply, Source};

/// A file that expires within this time counts as gone: it has to last until the question
/// that names it is answered.
const MARGIN: Duration = Duration::from_mins(10);

/// The first wait for a file that the service is at work on, and the longest one.
const LOOKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// How often what breaks is gone on with that gets no further: for half a minute.
fn usual_breaks() -> Retry {
    Retry {
        attempts: 8,
        exponential: true,
        initial: Duration::from_millis(250),
        max: Duration::from_secs(30),
        jitter: 0.0,
        ..Retry::default()
    }
}

/// Uploads files for one attempt.
pub(super) struct Uploader<'u> {
    pub(super) service: &'u Service,
    pub(super) files: &'u dyn FileService,
    pub(super) options: UploadOptions,
    pub(super) context: &'u CallContext<'u>,
    pub(super) breaks: Retry,
}

impl<'u> Uploader<'u> {
    pub(super) fn new(
        service: &'u Service,
        files: &'u dyn FileService,
        options: UploadOptions,
        context: &'u CallContext<'u>,
    ) -> Self {
        Self { service, files, options, context, breaks: usual_breaks() }
    }

    /// The file at the service: as it is there already, or uploaded now.
    ///
    /// Ends soon after the context's token is cancelled. Dropping the future leaves what was
    /// uploaded by then to whoever asks next, or to the service, which forgets half a file.
    pub(super) async fn there(&self, file: &ArtifactRef) -> Result<Upload, Failure> {
        let account = self.service.endpoint.fingerprint();
        let key = UploadKey { account, content: file.hash };
        let work = self.service.flights.alone(key, self.found_or_uploaded(key, file));
        tokio::select! {
            upload = work => upload,
            () = self.context.cancel.cancelled() => Err(stopped()),
        }
    }

    async fn found_or_uploaded(
        &self,
        key: UploadKey,
        file: &ArtifactRef,
    ) -> Result<Upload, Failure> {
        let now = Timestamp::now().as_millisecond();
        let until = now + MARGIN.as_millis() as i64;
        let found = self.context.uploads.find(&key, self.options.keep, until).await?;
        let upload = match found {
            Some(upload) if upload.state == UploadState::Ready => {
                let provider = self.service.name();
                self.log(&format!("{} is at {provider} already", file.name));
                return Ok(upload);
            }
            Some(upload) => upload,
            None => self.upload(key, file).await?,
        };
        match self.ready(&upload).await {
            // It went away while it was waited for; that it does so again is no chance.
            Err(failure) if failure.class == ErrorClass::NotFound => {
                self.forget(&upload).await?;
                let again = self.upload(key, file).await?;
                self.ready(&again).await
            }
            ready => ready,
        }
    }

    /// Uploads a file, and notes it as soon as all of it is there.
    async fn upload(&self, key: UploadKey, file: &ArtifactRef) -> Result<Upload, Failure> {
        let artifacts = self.context.intake.artifacts();
        let path = artifacts.local_path(&file.hash)?;
        artifacts.verify(&file.hash).await?;
        let part = FilePart::whole(Source::Path(path.clone()), file.size);
        let outgoing = Outgoing { part: &part, name: &file.name, media_type: &file.media_type };
        let begun = Instant::now();
        let sending = Sending::new(self, outgoing, &path);
        let remote = sending.send().await.map_err(|failure| of_file(&file.name, failure))?;
        let remote = self.without_secrets(remote)?;
        let upload = Upload {
            key,
            provider: self.service.name().to_owned(),
            id: remote.id,
            uri: remote.uri,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size: file.size,
            state: match remote.state {
                RemoteState::Ready => UploadState::Ready,
                RemoteState::Processing | RemoteState::Failed(_) => UploadState::Processing,
            },
            keep: self.options.keep,
            uploaded: Timestamp::now().as_millisecond(),
            expires: remote.expires.map(Timestamp::as_millisecond),
        };
        self.context.uploads.note(&upload).await?;
        self.log(&told(&upload, begun.elapsed()));
        Ok(upload)
    }

    /// Waits until the service is done with a file.
    async fn ready(&self, upload: &Upload) -> Result<Upload, Failure> {
        if upload.state == UploadState::Ready {
            return Ok(upload.clone());
        }
        let (begun, name) = (Instant::now(), &upload.name);
        let (mut wait, mut breaks) = (LOOKS.0, 0);
        loop {
            let left = self.options.wait.saturating_sub(begun.elapsed());
            tokio::time::sleep(wait.min(left)).await;
            wait = (wait * 2).min(LOOKS.1);
            match self.look(upload).await {
                Ok(RemoteFile { state: RemoteState::Ready, expires, .. }) => {
                    let expires = expires.map(Timestamp::as_millisecond).or(upload.expires);
                    let ready = Upload { state: UploadState::Ready, expires, ..upload.clone() };
                    self.context.uploads.note(&ready).await?;
                    self.log(&format!(
                        "{name} is ready after {:.1}s",
                        begun.elapsed().as_secs_f64()
                    ));
                    return Ok(ready);
                }
                Ok(RemoteFile { state: RemoteState::Failed(reason), .. }) => {
                    return Err(self.unusable(upload, &reason).await?);
                }
                Ok(RemoteFile { state: RemoteState::Processing, .. }) => breaks = 0,
                Err(failure) => {
                    breaks += 1;
                    let Some(pause) = next_wait(&self.breaks, breaks, &failure, 0.5) else {
                        return Err(of_file(name, failure));
                    };
                    wait = wait.max(pause);
                }
            }
            if begun.elapsed() >= self.options.wait {
                let (provider, limit) = (self.service.name(), self.options.wait);
                let message =
                    format!("provider `{provider}`: `{name}` is not ready after {limit:?}");
                return Err(Failure::new(ErrorClass::Timeout, message)
                    .with_hint("raise `wait` of `options.upload`, and `timeout` of the step"));
            }
        }
    }

    async fn look(&self, upload: &Upload) -> Result<RemoteFile, Failure> {
        let reply = self.exchange(self.files.look(&self.service.endpoint, &upload.id)).await?;
        self.read(&reply, |reply| self.files.read(&reply.body))
    }

    /// The failure of a file that the service cannot use. It is removed, so that whoever tries
    /// again begins anew.
    async fn unusable(&self, upload: &Upload, reason: &str) -> Result<Failure, Failure> {
        let call = self.files.delete(&self.service.endpoint, &upload.id);
        // What is not removed now expires.
        let _ = self.exchange(call).await;
        self.context.uploads.forget(&upload.key.account, &upload.id).await?;
        let reason = self.service.endpoint.redactor.text(reason);
        let (provider, name) = (self.service.name(), &upload.name);
        let message = format!("provider `{provider}` cannot use `{name}`: {reason}");
        Ok(Failure::new(ErrorClass::BadRequest, message))
    }

    /// Forgets a file that is at the service no more, and says so.
    pub(super) async fn forget(&self, upload: &Upload) -> Result<(), Failure> {
        self.context.uploads.forget(&upload.key.account, &upload.id).await?;
        let provider = self.service.name();
        self.log(&format!("{} is not at {provider} any more; it is uploaded again", upload.name));
        Ok(())
    }

    /// The file as it may be noted: an id that spells a secret is none.
    fn without_secrets(&self, remote: RemoteFile) -> Result<RemoteFile, Failure> {
        let redactor = &self.service.endpoint.redactor;
        let plain = |text: &String| redactor.text(text) == *text;
        if plain(&remote.id) && plain(&remote.uri) {
            return Ok(remote);
        }
        let message = format!("provider `{}` names a file by a secret", self.service.name());
        Err(Failure::new(ErrorClass::Server, message))
    }

    /// Makes an exchange that must end in a success.
    pub(super) async fn exchange(&self, call: Call) -> Result<Reply, Failure> {
        let reply = self.service.http.send(call, &self.context.cancel).await?;
        match (200..300).contains(&reply.status) {
            true => Ok(reply),
            false => Err(self.service.refused(&reply, "")),
        }
    }

    pub(super) fn read<T>(
        &self,
        reply: &Reply,
        read: impl FnOnce(&Reply) -> Result<T, super::Fault>,
    ) -> Result<T, Failure> {
        read(reply).map_err(|fault| self.service.failure(fault, &reply.headers, reply.status))
    }

    pub(super) fn log(&self, line: &str) {
        (self.context.log)(line);
    }
}

/// What is said of a file that was uploaded.
fn told(upload: &Upload, took: Duration) -> String {
    let Upload { name, provider, size, expires, keep, .. } = upload;
    let until = match (keep, expires) {
        (Keep::Run, _) => "the run has ended".to_owned(),
        (Keep::Expiry, Some(expires)) => moment(*expires),
        (Keep::Expiry, None) => "it is deleted there".to_owned(),
    };
    let (size, took) = (Size(*size), took.as_secs_f64());
    format!("uploaded {name}, {size}, to {provider} in {took:.1}s; it is kept until {until}")
}

fn of_file(name: &str, failure: Failure) -> Failure {
    Failure { message: format!("uploading `{name}`: {}", failure.message), ..failure }
}
