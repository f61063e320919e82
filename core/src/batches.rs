//! Batches of services: the seam to whoever remembers what was given to them.
//!
//! ```text
//! begin ──► sent ──► read ──► handed, an item at a time
//!   │         remote id  answers here
//!   └──► forget: the service never had it
//! ```
//!
//! A service works through a batch for hours, longer than a process may live. So what is in it
//! is durable before it is sent, under a name of ours (the nonce) that the service keeps with
//! it, and an instance that comes up again with the same request finds its place: nothing is
//! sent, or paid, twice. How a service is spoken to is not known here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::artifact::ArtifactRef;
use crate::content::ContentHash;
use crate::error::Failure;
use crate::ids::{InstancePath, RunId};

/// Remembers what was given to batches. When a future returns, what it wrote is durable, but
/// for [`handed`](Self::handed). Dropping one writes or not.
#[async_trait]
pub trait BatchLedger: Send + Sync {
    /// The place that a request has in a batch: who asked for it before and was not answered,
    /// or was and did not live to say so.
    async fn find(&self, asker: &Asker, hash: ContentHash) -> Result<Option<BatchPlace>, Failure>;

    /// Notes a batch before it is sent, with all that is in it.
    async fn begin(&self, batch: &BatchRecord, items: &[BatchItem]) -> Result<(), Failure>;

    /// Notes the id by which the service knows a batch.
    async fn sent(&self, nonce: &str, remote: &str) -> Result<(), Failure>;

    /// Notes where the answers of a batch are.
    async fn read(&self, nonce: &str, results: &ArtifactRef) -> Result<(), Failure>;

    /// Notes that an answer is handed to an attempt. It is durable before, or with, whatever
    /// the attempt comes to.
    async fn handed(&self, nonce: &str, asker: &Asker, hash: ContentHash) -> Result<(), Failure>;

    /// Forgets a batch that the service never had, or has no more.
    async fn forget(&self, nonce: &str) -> Result<(), Failure>;

    /// Whether a batch of this name at the service is known.
    async fn knows(&self, remote: &str) -> Result<bool, Failure>;

    /// What tells it from others: two of one name remember the same.
    fn name(&self) -> String;

    /// Whether another run that has not ended waits for something in a batch.
    async fn is_waited_for(&self, nonce: &str, except: &RunId) -> Result<bool, Failure>;
}

/// A batch, as it is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// Our name for it, unique.
    pub nonce: String,
    /// The provider's name in the workflow.
    pub provider: String,
    /// The model that is asked.
    pub model: String,
    /// How many requests are in it.
    pub items: u64,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// The service's name for it, once it is known.
    pub remote: Option<String>,
    /// Its answers, once they are here.
    pub results: Option<ArtifactRef>,
}

/// A request in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchItem {
    /// Its number in the batch.
    pub number: u32,
    /// Who asks.
    pub asker: Asker,
    /// What is asked.
    pub hash: ContentHash,
}

/// A place in a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchPlace {
    /// The batch.
    pub batch: BatchRecord,
    /// The number of the request in it.
    pub number: u32,
}

/// Who asks: an attempt at an instance of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The run.
    pub run: RunId,
    /// The instance.
    pub path: InstancePath,
    /// The attempt.
    pub attempt: u32,
}

/// What an attempt that may wait for a batch knows.
#[derive(Clone)]
pub struct BatchAccess {
    /// Who remembers.
    pub ledger: Arc<dyn BatchLedger>,
    /// Who asks.
    pub asker: Asker,
    /// How much of the step's deadline is left for the attempt.
    pub left: Duration,
    /// Set where the run is stopped only to go on later.
    pub interrupted: Arc<AtomicBool>,
}

impl BatchAccess {
    /// Whether the run was stopped so that it can go on later. An attempt that ends otherwise
    /// before its answer came does not want it any more.
    pub fn goes_on_later(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for BatchAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchAccess").field("asker", &self.asker).finish_non_exhaustive()
    }
}
