//! The ledger of files that were uploaded to services.
//!
//! A file is uploaded once for many questions, for a later life of a run, and, where it is
//! kept until it expires, for later runs. The ledger says what lies where; who uploads and
//! deletes is the provider. Files are known by the hash of their bytes, accounts by the hash of
//! an address and a key, so that no key is in the ledger.
//!
//! ```text
//!            note                      note                     unneeded           forget
//! uploaded ───────► processing ───────────────► ready ───────────────► deleting ───────► gone
//!                       └── found by runs, which count as its users ──┘  (found by nobody)
//! ```

use async_trait::async_trait;

use crate::content::ContentHash;
use crate::error::Failure;

/// Knows what was uploaded, on behalf of one run.
#[async_trait]
pub trait UploadLedger: Send + Sync {
    /// A file at an account that lasts until a time, in milliseconds since 1970. From then on
    /// the run counts as its user, and it is kept for at least as long as `keep` says.
    ///
    /// Dropping the future makes the run its user or not.
    async fn find(
        &self,
        key: &UploadKey,
        keep: Keep,
        until: i64,
    ) -> Result<Option<Upload>, Failure>;

    /// Notes a file that was uploaded, or how it stands now, and that the run uses it; durable
    /// when this returns.
    ///
    /// Dropping the future notes it or not.
    async fn note(&self, upload: &Upload) -> Result<(), Failure>;

    /// Forgets a file that is at an account no more.
    ///
    /// Dropping the future forgets it or not.
    async fn forget(&self, account: &ContentHash, id: &str) -> Result<(), Failure>;

    /// The files at an account that are kept for runs of which none is left that has not ended.
    /// Nobody finds them from then on; they stay in this list until they are forgotten. What
    /// expired before a time is forgotten.
    ///
    /// Dropping the future leaves them to the next who asks.
    async fn unneeded(&self, account: &ContentHash, now: i64) -> Result<Vec<Upload>, Failure>;
}

/// A file at an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadKey {
    /// Hash of whom it lies at: the address and the key.
    pub account: ContentHash,
    /// Hash of its bytes.
    pub content: ContentHash,
}

/// A file that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What it is, and at whom it lies.
    pub key: UploadKey,
    /// Who that is, for people: the provider's name in the workflow.
    pub provider: String,
    /// Its id there.
    pub id: String,
    /// How a question names it: its address or its id.
    pub uri: String,
    /// Its name, for people.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// How it stands.
    pub state: UploadState,
    /// How long it is kept.
    pub keep: Keep,
    /// When it was uploaded, in milliseconds since 1970.
    pub uploaded: i64,
    /// When the service deletes it; none where it does not.
    pub expires: Option<i64>,
}

/// How a file stands at a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// All its bytes are there, and the service is at work on them.
    Processing,
    /// It can be asked about.
    Ready,
}

/// How long a file is kept at a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Until the runs that use it have ended.
    #[default]
    Run,
    /// Until the service deletes it.
    Expiry,
}

impl UploadState {
    /// The name used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Ready => "ready",
        }
    }
}

impl Keep {
    /// The name used in workflows and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Expiry => "expiry",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Run, Self::Expiry].into_iter().find(|keep| keep.as_str() == name)
    }
}
