//! Files by content hash.

/// The artifact store of a run's files.
pub struct Artifacts {}
