//! Removes from a service what no run needs any more.

use std::time::Duration;

use flow_core::error::{ErrorClass, Failure};
use flow_core::uploads::{Upload, UploadLedger};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{FileService, Service};

/// How long removing files may take: who waits for the end of a run waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

impl Service {
    /// Removes the files that the ledger knows to be unneeded, and says which are left. Those
    /// stay in the ledger.
    ///
    /// Dropping the future leaves some of them there.
    pub(crate) async fn tidy(&self, uploads: &dyn UploadLedger) -> Vec<Failure> {
        let Some(files) = self.dialect.files() else { return Vec::new() };
        let now = Timestamp::now().as_millisecond();
        let unneeded = match uploads.unneeded(&self.endpoint.fingerprint(), now).await {
            Ok(unneeded) => unneeded,
            Err(failure) => return vec![failure],
        };
        let mut left = Vec::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        for upload in &unneeded {
            let removed = tokio::time::timeout_at(end, self.remove(files, upload, uploads)).await;
            let failure = match removed {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(_) => Failure::new(ErrorClass::Timeout, "there was no time left"),
            };
            let message =
                format!("{} was left at {}: {}", upload.name, self.name(), failure.message);
            left.push(Failure { message, ..failure });
        }
        left
    }

    async fn remove(
        &self,
        files: &dyn FileService,
        upload: &Upload,
        uploads: &dyn UploadLedger,
    ) -> Result<(), Failure> {
        let call = files.delete(&self.endpoint, &upload.id);
        let reply = self.http.send(call, &CancellationToken::new()).await?;
        if !(200..300).contains(&reply.status) {
            let failure = self.refused(&reply, "");
            // What is gone is removed.
            if failure.class != ErrorClass::NotFound {
                return Err(failure);
            }
        }
        uploads.forget(&upload.key.account, &upload.id).await
    }
}
